"""What a person asks of a task's rollout, the same from the command and over HTTP."""

from __future__ import annotations

from recognizer.errors import NotFound, UsageError
from recognizer.home import Home
from recognizer.steering import Wish
from recognizer.store import audit, rollouts, versions
from recognizer.store.database import Store
from recognizer.store.freezes import freeze, unfreeze

FREEZE, UNFREEZE = "freeze", "unfreeze"
WORDS = (*(str(wish) for wish in Wish), FREEZE, UNFREEZE)
"""Everything that can be asked."""
LONGEST_REASON = 1_000
"""Characters of a reason; it is kept for ever."""


def fulfil(store: Store, task: str, word: str, *, who: str, reason: str = "", home: Home | None = None) -> None:
    """Do what is asked, and note the head of the audit trail outside the store.

    Args:
        word: one of `WORDS`.
        who: a person, for the audit trail.

    Raises:
        Conflict: not now; says why and what to do instead.
        NotFound: no such task, it has no rollout, or it is not frozen.
        UsageError: there is no such wish, or the reason is too long.
    """
    if word not in WORDS:
        raise UsageError(f"nobody can ask for {word[:40]!r}", hint=f"use one of {', '.join(WORDS)}")
    if len(reason) > LONGEST_REASON:
        raise UsageError(f"the reason has {len(reason):,} characters", hint=f"say it in {LONGEST_REASON:,}")
    require_task(store, task)
    if word == FREEZE:
        freeze(store, task, who=who, reason=reason)
    elif word == UNFREEZE:
        unfreeze(store, task, who=who, reason=reason)
    else:
        rollouts.request(store, task, Wish(word), who=who, reason=reason, home=home)
        return
    if home is not None:
        audit.write_head(store, home)


def require_task(store: Store, task: str) -> None:
    """Raise NotFound unless something of the task was ever registered."""
    if not versions.list(store, task, limit=1):
        known = sorted({version.task for version in versions.list(store)})
        hint = f"use one of {', '.join(known)}" if known else f"recognizer nightly {task[:80]} makes the first version"
        raise NotFound(f"nothing of a task {task[:80]!r} is registered", hint=hint)
