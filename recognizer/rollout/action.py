"""What can be done to a rollout, and what it makes of it. Pure: the store persists what `change` returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from recognizer.errors import Conflict
from recognizer.judge.ruling import Ruling
from recognizer.rollout.state import LOADING, Phase, Rollout, require_transition


@dataclass(frozen=True)
class Action:
    """Something to do to a rollout, and why, with numbers. The kinds below are all there are."""

    reason: str

    @property
    def name(self) -> str:
        return type(self).__name__.lower()


class Wait(Action):
    """Nothing yet."""


class Begin(Action):
    """Leave the queue: from now on the workers load the challenger."""


class Advance(Action):
    """To the next step before the promotion."""


class Promote(Action):
    """Make the challenger champion."""


@dataclass(frozen=True)
class Pause(Action):
    """Stay where it is and ask a person.

    Attributes:
        verdict: what asks for it; None when a person does.
    """

    verdict: Ruling | None = None


class Resume(Action):
    """Go on after a pause; the step's time limit begins again, its evidence does not."""


class Hasten(Action):
    """Promote as soon as every worker has loaded the challenger, whatever steps are left."""


class Finish(Action):
    """The challenger stays champion and is watched no more."""


@dataclass(frozen=True)
class Abort(Action):
    """Take the challenger out.

    Attributes:
        rollback: it is champion, and the champion before takes its place again.
        quarantine: its digest is not tried again by itself.
    """

    rollback: bool = False
    quarantine: bool = False


@dataclass(frozen=True)
class Moment:
    """The circumstances of a change.

    Attributes:
        now: seconds since 1970.
        ordinal: of the evidence numbered last.
        champion_version, champion_digest: who serves.
    """

    now: float
    ordinal: int
    champion_version: int
    champion_digest: str


def change(rollout: Rollout, action: Action, moment: Moment) -> Rollout:
    """The rollout after an action; the same one when there is nothing to do.

    Raises:
        Conflict: the action is none for a rollout that stands like this.
    """
    if isinstance(action, Wait):
        return rollout
    phase, values = CHANGES[type(action)](rollout, action, moment)
    require_transition(rollout, phase)
    ended = moment.now if phase in (Phase.HEALTHY, Phase.ABORTED) else None
    first = {"verdict": None, "promote_asked": False, "ended_at": ended}
    return replace(rollout, **{**first, **values}, phase=phase, reason=action.reason, revision=rollout.revision + 1)


Change = tuple[Phase, dict[str, Any]]


def _begin(rollout: Rollout, _action: Action, moment: Moment) -> Change:
    if rollout.phase is not Phase.QUEUED:
        raise _wrong(rollout, "it has begun already")
    serving = {"champion_version": moment.champion_version, "champion_digest": moment.champion_digest}
    return Phase.PROGRESSING, {**serving, "position": LOADING, **_entered(moment)}


def _advance(rollout: Rollout, _action: Action, moment: Moment) -> Change:
    if rollout.phase is not Phase.PROGRESSING or rollout.position + 1 >= rollout.plan.promotion:
        raise _wrong(rollout, f"no step before the promotion follows {rollout.step_name}")
    return Phase.PROGRESSING, {"position": rollout.position + 1, **_entered(moment)}


def _promote(rollout: Rollout, _action: Action, moment: Moment) -> Change:
    if rollout.phase is not Phase.PROGRESSING or rollout.promoted:
        raise _wrong(rollout, "only a progressing rollout promotes, and only once")
    values = {"promoted_at": moment.now, **_entered(moment)}
    if rollout.plan.bakes:
        return Phase.PROGRESSING, {**values, "position": rollout.plan.promotion + 1}
    return Phase.HEALTHY, {**values, "position": rollout.plan.promotion}


def _pause(rollout: Rollout, action: Action, _moment: Moment) -> Change:
    return Phase.PAUSED, {"verdict": action.verdict if isinstance(action, Pause) else None}


def _resume(rollout: Rollout, _action: Action, moment: Moment) -> Change:
    if rollout.phase is not Phase.PAUSED:
        raise _wrong(rollout, "it is not paused")
    accepts = rollout.accepts_disagreement or rollout.verdict is Ruling.DISAGREES
    return Phase.PROGRESSING, {"accepts_disagreement": accepts, "step_since": moment.now}


def _hasten(rollout: Rollout, _action: Action, moment: Moment) -> Change:
    if not rollout.is_open or rollout.promoted:
        raise _wrong(rollout, "only an open rollout promotes, and only once")
    return Phase.PROGRESSING, {"promote_asked": True, "accepts_disagreement": True, "step_since": moment.now}


def _finish(rollout: Rollout, _action: Action, _moment: Moment) -> Change:
    if not rollout.promoted:
        raise _wrong(rollout, "its challenger never became champion")
    return Phase.HEALTHY, {}


def _abort(rollout: Rollout, action: Action, _moment: Moment) -> Change:
    if isinstance(action, Abort) and action.rollback and not rollout.promoted:
        raise _wrong(rollout, "its challenger never became champion, there is nothing to roll back")
    return Phase.ABORTED, {}


CHANGES: Mapping[type[Action], Callable[[Rollout, Action, Moment], Change]] = {
    Begin: _begin,
    Advance: _advance,
    Promote: _promote,
    Pause: _pause,
    Resume: _resume,
    Hasten: _hasten,
    Finish: _finish,
    Abort: _abort,
}


def _entered(moment: Moment) -> dict[str, Any]:
    """A step begins: its time limit now, its evidence with the next ordinal."""
    return {"step_since": moment.now, "evidence_from": moment.ordinal}


def _wrong(rollout: Rollout, what: str) -> Conflict:
    return Conflict(
        f"it is {rollout.phase} at {rollout.step_name}: {what}",
        where=str(rollout),
        hint=f"recognizer rollout status {rollout.task}",
    )
