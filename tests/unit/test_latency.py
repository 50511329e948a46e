"""What is known of a model's times: its quantiles, and the quickest of a few."""

import pytest

from serving.latency import ENOUGH, NEWEST, REFRESH, Latency


def after(times):
    latency = Latency()
    for seconds in times:
        latency.add(seconds)
    return latency


@pytest.mark.parametrize(
    ("times", "quickest"),
    [
        ((), None),
        ([0.001] * (REFRESH - 1), None),
        ([*[0.02] * (REFRESH - 1), 0.001], 0.001),
        ([0.001] * REFRESH + [0.02] * (REFRESH - 1), 0.001),
        ([0.001] * REFRESH + [0.02] * REFRESH, 0.02),  # a model that has become slow is not quick any more
    ],
)
def test_the_quickest_of_a_few_recent_answers(times, quickest):
    assert after(times).quickest == quickest


@pytest.mark.parametrize(
    ("times", "median"),
    [
        ([1.0] * (ENOUGH - 1), None),
        ([1.0] * ENOUGH, 1.0),
        (range(101), 50),
        ([*[5.0] * NEWEST, *[1.0] * NEWEST], 1.0),  # only the newest thousand count
    ],
)
def test_quantiles_of_the_newest(times, median):
    assert after(times).quantile(0.5) == median
