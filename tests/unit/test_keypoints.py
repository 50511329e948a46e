import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.keypoints import apart, drawn_case, judged_by_pycocotools, our_metrics, pycocotools_metrics
from benchmarks.keypoints import ordinary_case as ordinary
from recognizer.errors import InputError
from recognizer.evaluation.keypoints import COCO_METRICS, PAIRED, coco_metrics, evaluate_keypoints
from recognizer.evaluation.matches import RECALLS, Matches, average_precision, jackknife, match, recall
from recognizer.evaluation.paired import paired_difference
from recognizer.evaluation.record import SliceMeasure
from recognizer.home import checkout
from recognizer.ingest.coco import read_coco
from recognizer.ingest.coco_results import read_coco_results
from recognizer.scenes import FoundPeople, People
from recognizer.skeleton import JOINTS

SHARED = Path(os.environ.get("RECOGNIZER_SHARED_DATA") or checkout().parent / "shared" / "data")
GOLDEN = SHARED / "pose_oks_eval" / "keypoints"
golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason=f"no published COCO result at {GOLDEN}; set RECOGNIZER_SHARED_DATA"
)
PUBLISHED = (0.504884, 0.722772, 0.633663, 0.466337, 0.750495, 0.518182, 0.727273, 0.636364, 0.466667, 0.75)


def person(at=(100.0, 100.0), side=50.0, *, area=None, seen=2, crowd=False):
    """One person in a square box, shoulders and hips a torso of 30 pixels' width and 40 pixels' height."""
    joints = np.tile(np.array(at) + side / 2, (17, 1))
    joints[5], joints[6], joints[11], joints[12] = (np.array(at) + off for off in ((30, 0), (0, 0), (30, 40), (0, 40)))
    labelled = np.broadcast_to(np.asarray(seen, np.uint8), (17,)).copy()
    joints[labelled == 0] = 0
    box = (*at, side, side)
    area = side**2 if area is None else area
    return People(joints[None], labelled[None], np.array([box]), np.array([float(area)]), np.array([crowd]))


def together(*people):
    return People(*(np.concatenate(parts) for parts in zip(*map(_parts, people), strict=True)))


def _parts(one):
    return [getattr(one, field.name) for field in dataclasses.fields(one)]


def found(people, *, shift=0.0, scores=None, exact=None):
    """Everybody labelled, all joints shifted to the right."""
    joints = (people.joints if exact is None else exact) + [shift, 0.0]
    n = len(joints)
    scores = np.linspace(0.9, 0.5, n) if scores is None else np.array(scores, np.float64)
    return FoundPeople(joints, np.ones((n, 17)), people.boxes[:n], scores)


NOBODY = FoundPeople.nobody()


@golden
def test_the_published_result():
    labelled = read_coco(GOLDEN / "gt_dataset.json")
    results = read_coco_results(GOLDEN / "dt_dataset.json", labelled)
    measured = evaluate_keypoints(labelled.people, results.found).metrics
    assert [measured[name] for name in COCO_METRICS] == pytest.approx(PUBLISHED, abs=1e-6)
    ours = our_metrics(labelled.people, results.found)
    assert apart(ours, coco_metrics(labelled.people, results.found)) <= 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_the_ten_numbers_are_those_of_the_reference(seed):
    case = drawn_case(seed)
    given = coco_metrics(*case)
    assert apart(given, pycocotools_metrics(*case)) <= 1e-6
    assert apart(given, our_metrics(*case)) <= 1e-9
    if given:
        assert evaluate_keypoints(*case).metrics["oks_above_50"] == pytest.approx(given["AR50"], abs=1e-12)


def test_an_ordinary_set():
    case = ordinary(20)
    assert apart(coco_metrics(*case), pycocotools_metrics(*case)) <= 1e-6
    assert apart(coco_metrics(*case), our_metrics(*case)) <= 1e-9


