import pickle

import numpy as np
import pytest

from recognizer.errors import FormatError, InputError, LabelError, SplitError, UsageError
from recognizer.ingest.meta import Meta
from recognizer.ingest.read import read_recorded
from recognizer.ingest.recorded import Source


def annotation(name="a_1", label=0, frames=5, people=1, **changes):
    generator = np.random.default_rng(frames)
    made = {
        "frame_dir": name,
        "label": label,
        "img_shape": (480, 640),
        "original_shape": (480, 640),
        "total_frames": frames,
        "keypoint": generator.uniform(1, 400, (people, frames, 17, 2)).astype(np.float16),
        "keypoint_score": np.ones((people, frames, 17), np.float16),
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not None}


@pytest.fixture
def read(tmp_path):
    def reading(annotations, split=None, **arguments):
        path = tmp_path / "data.pkl"
        content = annotations if split is None else {"split": split, "annotations": annotations}
        path.write_bytes(pickle.dumps(content))
        return read_recorded(path, **arguments)

    return reading


def test_a_sequence_as_it_is_read(read, tmp_path):
    source = annotation(people=2)
    source["keypoint"][1, 2, 3] = 0
    recorded = read([source], {"train": ["a_1"]})
    (sequence,) = recorded.sequences
    assert sequence.keypoints.dtype == sequence.visibility.dtype == np.float32
    np.testing.assert_array_equal(sequence.keypoints, source["keypoint"].astype(np.float32))
    assert (sequence.people, sequence.frames, sequence.image_shape, sequence.label) == (2, 5, (480, 640), 0)
    assert sequence.visibility[1, 2, 3] == 0
    assert sequence.visibility.sum() == 2 * 5 * 17 - 1
    assert recorded.warnings == ("1 joints at (0, 0) with a score above 0 were taken as not seen",)
    assert recorded.source == Source.of(tmp_path / "data.pkl")


@pytest.mark.parametrize("wrap", [lambda items: items, lambda items: {"annotations": items}])
def test_layouts_without_a_split(read, wrap):
    recorded = read(wrap([annotation(), annotation("b_1", 1)]))
    assert recorded.split == {}
    assert len(recorded.sequences) == 2


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"keypoint_score": None}, lambda s: s.visibility.min() == 1),
        ({"frame_dir": None, "filename": "other"}, lambda s: s.name == "other"),
        ({"img_shape": None}, lambda s: s.image_shape == (480, 640)),
        ({"img_shape": (200, 100, 3)}, lambda s: s.image_shape == (200, 100)),
        ({"img_shape": np.array([200, 100])}, lambda s: s.image_shape == (200, 100)),
        ({"total_frames": None}, lambda s: s.frames == 5),
        ({"total_frames": np.int64(5)}, lambda s: s.frames == 5),
        ({"label": np.int64(1)}, lambda s: s.label == 1),
        ({"keypoint": np.full((1, 5, 17, 2), 3, np.int32)}, lambda s: (s.keypoints == 3).all()),
        ({"keypoint": np.full((1, 5, 17, 2), 3.0, ">f8")}, lambda s: (s.keypoints == 3).all()),
        ({"keypoint_score": np.full((1, 5, 17), 1.25)}, lambda s: (s.visibility == 1).all()),
        ({"keypoint_score": np.full((1, 5, 17), -0.5)}, lambda s: not s.visibility.any() and not s.keypoints.any()),
        ({"keypoint_score": np.zeros((1, 5, 17))}, lambda s: not s.keypoints.any()),
        ({"extra": {"anything": [1]}}, lambda s: s.frames == 5),
    ],
)
def test_variants_that_are_understood(read, changes, check):
    (sequence,) = read([annotation(**changes)]).sequences
    assert check(sequence)


def test_scores_outside_their_range_are_told(read):
    recorded = read([annotation(keypoint_score=np.full((1, 5, 17), 1.25))])
    assert recorded.warnings == ("85 joint scores outside [0, 1] were clipped",)


