"""What is asked when, and what the answers amount to."""

import math

import numpy as np
import pytest

from recognizer.errors import UsageError
from recognizer.traffic import (
    Answer,
    Arrivals,
    Feedback,
    Latency,
    Sent,
    Tally,
    TrafficPlan,
    arrival_times,
    summarize,
    write_schedule,
)

WINDOWS = tuple(Sent(str(i).encode(), {"truth": "walking"}) for i in range(10))


def plan(**changes):
    return TrafficPlan(**{"url": "http://127.0.0.1:3000", "cases": WINDOWS, "seconds": 10.0, **changes})


def times(seed=0, **changes):
    return arrival_times(plan(**changes), np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rate": 2, "seconds": 2}, [0, 0.5, 1, 1.5]),
        ({"rate": 2, "seconds": 1.75}, [0, 0.5, 1, 1.5]),
        ({"rate": 2, "seconds": 2, "requests": 3}, [0, 0.5, 1]),
        ({"rate": 4, "seconds": None, "requests": 3}, [0, 0.25, 0.5]),
        ({"rate": 30, "seconds": 0.1}, [0, 1 / 30, 2 / 30]),
        ({"rate": 0.01, "seconds": 1}, [0]),
    ],
)
def test_constant_arrivals(changes, expected):
    assert times(arrivals=Arrivals.CONSTANT, **changes) == pytest.approx(expected)


@pytest.mark.parametrize(("rate", "seconds"), [(5.0, 2000.0), (50.0, 200.0), (2000.0, 5.0)])
def test_poisson_arrivals_have_the_rate_and_forget_the_past(rate, seconds):
    due = times(rate=rate, seconds=seconds)
    expected = rate * seconds
    assert abs(len(due) - expected) < 5 * math.sqrt(expected)
    assert (np.diff(due) >= 0).all()
    assert due[0] >= 0
    assert due[-1] < seconds
    gaps = np.diff(due) * rate
    assert gaps.mean() == pytest.approx(1, abs=0.06)
    assert gaps.std() == pytest.approx(1, abs=0.1)  # of exponential gaps; even ones have 0
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.06


def test_a_plan_that_ends_later_begins_the_same():
    assert (times(seconds=100)[: len(times(seconds=10))] == times(seconds=10)).all()
    assert len(times(requests=7)) == 7
    assert len(times(seconds=None, requests=10_000)) == 10_000


def test_the_same_plan_asks_the_same_and_one_choice_moves_no_other():
    first, again, other = write_schedule(plan()), write_schedule(plan()), write_schedule(plan(seed=1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert len(first.due) != len(other.due) or (first.due != other.due).any()
    with_cameras = write_schedule(plan(cameras=3, feedback=0.5))
    assert (with_cameras.due == first.due).all()
    assert 0.4 < with_cameras.feedback.mean() < 0.6


def test_every_window_comes_equally_often():
    schedule = write_schedule(plan(seconds=None, requests=95))
    assert set(np.bincount(schedule.case, minlength=10)) == {9, 10}
    assert (schedule.camera == -1).all()
    assert not schedule.feedback.any()


@pytest.mark.parametrize("cameras", [1, 4, 10, 25])
def test_cameras_have_unequal_shares_and_windows_of_their_own(cameras):
    schedule = write_schedule(plan(rate=1000, cameras=cameras))
    share = np.bincount(schedule.camera, minlength=cameras) / len(schedule.camera)
    weights = 1 / np.arange(1, cameras + 1)
    assert share == pytest.approx(weights / weights.sum(), abs=0.02)
    seen = [set(schedule.case[schedule.camera == camera]) for camera in range(cameras)]
    assert set().union(*seen) == set(range(10))
    if cameras <= 10:
        assert sum(map(len, seen)) == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"rate": 0},
        {"rate": math.nan},
        {"rate": 1e6},
        {"seconds": 0},
        {"seconds": math.inf},
        {"seconds": None},
        {"requests": 0},
        {"seconds": None, "requests": 10**9},
        {"rate": 50_000, "seconds": 3600},
        {"connections": 0},
        {"timeout": 0},
        {"cameras": -1},
        {"arm": "champion\r\nX-Evil: 1"},
        {"arm": ""},
        {"feedback": 1.5},
        {"feedback_delay": -1},
        {"seed": -1},
        {"cases": ()},
        {"url": "127.0.0.1:3000"},
        {"url": "ftp://here"},
        {"url": "http://"},
        {"url": "http://here:port"},
        {"url": "http://here:0"},
        {"url": "http://[::1"},
        {"url": "http://here/?a=b"},
        {"url": "http://here/\r\nX-Evil: 1"},
    ],
)
def test_an_impossible_plan_cannot_be_made(changes):
    with pytest.raises(UsageError) as refused:
        plan(**changes)
    assert refused.value.hint


