import itertools
import json
from collections import Counter

import numpy as np
import pytest

from recognizer.errors import FormatError, InputError, NotFound
from recognizer.evaluation.footprint import Footprint, percentile
from serving.footprint import balanced_orders, measure_footprints
from serving.peak import Peak
from serving.stopwatch import Stopwatch, own_time

MADE = Footprint((3.0, 1.0, 2.0), (10.0, 30.0), 12.5, 1)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.0, 7.0),
        ([7.0], 0.95, 7.0),
        ([1.0, 2.0], 0.5, 1.5),
        ([2.0, 1.0], 0.95, 1.95),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([3.0, 1.0, 2.0], 0.0, 1.0),
        ([3.0, 1.0, 2.0], 1.0, 3.0),
        ([float(i) for i in range(101)], 0.95, 95.0),
        ([float(i) for i in range(1, 21)], 0.95, 19.05),
        ([1.0] * 19 + [1000.0], 0.5, 1.0),
    ],
)
def test_a_percentile_lies_between_the_two_nearest_values(values, share, expected):
    assert percentile(values, share) == pytest.approx(expected, rel=1e-12)
    assert percentile(tuple(reversed(values)), share) == percentile(values, share)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1), ([1.0], float("nan"))])
def test_no_percentile_of_nothing(values, share):
    with pytest.raises(InputError, match="no percentile"):
        percentile(values, share)


def test_the_metrics_have_the_names_of_budgets():
    assert MADE.metrics == {
        "latency_p50_ms": 2.0,
        "latency_p95_ms": pytest.approx(2.9),
        "load_ms": 20.0,
        "peak_memory_mb": 12.5,
    }


def test_json_gives_it_back_bit_by_bit():
    odd = Footprint((1 / 3, 0.1 + 0.2), (np.nextafter(1.0, 2.0).item(),), 0.0, 32)
    for footprint in (MADE, odd):
        assert Footprint.from_dict(json.loads(json.dumps(footprint.as_dict(), allow_nan=False))) == footprint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2"),
        ({"latencies_ms": []}, "without latencies_ms"),
        ({"load_ms": []}, "without load_ms"),
        ({"latencies_ms": [1.0, float("nan")]}, "holds nan"),
        ({"load_ms": [-1.0]}, "holds -1.0"),
        ({"peak_memory_mb": float("inf")}, "holds inf"),
        ({"cases_at_once": 0}, "of 0 cases"),
        ({"cases_at_once": None}, "cannot be read"),
        ({"latencies_ms": 3.0}, "cannot be read"),
        ({"latencies_ms": ["fast"]}, "cannot be read"),
        ({"peak_memory_mb": None}, "cannot be read"),
    ],
)
def test_a_damaged_record_is_refused(change, said):
    with pytest.raises(FormatError, match=said) as caught:
        Footprint.from_dict({**MADE.as_dict(), **change})
    assert caught.value.hint == "measure the model again"


@pytest.mark.parametrize("field", ["format", "latencies_ms", "load_ms", "peak_memory_mb", "cases_at_once"])
def test_so_is_one_that_lacks_a_field(field):
    plain = MADE.as_dict()
    del plain[field]
    with pytest.raises(FormatError):
        Footprint.from_dict(plain)


def test_what_is_no_record_at_all_is_refused():
    with pytest.raises(FormatError, match="cannot be read"):
        Footprint.from_dict([])


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [(0,), (0,), (0,), (0,)]),
        (2, [(0, 1), (1, 0), (1, 0), (0, 1)]),
        (3, [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)]),
    ],
)
def test_orders(n, expected):
    assert list(itertools.islice(balanced_orders(n), 4)) == expected


@pytest.mark.parametrize("n", range(1, 6))
def test_every_place_of_an_order_is_taken_equally_often(n):
    orders = list(itertools.islice(balanced_orders(n), 2 * n))
    for place in range(n):
        assert Counter(order[place] for order in orders) == dict.fromkeys(range(n), 2)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"cases": []}, InputError),
        ({"rounds": 0}, InputError),
        ({"cases_at_once": 0}, InputError),
        ({"task": "none"}, NotFound),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(tmp_path, more, kind):
    with pytest.raises(kind):
        measure_footprints(**{"task": "action", "packages": [tmp_path], "cases": [1], **more})


def test_no_package_no_footprint():
    assert measure_footprints("action", [], [1]) == ()


@pytest.mark.parametrize(
    ("status", "at_least"),
    [(b"VmPeak:\t 9 kB\nVmHWM:\t 8388608 kB\nVmRSS:\t 7 kB\n", 4 * 2**30), (b"VmRSS:\t 7 kB\n", 0), (None, 0)],
)
def test_the_peak_is_the_kernels_where_it_tells(tmp_path, status, at_least):
    if status is not None:
        (tmp_path / "status").write_bytes(status)
    peak = Peak(tmp_path)
    assert peak.growth >= at_least
    assert (tmp_path / "clear_refs").read_bytes() == b"5"


def test_without_the_kernels_help_it_is_what_is_held_at_a_look(tmp_path):
    peak = Peak(tmp_path / "missing")
    assert 0 <= peak.growth < 2**30


@pytest.mark.parametrize(
    ("whole", "without_core", "expected"), [(10, 0, 10), (10, 4, 6), (10, 9, 1), (10, 10, 10), (10, 11, 10), (0, 0, 0)]
)
def test_time_without_a_core_is_left_out(whole, without_core, expected):
    assert own_time(whole, without_core) == expected


@pytest.mark.parametrize("after", [b"5 1000 2\n", b"5 90000000000000000 2\n", b"", b"5 6\n"])
def test_a_stopwatch_gives_a_time_whatever_the_system_tells(tmp_path, after):
    counts = tmp_path / "schedstat"
    counts.write_bytes(b"5 1000 1\n")
    with Stopwatch(counts) as watch:
        assert 0 < watch.milliseconds(lambda: counts.write_bytes(after)) < 1e6
    with Stopwatch(tmp_path / "missing") as watch:
        assert 0 < watch.milliseconds(lambda: None) < 1e6