def test_annotation_id_0_is_judged_like_any_other(tmp_path):
    people = together(person(), person((300.0, 100.0)))
    case = [people] * 3, [found(people)] * 3
    truth = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(3)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS)}],
        "annotations": [
            {
                "id": 2 * i + j,
                "image_id": i,
                "category_id": 1,
                "keypoints": np.column_stack([people.joints[j], people.labelled[j]]).ravel().tolist(),
                "num_keypoints": 17,
                "bbox": people.boxes[j].tolist(),
                "area": float(people.areas[j]),
                "iscrowd": 0,
            }
            for i in range(3)
            for j in range(2)
        ],
    }
    results = [
        {
            "image_id": i,
            "category_id": 1,
            "keypoints": np.column_stack([people.joints[j], np.ones(17)]).ravel().tolist(),
            "score": float(case[1][i].scores[j]),
        }
        for i in range(3)
        for j in range(2)
    ]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    labelled = read_coco(tmp_path / "truth.json")
    measured = coco_metrics(labelled.people, read_coco_results(tmp_path / "results.json", labelled).found)
    assert labelled.images[0].annotations == (6, 1)
    assert judged_by_pycocotools(json.loads(json.dumps(truth)), json.loads(json.dumps(results)))["AP"] < 0.9
    for one in truth["annotations"]:
        one["id"] = one["id"] or 6
    assert apart(measured, judged_by_pycocotools(truth, results)) <= 1e-6
    assert measured["AP"] == pytest.approx(1)


def test_of_equally_near_people_the_last_is_taken_as_the_reference_does():
    who = together(person(seen=[2] + [0] * 16), person())
    exact, nose_alone = person().joints[0], person().joints[0] + 5000
    nose_alone[0] = exact[0]
    case = [who], [found(who, exact=np.stack([exact, nose_alone]))]
    given = coco_metrics(*case)
    assert given["AP"] == pytest.approx(1)  # of the first one taken, only half
    assert apart(given, pycocotools_metrics(*case)) <= 1e-6
    assert apart(given, our_metrics(*case)) <= 1e-9


def test_an_oks_of_just_the_threshold_is_enough_as_for_the_reference():
    who = person(seen=[2, 2] + [0] * 15)
    far = who.joints.copy()
    far[:, 1] = 5000
    case = [who], [found(who, exact=far)]
    given = coco_metrics(*case)
    assert (given["AR50"], given["AR75"]) == (1, 0)
    assert apart(given, pycocotools_metrics(*case)) <= 1e-6
    assert apart(given, our_metrics(*case)) <= 1e-9
    assert evaluate_keypoints(*case).cases.hit.all()


def accumulated(right, total):
    """Mean precision as the reference accumulates it, one number at a time."""
    hits, misses = np.cumsum(right), np.cumsum(~right)
    precision = (hits / (misses + hits + np.spacing(1))).tolist()
    for place in range(len(precision) - 1, 0, -1):
        precision[place - 1] = max(precision[place - 1], precision[place])
    places = np.searchsorted(hits / total, RECALLS, side="left")
    return np.mean([precision[place] if place < len(precision) else 0.0 for place in places])


def test_recall_is_compared_as_the_reference_divides():
    """That 7 of 100 make a recall of 0.07 depends on how numbers are rounded."""
    rng = np.random.default_rng(0)
    for total in range(1, 301):
        right = rng.random(total) < 0.95
        same = np.broadcast_to(right, (3, 10, total))
        matches = Matches(np.zeros(total, np.int64), same, np.zeros_like(same), np.full((3, 1), total))
        np.testing.assert_allclose(average_precision(matches), accumulated(right, total), atol=1e-12)


def test_stdout_stays_silent(capfd):
    coco_metrics([person()], [found(person())])
    assert capfd.readouterr() == ("", "")


MEDIUM_ALONE = {"AP", "AP50", "AP75", "APm", "AR", "AR50", "AR75", "ARm"}


