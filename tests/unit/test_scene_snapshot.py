"""Scenes cut into three sets and written as a snapshot; images that a COCO file labels."""

import json
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from recognizer.errors import FormatError, InputError, NotFound, SplitError, UsageError
from recognizer.ingest.coco import read_coco
from recognizer.ingest.coco_images import find_images, read_images
from recognizer.ingest.recorded import Source
from recognizer.pose.cut import cut_images
from recognizer.pose.snapshot import read_scenes, write_scenes
from recognizer.scenes import People, Scene
from recognizer.snapshot import SETS, read_snapshot

SOURCE = Source("made for this test", "")
NOBODY = People.nobody()
SOMEBODY = People(
    np.ones((2, 17, 2), np.float32),
    np.array([[2] * 17, [0] * 17], np.uint8),
    np.ones((2, 4), np.float32),
    np.ones(2, np.float32),
    np.zeros(2, np.bool_),
)


def scene(name, subject=None, people=SOMEBODY):
    return Scene(name, f"image of {name}".encode(), (4, 6), people, subject)


PARTS = [("train", scene("a", "x")), ("test", scene("b", "y")), ("train", scene("c")), ("validation", scene("d"))]


def test_a_snapshot_of_scenes(tmp_path):
    written = write_scenes(tmp_path / "s", PARTS, task="pose", source=SOURCE, warnings=("one",))
    card = read_snapshot(tmp_path / "s")
    assert card == written
    assert (card.classes, card.warnings, card.synthetic) == (("person",), ("one",), True)
    assert {name: card.sets[name].sequences for name in SETS} == {"train": 2, "validation": 1, "test": 1}
    assert card.sets["train"].per_class == {"person": 2}  # who has no labelled joint is not to be found
    assert card.sets["train"].subjects == ("x",)
    assert [one.name for one in read_scenes(tmp_path / "s", "train")] == ["a", "c"]
    again = write_scenes(tmp_path / "t", PARTS, task="pose", source=SOURCE, warnings=("one",))
    assert again == card
    for name in SETS:
        assert (tmp_path / "s" / f"{name}.shard").read_bytes() == (tmp_path / "t" / f"{name}.shard").read_bytes()


@pytest.mark.parametrize(
    "other",
    [
        replace(PARTS[1][1], name="other"),
        replace(PARTS[1][1], subject="z"),
        replace(PARTS[1][1], image=b"another"),
        replace(PARTS[1][1], shape=(6, 4)),
        replace(PARTS[1][1], people=NOBODY),
        replace(PARTS[1][1], people=replace(SOMEBODY, areas=np.array([1, 2], np.float32))),
    ],
)
def test_the_digest_is_of_everything_in_the_test_set(tmp_path, other):
    parts = [(name, other if name == "test" else one) for name, one in PARTS]
    digests = {
        write_scenes(tmp_path / str(i), made, task="pose", source=SOURCE).test_digest
        for i, made in enumerate((PARTS, parts, [*PARTS, ("train", scene("more"))]))
    }
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [
        (PARTS[:3], SplitError, "the set 'validation' is empty"),
        ([*PARTS, ("test", scene("e", "x"))], SplitError, "subject 'x' stands in 'train' and in 'test'"),
        ([*PARTS, ("test", scene("b"))], InputError, "two images have this name"),
    ],
)
def test_what_makes_no_snapshot_leaves_nothing(tmp_path, parts, error, words):
    with pytest.raises(error, match=words):
        write_scenes(tmp_path / "s", parts, task="pose", source=SOURCE)
    assert not list(tmp_path.iterdir())


def test_a_changed_shard_is_refused(tmp_path):
    write_scenes(tmp_path / "s", PARTS, task="pose", source=SOURCE)
    shard = tmp_path / "s" / "test.shard"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(FormatError, match="has digest"):
        read_scenes(tmp_path / "s", "test")
    assert len(read_scenes(tmp_path / "s", "train")) == 2
    shard.unlink()
    with pytest.raises(FormatError, match="is missing"):
        read_scenes(tmp_path / "s", "test")
    with pytest.raises(NotFound, match="no snapshot"):
        read_scenes(tmp_path, "test")


SHARES = {"test": 0.2, "validation": 0.1}


