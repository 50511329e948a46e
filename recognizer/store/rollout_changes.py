"""A change of a rollout, inside a write transaction, with everything that goes with it.

These are what should be served (champion, split, generation), the quarantine, the outbox and the audit trail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, update

from recognizer.errors import Conflict, NoChampion
from recognizer.rollout.action import Abort, Action, Begin, Moment, Promote, change
from recognizer.rollout.state import Phase, Rollout, split_of
from recognizer.store import audit, evidence, outbox, quarantine
from recognizer.store.clock import read_clock
from recognizer.store.rollout_rows import OPEN_PLACE, newest, placed, values_of
from recognizer.store.schema import rollouts
from recognizer.store.served import champion_within, crown, next_generation

ROLLOUT_TOPIC = "rollout"
"""Outbox topic of every change; payload: as in the audit trail, and `challenger`: the version that the task's open
rollout compares with the champion from now on, or None."""


def persist(connection: Connection, before: Rollout, action: Action, who: str, judged: int | None) -> Rollout:
    """Do an action to a rollout as it was read.

    Args:
        judged: ordinal of the newest evidence that was looked at.

    Raises:
        Conflict: the rollout, the champion or the quarantine has moved on since.
    """
    if isinstance(action, Begin | Promote):
        quarantine.require_free(connection, before.digest, str(before))
    champion = champion_within(connection, before.task)
    if champion is None:
        raise NoChampion(f"task {before.task!r} has no champion", hint=f"recognizer nightly {before.task}")
    moment = Moment(
        read_clock(connection), evidence.number_within(connection, before.id), champion.version, champion.digest
    )
    after = change(before, action, moment)
    rival = placed(connection, before.task, OPEN_PLACE)
    if isinstance(action, Begin) and (rival is not None or champion.digest == before.digest):
        raise _moved_on(before)
    changed = connection.execute(
        update(rollouts)
        .where(rollouts.c.id == before.id, rollouts.c.revision == before.revision)
        .values(values_of(after))
    ).rowcount
    if changed != 1:
        raise _moved_on(before)
    _serve(connection, before, after, action, who)
    if isinstance(action, Abort) and action.quarantine:
        quarantine.put_within(
            connection, before.digest, task=before.task, reason=action.reason, who=who, rollout=before.id
        )
    tell(connection, after, action.name, who, {"judged": judged})
    if isinstance(action, Abort) and action.rollback and rival is not None and rival.id != before.id:
        # late feedback took the champion away under a rollout that is compared with it
        persist(
            connection, rival, Abort(f"the champion it was compared with was taken back: {action.reason}"), who, None
        )
    return after


def _serve(connection: Connection, before: Rollout, after: Rollout, action: Action, who: str) -> None:
    """Change what should be served as the rollout asks; the generation grows by one at most."""
    if isinstance(action, Promote):
        _crown(connection, before, after.version, after.digest, before.champion_digest, action, who)
    elif isinstance(action, Abort) and action.rollback:
        version, digest = before.champion_version, before.champion_digest
        _crown(connection, before, version, digest, _before(connection, before), action, who)
    elif split_of(before) != split_of(after):
        next_generation(connection)


def _crown(
    connection: Connection, rollout: Rollout, version: int, digest: str, previous: str | None, action: Action, who: str
) -> None:
    crown(
        connection,
        task=rollout.task,
        version=version,
        digest=digest,
        expected=rollout.champion_digest if isinstance(action, Promote) else rollout.digest,
        previous=previous,
        reason=action.reason,
        who=who,
        rollout=rollout.id,
    )


def _before(connection: Connection, rollout: Rollout) -> str | None:
    """Digest of the champion before the one that a rollback brings back; None when it was the first."""
    made = (rollouts.c.digest == rollout.champion_digest) & (rollouts.c.phase == Phase.HEALTHY.value)
    found = newest(connection, (rollouts.c.task == rollout.task) & made)
    return None if found is None else found.champion_digest


def tell(connection: Connection, rollout: Rollout, event: str, who: str, more: Mapping[str, Any]) -> None:
    """Write a change to the audit trail and to the outbox."""
    split = split_of(rollout)
    payload = {
        "rollout": rollout.id,
        "task": rollout.task,
        "version": rollout.version,
        "digest": rollout.digest,
        "champion_version": rollout.champion_version,
        "champion_digest": rollout.champion_digest,
        "strategy": str(rollout.strategy),
        "phase": str(rollout.phase),
        "step": rollout.step_name,
        "share": split.share if split else 0.0,
        "reason": rollout.reason,
        "revision": rollout.revision,
        "evidence_from": rollout.evidence_from,
        **more,
    }
    audit.append(connection, who=who, event=event, payload=payload, rollout=rollout.id)
    rival = placed(connection, rollout.task, OPEN_PLACE)
    challenger = None if rival is None or rival.promoted else rival.version
    outbox.append(connection, ROLLOUT_TOPIC, {**payload, "event": event, "challenger": challenger})


def _moved_on(rollout: Rollout) -> Conflict:
    return Conflict(
        f"it has moved on since revision {rollout.revision} was read", where=str(rollout), hint="read it, decide again"
    )