@pytest.mark.parametrize(
    ("people", "names"),
    [
        ([person(side=50)], MEDIUM_ALONE),
        ([person(side=10)], {"AP", "AP50", "AP75", "AR", "AR50", "AR75"}),
        ([person(side=200)], MEDIUM_ALONE - {"APm", "ARm"} | {"APl", "ARl"}),
        ([person(area=96**2)], set(COCO_METRICS)),
        ([person(crowd=True)], set()),
        ([person(seen=0)], set()),
        ([People.nobody()], set()),
    ],
)
def test_what_cannot_be_known_is_left_out(people, names):
    assert set(coco_metrics(people, [found(people[0])])) == names
    assert set(our_metrics(people, [found(people[0])])) == names


@pytest.mark.parametrize("answers", [[NOBODY, NOBODY], [NOBODY, found(person(), shift=500)]])
def test_nothing_found_is_0_and_no_gap(answers):
    metrics = evaluate_keypoints([person(), person()], answers).metrics
    assert {metrics[name] for name in MEDIUM_ALONE} == {0.0}
    assert metrics["mean_oks"] == metrics["oks_above_50"] == 0
    assert "pck" not in metrics


def test_false_ones_lower_ap_and_not_the_mean_oks():
    one = person()
    noise = FoundPeople(one.joints + 5000, np.ones((1, 17)), one.boxes, np.array([0.99]))
    both = FoundPeople(*(np.concatenate(parts) for parts in zip(_parts(noise), _parts(found(one)), strict=True)))
    metrics = evaluate_keypoints([one], [both]).metrics
    assert metrics["mean_oks"] == pytest.approx(1)
    assert metrics["AP"] == pytest.approx(0.5)


def test_of_an_image_the_twenty_surest_are_looked_at():
    one = person()
    noise = np.repeat(one.joints + 5000, 20, axis=0)
    scores = np.append(np.linspace(0.99, 0.9, 20), 0.5)
    crowded = FoundPeople(
        np.concatenate([noise, one.joints]), np.ones((21, 17)), np.repeat(one.boxes, 21, axis=0), scores
    )
    assert evaluate_keypoints([one], [crowded]).cases.oks.tolist() == [0]


# -- what became of each person ------------------------------------------------------------------------------------


def test_a_case_by_hand():
    who = together(person(), person((300.0, 100.0)), person((500.0, 100.0), seen=0), person((0, 300), crowd=True))
    answer = found(who, exact=who.joints[[0]], shift=3)
    judged = evaluate_keypoints([People.nobody(), who], [NOBODY, answer])
    cases = judged.cases
    assert (judged.images, judged.n) == (2, 2)
    assert cases.image.tolist() == [1, 1]
    assert cases.hit.tolist() == [True, False]
    assert cases.oks[0] == pytest.approx(0.8, abs=0.1)
    assert cases.oks[1] == 0
    np.testing.assert_allclose(cases.errors[0], 3 / 50)
    assert np.isnan(cases.errors[1]).all()
    assert cases.right[0].all()
    assert not cases.right[1].any()
    assert judged.metrics["mean_oks"] == pytest.approx(cases.oks[0] / 2)
    assert judged.metrics["oks_above_50"] == 0.5
    assert judged.metrics["pck"] == 1
    assert judged.joint_errors == pytest.approx(dict.fromkeys(JOINTS, 0.06))
    assert judged.slices["size"] == {"medium": SliceMeasure(2, 0.5)}


TORSO = 50.0  # of `person`: 30 wide, 40 high
DIAGONAL = 50 * 2**0.5
UNSEEN = {name: [2] * 17 for name in ("left_shoulder", "both", "all")}
for _name, _joints in {"left_shoulder": (5,), "both": (5, 6), "all": (5, 6, 11, 12)}.items():
    for _joint in _joints:
        UNSEEN[_name][_joint] = 0