@pytest.mark.parametrize("n", [3, 4, 10, 500])
def test_images_of_nobody_known_are_cut_by_share(n):
    chosen = cut_images([None] * n, [1] * n, SHARES, {}, seed=1)
    counts = Counter(chosen)
    assert chosen == cut_images([None] * n, [1] * n, SHARES, {}, seed=1)
    assert all(counts[name] >= 1 for name in SETS)
    if n >= 10:
        assert (counts["test"], counts["validation"]) == (n // 5, n // 10)
        assert chosen != cut_images([None] * n, [1] * n, SHARES, {}, seed=2)


def test_subjects_stay_whole():
    subjects = [f"s{place % 20}" for place in range(400)]
    chosen = cut_images(subjects, [1] * len(subjects), SHARES, {}, seed=3)
    sets_of = {}
    for subject, name in zip(subjects, chosen, strict=True):
        sets_of.setdefault(subject, set()).add(name)
    assert all(len(names) == 1 for names in sets_of.values())
    assert Counter(chosen) == {"train": 280, "test": 80, "validation": 40}


@pytest.mark.parametrize("subjects", [[], [None, None], ["a", "b"] * 50])
def test_too_few_to_be_cut(subjects):
    with pytest.raises(SplitError, match="cannot be cut into three sets"):
        cut_images(subjects, [1] * len(subjects), SHARES, {})


@pytest.fixture
def labelled(tmp_path):
    """Two images and the file that labels them."""
    folder = tmp_path / "images"
    folder.mkdir()
    keypoints = [10, 10, 2] * 17
    images = []
    for id, (height, width) in enumerate(((20, 30), (16, 12)), start=1):
        picture = np.random.default_rng(id).integers(0, 255, (height, width, 3), np.uint8)
        cv2.imwrite(str(folder / f"{id}.png"), picture)
        images.append({"id": id, "file_name": f"{id}.png", "height": height, "width": width})
    person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": keypoints, "num_keypoints": 17,
              "bbox": [1, 1, 9, 9], "area": 40.0, "iscrowd": 0}  # fmt: skip
    names = ["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
             "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
             "right_knee", "left_ankle", "right_ankle"]  # fmt: skip
    content = {"images": images, "annotations": [person],
               "categories": [{"id": 1, "name": "person", "keypoints": names}]}  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return read_coco(tmp_path / "labels.json"), folder


def test_labelled_images_become_scenes(labelled):
    coco, folder = labelled
    first, second = read_images(find_images(coco, folder), folder)
    assert (first.name, first.shape, len(first.people)) == ("1.png", (20, 30), 1)
    assert first.image == (folder / "1.png").read_bytes()
    assert (second.name, second.shape, len(second.people)) == ("2.png", (16, 12), 0)


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda folder: (folder / "2.png").unlink(), InputError, r"1 of 2 images are not there: 2\.png"),
        (lambda folder: (folder / "2.png").write_bytes(b"text"), InputError, r"2\.png: "),
        (lambda folder: (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60]), InputError, r"2\.png: "),
        (lambda folder: (folder / "2.png").write_bytes((folder / "1.png").read_bytes()), FormatError, "is 30 x 20 pix"),
    ],
)
def test_images_that_cannot_be_used(labelled, damage, error, words):
    coco, folder = labelled
    damage(folder)
    with pytest.raises(error, match=words) as caught:
        list(read_images(find_images(coco, folder), folder))
    assert caught.value.hint
    with pytest.raises(UsageError, match="no such folder"):
        find_images(coco, folder / "none")


@pytest.mark.parametrize(
    ("found", "least", "test_people", "train"),
    [
        ([1] * 100, {"test": 10}, 20, 70),  # its share is enough
        ([1, 0, 0, 0] * 8, {"test": 6}, 6, 16),
        ([0] * 29 + [1], {"test": 10, "validation": 2}, None, 15),  # half is left to learn from
        ([9] * 30, {"test": 10}, 54, 21),
    ],
)
def test_a_set_gets_people_to_tell_anything_by(found, least, test_people, train):
    chosen = cut_images([None] * len(found), found, {"test": 0.2, "validation": 0.1}, least, seed=0)
    people = sum(count for count, name in zip(found, chosen, strict=True) if name == "test")
    assert test_people is None or people >= test_people
    assert chosen.count("train") >= min(train, len(found) // 2)
    assert chosen.count("validation") >= 1
