from __future__ import annotations

import itertools
import json
import math

import pytest

from recognizer.checks import Check, Verdict, distinct, figure, worst
from recognizer.errors import FormatError

P, INC, F, E = Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED, Verdict.ERROR


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], E),
        ([P], P),
        ([P, P], P),
        ([P, INC], INC),
        ([INC, F], F),
        ([F, P, INC], F),
        ([E, F], E),
        ([P, INC, F, E], E),
    ],
)
def test_worst_wins_in_any_order(verdicts, expected):
    assert {worst(order) for order in itertools.permutations(verdicts)} == {expected}


def test_no_check_at_all_is_no_proof():
    assert worst(()) is Verdict.ERROR


@pytest.mark.parametrize(
    ("value", "direction", "n", "verdict", "reason"),
    [
        (0.9, "min", 238, P, "accuracy 0.900 ≥ 0.900 on 238 cases"),
        (0.874, "min", 238, F, "accuracy 0.874 < 0.900 on 238 cases"),
        (math.nextafter(0.9, 0), "min", 30, F, "accuracy 0.8999999999999999 < 0.9000000000000000 on 30 cases"),
        (math.nextafter(0.9, 1), "min", 30, P, "accuracy 0.9000000000000001 ≥ 0.9000000000000000 on 30 cases"),
        (0.9, "max", 30, P, "accuracy 0.900 ≤ 0.900 on 30 cases"),
        (0.95, "max", 1200, F, "accuracy 0.950 > 0.900 on 1,200 cases"),
        (1.0, "min", 29, INC, "accuracy 1.000 ≥ 0.900 on 29 cases; a verdict needs 30"),
        (0.1, "min", 29, INC, "accuracy 0.100 < 0.900 on 29 cases; a verdict needs 30"),
        (None, "min", 238, E, "accuracy is missing"),
        (math.nan, "min", 238, E, "accuracy is nan"),
        (math.inf, "min", 238, E, "accuracy is inf"),
        (math.nan, "max", 1, E, "accuracy is nan"),
    ],
)
def test_measured(value, direction, n, verdict, reason):
    check = Check.measured("absolute", "accuracy", value, threshold=0.9, direction=direction, n=n, min_cases=30)
    assert (check.verdict, check.reason) == (verdict, reason)
    assert Check.from_dict(json.loads(json.dumps(check.as_dict(), allow_nan=False))) == check


def test_reason_says_where_a_threshold_comes_from_and_what_was_counted():
    check = Check.measured("contract", "x", 3, threshold=2, direction="max", n=5, derivation="so", cases="rows")
    assert check.reason == "x 3 > 2 (so) on 5 rows"


@pytest.mark.parametrize("field", ["value", "threshold", "baseline"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_check_that_json_cannot_hold_does_not_exist(field, number):
    plain = Check.unmeasured("parity", "max_abs_diff", "was not measured").as_dict()
    with pytest.raises(FormatError, match="parity/max_abs_diff"):
        Check.from_dict({**plain, field: number})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "MAYBE"}, "no verdict 'MAYBE'"),
        ({"direction": "up"}, "direction 'up'"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_stored_checks_are_read_strictly(change, message):
    plain = Check.unmeasured("absolute", "accuracy", "is missing").as_dict()
    with pytest.raises(FormatError, match=message):
        Check.from_dict({**plain, **change})
    with pytest.raises(FormatError, match="expected"):
        Check.from_dict({name: plain[name] for name in list(plain)[1:]})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (0, "0"),
        (0.0, "0"),
        (1.0, "1.000"),
        (0.8744, "0.874"),
        (-0.0304, "-0.030"),
        (238.0, "238"),
        (1200, "1,200"),
        (1234.5678, "1,234.568"),
        (3.2e-6, "3.2e-6"),
        (1e-5, "1.0e-5"),
        (12_345_678.5, "1.2e7"),
        (12_345_678, "12,345,678"),
    ],
)
def test_figures_are_for_people(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("left", "right", "pair"),
    [
        (0.5, 0.5, ("0.500", "0.500")),
        (0.89996, 0.9, ("0.89996", "0.90000")),
        (1.04e-5, 1e-5, ("1.04e-5", "1.00e-5")),
        (0.874, 0.9, ("0.874", "0.900")),
    ],
)
def test_different_numbers_look_different(left, right, pair):
    assert distinct(left, right) == pair
