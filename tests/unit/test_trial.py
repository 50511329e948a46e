"""A challenger's threads, what asking it comes to, and what a process remembers of a rollout."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from recognizer.errors import GivenUp, InputError, InvalidAnswer, PluginError
from recognizer.rollout.split import Mode, Split
from recognizer.tasks import Prediction
from serving.breaker import State
from serving.canary import Attempt, Skipped, ask, time_left
from serving.crew import Crew
from serving.latency import ENOUGH, NEWEST, Latency
from serving.outcome import run
from serving.servable import Opened, Servable
from serving.trial import SLOW_FLOOR, TrialLimits, Trials
from serving.watch import Watch


class Model:
    """A predictor that does what the case says."""

    task = "any"

    def __init__(self):
        self.go = threading.Event()

    def inputs(self, cases):
        if isinstance(cases[0], InputError):
            raise cases[0]
        return {"case": cases}

    def predict(self, inputs, cancel=None):
        (case,) = inputs["case"]
        if isinstance(case, BaseException):
            raise case
        if case == "hangs" and cancel is not None:  # as a loop of nodes does
            with cancel.stopping(self.go.set):
                self.go.wait(20)
            raise GivenUp("given up")
        if case == "deaf":  # as one endless kernel does
            self.go.wait(20)
        return Prediction({"scores": np.array([[0.25, 0.75]], np.float32)})


def servable(version=2):
    made = Servable("any", version, f"digest-{version}")
    model = Model()
    made.load(lambda: Opened(model, SimpleNamespace(classes=("a", "b"))))
    made.model = model
    return made


def split(mode=Mode.CANARY, share=0.05, rollout=1):
    return Split("any", rollout, mode, 2, "digest-2", share, "salt")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def trials(clock):
    made = Trials("w", clock=clock)
    yield made
    made.stop()


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("case", "signal"),
    [
        ("fine", None),
        (InputError("no use"), None),
        (InvalidAnswer("NaN"), "invalid"),
        (PluginError("broken"), "error"),
        (RuntimeError("anything"), "error"),
        (MemoryError("no room"), "error"),
        (GivenUp("late"), "slow"),
        (SystemExit(3), "error"),
    ],
)
def test_outcomes(case, signal):
    model = servable()
    outcome = run(model, case)
    assert outcome.signal == signal
    assert (outcome.prediction is None) == (case != "fine")
    assert outcome.bad(60) == frozenset({signal} - {None})
    assert outcome.bad(0) == frozenset({signal, "slow"} - {None})
    assert model.in_flight == 0


@pytest.mark.parametrize(
    ("deadline", "elapsed", "p99", "left"),
    [
        (1.0, 0.0, 0.1, 0.9),
        (1.0, 0.3, 0.1, 0.6),
        (1.0, 0.45, 0.1, 0.45),
        (1.0, 0.46, 0.1, 0.0),  # it was late before the model was asked
        (1.0, 0.0, None, 0.5),
        (1.0, 0.95, 0.1, 0.0),
        (1.0, 0.0, 2.0, 0.0),
    ],
)
def test_time_left(deadline, elapsed, p99, left):
    assert time_left(deadline, elapsed, p99) == pytest.approx(left)


@pytest.mark.parametrize(
    ("case", "signal"),
    [("fine", None), (RuntimeError("broken"), "error"), (InvalidAnswer("NaN"), "invalid"), (MemoryError(), "error")],
)
def test_asking(trials, case, signal):
    trial = trials.adopt(split(), Latency())
    attempt = ask(trial, servable(), case, 5.0)
    assert attempt.skipped is None
    assert attempt.outcome.signal == signal
    for _ in range(2):
        ask(trial, servable(), case, 5.0)
    assert trial.breaker.state is (State.CLOSED if signal is None else State.OPEN)


def test_what_is_no_evidence_does_not_open_the_breaker(trials):
    trial = trials.adopt(split(), Latency())
    for _ in range(10):
        assert ask(trial, servable(), RuntimeError("broken"), 5.0, counts=False).outcome.signal == "error"
        assert ask(trial, servable(), InputError("no use"), 5.0).outcome.signal is None
    assert trial.breaker.state is State.CLOSED


def test_reasons_not_to_ask(trials):
    trial, model = trials.adopt(split(), Latency()), servable()
    assert ask(trial, model, "fine", 0.0) == Attempt(skipped=Skipped.LATE)
    calls = [trial.crew.start(model, "hangs") for _ in range(2)]
    assert ask(trial, model, "fine", 5.0) == Attempt(skipped=Skipped.BUSY)
    assert (trial.busy, trial.late) == (1, 1)
    trial.breaker.trip("test")
    assert ask(trial, model, "fine", 5.0) == Attempt(skipped=Skipped.BREAKER)
    for call in calls:
        trial.crew.give_up(call)
    until(lambda: trial.crew.busy == 0)
    assert model.in_flight == 0


def test_an_overdue_run_is_given_up_and_its_thread_comes_back(trials):
    trial, model = trials.adopt(split(), Latency()), servable()
    attempt = ask(trial, model, "hangs", 0.01)
    assert attempt.outcome.signal == "slow"
    assert "10 ms" in attempt.outcome.what
    until(lambda: trial.crew.busy == 0)
    trials.watch()
    assert (trials.stuck, trial.breaker.state) == (0, State.CLOSED)


def test_threads_that_do_not_come_back(trials, clock):
    trial, model = trials.adopt(split(), Latency()), servable()
    for stuck in (1, 2):
        assert ask(trial, model, "deaf", 0.01).outcome.signal == "slow"
        clock.now += 0.5
        trials.watch()
        assert trial.crew.stuck == stuck - 1  # it may still come back
        clock.now += 1.0
        trials.watch()
        assert (trial.crew.stuck, trial.breaker.state) == (stuck, State.OPEN)
        assert f"{stuck} of 2 challenger threads" in trial.breaker.reason
        clock.now += 30
    assert ask(trial, model, "fine", 5.0).skipped is Skipped.BUSY
    trials.watch()
    assert trial.breaker.state is State.HALF_OPEN  # told once, not again and again
    model.model.go.set()
    until(lambda: trial.crew.busy == 0)
    assert ask(trial, model, "fine", 5.0).outcome.prediction is not None


def test_stuck_threads_are_bounded_over_all_rollouts(clock):
    trials, models = Trials("w", TrialLimits(threads=1), clock=clock), []
    for rollout in range(1, 6):
        trial, model = trials.adopt(split(rollout=rollout), Latency()), servable()
        models.append(model)
        attempt = ask(trial, model, "deaf", 0.01)
        assert (attempt.skipped is Skipped.BUSY) == (rollout > 4)
        trials.keep(())
        clock.now += 2
        trials.watch()
        assert trials.stuck == min(rollout, 4)
    for model in models:
        model.model.go.set()
    until(lambda: trials.stuck == 0)


def test_the_end_of_a_rollout_gives_up_what_is_in_flight(trials):
    trial, model = trials.adopt(split(), Latency()), servable()
    attempts = []
    waiting = threading.Thread(target=lambda: attempts.append(ask(trial, model, "hangs", 20.0)))
    waiting.start()
    until(lambda: trial.crew.busy)
    trials.keep({2})
    waiting.join(5)
    assert attempts == [Attempt()]
    assert trial.ended
    assert trial.breaker.state is State.CLOSED
    assert ask(trial, model, "fine", 5.0).skipped is Skipped.ENDED
    until(lambda: model.in_flight == 0)


def test_a_servable_that_takes_no_more_is_not_asked():
    crew, model = Crew(2), servable()
    model.quiesce("superseded")
    assert crew.start(model, "fine") is None
    assert crew.busy == 0


def latency(seconds, count=ENOUGH):
    made = Latency()
    for _ in range(count):
        made.add(seconds)
    return made


@pytest.mark.parametrize(
    ("times", "limit"), [(Latency(), SLOW_FLOOR), (latency(0.001), SLOW_FLOOR), (latency(0.1), 0.3)]
)
def test_what_is_slow(trials, times, limit):
    trial = trials.adopt(split(), times)
    assert trial.slow_after == pytest.approx(limit)


def test_the_limit_is_frozen_at_the_start_of_a_step(trials):
    times = latency(0.1)
    trial = trials.adopt(split(), times)
    for _ in range(NEWEST):
        times.add(0.2)
    assert trials.adopt(split(), times) is trial
    assert trial.slow_after == pytest.approx(0.3)
    trials.adopt(split(share=0.09), times)
    assert trial.slow_after == pytest.approx(0.6)
    trials.adopt(split(Mode.BAKE), latency(0.5))
    assert trial.slow_after == pytest.approx(0.6)


def test_quantiles():
    times = Latency()
    for i in range(ENOUGH):
        assert times.quantile(0.5) is None
        times.add(i)
    assert (times.quantile(0.0), times.quantile(0.5), times.quantile(1.0)) == (0, ENOUGH // 2, ENOUGH - 1)
    for _ in range(NEWEST):
        times.add(7.0)
    assert times.quantile(0.99) == 7.0


def test_a_rollout_that_comes_back_goes_on_counting(trials):
    for sequence in (1, 2):
        trial = trials.adopt(split(), Latency())
        trial.evidence.count(frozenset(), new=True)
        trials.keep(())
        trials.watch()
        ((rollout, batch),) = trials.flush()  # what an ended rollout said last is not lost
        assert (rollout, batch.sequence) == (1, sequence)
    assert trials.flush() == []


def test_a_watch_gives_up_what_is_late(clock):
    watch, told = Watch(grace=1.0, clock=clock), []
    with watch.until(5.0, lambda: told.append("stuck")) as cancel:
        for now, given_up, stuck in [(4.9, False, 0), (5.0, True, 0), (5.9, True, 0), (6.0, True, 1), (9.0, True, 1)]:
            clock.now = now
            watch.tick()
            assert (cancel.given_up, watch.stuck) == (given_up, stuck)
    assert told == ["stuck"]
    assert watch.stuck == 0
