"""How the pose task reads its data and judges answers."""

import json
from dataclasses import replace
from multiprocessing import active_children

import cv2
import numpy as np
import pytest

from recognizer.errors import FormatError, InputError, SplitError, StorageError, UsageError
from recognizer.evaluator import Evaluator
from recognizer.ingest.origin import DataFile, Generated
from recognizer.params import StageParams
from recognizer.pose.answers import stack
from recognizer.pose.evaluator import KINDS, PoseEvaluator
from recognizer.pose.generated import rendered as rendered_by
from recognizer.pose.shards import ShardWriter
from recognizer.scenes import FoundPeople, People, Scene
from recognizer.skeleton import JOINTS
from recognizer.snapshot import read_snapshot
from recognizer.synthetic.scenes import generate_scenes

EVALUATOR = PoseEvaluator()
PARAMS = StageParams("pose", {stage: {"validation_share": 0.2} for stage in ("prepare", "train", "export", "evaluate")})
LIMITS = {
    "side": {"min": 64, "allowed": 0.0}, "people": {"max": 8, "allowed": 0.0}, "boxes": {"margin": 0.1, "allowed": 0.0},
    "joints": {"allowed": 0.0}, "duplicates": {"allowed": 0.0}, "images": {"train": 9, "validation": 3, "test": 3},
    "found": {"train": 9, "validation": 3, "test": 3}, "volume": 0.5,
}  # fmt: skip


def people(n, seed=0):
    """Grown people side by side, all of their joints seen."""
    random = np.random.default_rng([n, seed])
    lefts = 10 + 60 * np.arange(n)
    joints = np.stack([lefts[:, None] + random.uniform(0, 50, (n, 17)), random.uniform(10, 110, (n, 17))], axis=2)
    boxes = np.stack([lefts, np.full(n, 10), np.full(n, 50), np.full(n, 100)], axis=1).astype(np.float32)
    labelled = np.full((n, 17), 2, np.uint8)
    return People(joints.astype(np.float32), labelled, boxes, np.full(n, 2650, np.float32), np.zeros(n, np.bool_))


def found(who, score=0.9, shift=0.0):
    n = len(who)
    scores = np.full(n, score, np.float32)
    return FoundPeople(who.joints + np.float32(shift), np.ones((n, 17), np.float32), who.boxes, scores)


def scene(name, n, subject=None):
    return Scene(name, b"", (120, 400), people(n, len(name)), subject)


SCENES = (scene("a", 1, "x"), scene("bb", 2, "x"), scene("ccc", 0), scene("dddd", 3))
PERFECT = stack([found(one.people) for one in SCENES])
FAR = stack([found(one.people, shift=60.0) for one in SCENES])
NOBODY = stack([FoundPeople.nobody() for _ in SCENES])


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "snapshot"
    return folder, EVALUATOR.ingest(Generated(40), folder, PARAMS, seed=1)


def test_it_is_an_evaluator():
    assert isinstance(EVALUATOR, Evaluator)
    test = EVALUATOR.test_set(SCENES)
    assert (len(test), test.classes, list(test.people)) == (4, ("person",), ["x", "x", None, None])
    assert test.truth["counted"].tolist() == [1, 2, 0, 3]


def test_rendered_scenes_become_a_snapshot(rendered):
    folder, card = rendered
    assert read_snapshot(folder) == card
    assert (card.task, card.classes, card.synthetic) == ("pose", ("person",), True)
    assert {name: part.sequences for name, part in card.sets.items()} == {"train": 26, "validation": 6, "test": 8}
    inspection = EVALUATOR.inspect(folder, LIMITS, None)
    assert (inspection.count, inspection.cases, inspection.first) == (40, "images", True)
    assert len(EVALUATOR.load(folder, "test")) == 8
    with pytest.raises(UsageError, match="too few"):
        EVALUATOR.ingest(Generated(39), folder.parent / "few", PARAMS, seed=1)


def test_several_processes_render_the_same_scenes_in_the_same_order():
    alone, together = generate_scenes(70, seed=4, size=96), rendered_by(70, 4, 96, 2)
    for one, other in zip(alone, together, strict=True):
        assert (one.name, one.image, one.subject) == (other.name, other.image, other.subject)
        np.testing.assert_array_equal(one.people.joints, other.people.joints)


