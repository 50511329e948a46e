"""Sequential tests of a rollout: evidence that may be looked at after every batch, as often as one likes.

Each test bets against a null hypothesis, at odds that are fair or worse while the hypothesis is true. Its capital, the
**e-value**, starts at 1 and has then an expectation of at most 1 whenever one stops; it reaches 1/α with a
probability of at most α, ever (Ville's inequality). So "roll back as soon as the e-value is 1/α" is wrong in at most
a share α of all rollouts, however often and whenever somebody looks.

What is bet on is never *how many* bad events there are, only *whose* they are. Rates may drift, jump and burst as
long as they do so for both models; a stake depends on earlier batches alone.

Arrays: every function works on arrays of any shape `...` (one rollout, or thousands simulated side by side); odds
ratios are the last axis `J` of what it returns. The hypotheses are about every single request, given all that went
before it: *the challenger is bad with a probability of at most the champion's*, or, with a tolerance t, *at most
champion's + t x (1 − champion's)*: the challenger may spoil a share t of the answers that the champion gets right.

Sources:
    Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for optional stopping"
        (block-wise e-variables for two samples).
    Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting" (predictable bets, mixtures).
    Lindon, Sanden, Shirikian, "Rapid regression detection in software deployments through sequential testing"
        (Netflix).
    Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences"
        (see `recognizer.judge.confidence`).
    Herbster, Warmuth, "Tracking the best expert" (fixed share).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SWITCH = 0.001
"""Share of the capital that is spread anew after each bet: a model that goes bad after a good week is still found."""
_CHUNK = 2_000_000  # terms of a sum held in memory at once


@dataclass(frozen=True)
class Bets:
    """A mixture of bets, one for each odds ratio "challenger : champion" that a bad event might have.

    Attributes:
        odds: 1 is no bet at all: capital in reserve.
        prior: which part of the capital is staked on which at the beginning; sums to 1.
    """

    odds: tuple[float, ...]
    prior: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.odds) != len(self.prior) or abs(sum(self.prior) - 1) > 1e-12:
            raise ValueError(f"odds {self.odds} and prior {self.prior}: one part for each, summing to 1")
        if min(self.odds) <= 0 or min(self.prior) <= 0:
            raise ValueError("odds and parts of the capital are above 0")
        if min(self.odds) < 1 < max(self.odds):
            # A test is of one side: its null hypothesis is composite, and only bets on one side are fair under all of
            #     it.
            raise ValueError(f"odds {self.odds} lie on both sides of 1")


# Most of the capital stands on large odds: a broken model is broken by a factor, and three failures should be enough.
WORSE = Bets(odds=(1.0, 2.0, 5.0, 15.0, 40.0, 150.0), prior=(0.05, 0.10, 0.15, 0.25, 0.25, 0.20))
"""Bets that the challenger is worse."""
FINE = Bets(odds=(1.0, 0.8, 0.5, 0.2, 0.05), prior=(0.05, 0.15, 0.25, 0.30, 0.25))
"""Bets that the challenger is better than a bound on how bad it may be."""


@dataclass(frozen=True)
class Capital:
    """What a test has made of its stake.

    Attributes:
        log_e: natural logarithm of the e-value, shape `...`.
        spread: which part of it is staked on which odds next, shape `(..., J)`, sums to 1 over J.
    """

    log_e: Floats
    spread: Floats


def stake(bets: Bets, shape: tuple[int, ...] = ()) -> Capital:
    """The capital before the first batch: an e-value of 1."""
    return Capital(np.zeros(shape), np.broadcast_to(np.array(bets.prior), (*shape, len(bets.prior))).copy())


def grow(capital: Capital, factors: Floats, bets: Bets) -> Capital:
    """The capital after one batch.

    factors: (..., J), logarithm of what each bet pays. The spread was fixed by earlier batches, so the new e-value's
    expectation given the past is a mean of the bets' expectations: at most the old one. Afterwards a part SWITCH of the
    capital is spread as at the beginning; that moves capital between bets and makes none. A batch on which no bet
    could win or lose leaves everything as it was.
    """
    highest = factors.max(axis=-1, keepdims=True)
    paid = capital.spread * np.exp(factors - highest)
    total = paid.sum(axis=-1, keepdims=True)
    spread = (1 - SWITCH) * paid / total + SWITCH * np.array(bets.prior)
    moved = (factors != 0).any(axis=-1)
    return Capital(
        capital.log_e + np.where(moved, (np.log(total) + highest)[..., 0], 0.0),
        np.where(moved[..., None], spread, capital.spread),
    )


def two_arms(
    champion: tuple[ArrayLike, ArrayLike], challenger: tuple[ArrayLike, ArrayLike], bets: Bets, coin: float = 0.0
) -> Floats:
    """Logarithm of what each bet pays on one block of requests, each routed to one of the two models by lot.

    champion, challenger: (answers, bad ones among them), each an int or an array of shape `...`. Returns `(..., J)`.

    **Tolerance 0** (`coin=0`). Let n₁ of the n answers be the challenger's and K of the n be bad. If the models are
    equally bad, a request is bad or not whoever answers it, and the lot decides whose the K are: the challenger's
    number k is hypergeometric, whatever made the K happen. A bet at the odds ratio ω pays

        E = ω^k / Σₓ P(x) ω^x,    P hypergeometric (n, K, n₁),

    with expectation exactly 1. If for each request the challenger is bad with a smaller probability, couple the two
    worlds so that a bad answer of its becomes a good one: (k, K) → (k−1, K−1), and E falls, for ω ≥ 1, because
    Σ P_K(x) ω^x ≤ ω Σ P_{K−1}(x) ω^x (X_K ≤ X_{K−1} + 1 when one more of the population is marked). So E ≤ 1 in
    expectation under the whole null hypothesis, also when rates differ between requests and burst. For ω ≤ 1 all is
    turned round: E tests "the challenger is at least as bad".

    **Tolerance** (`coin` > 0). Spoil every good answer of the champion with probability `coin`, by a thrown coin. The
    hypothesis "challenger ≤ champion + coin x (1 − champion)" says that the challenger is no worse than that spoilt
    champion, and the argument above holds word for word for every throw. Nothing is thrown: E is the mean over all
    throws, Σ_b Binomial(b; good, coin) E(k, K + b), and a mean of e-values is one. It is a number, the same for
    everybody who replays it, and its logarithm is larger on average than that of a single throw. (Leaving out throws
    of probability below 1e-20 makes E smaller, never larger.)

    The block must have been closed by a rule that looks at the number of answers alone, and routed with one share: if
    the share falls in the middle of a burst, the good answers after it are the champion's by rule and not by lot.
    """
    n0, b0, n1, b1 = (
        np.asarray(part, dtype=np.int64) for part in np.broadcast_arrays(champion[0], champion[1], *challenger)
    )
    shape, rows = n0.shape, n0.size
    n0, b0, n1, b1 = n0.ravel(), b0.ravel(), n1.ravel(), b1.ravel()
    factors = np.zeros((rows, len(bets.odds)))
    logs = gammaln(np.arange(int((n0 + n1).max(initial=0)) + 2, dtype=np.float64))  # logs[i + 1] = log i!
    begin = 0
    while begin < rows:
        end = rows
        while True:
            part = slice(begin, end)
            bad, weight = _spoilt(n0[part], b0[part], coin, logs)
            bad = bad + b1[part, None]
            widest = int(np.minimum(n1[part, None], bad).max(initial=0)) + 1
            if end - begin == 1 or bad.size * widest <= _CHUNK:
                break
            end = begin + max((end - begin) // 2, 1)
        factors[part] = _hypergeometric(n0[part], n1[part], b1[part], bad, weight, bets, logs)
        begin = end
    return factors.reshape(*shape, len(bets.odds))


def _choose(n: Ints, k: Ints, logs: Floats) -> Floats:
    return np.asarray(logs[n + 1] - logs[k + 1] - logs[n - k + 1])


def _spoilt(answers: Ints, bad: Ints, coin: float, logs: Floats) -> tuple[Ints, Floats]:
    """How many of the champion's answers are bad after the coins, (rows, B), and the logarithm of the probability."""
    if coin == 0:
        return bad[:, None], np.zeros((len(bad), 1))
    good = (answers - bad)[:, None]
    mean = good * coin
    reach = 10 * np.sqrt(mean * (1 - coin)) + 20
    lowest = np.maximum(np.floor(mean - reach), 0).astype(np.int64)
    highest = np.minimum(np.ceil(mean + reach), good).astype(np.int64)
    more = lowest + np.arange(int((highest - lowest).max(initial=0)) + 1)
    inside = more <= highest
    more = np.where(inside, more, lowest)
    weight = _choose(good, more, logs) + more * np.log(coin) + (good - more) * np.log1p(-coin)
    return bad[:, None] + more, np.where(inside, weight, -np.inf)


