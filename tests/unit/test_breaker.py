"""When a breaker opens and closes, how fast, and that noise alone does not open it."""

import random

import pytest

from serving.breaker import (
    IN_A_ROW,
    RELAPSES,
    TRANSITIONS,
    WINDOW,
    Breaker,
    BreakerLimits,
    Event,
    State,
)


class Bench:
    """A breaker and a clock that is turned by hand."""

    def __init__(self, **limits):
        self.now = 0.0
        self.breaker = Breaker(BreakerLimits(**limits), clock=lambda: self.now)

    def calls(self, text):
        """One call per letter: `.` succeeds, `x` fails; the states after each."""
        return [self.call(letter == ".") for letter in text]

    def call(self, ok):
        ticket = self.breaker.allow()
        if ticket is not None:
            self.breaker.record(ticket, ok)
        return self.breaker.state


def test_the_table_is_whole():
    assert {state for state, _ in TRANSITIONS} == set(State) == set(TRANSITIONS.values())
    assert {event for _, event in TRANSITIONS} == set(Event)
    assert all((state, Event.TRIPPED) in TRANSITIONS for state in State)


@pytest.mark.parametrize(
    ("calls", "state"),
    [
        ("", State.CLOSED),
        ("." * 100, State.CLOSED),
        ("x" * (IN_A_ROW - 1), State.CLOSED),
        ("x" * IN_A_ROW, State.OPEN),
        (".xx.xx.", State.CLOSED),
        (".xx.xx.x", State.OPEN),
        ("x.x.x.x.", State.CLOSED),
        ("x.x.x.x.x", State.OPEN),
        (("x" + "." * 9) * 5, State.OPEN),
        (("x" + "." * 12) * 40, State.CLOSED),
        ("x" + "." * (WINDOW - 1) + "x.x.x.x", State.CLOSED),
    ],
)
def test_failures_that_open(calls, state):
    bench = Bench()
    bench.calls(calls)
    assert bench.breaker.state is state
    assert bench.breaker.opened == (state is State.OPEN)
    if state is State.OPEN:
        assert "calls failed" in bench.breaker.reason
        assert bench.breaker.allow() is None


def test_open_half_open_closed():
    bench = Bench(seconds=30, successes=3)
    bench.calls("xxx")
    bench.now = 29.9
    assert bench.breaker.allow() is None
    bench.now = 30
    assert bench.breaker.state is State.HALF_OPEN
    ticket = bench.breaker.allow()
    assert bench.breaker.allow() is None  # one probe at a time
    bench.breaker.record(ticket, True)
    assert bench.calls("..") == [State.HALF_OPEN, State.CLOSED]


def test_a_failed_probe_opens_again_for_the_whole_pause():
    bench = Bench(seconds=30)
    bench.calls("xxx")
    bench.now = 30
    assert bench.calls("..x") == [State.HALF_OPEN, State.HALF_OPEN, State.OPEN]
    assert "a probe failed" in bench.breaker.reason
    bench.now = 59.9
    assert bench.breaker.state is State.OPEN
    bench.now = 60
    assert bench.breaker.state is State.HALF_OPEN
    assert bench.breaker.opened == 2


def test_a_relapse_is_told_until_it_closes():
    bench = Bench(seconds=30, successes=3)
    bench.calls("xxx")
    bench.breaker.trip("a thread does not come back")  # opened twice, and no pause between
    for number in range(RELAPSES):
        assert not bench.breaker.relapsed
        bench.now += 30
        bench.calls(".x" if number == 1 else "x")
    assert bench.breaker.relapsed
    bench.now += 30
    assert bench.breaker.state is State.HALF_OPEN
    assert bench.breaker.relapsed
    bench.calls("...")
    assert not bench.breaker.relapsed
    bench.calls("xxx")
    bench.now += 30
    bench.calls("x")
    assert not bench.breaker.relapsed


def test_a_probe_that_says_nothing_makes_room_for_the_next():
    bench = Bench()
    bench.calls("xxx")
    bench.now = 30
    bench.breaker.abandon(bench.breaker.allow())
    assert bench.calls("...") == [State.HALF_OPEN, State.HALF_OPEN, State.CLOSED]


def test_what_was_asked_before_it_opened_counts_no_more():
    bench = Bench()
    late = bench.breaker.allow()
    bench.calls("xxx")
    bench.now = 30
    probe = bench.breaker.allow()
    bench.breaker.record(late, False)
    bench.breaker.abandon(late)
    assert bench.breaker.state is State.HALF_OPEN
    assert bench.breaker.allow() is None
    bench.breaker.record(probe, True)
    assert bench.breaker.allow() is not None


@pytest.mark.parametrize("before", ["", "xxx"])
def test_tripped(before):
    bench = Bench()
    bench.calls(before)
    bench.now = 10
    bench.breaker.trip("a thread does not come back")
    assert bench.breaker.as_dict() == {
        "state": "OPEN",
        "reason": "a thread does not come back",
        "opened": 1 + bool(before),
    }
    bench.now = 39
    assert bench.breaker.state is State.OPEN
    bench.now = 40
    assert bench.breaker.state is State.HALF_OPEN


def seconds_to_open(random_, share, failing, before="", requests=100):
    """At `requests` a second, of which the share comes here."""
    bench = Bench()
    bench.calls(before)
    while bench.breaker.state is State.CLOSED:
        bench.now += 1 / requests
        if random_.random() < share:
            bench.call(random_.random() >= failing)
    return bench.now


@pytest.mark.parametrize(
    ("before", "share", "failing", "quantile", "seconds"),
    [
        ("." * 200, 0.09, 1.0, 0.95, 1.0),
        ("." * 200, 0.09, 0.2, 0.9, 5.0),
        ("." * 200, 0.05, 1.0, 0.85, 1.0),
        ("." * 200, 0.05, 0.2, 0.5, 5.0),
    ],
    ids=["breaks, 9 %", "a fifth, 9 %", "breaks, 5 %", "a fifth, 5 %"],
)
def test_how_fast_it_opens(before, share, failing, quantile, seconds):
    random_ = random.Random(7)
    times = sorted(seconds_to_open(random_, share, failing, before) for _ in range(400))
    assert times[int(quantile * len(times))] <= seconds


def test_noise_does_not_open_it():
    bench, random_ = Bench(), random.Random(7)
    for _ in range(300_000):
        bench.call(random_.random() >= 0.002)
    assert bench.breaker.opened == 0
