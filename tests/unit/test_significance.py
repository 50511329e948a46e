"""McNemar's test against the binomial one, Holm's adjustment against tables made by hand."""

import numpy as np
import pytest
from scipy import stats

from recognizer.errors import InputError
from recognizer.evaluation.significance import McNemar, holm, mcnemar


@pytest.mark.parametrize(
    ("only_first", "only_second", "both"), [(0, 0, 5), (1, 0, 0), (5, 5, 3), (3, 12, 40), (20, 6, 0)]
)
def test_mcnemars_is_the_binomial_test_of_the_cases_that_differ(only_first, only_second, both):
    first = np.array([True] * only_first + [False] * only_second + [True] * both)
    second = np.array([False] * only_first + [True] * only_second + [True] * both)
    differing = only_first + only_second
    expected = stats.binomtest(only_first, differing, 0.5).pvalue if differing else 1.0
    assert mcnemar(first, second) == McNemar(only_first, only_second, pytest.approx(expected))


def test_mcnemars_needs_the_same_cases():
    with pytest.raises(InputError, match="cannot be paired"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        ((), ()),
        ((0.03,), (0.03,)),
        ((0.01, 0.04, 0.03, 0.005), (0.03, 0.06, 0.06, 0.02)),  # 4 x 0.005, 3 x 0.01, 2 x 0.03, 0.04 no less than that
        ((0.02, 0.02, 0.02), (0.06, 0.06, 0.06)),
        ((0.6, 0.5), (1.0, 1.0)),
        ((0.0, 1.0), (0.0, 1.0)),
    ],
)
def test_holms_adjustment(given, adjusted):
    assert holm(given) == pytest.approx(adjusted)


@pytest.mark.parametrize("given", [(-0.1,), (0.2, 1.1), (float("nan"),)])
def test_what_is_no_p_value_is_refused(given):
    with pytest.raises(InputError, match="not from 0 to 1"):
        holm(given)
