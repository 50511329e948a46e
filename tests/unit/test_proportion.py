"""Wilson's interval against published values and scipy's own."""

import pytest
from scipy import stats

from recognizer.errors import InputError
from recognizer.evaluation.proportion import wilson_interval


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(hits, n, low, high):
    assert wilson_interval(hits, n, 0.975) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 2, 8, 30, 240])
def test_it_is_scipys_of_both_sides(n):
    for hits in range(n + 1):
        theirs = stats.binomtest(hits, n).proportion_ci(confidence_level=0.9, method="wilson")
        assert wilson_interval(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_all_and_none_reach_the_end():
    assert wilson_interval(0, 7)[0] == 0.0
    assert wilson_interval(7, 7)[1] == 1.0


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_what_is_no_share(hits, n):
    with pytest.raises(InputError, match="no share"):
        wilson_interval(hits, n)
