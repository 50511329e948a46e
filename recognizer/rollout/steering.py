"""What people may ask of a rollout, and when. Pure: the answer is an action, or a Conflict that names the next step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from recognizer.errors import Conflict
from recognizer.rollout.action import Abort, Action, Finish, Hasten, Pause, Resume
from recognizer.rollout.state import Phase, Rollout


class Wish(StrEnum):
    """What a person may ask."""

    PAUSE = "pause"
    """Stay at this step."""
    RESUME = "resume"
    """Go on after a pause."""
    PROMOTE = "promote"
    """Go on to the promotion without the steps before it; in the bake: end it well."""
    ABORT = "abort"
    """Take the challenger out."""
    UNDO = "undo"
    """Back to the champion before, also after the rollout has ended."""


ALLOWED: Mapping[Wish, frozenset[Phase]] = {
    Wish.PAUSE: frozenset({Phase.PROGRESSING}),
    Wish.RESUME: frozenset({Phase.PAUSED}),
    Wish.PROMOTE: frozenset({Phase.PROGRESSING, Phase.PAUSED}),
    Wish.ABORT: frozenset({Phase.QUEUED, Phase.PROGRESSING, Phase.PAUSED}),
    Wish.UNDO: frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.HEALTHY}),
}

_NEXT: Mapping[Phase, str] = {
    Phase.QUEUED: "abort it, or end the rollout before it: recognizer rollout status {task}",
    Phase.PROGRESSING: "it goes on by itself: recognizer rollout status {task}",
    Phase.PAUSED: "recognizer rollout resume {task}, or promote, or abort",
    Phase.HEALTHY: "recognizer rollout undo {task} takes it back",
    Phase.ABORTED: "recognizer rollout start {task} begins another one",
}


def steer(wish: Wish, rollout: Rollout, *, who: str, reason: str, champion: str | None, frozen: str | None) -> Action:
    """The action that fulfils a person's wish.

    Args:
        champion: digest of who serves.
        frozen: who froze the task and why; None when nobody did.

    Raises:
        Conflict: not in this phase, not before the promotion, or the task is frozen.
    """
    if frozen is not None:
        raise Conflict(
            f"the task is frozen by {frozen}: nothing changes",
            where=str(rollout),
            hint=f"recognizer rollout unfreeze {rollout.task}",
        )
    if rollout.phase not in ALLOWED[wish]:
        raise _refused(wish, rollout, f"it is {rollout.phase} ({rollout.reason})", _NEXT[rollout.phase])
    return _WISHES[wish](rollout, f"{wish} by {who}" + (f": {reason}" if reason else ""), champion)


def _pause(_rollout: Rollout, reason: str, _champion: str | None) -> Action:
    return Pause(reason)


def _resume(_rollout: Rollout, reason: str, _champion: str | None) -> Action:
    return Resume(reason)


def _promote(rollout: Rollout, reason: str, champion: str | None) -> Action:
    if not rollout.promoted:
        return Hasten(reason)
    _need_champion(Wish.PROMOTE, rollout, champion)
    return Finish(reason)


def _abort(rollout: Rollout, reason: str, champion: str | None) -> Action:
    return Abort(reason, rollback=rollout.promoted and champion == rollout.digest)


def _undo(rollout: Rollout, reason: str, champion: str | None) -> Action:
    if not rollout.promoted:
        raise _refused(
            Wish.UNDO, rollout, "its challenger was not promoted yet", f"recognizer rollout abort {rollout.task}"
        )
    _need_champion(Wish.UNDO, rollout, champion)
    return Abort(reason, rollback=True)


_WISHES: Mapping[Wish, Callable[[Rollout, str, str | None], Action]] = {
    Wish.PAUSE: _pause,
    Wish.RESUME: _resume,
    Wish.PROMOTE: _promote,
    Wish.ABORT: _abort,
    Wish.UNDO: _undo,
}


def _need_champion(wish: Wish, rollout: Rollout, champion: str | None) -> None:
    if champion != rollout.digest:
        serving = "nobody" if champion is None else champion[:12]
        raise _refused(
            wish, rollout, f"{serving} is champion, not its challenger", f"recognizer rollout status {rollout.task}"
        )


def _refused(wish: Wish, rollout: Rollout, why: str, hint: str) -> Conflict:
    return Conflict(f"cannot {wish}: {why}", where=str(rollout), hint=hint.format(task=rollout.task))


def superseded(rollout: Rollout, version: int) -> Action | None:
    """What a newly blessed challenger does to the rollout that is there; None: it waits behind it.

    Args:
        version: the newcomer.
    """
    if rollout.phase is Phase.QUEUED:
        return Abort(f"dropped from the queue for version {version}, which is newer")
    if rollout.phase is not Phase.PAUSED:
        return None
    reason = f"superseded by version {version} while paused: {rollout.reason}"
    return Finish(reason) if rollout.promoted else Abort(reason)