@pytest.mark.parametrize(
    ("seen", "within"),
    [
        (2, 0.2 * TORSO),
        (1, 0.2 * TORSO),
        (UNSEEN["left_shoulder"], 0.2 * TORSO),
        (UNSEEN["both"], 0.1 * DIAGONAL),
        (UNSEEN["all"], 0.1 * DIAGONAL),
    ],
)
def test_within_which_a_joint_is_right(seen, within):
    who = person(seen=seen, area=1e6)  # a large area, so that anybody is paired
    for off, share in ((within - 0.01, 1.0), (within + 0.01, 0.0)):
        assert evaluate_keypoints([who], [found(who, shift=off)]).metrics["pck"] == share


def test_the_torso_is_that_of_the_left_shoulder():
    who = person(area=1e6)
    who.joints[0, 6] -= [0, 30]  # the other one has 76 pixels
    for off, share in ((0.2 * TORSO - 0.01, 1.0), (0.2 * TORSO + 0.01, 0.0)):
        assert evaluate_keypoints([who], [found(who, shift=off)]).metrics["pck"] == share


def test_a_torso_without_length_says_nothing():
    who = person(area=1e6)
    who.joints[:, [5, 12]] = 110.0
    assert evaluate_keypoints([who], [found(who, shift=0.1 * DIAGONAL - 0.01)]).metrics["pck"] == 1


@pytest.mark.parametrize(
    ("shifts", "scores", "expected"),
    [
        ([0, 4], [0.9, 0.8], (True, 1.0)),
        ([4, 0], [0.9, 0.8], (True, None)),  # the surer one takes the person, as in COCO
        ([15, 0], [0.9, 0.8], (True, 1.0)),  # unless its OKS is below 0.5
        ([15, 9.5], [0.9, 0.8], (False, None)),  # of those left over, the nearer one
        ([400], [0.9], (False, 0.0)),
    ],
)
def test_who_is_paired_with_whom(shifts, scores, expected):
    who = person()
    answer = found(who, exact=np.concatenate([who.joints + np.array([off, 0]) for off in shifts]), scores=scores)
    answer = FoundPeople(answer.joints, answer.visibility, np.repeat(who.boxes, len(shifts), axis=0), answer.scores)
    cases = evaluate_keypoints([who], [answer]).cases
    assert cases.hit.tolist() == [expected[0]]
    if expected[1] is None:
        alone = {off: evaluate_keypoints([who], [found(who, shift=off)]).cases.oks[0] for off in shifts}
        assert cases.oks[0] == alone[4] if 4 in alone else max(alone.values())
    else:
        assert cases.oks[0] == pytest.approx(expected[1])


def test_one_found_is_paired_with_one_person():
    who = together(person(), person((103.0, 100.0)))
    cases = evaluate_keypoints([who], [found(who, exact=who.joints[:1])]).cases
    assert sorted(cases.hit.tolist()) == [False, True]


def test_equally_near_the_last_is_taken_as_in_coco():
    who = together(person(), person())
    assert evaluate_keypoints([who], [found(who, exact=who.joints[:1])]).cases.hit.tolist() == [False, True]


def test_those_left_over_are_paired_once():
    who = together(person(), person((101.0, 100.0)))
    answer = found(who, exact=who.joints[:1], shift=-11)
    cases = evaluate_keypoints([who], [answer]).cases
    assert (cases.oks > 0).tolist() == [True, False]
    assert not cases.hit.any()


HALF = [1] * 8 + [2] * 9
MOST = [1] * 9 + [2] * 8
SOME = [0] * 16 + [1]


@pytest.mark.parametrize(
    ("people", "kind", "expected"),
    [
        (person(side=31), "size", "small"),
        (person(side=32), "size", "medium"),
        (person(side=95), "size", "medium"),
        (person(side=96), "size", "large"),
        (person(), "hidden", "no joint hidden"),
        (person(seen=HALF), "hidden", "up to half hidden"),
        (person(seen=MOST), "hidden", "over half hidden"),
        (person(seen=SOME), "hidden", "over half hidden"),
        (person(), "people", "1 person"),
        (together(person(), person(seen=0)), "people", "2 to 4 people"),
        (together(*[person()] * 4), "people", "2 to 4 people"),
        (together(*[person()] * 5), "people", "5 people or more"),
        (together(person(), person(crowd=True)), "people", "5 people or more"),
    ],
)
def test_slices(people, kind, expected):
    judged = evaluate_keypoints([people], [found(people)])
    assert set(judged.cases.slices[kind]) == {expected}
    assert judged.slices[kind] == {expected: SliceMeasure(judged.n, 1.0)}


