"""One run of one model on one case: what came out, how long it took, and what was bad about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from recognizer.errors import GivenUp, InputError, InvalidAnswer, PluginError
from recognizer.judge.limits import LATE
from recognizer.tasks import Cancel, Prediction
from serving.servable import Servable

LATE_SECONDS = 0.5
"""The absolute limit: of a model's answers 95 % are to be faster."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        prediction: what was answered; None when the run failed.
        seconds: the model's own time, from the case to the answer, without any waiting for a thread.
        error: why there is no prediction.
        signal: which kind of bad event that is, of `recognizer.judge.evidence.SIGNALS`; None when nothing is wrong with
            the model: it answered, or the request was to blame.
    """

    prediction: Prediction | None
    seconds: float
    error: BaseException | None = None
    signal: str | None = None

    @property
    def what(self) -> str:
        """Why it failed, in a line."""
        text = str(self.error).splitlines() or [""]
        return f"{type(self.error).__name__}: {text[0]}"

    def bad(self, slow_after: float) -> frozenset[str]:
        """All bad events of this run; an answer that takes longer than `slow_after` seconds is slow.

        Late is what breaks the absolute limit, whatever the other model does.
        """
        slow = {"slow"} if self.seconds > slow_after else set()
        if self.seconds > LATE_SECONDS:
            slow.add(LATE)
        return frozenset(slow if self.signal is None else slow | {self.signal})


def run(servable: Servable, case: Any, cancel: Cancel | None = None) -> Outcome:
    """Ask the model. Never raises: whatever a model does, its caller has somebody else to ask."""
    started = time.perf_counter()
    try:
        predictor = servable.opened.predictor
        inputs = predictor.inputs([case])
        prediction = predictor.predict(inputs) if cancel is None else predictor.predict(inputs, cancel)
    except BaseException as raised:  # MemoryError too
        error = cancel.why if cancel is not None and cancel.why is not None else raised
        return Outcome(None, time.perf_counter() - started, error, _signal(error))
    seconds = time.perf_counter() - started
    servable.latency.add(seconds)
    return Outcome(prediction, seconds)


def blameless(outcome: Outcome) -> bool:
    """Whether it failed because of the request, which says nothing about the model."""
    return outcome.prediction is None and outcome.signal is None


def overdue(servable: Servable, seconds: float) -> Outcome:
    """What is noted of a run that was not waited for any longer."""
    error = GivenUp(
        f"version {servable.version} did not answer within {seconds * 1000:.0f} ms",
        where=f"task {servable.task}",
        hint="send it again; raise RECOGNIZER_DEADLINE_MS if the model needs longer",
    )
    return Outcome(None, seconds, error, "slow")


def stopped(why: Exception, seconds: float) -> Outcome:
    """What is noted of a run that was given up for what it did."""
    return Outcome(None, seconds, why, "error")


def raised(outcome: Outcome) -> Exception:
    """The error for the client when nobody else could answer; never one that would end the process."""
    if isinstance(outcome.error, Exception):
        return outcome.error
    return PluginError(f"the model failed: {outcome.what}", hint="promote another version")


def _signal(error: BaseException) -> str | None:
    if isinstance(error, InputError):
        return None
    if isinstance(error, GivenUp):
        return "slow"
    return "invalid" if isinstance(error, InvalidAnswer) else "error"
