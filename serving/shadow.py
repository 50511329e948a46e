"""Shadow: the other model answers a request too, off its path, and the two answers are compared."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Any

import numpy as np
import structlog

from recognizer.tasks import Prediction
from serving.crew import GRACE
from serving.outcome import Outcome, run
from serving.servable import Servable
from serving.trial import Trial
from serving.watch import Watch

LOWEST_PRIORITY = 19


@dataclass(frozen=True)
class Job:
    """One request to be answered once more.

    Attributes:
        trial: whose evidence it is.
        case: the request's case.
        outcome, classes: what was answered on its path, and the names of that model's classes.
        servable: who answers it now; entered, so that it stays loaded until then.
        new: whether that is the new model; else it is the old one.
    """

    trial: Trial
    case: Any
    outcome: Outcome
    classes: Sequence[str]
    servable: Servable
    new: bool


class Shadow:
    """A bounded queue and one thread. Requests that find the queue full are left out and counted.

    Attributes:
        dropped: requests that were left out.
        done: requests that were answered twice.
    """

    def __init__(self, size: int, seconds: float, watch: Watch) -> None:
        """`seconds` is the time after which a run is given up."""
        self.dropped = 0
        self.done = 0
        self._seconds = seconds
        self._watch = watch
        self._jobs: Queue[Job | None] = Queue(size)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)  # it may hang in a kernel
        self._log = structlog.get_logger("recognizer.serving")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Drop what waits; a run that hangs is not waited for."""
        self._stopping.set()
        with contextlib.suppress(Full):
            self._jobs.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(GRACE)
        with contextlib.suppress(Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job.servable.leave()

    def offer(
        self, trial: Trial, case: Any, *, answered_by: Servable, outcome: Outcome, servable: Servable, new: bool
    ) -> bool:
        """Let `servable` answer a request that `answered_by`, which it still holds, just answered.

        Returns:
            False when there is no room for it.
        """
        if self._stopping.is_set() or self._jobs.full() or not servable.enter():
            self.dropped += 1
            return False
        try:
            self._jobs.put_nowait(Job(trial, case, outcome, answered_by.opened.card.classes, servable, new))
        except Full:
            servable.leave()
            self.dropped += 1
            return False
        return True

    def as_dict(self) -> dict[str, object]:
        return {"done": self.done, "dropped": self.dropped, "waiting": self._jobs.qsize()}

    def _work(self) -> None:
        lower_priority()
        while (job := self._jobs.get()) is not None and not self._stopping.is_set():
            try:
                self._answer(job)
            except Exception:
                self._log.exception("a shadow could not be compared")
            finally:
                job.servable.leave()
            del job  # no model and no request is kept alive while it waits
        if job is not None:
            job.servable.leave()

    def _answer(self, job: Job) -> None:
        if job.trial.ended:
            return
        digest = job.servable.digest
        noted = job.trial.crumb.during(digest) if job.new else contextlib.nullcontext()
        with self._watch.until(self._seconds, self._stuck(job), suspect=job.new) as cancel, noted:
            outcome = run(job.servable, job.case, cancel)
        self.done += 1
        if job.trial.ended:
            return
        if outcome.prediction is None and outcome.signal is None:
            return  # the request was to blame
        new, old = (outcome, job.outcome) if job.new else (job.outcome, outcome)
        classes = job.servable.opened.card.classes
        agree, shift = compare(outcome.prediction, classes, job.outcome.prediction, job.classes)
        job.trial.pair(new, old, agree=agree, shift=shift)

    def _stuck(self, job: Job) -> Callable[[], None]:
        return lambda: job.trial.breaker.trip(f"version {job.servable.version} does not come back from a shadow")


def compare(
    first: Prediction | None, classes: Sequence[str], second: Prediction | None, others: Sequence[str]
) -> tuple[bool | None, float | None]:
    """Whether both answered the same label, and how far their scores lie apart; None where one did not answer.

    Labels are compared by name: two versions may order their classes differently.
    """
    if first is None or second is None:
        return None, None
    agree = classes[int(first.labels[0])] == others[int(second.labels[0])]
    if classes != others:
        return agree, None
    return agree, float(np.abs(first.scores[0] - second.scores[0]).sum() / 2)


def lower_priority() -> None:
    """Let every other thread go first. Linux gives each thread a priority of its own; elsewhere nothing is changed."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
