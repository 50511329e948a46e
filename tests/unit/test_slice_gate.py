"""No group of cases falls behind: floors and margins over many slices, and slices that are not there."""

from dataclasses import replace

import pytest

from recognizer.evaluation.record import SliceMeasure
from recognizer.gates import GateConfig, Verdict, judge

P, INC, F, E = Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED, Verdict.ERROR
SLICES = {"min_cases": 8, "margin": 0.1, "floor": 0.7, "required": ["class", "length"], "where_known": ["subject"]}
CONFIG = GateConfig.read(
    {"min_cases": 30, "gates": {"absolute": {"accuracy": {"min": 0.0}}, "slices": SLICES}}, task="action"
)
CLASSES = ("walking", "running", "falling", "waving")


def with_slices(make, **kinds):
    """A candidate of 100 cases; kinds: slice → (cases, share of right answers). What is not named is perfect."""
    plain = {
        "class": dict.fromkeys(CLASSES, (25, 1.0)),
        "length": {"10 to 20 frames": (100, 1.0)},
        "subject": {f"p{i}": (20, 1.0) for i in range(5)},
    }
    made = {
        kind: {
            name: SliceMeasure(n, accuracy) for name, (n, accuracy) in {**plain[kind], **kinds.get(kind, {})}.items()
        }
        for kind in plain
    }
    return replace(make.evaluation(), slices=made)


def compared(make, **classes):
    """Differences from the champion in every slice, those of classes put in by hand."""
    kinds = with_slices(make).slices
    made = {kind: {name: make.difference() for name in names} for kind, names in kinds.items()}
    return {**made, "class": {**made["class"], **classes}}


def verdicts(measured):
    return {check.name: check for check in judge(CONFIG, measured) if check.gate == "slices"}


def test_all_kinds_get_a_check_each(make):
    checks = verdicts(make.measured(with_slices(make)))
    assert {name: check.verdict for name, check in checks.items()} == dict.fromkeys(("class", "length", "subject"), P)
    assert "worst of 4 is walking: accuracy 1.000 on 25 cases, floor 0.700" in checks["class"].reason


@pytest.mark.parametrize(
    ("right", "n", "verdict"),
    [
        (1.0, 25, P),
        (0.6, 25, P),  # below the floor, and by chance that happens
        (0.4, 25, F),
        (0.4, 10, P),  # as bad, on too few cases to be sure among so many slices
        (0.0, 10, F),
    ],
)
def test_a_slice_fails_when_it_is_surely_below_the_floor(make, right, n, verdict):
    checks = verdicts(make.measured(with_slices(make, subject={"p3": (n, right)})))
    assert checks["subject"].verdict is verdict
    if verdict is F:
        assert "worst of 5 is p3" in checks["subject"].reason
        assert checks["subject"].value < 0.05
    assert checks["class"].verdict is P


@pytest.mark.parametrize(
    ("p_worse", "verdict"),
    [(0.5, P), (0.02, P), (0.0001, F)],  # 0.02 among eleven tests is nothing
)
def test_a_slice_fails_when_it_is_surely_further_behind_the_champion_than_the_margin(make, p_worse, verdict):
    slices = compared(make, falling=make.difference(-0.2, p_worse=p_worse))
    champion = make.rival(with_slices(make), slices=slices)
    check = verdicts(make.measured(with_slices(make, **{"class": {"falling": (25, 0.8)}}), champion=champion))["class"]
    assert check.verdict is verdict
    if verdict is F:
        assert "falling: accuracy 0.800 on 25 cases, champion 1.000 - margin 0.100" in check.reason
        assert check.baseline == 1.0


def test_every_slice_that_fails_is_named(make):
    bad = {"p1": (20, 0.1), "p2": (20, 0.2), "p3": (20, 0.3)}
    check = verdicts(make.measured(with_slices(make, subject=bad)))["subject"]
    assert "is p1" in check.reason
    assert check.reason.endswith("; also p2, p3")


@pytest.mark.parametrize(
    ("change", "name", "verdict", "words"),
    [
        ({"class": {"falling": None}}, "class", F, "no test case of class falling: nobody knows"),
        ({"class": {"falling": (3, 1.0)}}, "class", INC, "class falling has 3 test cases; a verdict needs 8"),
        ({"length": None}, "length", F, "no test case that names its length"),
        ({"subject": None}, "subject", P, "no subject is named in the test set"),
        ({"subject": {f"p{i}": (5, 0.0) for i in range(5)}}, "subject", INC, "no slice by subject has the 8 cases"),
        ({"length": {"10 to 20 frames": (5, 1.0)}}, "length", INC, "no slice by length has the 8 cases"),
    ],
)
def test_slices_that_are_not_there_or_too_small(make, change, name, verdict, words):
    made = with_slices(make)
    slices = {kind: dict(found) for kind, found in made.slices.items()}
    for kind, found in change.items():
        if found is None:
            del slices[kind]
            continue
        for slice_name, numbers in found.items():
            slices[kind].pop(slice_name, None)
            if numbers is not None:
                slices[kind][slice_name] = SliceMeasure(*numbers)
    check = verdicts(make.measured(replace(made, slices=slices)))[name]
    assert check.verdict is verdict
    assert words in check.reason


def test_a_slice_that_was_not_held_against_the_champion_is_an_error(make):
    slices = compared(make)
    del slices["class"]["waving"]
    checks = verdicts(make.measured(with_slices(make), champion=make.rival(with_slices(make), slices=slices)))
    assert {name: check.verdict for name, check in checks.items()} == {"class": E, "length": P, "subject": P}
    assert checks["class"].reason == "not compared with the champion: waving"