# -- comparing two models ------------------------------------------------------------------------------------------


def without(case, image):
    return tuple([*part[:image], *part[image + 1 :]] for part in case)


@pytest.mark.parametrize("case", [drawn_case(3), drawn_case(8), drawn_case(21), ordinary(6)])
def test_pseudo_values_are_those_of_leaving_out_each_image(case):
    n = len(case[0])
    value = average_precision(match(*case)).mean()
    expected = []
    for image in range(n):
        left = average_precision(match(*without(case, image))) if n > 1 else None
        expected.append(n * value - (n - 1) * (value if left is None else left.mean()))
    np.testing.assert_allclose(jackknife(match(*case)), expected, atol=1e-12)


def test_pseudo_values_in_many_parts(monkeypatch):
    case = ordinary(12)
    whole = jackknife(match(*case)), our_metrics(*case)
    monkeypatch.setattr("recognizer.evaluation.matches.AT_ONCE", 50)
    np.testing.assert_array_equal(jackknife(match(*case)), whole[0])
    assert our_metrics(*case) == whole[1]


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        ([person()], [1.0]),
        ([person(), People.nobody()], [1.0, 1.0]),
        ([person(), person(crowd=True), person()], [1.0, 1.0, 1.0]),
        ([People.nobody()], [0.0]),
        ([person(crowd=True), person(seen=0)], [0.0, 0.0]),
    ],
)
def test_pseudo_values_where_little_is_known(people, expected):
    matches = match(people, [found(one) for one in people])
    np.testing.assert_allclose(jackknife(matches), expected, atol=1e-12)
    assert (average_precision(matches) is None) == (recall(matches) is None) == (not any(expected))


def test_two_models_are_compared_by_what_each_case_adds():
    people, good = ordinary(40)
    rng = np.random.default_rng(1)
    bad = [dataclasses.replace(one, joints=one.joints + rng.normal(size=one.joints.shape) * 6) for one in good]
    first, second = evaluate_keypoints(people, good), evaluate_keypoints(people, bad)
    for metric in PAIRED:
        wholes = None if metric == "AP" else [str(image) for image in first.cases.image]
        difference = paired_difference(first.summands(metric), second.summands(metric), wholes, resamples=500)
        assert 0 < difference.low < difference.value < difference.high
        tolerance = 0.03 if metric == "AP" else 1e-9
        assert difference.value == pytest.approx(first.metrics[metric] - second.metrics[metric], abs=tolerance)
    with pytest.raises(KeyError):
        first.summands("AP50")


# -- what is refused -----------------------------------------------------------------------------------------------


BROKEN = FoundPeople(np.full((1, 17, 2), np.nan), np.ones((1, 17)), np.ones((1, 4)), np.ones(1))


@pytest.mark.parametrize(
    ("people", "answers", "named"),
    [
        ([], [], "no images"),
        ([person()], [], "0 answers for 1 images"),
        ([person()], [BROKEN], "image 0: found people have joints that are not finite"),
    ],
)
@pytest.mark.parametrize("judge", [coco_metrics, evaluate_keypoints])
def test_what_cannot_be_judged(judge, people, answers, named):
    with pytest.raises(InputError, match=named) as raised:
        judge(people, answers)
    assert raised.value.hint


@pytest.mark.parametrize("people", [People.nobody(), person(crowd=True), person(seen=0)])
def test_nobody_to_be_found(people):
    with pytest.raises(InputError, match="nobody is to be found in 1 images"):
        evaluate_keypoints([people], [NOBODY])
