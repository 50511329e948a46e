import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from recognizer.judge.confidence import difference_bounds, e_value, rate_bounds
from recognizer.judge.sequential import FINE, SWITCH, WORSE, Bets, Capital, grow, one_arm, pairs, stake, two_arms

CLOSE = 1e-9


def expected_two_arms(champion, challenger, old, new, bets, coin=0.0):
    """Expectation of what each bet pays: the sum over every outcome of a block whose answers are bad independently."""
    b0, b1 = np.meshgrid(np.arange(champion + 1), np.arange(challenger + 1), indexing="ij")
    chance = binom.pmf(b0, champion, old) * binom.pmf(b1, challenger, new)
    return (np.exp(two_arms((champion, b0), (challenger, b1), bets, coin)) * chance[..., None]).sum(axis=(0, 1))


@pytest.mark.parametrize(("champion", "challenger"), [(1, 1), (7, 3), (19, 1), (1, 19), (45, 5)])
@pytest.mark.parametrize("old", [0.002, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("coin", [0.0, 0.01, 0.3])
def test_on_the_border_of_the_hypothesis_every_bet_is_fair(champion, challenger, old, coin):
    new = old + coin * (1 - old)
    for bets in (WORSE, FINE):
        fair = expected_two_arms(champion, challenger, old, new, bets, coin)
        assert fair == pytest.approx(np.ones(len(bets.odds)), abs=CLOSE)


@pytest.mark.parametrize("coin", [0.0, 0.02])
@pytest.mark.parametrize(("old", "new"), [(0.3, 0.0), (0.3, 0.1), (0.3, 0.29), (1.0, 0.5), (0.0, 0.0)])
def test_a_better_challenger_makes_bets_against_it_lose(old, new, coin):
    assert (expected_two_arms(9, 4, old, new, WORSE, coin) <= 1 + CLOSE).all()


@pytest.mark.parametrize("coin", [0.0, 0.02])
@pytest.mark.parametrize(("old", "more"), [(0.0, 0.05), (0.1, 0.0), (0.3, 0.4), (0.0, 1.0)])
def test_a_challenger_beyond_the_margin_makes_bets_for_it_lose(old, more, coin):
    new = min(old + coin + more, 1.0)
    assert (expected_two_arms(9, 4, old, new, FINE, coin) <= 1 + CLOSE).all()


def test_bets_gain_where_they_should():
    assert (expected_two_arms(45, 5, 0.002, 0.3, WORSE)[1:] > 1).all()
    assert (expected_two_arms(45, 5, 0.002, 0.002, FINE, 0.02)[1:] > 1).all()


REQUESTS = (0.0, 0.01, 0.2, 0.2, 0.9, 1.0, 0.5)  # a burst: each request has its own chance of being bad


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("coin", [0.0, 0.1])
@pytest.mark.parametrize("better", [0.0, 0.15])
def test_fair_under_bursts_when_the_lot_routes(share, coin, better):
    """All 2^7 routings x all outcomes: requests that differ from each other, and a lot for each of them."""
    total = {bets: np.zeros(len(bets.odds)) for bets in (WORSE, FINE)}
    for lot in itertools.product((0, 1), repeat=len(REQUESTS)):
        chance = math.prod(share if arm else 1 - share for arm in lot)
        for bets in total:
            # WORSE: no request is worse off with the challenger. FINE: none is better off.
            sign = -better if bets is WORSE else better
            bad = {0: np.ones(1), 1: np.ones(1)}
            for rate, arm in zip(REQUESTS, lot, strict=True):
                own = min(max(rate + coin * (1 - rate) + sign, 0.0), 1.0) if arm else rate
                bad[arm] = np.convolve(bad[arm], (1 - own, own))
            b0, b1 = np.meshgrid(np.arange(len(bad[0])), np.arange(len(bad[1])), indexing="ij")
            paid = np.exp(two_arms((len(bad[0]) - 1, b0), (len(bad[1]) - 1, b1), bets, coin))
            total[bets] += chance * (paid * np.multiply.outer(bad[0], bad[1])[..., None]).sum(axis=(0, 1))
    for expectation in total.values():
        assert (expectation <= 1 + CLOSE).all()
        assert better or expectation == pytest.approx(np.ones(len(expectation)), abs=CLOSE)


def test_without_tolerance_it_is_the_noncentral_hypergeometric_ratio():
    for n0, n1, b0, b1 in [(30, 5, 3, 2), (5, 30, 0, 4), (10, 10, 10, 10), (3, 1, 0, 0)]:
        x = np.arange(n1 + 1)
        chance = hypergeom.pmf(x, n0 + n1, b0 + b1, n1)
        wanted = [odds**b1 / (chance * odds**x).sum() for odds in WORSE.odds]
        assert np.exp(two_arms((n0, b0), (n1, b1), WORSE)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("champion", "challenger"),
    [((0, 0), (9, 3)), ((9, 3), (0, 0)), ((0, 0), (0, 0)), ((9, 0), (4, 0)), ((3, 3), (2, 2))],
)
def test_nothing_is_paid_where_nothing_can_be_told(champion, challenger):
    assert np.abs(two_arms(champion, challenger, WORSE)).max() < CLOSE


def test_many_blocks_at_once_are_paid_like_each_alone(monkeypatch):
    monkeypatch.setattr("recognizer.judge.sequential._CHUNK", 500)  # many chunks
    rng = np.random.default_rng(3)
    n0, n1 = rng.integers(0, 60, (2, 4, 25))
    b0, b1 = rng.binomial(n0, 0.2), rng.binomial(n1, 0.2)
    for bets, coin in ((WORSE, 0.0), (WORSE, 0.01), (FINE, 0.03)):
        together = two_arms((n0, b0), (n1, b1), bets, coin)
        assert together.shape == (4, 25, len(bets.odds))
        for place in np.ndindex(4, 25):
            alone = two_arms((int(n0[place]), int(b0[place])), (int(n1[place]), int(b1[place])), bets, coin)
            assert together[place] == pytest.approx(alone, abs=1e-12)


def test_a_large_block_is_paid_in_finite_numbers():
    for coin in (0.0, 0.03):
        assert np.isfinite(two_arms((18_000, 9_000), (2_000, 2_000), WORSE, coin)).all()


@pytest.mark.parametrize("only_challenger", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("coin", [0.0, 0.02])
@pytest.mark.parametrize("number", [1, 5])
def test_pairs_are_fair_on_the_border(only_challenger, coin, number):
    # a − b = coin (1 − b): the champion's share b that goes with the challenger's a
    only_champion = max((only_challenger - coin) / (1 - coin), 0.0)
    chances = {"c": only_challenger, "b": only_champion, "n": 1 - only_challenger - only_champion}
    for bets in (WORSE, FINE):
        total = np.zeros(len(bets.odds))
        for outcome in itertools.product("cbn", repeat=number):
            paid = np.exp(pairs(number, outcome.count("c"), outcome.count("b"), bets, coin))
            total += paid * math.prod(chances[kind] for kind in outcome)
        if only_challenger >= coin:
            assert total == pytest.approx(np.ones(len(total)), abs=CLOSE)
        elif bets is WORSE:
            assert (total <= 1 + CLOSE).all()


@pytest.mark.parametrize(("ceiling", "rate"), [(0.1, 0.1), (0.1, 0.03), (0.5, 0.5), (0.02, 0.0)])
def test_one_arm_is_fair_up_to_its_ceiling(ceiling, rate):
    k = np.arange(21)
    sums = (np.exp(one_arm(20, k, ceiling, WORSE)) * binom.pmf(k, 20, rate)[:, None]).sum(axis=0)
    assert (sums <= 1 + CLOSE).all()
    assert rate < ceiling or sums == pytest.approx(np.ones(len(sums)), abs=CLOSE)


def test_the_whole_capital_is_fair_over_two_batches_whatever_the_first_was():
    """Exact, over all outcomes of two blocks: the second bet may depend on the first block, not on its own."""
    total = 0.0
    for first in itertools.product(range(5), range(3)):
        one = grow(stake(WORSE), two_arms((4, first[0]), (2, first[1]), WORSE), WORSE)
        chance = binom.pmf(first[0], 4, 0.3) * binom.pmf(first[1], 2, 0.3)
        for second in itertools.product(range(4), range(4)):
            two = grow(one, two_arms((3, second[0]), (3, second[1]), WORSE), WORSE)
            total += chance * binom.pmf(second[0], 3, 0.6) * binom.pmf(second[1], 3, 0.6) * math.exp(two.log_e)
    assert total == pytest.approx(1.0, abs=CLOSE)


def test_the_stake_on_a_batch_depends_on_earlier_batches_only():
    before = grow(stake(WORSE), two_arms((20, 0), (4, 2), WORSE), WORSE)
    for batch in [((20, 0), (4, 4)), ((20, 9), (4, 0)), ((20, 0), (4, 0))]:
        factors = two_arms(*batch, WORSE)
        after = grow(before, factors, WORSE)
        # what was paid is what the spread of before had staked
        assert float(after.log_e - before.log_e) == pytest.approx(math.log((before.spread * np.exp(factors)).sum()))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_spread_stays_a_spread_and_nothing_is_ever_ruined(batches):
    capital = stake(WORSE)
    for champion, challenger in batches:
        capital = grow(capital, two_arms((30, champion), (30, challenger), WORSE), WORSE)
        assert capital.spread.sum() == pytest.approx(1.0)
        assert (capital.spread >= SWITCH * np.array(WORSE.prior) * 0.999).all() or not (champion or challenger)
        assert np.isfinite(capital.log_e)


def test_a_batch_without_bad_events_moves_nothing():
    before = grow(stake(WORSE), two_arms((20, 1), (4, 2), WORSE), WORSE)
    after = grow(before, two_arms((20, 0), (4, 0), WORSE), WORSE)
    assert (after.log_e, after.spread.tolist()) == (before.log_e, before.spread.tolist())


def test_a_model_that_goes_bad_after_a_good_week_is_found():
    capital = stake(WORSE)
    for _ in range(2_000):  # all of the bad events are the champion's
        capital = grow(capital, two_arms((45, 1), (5, 0), WORSE), WORSE)
    low = float(capital.log_e)
    blocks = 0
    while capital.log_e < math.log(250):
        capital = grow(capital, two_arms((45, 0), (5, 2), WORSE), WORSE)
        blocks += 1
    assert low > -25
    assert blocks <= 12


def test_capital_of_many_rollouts_grows_like_each_alone():
    factors = two_arms((20, np.array([0, 1, 5])), (4, np.array([2, 0, 0])), WORSE)
    together = grow(stake(WORSE, (3,)), factors, WORSE)
    for row in range(3):
        alone = grow(Capital(np.zeros(()), np.array(WORSE.prior)), factors[row], WORSE)
        assert together.log_e[row] == alone.log_e
        assert together.spread[row].tolist() == alone.spread.tolist()


@pytest.mark.parametrize(
    ("odds", "prior"), [((1, 2), (0.5, 0.4)), ((1, 2), (1.0,)), ((0.5, 2), (0.5, 0.5)), ((0, 1), (0.5, 0.5))]
)
def test_bets_that_test_nothing_cannot_exist(odds, prior):
    with pytest.raises(ValueError, match="odds"):
        Bets(odds, prior)


@pytest.mark.parametrize(
    ("bad", "number", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 100, 0.0, 0.08), (100, 100, 0.92, 1.0), (5, 100, 0.005, 0.17), (500, 10_000, 0.04, 0.06)],
)
def test_bounds_of_a_rate(bad, number, low, high):
    lowest, highest = rate_bounds(bad, number)
    assert low <= lowest <= (bad / number if number else 0) <= highest <= high


def test_bounds_are_where_the_capital_against_a_rate_reaches_one_over_alpha():
    from scipy.special import beta

    for rate in rate_bounds(7, 120, 0.05):
        assert beta(8, 114) / (rate**7 * (1 - rate) ** 113) == pytest.approx(20, rel=1e-6)


def test_bounds_hold_at_every_moment_at_once():
    rng = np.random.default_rng(5)
    missed, runs, checks = 0, 300, (1, 2, 5, 10, 30, 100, 300, 1000)
    for _ in range(runs):
        bad = np.cumsum(rng.random(1000) < 0.03)
        bounds = (rate_bounds(int(bad[n - 1]), n, 0.1) for n in checks)
        missed += any(not low <= 0.03 <= high for low, high in bounds)
    assert missed / runs <= 0.1


def test_difference_is_challenger_minus_champion():
    low, high = difference_bounds((50, 1000), (2, 10_000))
    assert 0.02 < low < 0.0498 < high < 0.09
    assert difference_bounds((0, 0), (0, 0)) == (-1.0, 1.0)


def test_e_value_of_any_logarithm():
    assert (e_value(0.0), e_value(5_000.0)) == (1.0, math.exp(700))
