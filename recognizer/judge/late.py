"""Late feedback: whether a champion that nobody compares any more is wrong more often than when it was blessed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import log

from recognizer.checks import figure
from recognizer.judge.confidence import e_value
from recognizer.judge.ruling import Ruling
from recognizer.judge.sequential import WORSE, Capital, grow, one_arm, stake
from recognizer.rollout.state import Judgement

ALPHA = 0.01
"""Share of champions as good as when they were blessed that are taken back, ever; apart from the rollout's own."""
MARGIN = 0.02
"""In service a champion may be wrong on so many more of its answers than it was on the test set."""


@dataclass(frozen=True)
class LateTally:
    """The feedback on one champion's answers, folded one truth after the other.

    Attributes:
        capital: of the test "each answer, given the past, is wrong with a probability of at most the ceiling".
        number: of the newest feedback that is folded in.
        given, misread: how many truths were told, and how many of them contradict the answer.
        crossed: number of the feedback at which the evidence first sufficed.
    """

    capital: Capital
    number: int = 0
    given: int = 0
    misread: int = 0
    crossed: int | None = None


def begin() -> LateTally:
    return LateTally(stake(WORSE))


def update(tally: LateTally, truths: Iterable[tuple[int, bool]], blessed: float) -> LateTally:
    """The tally after more feedback: (number, misread), in order.

    Args:
        blessed: share of wrong answers on the test set when it was blessed.
    """
    ceiling = ceiling_of(blessed)
    for number, misread in truths:
        capital = grow(tally.capital, one_arm(1, int(misread), ceiling, WORSE), WORSE)
        crossed = tally.crossed
        if crossed is None and float(capital.log_e) >= -log(ALPHA):
            crossed = number
        tally = LateTally(capital, number, tally.given + 1, tally.misread + misread, crossed)
    return tally


def judge(tally: LateTally, blessed: float | None) -> Judgement:
    """WORSE once the evidence has sufficed, else WAIT."""
    if blessed is None:
        return Judgement(Ruling.WAIT, "its accuracy was not measured when it was blessed")
    share = f" ({100 * tally.misread / tally.given:.3g} %)" if tally.given else ""
    told = (
        f"{tally.misread:,} of {tally.given:,} answers{share} were wrong by late feedback, at most "
        f"{100 * ceiling_of(blessed):.3g} % are allowed: evidence {figure(e_value(float(tally.capital.log_e)))} of "
        f"{figure(1 / ALPHA)}"
    )
    if tally.crossed is None:
        return Judgement(Ruling.WAIT, told)
    return Judgement(Ruling.WORSE, f"{told}, reached with feedback {tally.crossed:,}")


def ceiling_of(blessed: float) -> float:
    """The share of wrong answers that is allowed."""
    return min(blessed + MARGIN, 0.999)