def _hypergeometric(n0: Ints, n1: Ints, k: Ints, bad: Ints, weight: Floats, bets: Bets, logs: Floats) -> Floats:
    """Log Σ_b weight_b ω^k / Σₓ P(x) ω^x for every row and ω; bad, weight: (rows, B)."""
    champion, challenger, total = n0[:, None, None], n1[:, None, None], bad[:, :, None]
    lowest, highest = np.maximum(total - champion, 0), np.minimum(challenger, total)
    x = lowest + np.arange(int((highest - lowest).max(initial=0)) + 1)
    inside = x <= highest
    x = np.where(inside, x, lowest)
    chance = _choose(challenger, x, logs) + _choose(champion, total - x, logs)
    chance = np.where(inside, chance - _choose(champion + challenger, total, logs), -np.inf)
    factors = np.zeros((len(k), len(bets.odds)))
    for column, odds in enumerate(bets.odds):
        if odds != 1:  # exactly 0 rather than a rounding error: nothing is bet
            expected = logsumexp(chance + x * np.log(odds))
            factors[:, column] = logsumexp(weight - expected) + k * np.log(odds)
    idle = (bad.max(axis=1) == 0) & (bad.shape[1] == 1)
    factors[idle | (n0 == 0) | (n1 == 0)] = 0.0  # one arm alone tells nothing about whose the bad events are
    return factors


