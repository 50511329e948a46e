"""What may follow what in a night's row, as tables."""

import itertools

import pytest

from recognizer.errors import Conflict
from recognizer.night import Outcome, Step
from recognizer.store.transitions import JUDGED, NEXT_OUTCOMES, NEXT_STEPS, require_outcome, require_step

STEPS = list(Step)


def test_tables_know_every_state():
    assert set(NEXT_STEPS) == {None, *Step}
    assert set(NEXT_OUTCOMES) == {None, *Outcome}


@pytest.mark.parametrize(("now", "wanted"), [(now, wanted) for now in (None, *STEPS) for wanted in STEPS])
def test_steps_go_forward_or_stay(now, wanted):
    forward = now is None or STEPS.index(wanted) >= STEPS.index(now)
    if forward:
        require_step(now, wanted, "night")
    else:
        with pytest.raises(Conflict, match=f"from step {now} to {wanted}"):
            require_step(now, wanted, "night")


@pytest.mark.parametrize(
    ("now", "wanted", "allowed"),
    [
        *((None, outcome, True) for outcome in Outcome),
        *((outcome, outcome, True) for outcome in Outcome),
        (Outcome.FAILED, None, True),
        *((last, None, False) for last in Outcome if last is not Outcome.FAILED),
        *((last, other, False) for last, other in itertools.permutations(Outcome, 2)),
    ],
)
def test_an_outcome_is_final_unless_it_failed(now, wanted, allowed):
    if allowed:
        require_outcome(now, wanted, "night")
    else:
        with pytest.raises(Conflict, match=f"ended as {now}"):
            require_outcome(now, wanted, "night")


def test_only_a_judgement_makes_the_same_inputs_unchanged():
    assert {Outcome.PROMOTED, Outcome.RELEASED, Outcome.REJECTED} == JUDGED
