import json
import resource
import zipfile

import numpy as np
import pytest

from recognizer.errors import FormatError, InputError, LabelError, NotFound, StorageError
from recognizer.ingest.read import read_recorded
from recognizer.ingest.recorded import Source
from recognizer.ingest.split import Split, cut
from recognizer.sequences import NPZ_FIELDS, SequenceSet, SkeletonSequence, write_npz
from recognizer.snapshot import read_set, read_snapshot, sequence_digest, set_digest, write_snapshot

SOURCE = Source("data.pkl", "ab" * 32)


def sequence(name, label, subject, people=1, frames=3):
    generator = np.random.default_rng(len(name) + label)
    seen = generator.random((people, frames, 17)).round(2).astype(np.float32)
    points = generator.uniform(0, 100, (people, frames, 17, 2)).astype(np.float32) * (seen > 0)[..., None]
    return SkeletonSequence(name, points, seen, label, subject, (48, 64))


def a_set(who, people=1):
    return SequenceSet(("sit", "run"), tuple(sequence(f"{who}-{i}", i % 2, who, people, 3 + i) for i in range(4)))


def a_split(warnings=("w",)):
    return Split(a_set("ann", 3), a_set("bob"), a_set("cid", 2), warnings)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def equal(left, right):
    assert left.classes == right.classes
    for a, b in zip(left, right, strict=True):
        assert (a.name, a.label, a.subject, a.image_shape) == (b.name, b.label, b.subject, b.image_shape)
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        np.testing.assert_array_equal(a.visibility, b.visibility)


def test_what_is_written_is_read(tmp_path):
    split = a_split()
    card = write_snapshot(split, tmp_path / "s", task="action", source=SOURCE)
    assert read_snapshot(tmp_path / "s") == card
    assert (card.task, card.classes, card.warnings) == ("action", ("sit", "run"), ("w",))
    assert card.sets["train"].subjects == ("ann",)
    assert card.sets["test"].per_class == {"sit": 2, "run": 2}
    assert card.sets["validation"].frames == 18
    assert card.test_digest == set_digest(split.test)
    for name, part in split.sets().items():
        equal(read_set(tmp_path / "s", name), part)


def test_the_same_input_gives_the_same_bytes_and_no_place_or_time(tmp_path):
    for folder in ("one", "two"):
        write_snapshot(a_split(), tmp_path / folder, task="action", source=SOURCE)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    card = (tmp_path / "one" / "snapshot.json").read_text()
    assert str(tmp_path) not in card
    assert sorted(json.loads(card)) == ["classes", "format", "sets", "source", "task", "test_digest", "warnings"]


def test_a_set_is_read_without_the_others(tmp_path):
    write_snapshot(a_split(), tmp_path / "s", task="action", source=SOURCE)
    (tmp_path / "s" / "test.npz").unlink()
    assert len(read_set(tmp_path / "s", "train")) == 4


def test_the_test_digest_knows_what_counts():
    base = a_set("cid")
    first = base.sequences[0]
    changed = {
        "label": SkeletonSequence(first.name, first.keypoints, first.visibility, 1, first.subject, first.image_shape),
        "subject": SkeletonSequence(first.name, first.keypoints, first.visibility, 0, None, first.image_shape),
        "point": SkeletonSequence(
            first.name, first.keypoints + 1, first.visibility, 0, first.subject, first.image_shape
        ),
        "score": SkeletonSequence(
            first.name, first.keypoints, first.visibility / 2, 0, first.subject, first.image_shape
        ),
    }
    digests = {set_digest(base), set_digest(SequenceSet(("run", "sit"), base.sequences))}
    for item in changed.values():
        digests.add(set_digest(SequenceSet(base.classes, (item, *base.sequences[1:]))))
    assert len(digests) == 6
    assert set_digest(a_set("cid")) == set_digest(base)


def test_a_sequences_digest_is_what_is_seen_not_its_name():
    first, copy = sequence("a", 0, "p"), sequence("b", 0, "q")
    assert sequence_digest(first) == sequence_digest(copy)
    assert sequence_digest(first) != sequence_digest(sequence("a", 1, "p"))


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda folder: (folder / "train.npz").unlink(), FormatError, "missing"),
        (lambda folder: (folder / "train.npz").write_bytes(b"x"), FormatError, "digest"),
        (lambda folder: (folder / "snapshot.json").unlink(), NotFound, "no snapshot"),
        (lambda folder: (folder / "snapshot.json").write_text("{"), FormatError, "not valid"),
        (lambda folder: (folder / "snapshot.json").write_text('{"format": 2}'), FormatError, "not valid"),
    ],
)
def test_damage_says_how_to_restore(tmp_path, damage, error, says):
    write_snapshot(a_split(), tmp_path / "s", task="action", source=SOURCE)
    damage(tmp_path / "s")
    with pytest.raises(error, match=says) as caught:
        read_set(tmp_path / "s", "train")
    assert "dvc checkout" in str(caught.value)


