"""Bounds of models that hardly differ, against likelihoods maximised by number and against enumeration."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from recognizer.evaluation.paired import paired_difference
from recognizer.evaluation.rare import Tilted, exact_worse, score, score_low
from recognizer.evaluation.summands import share


def constrained(won, lost, n, supposed):
    """Share of lost cases of the greatest likelihood, where the difference is the supposed one."""

    def unlikely(lost_share):
        won_share = lost_share + supposed
        same = 1 - won_share - lost_share
        return -(
            special.xlogy(won, won_share) + special.xlogy(lost, lost_share) + special.xlogy(n - won - lost, same)
        )  # fmt: skip

    lowest, highest = max(-supposed, 0), (1 - supposed) / 2
    return optimize.minimize_scalar(unlikely, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-10}).x


@pytest.mark.parametrize(
    ("won", "lost", "n", "supposed"),
    [
        (3, 9, 100, -0.03),
        (3, 9, 100, 0.0),
        (12, 4, 60, -0.1),
        (5, 5, 44, 0.05),
        (1, 8, 40, -0.2),
        (2.5, 6.25, 50, -0.05),
    ],
)
def test_the_score_is_taken_at_the_constrained_likelihood(won, lost, n, supposed):
    lost_share = constrained(won, lost, n, supposed)
    variance = n * (2 * lost_share + supposed - supposed**2)
    assert score(won, lost, n, supposed) == pytest.approx((won - lost - n * supposed) / np.sqrt(variance), rel=1e-5)


def test_with_none_supposed_the_score_is_mcnemars():
    assert score(12, 5, 80, 0.0) == pytest.approx((12 - 5) / np.sqrt(12 + 5))


@pytest.mark.parametrize(
    ("won", "lost", "n"), [(0, 0, 50), (3, 9, 100), (9, 3, 100), (0, 20, 20), (20, 0, 20), (0, 1, 2)]
)
def test_the_lowest_difference_is_one_the_score_just_bears(won, lost, n):
    critical = stats.norm.ppf(0.95)
    low = score_low(won, lost, n, critical)
    assert -1 <= low <= (won - lost) / n
    if low > -1:
        assert score(won, lost, n, low) == pytest.approx(critical, abs=1e-5)


@pytest.mark.parametrize("margin", [0.0, 0.03, 0.1])
@pytest.mark.parametrize("n", [8, 15, 25])
def test_exact_p_values_are_valid_whatever_share_is_won(n, margin):
    """Every outcome of n cases, at shares that are not those the function tries."""
    outcomes = [(won, lost) for won in range(n + 1) for lost in range(n + 1 - won)]
    p_values = np.array([exact_worse(won, lost, n, margin) for won, lost in outcomes])
    for won_share in (0.0, 0.003, 0.017, 0.06, 0.15, 0.33):
        shares = [won_share, won_share + margin, 1 - 2 * won_share - margin]
        chances = stats.multinomial.pmf([(won, lost, n - won - lost) for won, lost in outcomes], n, shares)
        for alpha in (0.002, 0.01, 0.05):
            assert chances[p_values <= alpha].sum() <= alpha * 1.02


@pytest.mark.parametrize(
    ("won", "lost", "n", "below"),
    [(0, 0, 8, None), (0, 3, 8, None), (0, 8, 8, 0.005), (0, 8, 40, 0.01), (1, 4, 40, None)],
)
def test_slices_of_few_cases_are_worse_only_where_that_is_certain(won, lost, n, below):
    """`below`: what the p-value of one person's slice has to be under; None where nothing may be said at 5 %."""
    first, second = np.ones(n, bool), np.ones(n, bool)
    first[:lost], second[n - won :] = False, False
    p_value = paired_difference(share(first), share(second), ["one"] * n).p_worse
    assert p_value <= below if below is not None else p_value > 0.05


def test_slices_of_several_people_are_no_surer_than_as_many_independent_cases():
    rng = np.random.default_rng(0)
    for _ in range(20):
        hits = rng.random((2, 36)) < [[0.7], [0.9]]
        won, lost = int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum())
        people = [f"p{case % 12}" for case in range(36)]
        found = paired_difference(share(hits[0]), share(hits[1]), people, resamples=500)
        assert found.clusters == 12
        assert found.p_worse >= exact_worse(won, lost, 36, 0.0)


def test_tilted_weights_are_those_of_the_least_divergence():
    """Exponential weights: no others of the same mean are closer to even ones (Kullback, Leibler)."""
    influence = np.array([-0.5, -0.1, 0.1, 0.5])
    tilted = Tilted(influence, influence, np.ones(4), 0.5)
    units = np.array([*influence, -0.5, 0.5])

    def divergence(weights):
        return special.xlogy(weights, weights).sum()

    mean, error = tilted.at(-0.8)
    held = [{"type": "eq", "fun": lambda w: w.sum() - 1}, {"type": "eq", "fun": lambda w: w @ units - mean}]
    best = optimize.minimize(divergence, np.full(6, 1 / 6), bounds=[(1e-9, 1)] * 6, constraints=held, tol=1e-12).x
    assert error == pytest.approx(np.sqrt(best @ (units - mean) ** 2 / 3), rel=1e-4)


def test_a_drop_and_its_standard_errors_belong_together():
    influence = np.random.default_rng(0).normal(size=30)
    influence -= influence.mean()
    tilted = Tilted(influence, influence, np.ones(30), 0.5)
    assert tilted.errors(tilted.drop(1.7)) == pytest.approx(1.7)
    assert tilted.errors(100.0) == float("inf")
    assert tilted.drop(1e6) <= -influence.min() + 1e-9
