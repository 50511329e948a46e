"""A shadow keeps out of the way, never grows, and compares by name."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from recognizer.action.evaluator import SCORES, ActionEvaluator
from recognizer.rollout.split import Mode, Split
from recognizer.tasks import Prediction
from serving.latency import Latency
from serving.outcome import Outcome
from serving.servable import Opened, Servable, State
from serving.shadow import IDLE_SECONDS, Job, Shadow, compare
from serving.trial import Trials
from serving.watch import Watch

CLASSES = ("a", "b")


def prediction(*scores):
    return Prediction({SCORES: np.array([scores], np.float32)})


class Model:
    """Answers `b` once it is let."""

    def __init__(self, seconds=0.0):
        self.go, self.asked, self.seconds = threading.Event(), 0, seconds
        self.go.set()

    def inputs(self, cases):
        return {}

    def predict(self, inputs, cancel=None):
        self.asked += 1
        self.go.wait(10)
        time.sleep(self.seconds)
        return prediction(0.25, 0.75)


class Bench:
    def __init__(self, request, seconds=0.0, **options):
        self.model = Model(seconds)
        self.servable = Servable("action", 2, "digest-2")
        self.servable.load(lambda: Opened(self.model, SimpleNamespace(classes=CLASSES)))
        split = Split("action", 1, Mode.SHADOW, 2, "digest-2", 0.0, "salt")
        self.trials = Trials("w")
        self.trial = self.trials.adopt(split, Latency())
        self.shadow = Shadow(**{"places": 2, "seconds": 5.0, "watch": Watch(), **options})
        self.shadow.start()
        request.addfinalizer(self.shadow.stop)
        request.addfinalizer(self.model.go.set)

    def offer(self, count=1):
        """How many of them found a place."""
        outcome, placed = Outcome(prediction(0.75, 0.25), 0.001), 0
        for _ in range(count):
            if self.shadow.reserve():
                placed += 1
                self.shadow.offer(Job(self.trial, "case", outcome, CLASSES, self.servable, new=True, timed=True))
        return placed

    def until(self, condition):
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_a_job_becomes_a_pair(request):
    bench = Bench(request)
    assert bench.offer() == 1
    bench.until(lambda: not bench.trial.evidence.empty)
    batch = bench.trial.evidence.flush()
    assert (batch.compared, batch.disagreed) == (1, 1)
    assert bench.trial.evidence.as_dict()["mean_score_shift"] == 0.5
    bench.until(lambda: bench.servable.in_flight == 0)


def test_what_finds_no_place_is_counted(request):
    bench = Bench(request)
    bench.model.go.clear()
    assert bench.offer(10) == 2
    assert bench.shadow.dropped == 8
    bench.model.go.set()
    bench.until(lambda: bench.shadow.done == 2 and bench.servable.in_flight == 0)
    assert bench.offer(2) == 2


def test_a_place_that_is_given_back_is_free(request):
    bench = Bench(request, places=1)
    assert bench.shadow.reserve()
    assert not bench.shadow.reserve()
    bench.shadow.give_back()
    assert bench.shadow.reserve()


def test_it_computes_for_its_share_of_the_time_only(request):
    bench = Bench(request, seconds=0.02, duty=0.1, places=100)
    bench.offer(100)
    time.sleep(1.0)
    assert 2 <= bench.shadow.done <= 7  # at 0.2 s each


def test_it_waits_for_a_quiet_moment_but_not_for_ever(request):
    busy = threading.Event()
    busy.set()
    bench = Bench(request, busy=busy.is_set)
    started = time.monotonic()
    bench.offer()
    bench.until(lambda: bench.model.asked)
    assert time.monotonic() - started >= IDLE_SECONDS


def test_the_end_of_a_rollout_leaves_nothing_to_do(request):
    bench = Bench(request)
    bench.model.go.clear()
    bench.offer(2)
    bench.until(lambda: bench.model.asked)
    bench.trials.keep(())
    bench.model.go.set()
    bench.until(lambda: bench.servable.in_flight == 0)
    assert bench.model.asked == 1
    assert bench.trial.evidence.empty


def test_stopping_leaves_the_servables(request):
    bench = Bench(request)
    bench.model.go.clear()
    bench.offer(2)
    bench.until(lambda: bench.model.asked)
    threading.Timer(0.05, bench.model.go.set).start()
    bench.shadow.stop()
    bench.until(lambda: bench.servable.in_flight == 0)
    assert bench.offer() == 0
    bench.servable.quiesce("done")
    assert bench.servable.unload()
    assert bench.servable.state is State.UNLOADED


@pytest.mark.parametrize(
    ("first", "classes", "second", "others", "agree", "shift"),
    [
        (prediction(0.75, 0.25), "ab", prediction(0.75, 0.25), "ab", True, 0.0),
        (prediction(0.75, 0.25), "ab", prediction(0.25, 0.75), "ab", False, 0.5),
        (prediction(0.75, 0.25), "ab", prediction(0.25, 0.75), "ba", True, None),
        (prediction(0.75, 0.25), "ab", prediction(0.2, 0.2, 0.6), "abc", False, None),
        (None, "ab", prediction(0.75, 0.25), "ab", None, None),
        (prediction(0.75, 0.25), "ab", None, "ab", None, None),
    ],
)
def test_comparing(first, classes, second, others, agree, shift):
    assert compare(ActionEvaluator(), first, classes, second, others) == (agree, shift)
