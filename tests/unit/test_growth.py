"""A run that needs too much memory is given up, and it is an error of its model."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from recognizer.errors import GivenUp
from recognizer.rollout.split import Mode, Split
from recognizer.tasks import Prediction
from serving.canary import ask
from serving.crew import Crew
from serving.growth import Memory, count_kills
from serving.latency import Latency
from serving.outcome import run
from serving.servable import Opened, Servable
from serving.trial import Trials
from serving.watch import Watch

MB = 2**20


class Held:
    """The process's memory, as the test wants it."""

    def __init__(self):
        self.bytes = 100 * MB
        self.memory = Memory(50 * MB, lambda: self.bytes)

    def grow(self, megabytes):
        self.bytes += megabytes * MB


class Hoards:
    """A predictor that runs until it is given up."""

    task = "any"

    def __init__(self):
        self.runs = threading.Event()
        self.stopped = threading.Event()

    def inputs(self, cases):
        return {}

    def predict(self, inputs, cancel=None):
        with cancel.stopping(self.stopped.set):
            self.runs.set()
            assert self.stopped.wait(20)
        if cancel.given_up:
            raise GivenUp("given up")
        return Prediction({"scores": np.ones((1, 1), np.float32)})


def servable():
    made, model = Servable("any", 2, "d" * 64), Hoards()
    made.load(lambda: Opened(model, SimpleNamespace(classes=("a",))))
    return made, model


@pytest.mark.parametrize(("grown", "said"), [(0, None), (50, None), (51, "grew by 51 MB"), (-20, None)])
def test_how_much_is_too_much(grown, said):
    held = Held()
    before = held.memory.resident
    held.grow(grown)
    assert held.memory.excess(before) is None  # nobody has looked yet
    held.memory.tick()
    why = held.memory.excess(before)
    assert (why is None) == (said is None)
    assert said is None or said in str(why)


def test_without_a_limit_nothing_is_too_much():
    assert Memory().excess(-(10**15)) is None


def test_a_challenger_that_hoards_is_given_up_as_an_error():
    held = Held()
    trials = Trials("w", memory=held.memory)
    trial = trials.adopt(Split("any", 1, Mode.CANARY, 2, "d" * 64, 0.05, "s"), Latency())
    made, model = servable()
    attempts = []
    thread = threading.Thread(target=lambda: attempts.append(ask(trial, made, "case", 20.0)))
    thread.start()
    assert model.runs.wait(20)
    trials.watch()
    assert not attempts
    held.grow(60)
    held.memory.tick()
    trials.watch()
    thread.join(20)
    assert attempts[0].outcome.signal == "error"
    assert "grew by 60 MB" in attempts[0].outcome.what
    trials.stop()


@pytest.mark.parametrize("suspect", [True, False])
def test_only_suspects_are_given_up_for_memory(suspect):
    held, (made, model) = Held(), servable()
    watch, outcomes = Watch(held.memory), []

    def work():
        with watch.until(20.0, lambda: None, suspect=suspect) as cancel:
            outcomes.append(run(made, "case", cancel))

    thread = threading.Thread(target=work)
    thread.start()
    assert model.runs.wait(20)
    held.grow(60)
    watch.tick()
    assert model.stopped.wait(0.2) == suspect
    model.stopped.set()
    thread.join(20)
    assert outcomes[0].signal == ("error" if suspect else None)


def test_a_run_that_began_after_the_growth_is_not_blamed():
    held = Held()
    held.grow(60)
    held.memory.tick()
    crew, (made, model) = Crew(1, memory=held.memory), servable()
    call = crew.start(made, "case")
    assert model.runs.wait(20)
    crew.watch_memory()
    assert call.given_up_at is None
    model.stopped.set()
    assert call.wait(20).signal is None
    crew.stop()


GROWS = """
import numpy as np
from serving.growth import resident_bytes
before = resident_bytes()
kept = np.ones(64 * 2**20, np.uint8)
print(resident_bytes() - before)
"""


def test_the_memory_of_this_process():
    """In a process of its own: from one that is large the system may take cold pages away meanwhile."""
    told = subprocess.run([sys.executable, "-c", GROWS], check=True, capture_output=True, text=True).stdout
    assert 50 * MB < int(told) < 80 * MB
    assert count_kills() >= -1