def test_nothing_is_left_when_the_disk_stops_taking_bytes(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    try:
        with pytest.raises(StorageError):
            write_snapshot(a_split(), tmp_path / "s", task="action", source=SOURCE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_our_own_form_is_read_back(tmp_path):
    write_npz(tmp_path / "a.npz", a_set("ann"))
    recorded = read_recorded(tmp_path / "a.npz")
    equal(recorded.sequences, a_set("ann"))
    assert recorded.split == {}


def with_arrays(path, **changes):
    """Our own form with arrays exchanged, added, or left out (None)."""
    write_npz(path, SequenceSet(("sit", "run"), (*a_set("ann"), *a_set("bob"), *a_set("cid"))))
    with np.load(path) as file:
        arrays = {**{name: file[name] for name in file.files}, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_a_split_inside_our_own_form(tmp_path):
    parts = np.array(["train"] * 8 + ["val"] * 4)
    recorded = read_recorded(with_arrays(tmp_path / "a.npz", split=parts))
    assert set(recorded.part("test").subjects) == {"cid"}
    split = cut(recorded)
    assert set(split.test.subjects) == {"cid"}


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        *[({name: None}, FormatError, name) for name in NPZ_FIELDS],
        ({"people": np.full(12, -1)}, FormatError, "negative"),
        ({"people": np.full(12, 2)}, FormatError, "agree"),
        ({"frames": np.full(12, 2**40)}, FormatError, "agree"),
        ({"labels": np.zeros((12, 2), int)}, FormatError, "agree"),
        ({"labels": np.array(["x"] * 12)}, FormatError, "agree"),
        ({"labels": np.full(12, 7)}, LabelError, "ann-0"),
        ({"names": np.array(["twin"] * 12)}, InputError, "twin"),
        ({"names": np.array([{}] * 12, dtype=object)}, FormatError, "npz"),
        ({"classes": np.array(["sit", "\x1b[2J"])}, FormatError, "cannot be used as a name"),
        ({"classes": np.array(["sit", "r" * 201])}, FormatError, "cannot be used as a name"),
        ({"image_shapes": np.zeros((12, 2), int)}, InputError, "ann-0"),
        ({"image_shapes": np.zeros(12, int)}, FormatError, "agree"),
        ({"keypoints": np.full((54, 17, 2), np.nan, np.float32)}, InputError, "ann-0"),
        ({"keypoints": np.zeros((54, 25, 2), np.float32)}, InputError, "ann-0"),
        ({"visibility": np.full((54, 17), 2.0, np.float32)}, InputError, "ann-0"),
        ({"classes": np.array(["sit", "sit"])}, LabelError, "repeat"),
        ({"split": np.array(["train"] * 3)}, FormatError, "split"),
        ({"split": np.zeros(12)}, FormatError, "split"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, changes, error, says):
    path = with_arrays(tmp_path / "a.npz", **changes)
    with pytest.raises(error) as caught:
        read_recorded(path)
    assert says in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"\x93NUMPY", b"text", b"\x80\x04N."])
def test_files_that_are_no_npz(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.npz"):
        read_recorded(tmp_path / "a.npz")


def test_an_archive_that_unpacks_without_measure(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("keypoints.npy", b"small")
        archive.infolist()[0].file_size = 2**40
    with pytest.raises(FormatError, match="unpacks to"):
        read_recorded(tmp_path / "a.npz")


def test_an_empty_set_and_another_class_list(tmp_path):
    write_npz(tmp_path / "none.npz", SequenceSet(("sit",), ()))
    with pytest.raises(FormatError, match="no sequences"):
        read_recorded(tmp_path / "none.npz")
    write_npz(tmp_path / "a.npz", a_set("ann"))
    with pytest.raises(LabelError, match="asked for were"):
        read_recorded(tmp_path / "a.npz", classes=("run", "sit"))