@pytest.mark.parametrize("url", ["http://here", "https://here:8443/below/", "http://[::1]:3000"])
def test_addresses(url):
    assert plan(url=url).url == url


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([], (0, None, None, None, None)),
        ([3.0], (1, 3.0, 3.0, 3.0, 3.0)),
        (list(range(1, 101)), (100, 50, 95, 99, 100)),
        (list(range(100, 0, -1)), (100, 50, 95, 99, 100)),
        ([1.0] * 99 + [9.0], (100, 1, 1, 1, 9)),
        ([1.0] * 98 + [9.0] * 2, (100, 1, 1, 9, 9)),
    ],
)
def test_percentiles_are_measurements(seconds, expected):
    latency = Latency.of(seconds)
    assert (latency.n, latency.p50, latency.p95, latency.p99, latency.max) == expected


def answer(number=0, **changes):
    return Answer(
        **{
            "number": number, "due": 100.0 + number, "late": 0.001, "latency": 0.01, "failure": None, "arm": "champion",
            "version": 1, "generation": 5, "recovered": False, "correct": None, "camera": None, **changes,
        }
    )  # fmt: skip


def failure(number, kind):
    return answer(number, failure=kind, arm=None, version=None, generation=None, latency=9.0)


def report(answers, **changes):
    facts = {"planned": 10, "sent": len(answers), "seconds": 2.0, "examples": {}, "feedback": Feedback()}
    return summarize(answers, **{**facts, **changes})


def test_a_report_by_arm_and_version():
    answers = [
        *(answer(i, correct=True) for i in range(6)),
        answer(6, arm="challenger", version=2, correct=False, latency=0.05, generation=6),
        answer(7, recovered=True, latency=0.1, generation=6),
        failure(8, "timeout"),
        failure(9, "status 503"),
        failure(10, "status 503"),
    ]
    done = report(answers, sent=12, planned=20)
    assert (done.requests, done.unfinished, done.failed) == (11, 1, 3)
    assert list(done.failures.items()) == [("status 503", 2), ("timeout", 1)]
    assert done.all.answers == 8
    assert done.all.latency.max == 0.1  # failures are counted, not averaged in
    assert {arm: (part.answers, part.share) for arm, part in done.arms.items()} == {
        "challenger": (1, 0.125),
        "champion": (7, 0.875),
    }
    assert {v: (part.judged, part.correct, part.recovered) for v, part in done.versions.items()} == {
        1: (6, 6, 1),
        2: (1, 0, 0),
    }
    assert done.generations == (5, 6)
    assert done.latency(lambda one: one.due >= 107).n == 1
    assert done.latency(lambda one: one.version == 2).p99 == 0.05


def test_a_report_as_json_holds_the_figures_in_milliseconds():
    said = report([answer(0, correct=True), failure(1, "connection")], examples={"connection": "refused"}).as_dict()
    assert said["all"]["latency"] == {"p50_ms": 10.0, "p95_ms": 10.0, "p99_ms": 10.0, "max_ms": 10.0}
    assert said["versions"]["1"]["correct"] == 1
    assert (said["failed"], said["failures"], said["examples"]) == (1, {"connection": 1}, {"connection": "refused"})
    assert said["rate"] == 1.0


@pytest.mark.parametrize("answers", [[], [failure(0, "timeout")]])
def test_a_report_of_no_answer(answers):
    said = report(answers, seconds=0.0).as_dict()
    assert said["all"]["latency"]["p99_ms"] is None
    assert (said["arms"], said["versions"], said["rate"]) == ({}, {}, None)


def test_the_live_line_says_how_things_stand():
    lines = []
    tally = Tally(plan(seconds=10.0), lambda share, line: lines.append((share, line)))
    for number in range(5):
        tally.add(answer(number))
    tally.add(failure(5, "timeout"))
    shares, texts = zip(*lines, strict=True)
    assert shares[0] == pytest.approx(0.001)
    assert shares == tuple(sorted(shares))
    assert shares[-1] == 1.0  # ten seconds after the first was due
    assert texts[-1] == "6 requests, 1 failed, p99 10 ms, champion 100%"


def test_the_live_line_is_not_written_for_every_answer():
    lines = []
    tally = Tally(plan(seconds=None, requests=1000), lambda share, line: lines.append(share))
    for number in range(1000):
        tally.add(answer(number, due=100 + number / 1000))
    assert len(lines) == pytest.approx(4, abs=1)
    assert lines[-1] <= 1