def points(**places):
    made = np.full((1, 5, 17, 2), 7.0)
    for value in places.values():
        made[0, 2, 3, 1] = value
    return made


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"keypoint": np.ones((1, 5, 25, 2))}, InputError, "17"),
        ({"keypoint": np.ones((1, 5, 17, 3))}, InputError, "17, 2"),
        ({"keypoint": np.ones((5, 17, 2))}, InputError, "expected"),
        ({"keypoint": np.ones((0, 5, 17, 2)), "keypoint_score": None}, InputError, "0 people"),
        ({"keypoint": np.ones((1, 0, 17, 2)), "keypoint_score": None, "total_frames": 0}, InputError, "0 frames"),
        ({"keypoint": None}, InputError, "keypoint"),
        ({"keypoint": [[1, 2]]}, InputError, "keypoint"),
        ({"keypoint": np.full((1, 5, 17, 2), "x")}, InputError, "keypoint"),
        ({"keypoint": points(x=np.nan)}, InputError, "NaN"),
        ({"keypoint": points(x=np.inf)}, InputError, "infinite"),
        ({"keypoint": points(x=1e300)}, InputError, "infinite"),
        ({"keypoint": points(x=np.nan), "keypoint_score": np.zeros((1, 5, 17))}, InputError, "NaN"),
        ({"keypoint": points(x=np.nan), "keypoint_score": None}, InputError, "NaN"),
        ({"keypoint_score": np.full((1, 5, 17), np.nan)}, InputError, "NaN"),
        ({"keypoint_score": np.ones((1, 4, 17))}, InputError, "keypoint_score"),
        ({"keypoint_score": "high"}, InputError, "keypoint_score"),
        ({"total_frames": -5}, InputError, "negative"),
        ({"total_frames": 6}, InputError, "total_frames"),
        ({"total_frames": "5"}, InputError, "total_frames"),
        ({"total_frames": 10**5000}, InputError, "total_frames"),
        ({"img_shape": (-480, 640)}, InputError, "img_shape"),
        ({"img_shape": (480,)}, InputError, "img_shape"),
        ({"img_shape": (0, 640)}, InputError, "img_shape"),
        ({"img_shape": (480.5, 640)}, InputError, "img_shape"),
        ({"img_shape": None, "original_shape": None}, InputError, "img_shape"),
        ({"label": -1}, LabelError, "-1"),
        ({"label": 10**30}, LabelError, "not among"),
        ({"label": None}, LabelError, "unknown"),
        ({"label": True}, LabelError, "bool"),
        ({"label": [0, 1]}, LabelError, "list"),
        ({"label": 0.0}, LabelError, "float"),
        ({"label": "boxing"}, LabelError, "boxing"),
    ],
)
def test_bad_sequences_are_named(read, changes, error, says):
    with pytest.raises(error) as caught:
        read([annotation("fine"), annotation("bad one", **changes)], {"train": ["fine"]})
    assert "bad one" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (3, "no PYSKL file"),
        ({}, "no PYSKL file"),
        ({"annotations": {}}, "no PYSKL file"),
        ({"annotations": []}, "no sequences"),
        ([], "no sequences"),
        ({"annotations": [3]}, "annotation 0"),
        ({"annotations": [annotation(frame_dir=None)]}, "frame_dir"),
        ({"annotations": [annotation(frame_dir=7)]}, "frame_dir"),
        ({"annotations": [annotation(frame_dir="a\nb")]}, "frame_dir"),
        ({"annotations": [annotation(frame_dir="a" * 500)]}, "frame_dir"),
        ({"annotations": [annotation()], "split": ["a_1"]}, "split"),
        ({"annotations": [annotation()], "split": {"train": "a_1"}}, "train"),
        ({"annotations": [annotation()], "split": {"train": [1]}}, "train"),
        ({"annotations": [annotation()], "split": {1: ["a_1"]}}, "key"),
    ],
)
def test_files_of_another_layout(tmp_path, content, says):
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(FormatError, match=says) as caught:
        read_recorded(path)
    assert "data.pkl" in str(caught.value)


