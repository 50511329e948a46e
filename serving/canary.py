"""Ask a challenger without risk: whatever it does, the caller hears of it in time to ask the champion."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from recognizer.errors import PluginError
from serving.breaker import State as BreakerState
from serving.outcome import Outcome, blameless, overdue, stopped
from serving.servable import Servable
from serving.trial import Trial

UNMEASURED = 0.5
"""Share of the deadline that is kept for a champion whose p99 is not known yet."""


class Skipped(StrEnum):
    """Why a challenger was not asked."""

    BREAKER = "its breaker is open"
    BUSY = "all its threads are busy"
    ENDED = "its rollout ended"
    LATE = "the request's deadline leaves no time for it"


@dataclass(frozen=True)
class Attempt:
    """What became of asking.

    Attributes:
        outcome: of the challenger; None when there is nothing to say about it.
        skipped: why it was not asked; None when it was. Without both, the rollout ended meanwhile.
        probe: it was asked to see whether its breaker may close, which is no evidence.
    """

    outcome: Outcome | None = None
    skipped: Skipped | None = None
    probe: bool = False


def time_left(deadline: float, elapsed: float, champion_p99: float | None) -> float:
    """Seconds a challenger may take, so that the champion can still answer within the request's deadline.

    None are left when more than half of them has passed before it is asked: how late a request is says nothing about
    the model, which would be blamed for it.
    """
    most = deadline - (deadline * UNMEASURED if champion_p99 is None else champion_p99)
    return most - elapsed if elapsed <= most / 2 else 0.0


def ask(trial: Trial, challenger: Servable, case: Any, seconds: float, *, counts: bool = True) -> Attempt:
    """Ask the challenger in one of its own threads, for at most `seconds`.

    Args:
        counts: whether its breaker hears of it; a forced request is no evidence, for the breaker neither.
    """
    if seconds <= 0:
        trial.late += 1
        return Attempt(skipped=Skipped.LATE)
    if trial.ended:
        return Attempt(skipped=Skipped.ENDED)
    probe = trial.breaker.state is not BreakerState.CLOSED
    ticket = trial.breaker.allow()
    if ticket is None:
        return Attempt(skipped=Skipped.BREAKER)
    call = trial.crew.start(challenger, case)
    if call is None:
        trial.breaker.abandon(ticket)
        trial.busy += 1
        return Attempt(skipped=Skipped.BUSY)
    outcome = call.wait(seconds)
    if outcome is None and not call.aborted:
        trial.crew.give_up(call)
        why = call.cancel.why
        outcome = overdue(challenger, seconds) if why is None else stopped(why, seconds)
    if outcome is None or call.aborted or not counts or blameless(outcome):
        trial.breaker.abandon(ticket)
        return Attempt(None if call.aborted else outcome, probe=probe)
    trial.breaker.record(ticket, outcome.signal is None, outcome.what)
    return Attempt(outcome, probe=probe)


def not_asked(challenger: Servable, skipped: Skipped | None) -> Outcome:
    """What a client is told that wants this model and no other."""
    error = PluginError(
        f"version {challenger.version} was not asked: {skipped or 'its rollout ended'}",
        where=f"task {challenger.task}",
        hint="send it again later, or without the version",
    )
    return Outcome(None, 0.0, error)