def test_a_process_that_is_ended_from_outside_ends_the_rendering():
    scenes = rendered_by(10_000, 4, 96, 2)
    next(scenes)
    before = active_children()
    before[0].kill()
    with pytest.raises(StorageError, match="ended from outside"):
        list(scenes)
    assert not any(process.is_alive() for process in before)


def test_whoever_waits_is_told_how_far_it_is(tmp_path):
    told = []
    EVALUATOR.ingest(Generated(40), tmp_path / "s", PARAMS, seed=1, progress=lambda *said: told.append(said))
    assert len(told) == 40
    assert told[-1] == (1.0, "40 of 40 scenes")


@pytest.mark.parametrize(
    ("answers", "expected", "precision"),
    [
        (
            PERFECT,
            {"AP": 1.0, "AP50": 1.0, "oks_above_50": 1.0, "mean_oks": 1.0, "matched_oks": 1.0, "images_right": 1.0},
            1.0,
        ),
        (FAR, {"AP": 0.0, "oks_above_50": 0.0, "mean_oks": 0.0, "images_right": 0.25}, 0.0),
        (NOBODY, {"AP": 0.0, "oks_above_50": 0.0, "mean_oks": 0.0}, None),
    ],
)
def test_answers_are_judged(answers, expected, precision):
    test = EVALUATOR.test_set(SCENES)
    evaluation = test.evaluate(answers)
    assert evaluation.n == 6
    assert {name: evaluation.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert evaluation.per_class["person"].precision == precision
    assert evaluation.per_class["person"].recall == expected["oks_above_50"]
    assert set(evaluation.slices) == set(KINDS)
    assert sum(one.n for one in evaluation.slices["people"].values()) == 6
    assert set(evaluation.errors) == (set(JOINTS) if "matched_oks" in evaluation.metrics else set())
    assert all(error == 0 for error in evaluation.errors.values())
    assert type(evaluation).from_dict(json.loads(json.dumps(evaluation.as_dict()))) == evaluation


def test_people_of_one_subject_or_image_are_alike():
    test = EVALUATOR.test_set(SCENES, least=4)
    units = test.units(PERFECT)
    assert units.right.all()
    assert list(units.people) == ["x", "x", "x", *["image dddd"] * 3]
    assert set(units.slices["people"]) == {"2 to 4 people", "others"}
    for metric, rows in (("AP", 4), ("oks_above_50", 6), ("mean_oks", 6)):
        paired = test.paired(metric, PERFECT)
        assert len(paired.summands.values) == len(paired.people) == rows
    assert list(test.paired("AP", PERFECT).people) == ["x", "x", "image ccc", "image dddd"]


def test_when_two_answers_are_the_same():
    one_less = stack([found(replace_last(one.people)) for one in SCENES])
    for other, same in (
        (PERFECT, [True] * 4),
        (FAR, [False, False, True, False]),
        (one_less, [False, False, True, False]),
    ):
        agreement = EVALUATOR.compare(PERFECT, other)
        assert agreement.same.tolist() == same
        assert ((agreement.apart == 0) == same).all()
    broken = {**PERFECT, "joints": np.full_like(PERFECT["joints"], np.nan)}
    agreement = EVALUATOR.compare(PERFECT, broken)
    assert agreement.same.tolist() == [False, False, True, False]
    assert agreement.farthest is None
    with pytest.raises(InputError, match="different numbers of images"):
        EVALUATOR.compare(PERFECT, stack([FoundPeople.nobody()]))


def replace_last(who):
    kept = slice(0, max(len(who) - 1, 0))
    return People(who.joints[kept], who.labelled[kept], who.boxes[kept], who.areas[kept], who.crowd[kept])


def test_changed_images_are_answered_in_pixels_of_the_image_as_it_was():
    image = cv2.imencode(".png", np.zeros((120, 400, 3), np.uint8))[1].tobytes()
    one = replace(SCENES[3], image=image)
    half = EVALUATOR.change("scale", one, 0)
    assert half.shape == (60, 200)
    small = found(one.people)
    answers = stack([FoundPeople(small.joints / 2, small.visibility, small.boxes / 2, small.scores)])
    back = EVALUATOR.restored("scale", answers, [one])
    np.testing.assert_allclose(back["joints"], PERFECT["joints"][3:], atol=1e-4)
    assert list(EVALUATOR.changeable(EVALUATOR.test_set(SCENES), None)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("index", "answer", "holds", "told"),
    [
        (3, PERFECT, True, "3 people"),
        (0, PERFECT, True, "1 person"),
        (2, PERFECT, True, "0 people"),
        (3, NOBODY, False, "0 of 3 people"),
        (3, FAR, False, "0 of 3 people and 3 that are none"),
    ],
)
def test_golden_images(tmp_path, index, answer, holds, told):
    with ShardWriter(tmp_path / "some.shard") as writer:
        writer.add(SCENES[index])
    golden = EVALUATOR.golden(tmp_path, ("person",), synthetic=False)
    answers = {name: array[index : index + 1] for name, array in answer.items()}
    (made,) = EVALUATOR.golden_answers(answers, golden, ("person",))
    assert (made.holds, made.answered, made.name) == (holds, told, SCENES[index].name)


def test_golden_images_of_made_up_people_are_for_models_of_such(tmp_path):
    (tmp_path / "synthetic").mkdir()
    for path, one in ((tmp_path / "a.shard", SCENES[0]), (tmp_path / "synthetic" / "b.shard", SCENES[1])):
        with ShardWriter(path) as writer:
            writer.add(one)
    sets = [EVALUATOR.golden(tmp_path, ("person",), synthetic=synthetic) for synthetic in (False, True)]
    assert [([one.name for one in made.items], made.left_out) for made in sets] == [(["a"], 1), (["a", "bb"], 0)]
    assert sets[0].digest != sets[1].digest
    assert not EVALUATOR.golden(None, ("person",), synthetic=True).items
    with ShardWriter(tmp_path / "again.shard") as writer:
        writer.add(SCENES[0])
    with pytest.raises(FormatError, match=r"holds image 'a', which a\.shard holds too"):
        EVALUATOR.golden(tmp_path, ("person",), synthetic=False)


@pytest.fixture
def labelled(tmp_path):
    """A COCO file of ten images, and their folder."""
    images, annotations = [], []
    for id in range(1, 11):
        path = tmp_path / "images" / f"{id}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.random.default_rng(id).integers(0, 255, (70, 90, 3), np.uint8))
        images.append({"id": id, "file_name": path.name, "height": 70, "width": 90})
        annotations.append({"id": id, "image_id": id, "category_id": 1, "keypoints": [20, 30, 2] * 17,
                            "num_keypoints": 17, "bbox": [10, 10, 30, 40], "area": 600.0, "iscrowd": 0})  # fmt: skip
    content = {"images": images, "annotations": annotations,
               "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS)}]}  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return DataFile(tmp_path / "labels.json", images=tmp_path / "images")


def test_labelled_images_become_a_snapshot(labelled, tmp_path):
    card = EVALUATOR.ingest(labelled, tmp_path / "snapshot", PARAMS, seed=0)
    assert {name: part.sequences for name, part in card.sets.items()} == {"train": 5, "validation": 2, "test": 3}
    assert card.source.name == "labels.json"
    assert not card.synthetic
    assert "one camera or one video" in card.warnings[-1]
    assert [one.name for one in EVALUATOR.read(labelled, ("person",))] == [f"{id}.jpg" for id in range(1, 11)]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"images": None}, UsageError, "--images DIR"),
        ({"subject_pattern": "x"}, UsageError, "needs no meta file"),
    ],
)
def test_what_is_said_of_a_file_that_does_not_fit(labelled, tmp_path, change, error, words):
    with pytest.raises(error, match=words):
        EVALUATOR.ingest(replace(labelled, **change), tmp_path / "snapshot", PARAMS, seed=0)
    assert not (tmp_path / "snapshot").exists()


def test_two_images_are_too_few(labelled, tmp_path):
    content = json.loads(labelled.path.read_text())
    content["images"] = content["images"][:2]
    labelled.path.write_text(json.dumps(content))
    with pytest.raises(SplitError, match="2 images or subjects"):
        EVALUATOR.ingest(labelled, tmp_path / "snapshot", PARAMS, seed=0)