def test_two_sequences_of_one_name(read):
    with pytest.raises(InputError, match="two sequences") as caught:
        read([annotation("twin"), annotation("twin")])
    assert "twin" in str(caught.value)


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ({"train": ["a_1", "ghost"]}, "ghost"),
        ({"train": ["a_1"], "val": ["a_1"]}, "a_1"),
        ({"train": ["a_1", "a_1"]}, "a_1"),
    ],
)
def test_splits_that_contradict_the_sequences(read, split, says):
    with pytest.raises(SplitError) as caught:
        read([annotation()], split)
    assert says in str(caught.value)


def test_one_array_shared_by_many_sequences_does_not_fill_the_memory(read):
    shared = np.ones((1, 5_000, 17, 2), np.float16)
    many = [annotation(f"s{i}", keypoint=shared, keypoint_score=None, total_frames=5_000) for i in range(100)]
    with pytest.raises(FormatError, match="share"):
        read(many)


CLASSES = ("boxing", "drums")


@pytest.mark.parametrize(
    ("meta", "classes", "found"),
    [
        (None, None, ("class_0", "class_1")),
        (Meta(classes=CLASSES), None, CLASSES),
        (None, CLASSES, CLASSES),
        (Meta(classes=CLASSES), CLASSES, CLASSES),
        (None, (*CLASSES, "violin"), (*CLASSES, "violin")),
    ],
)
def test_class_lists(read, meta, classes, found):
    recorded = read([annotation(), annotation("b", 1)], meta=meta, classes=classes)
    assert recorded.sequences.classes == found


def test_labels_by_name(read):
    recorded = read([annotation(label="drums")], meta=Meta(classes=CLASSES))
    assert recorded.sequences.sequences[0].label == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"classes": ("one",)}, "not among the 1 classes"),
        ({"meta": Meta(classes=("drums", "boxing")), "classes": CLASSES}, "class list"),
        ({"meta": Meta(classes=(*CLASSES, "violin")), "classes": CLASSES}, "class list"),
    ],
)
def test_class_lists_that_do_not_fit(read, arguments, says):
    with pytest.raises(LabelError, match=says):
        read([annotation(), annotation("b", 1)], **arguments)


def test_subjects_from_meta_and_pattern(read):
    meta = Meta(subject_of={"p1_x": "ann"}, subject_pattern="^(p[0-9]+)_")
    recorded = read([annotation("p1_x"), annotation("p2_y"), annotation("other")], meta=meta)
    assert recorded.sequences.subjects == ("ann", "p2", None)
    recorded = read([annotation("p1_x"), annotation("p2_y")], meta=meta, subject_pattern="_(?P<subject>.)")
    assert recorded.sequences.subjects == ("ann", "y")


def test_the_meta_file_of_another_recording_is_refused(read):
    with pytest.raises(UsageError, match="none of this file's"):
        read([annotation("a_1")], meta=Meta(subject_of={"b_1": "ann"}))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda path: path.mkdir(), FormatError, "folder"),
        (lambda path: None, UsageError, "no such file"),
        (lambda path: path.write_bytes(b""), FormatError, "empty"),
    ],
)
def test_paths_that_hold_no_recording(tmp_path, make, error, says):
    path = tmp_path / "data.pkl"
    make(path)
    with pytest.raises(error, match=says):
        read_recorded(path)


@pytest.mark.parametrize("name", ["data.csv", "data", "data.pkl.gz"])
def test_unknown_formats_are_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"content")
    with pytest.raises(FormatError, match="no known format") as caught:
        read_recorded(path)
    assert ".npz" in str(caught.value)
