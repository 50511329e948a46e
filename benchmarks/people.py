"""Simulated nights: two models answer the same cases of people, the true difference being known.

The estimand is the one of `recognizer.evaluation.paired`: the expected difference of a case, which is the expected sum
of a person's differences over the expected number of a person's cases. Every scenario here has it exactly: who someone
is (how prone to be lost or won) does not depend on how many cases there are, but in `bigger_is_harder`, where it does,
and where the shares of the two kinds of people are set so that the ratio comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recognizer.evaluation.summands import Summands, share


@dataclass(frozen=True)
class Scenario:
    """How cases are lost and won, and by whom.

    Attributes:
        differing: share of cases that only one of the two models has right, of models of equal worth; a difference
            that is larger makes it larger.
        alike: correlation of two cases of one person; loss, win and neither are drawn from a Dirichlet distribution.
        sizes: how unequal people's numbers of cases are: all equal, a mixture of Poisson (coefficient of variation
            about 0.6), or log-normal (about 1.3: of twenty people, one has a quarter of all cases).
        bigger_is_harder: a quarter of the people have three times the cases, and lose most of what is lost.
    """

    name: str
    differing: float = 0.09
    alike: float = 0.05
    sizes: Literal["equal", "usual", "unequal"] = "usual"
    bigger_is_harder: bool = False


USUAL = Scenario("people differ in difficulty and number of cases")
RARE = Scenario("rare losses: 3.5 % lost, 0.5 % won", differing=0.04)
FURTHER = (
    Scenario("every case by itself, equal numbers", alike=0, sizes="equal"),
    RARE,
    Scenario("losses only: 3 % lost, none won", differing=0.03),
    Scenario("frequent: 12 % lost, 9 % won", differing=0.21),
    Scenario("very unequal numbers of cases", sizes="unequal"),
    Scenario("people with more cases are harder", bigger_is_harder=True),
    Scenario("people differ much (correlation 0.2)", alike=0.2),
    Scenario("rare losses, and people differ much", differing=0.04, alike=0.2),
)
Night = tuple[Summands, Summands, list[str]]


def night(rng: np.random.Generator, scenario: Scenario, people: int, each: int, difference: float) -> Night:
    """Hits of the candidate and of the champion, and who is seen; `each` cases a person on average.

    difference: the true one, candidate less champion.
    """
    differing = max(scenario.differing, abs(difference))
    lost, won = (differing - difference) / 2, (differing + difference) / 2
    cases, loss = _cases(rng, scenario, people, each, lost)
    chances = np.stack([loss, np.full(people, won), 1 - loss - won], axis=1)
    if scenario.alike > 0:
        drawn = rng.standard_gamma(chances * (1 / scenario.alike - 1))
        chances = drawn / drawn.sum(axis=1, keepdims=True)
    outcomes = rng.multinomial(cases, chances)
    what = np.repeat(np.tile([0, 1, 2], people), outcomes.ravel())
    who = np.repeat(np.arange(people), cases)
    return share(what != 0), share(what != 1), [f"p{index}" for index in who]


def _cases(
    rng: np.random.Generator, scenario: Scenario, people: int, each: int, lost: float
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of cases (people,), at least 1, and the share of them that the candidate loses (people,)."""
    loss = np.full(people, lost)
    if scenario.bigger_is_harder:
        big = rng.random(people) < 0.25
        many, few = 2 * each, 2 * each / 3
        cases = 1 + rng.poisson(np.where(big, many - 1, few - 1))
        # of all cases, a half is expected of either kind of person: their shares of losses average to `lost`
        return cases, np.where(big, 5 / 3, 1 / 3) * lost
    if scenario.sizes == "equal":
        return np.full(people, each), loss
    if scenario.sizes == "usual":
        return 1 + rng.poisson((each - 1) * rng.gamma(3, 1 / 3, people)), loss
    return np.maximum(np.round(each * np.exp(rng.standard_normal(people) - 0.5)), 1).astype(np.int64), loss