def logsumexp(logs: Floats) -> Floats:
    """Log Σ exp over the last axis, of which some term is above -inf.

    scipy's takes 100 µs of checks for a handful of terms, which made most of a fold.
    """
    highest = logs.max(axis=-1)
    return np.asarray(highest + np.log(np.exp(logs - highest[..., None]).sum(axis=-1)))


def pairs(
    number: ArrayLike, challenger_only: ArrayLike, champion_only: ArrayLike, bets: Bets, coin: float = 0.0
) -> Floats:
    """Logarithm of what each bet pays on requests that both models answered; shapes as in `two_arms`.

    For sticky keys: the requests of one camera come together and fail together, so whose requests are bad says more
    about the camera than about the model. On the same request the camera is the same for both. Under the null
    hypothesis a pair on which they differ is, given all before it, challenger-bad with probability ≤ ½ whatever the
    camera; a bet at the odds ratio ω pays 2ω/(1+ω) if it is and 2/(1+ω) if not: expectation at most 1 (McNemar's
    test, sequential).

    coin: as in `two_arms`, thrown for every pair on which the champion is not alone in being bad. It turns "only the
    challenger" into "both" and "neither" into "only the champion", and the mean over all throws is a product. (A pair
    bad for both has its coin too, because the counts do not tell such pairs from good ones. With a = P(only the
    challenger), b = P(only the champion), the hypothesis that results is a − b ≤ coin x (1 − b).)
    """
    n, c, b = (np.asarray(part, dtype=np.float64)[..., None] for part in (number, challenger_only, champion_only))
    odds = np.array(bets.odds)
    won, lost = 2 * odds / (1 + odds), 2 / (1 + odds)
    n = np.maximum(n, c + b)
    return np.asarray(
        c * np.log((1 - coin) * won + coin) + b * np.log(lost) + (n - c - b) * np.log(1 - coin + coin * lost)
    )


def one_arm(number: ArrayLike, bad: ArrayLike, ceiling: float, bets: Bets) -> Floats:
    """Logarithm of what each bet pays against "every event, given the past, has a probability ≤ ceiling".

    A bet at the odds ratio ω says that the probability is q with odds ω x those of the ceiling, and pays the likelihood
    ratio of the two: at most 1 in expectation for every smaller probability, because it grows with the events.
    """
    n, k = (np.asarray(part, dtype=np.float64)[..., None] for part in (number, bad))
    odds = np.array(bets.odds)
    return np.asarray(k * np.log(odds) - n * np.log1p(ceiling * (odds - 1)))
