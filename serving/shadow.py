"""Shadow: the other model answers a request too, off its path, and the two answers are compared."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import structlog

from recognizer.errors import NotFound
from recognizer.evaluator import Evaluator
from recognizer.tasks import Prediction, load_evaluator
from serving.crew import GRACE
from serving.outcome import Outcome, blameless, run
from serving.servable import Servable
from serving.trial import Trial
from serving.watch import Watch

IDLE_SECONDS = 0.05
"""How long a shadow waits for a moment without requests before it runs all the same."""
LOOK_SECONDS = 0.003


@dataclass(frozen=True)
class Job:
    """One request to be answered once more.

    Attributes:
        trial: whose evidence it is.
        case: the request's case.
        outcome, classes: what was answered on its path, and the names of that model's classes.
        servable: who answers it now; entered, so that it stays loaded until then.
        new: whether that is the new model; else it is the old one.
        timed: whether the two times may be compared.
    """

    trial: Trial
    case: Any
    outcome: Outcome
    classes: Sequence[str]
    servable: Servable
    new: bool
    timed: bool


class Shadow:
    """A few places and one thread. Requests that find no place are left out and counted.

    The thread keeps out of the way by taking turns: it computes for a small share of the time, and waits for a moment
    without requests. A low priority would do more harm than good: a thread that waits for a core while it holds the
    interpreter's lock makes every request wait with it.

    Args:
        places: requests that wait at once.
        seconds: after which a run is given up.
        duty: share of the time in which it computes, in (0, 1].
        busy: whether requests are being answered.

    Attributes:
        dropped: requests that were left out.
        done: requests that were answered twice.
    """

    def __init__(
        self, places: int, seconds: float, watch: Watch, *, duty: float = 1.0, busy: Callable[[], bool] = lambda: False
    ) -> None:
        self.dropped = 0
        self.done = 0
        self._seconds = seconds
        self._watch = watch
        self._rest = 1 / duty - 1
        self._busy = busy
        self._evaluators: dict[str, Evaluator | None] = {}
        self._places = threading.Semaphore(places)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)  # it may hang in a kernel
        self._log = structlog.get_logger("recognizer.serving")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Drop what waits; a run that hangs is not waited for."""
        self._stopping.set()
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(GRACE)
        while (job := self._next()) is not None:
            job.servable.leave()

    def reserve(self) -> bool:
        """Take a place, to be filled by `offer` or given back; False when there is none.

        Whoever pairs requests takes it before the outcome is known: places that only some outcomes need would leave
        out the others.
        """
        if not self._stopping.is_set() and self._places.acquire(blocking=False):
            return True
        self.dropped += 1
        return False

    def give_back(self) -> None:
        self._places.release()

    def offer(self, job: Job) -> None:
        """Let `job.servable` answer too; the caller holds a place and, still, the servable."""
        if job.servable.enter():
            self._jobs.put(job)
        else:
            self.give_back()

    def as_dict(self) -> dict[str, object]:
        return {"done": self.done, "dropped": self.dropped, "waiting": self._jobs.qsize()}

    def _next(self) -> Job | None:
        try:
            job = self._jobs.get_nowait()
            return self._next() if job is None else job
        except Empty:
            return None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if not job.trial.ended and not self._stopping.is_set():
                    self._keep_out_of_the_way()
                    started = time.perf_counter()
                    self._answer(job)
                    self._stopping.wait((time.perf_counter() - started) * self._rest)
            except Exception:
                self._log.exception("a shadow could not be compared")
            finally:
                job.servable.leave()
                self._places.release()
            del job  # no model and no request is kept alive while it waits

    def _keep_out_of_the_way(self) -> None:
        patience = time.perf_counter() + IDLE_SECONDS
        while self._busy() and time.perf_counter() < patience:
            self._stopping.wait(LOOK_SECONDS)

    def _answer(self, job: Job) -> None:
        digest = job.servable.digest
        noted = job.trial.crumb.during(digest) if job.new else contextlib.nullcontext()
        with self._watch.until(self._seconds, self._stuck(job), suspect=job.new) as cancel, noted:
            outcome = run(job.servable, job.case, cancel)
        self.done += 1
        if job.trial.ended or blameless(outcome):
            return
        new, old = (outcome, job.outcome) if job.new else (job.outcome, outcome)
        classes = job.servable.opened.card.classes
        evaluator = self._evaluator(job.servable.task)
        agree, shift = compare(evaluator, outcome.prediction, classes, job.outcome.prediction, job.classes)
        job.trial.pair(new, old, timed=job.timed, agree=agree, shift=shift)

    def _evaluator(self, task: str) -> Evaluator | None:
        """Looked up once: to search all entry points takes milliseconds. None for a plug-in that brings none."""
        if task not in self._evaluators:
            try:
                self._evaluators[task] = load_evaluator(task)
            except NotFound:
                self._evaluators[task] = None
        return self._evaluators[task]

    def _stuck(self, job: Job) -> Callable[[], None]:
        return lambda: job.trial.breaker.trip(f"version {job.servable.version} does not come back from a shadow")


def compare(
    evaluator: Evaluator | None,
    first: Prediction | None,
    classes: Sequence[str],
    second: Prediction | None,
    others: Sequence[str],
) -> tuple[bool | None, float | None]:
    """Whether both answered the same, and how far their answers lie apart; None where nobody can say.

    evaluator: of the task; None where it has none.
    """
    if evaluator is None or first is None or second is None:
        return None, None
    found = evaluator.compare(first.answers, second.answers, classes, others)
    return bool(found.same[0]), found.farthest
