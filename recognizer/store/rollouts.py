"""Rollouts: started, changed and read. Every change is one transaction, whatever it takes along.

With a rollout change what should be served (champion, split, generation), the quarantine, the outbox and the audit
trail. A change is made to the rollout as it was read: whoever decided on an older one is refused and decides again.
"""

from __future__ import annotations

import builtins
import secrets
from dataclasses import replace

import structlog
from sqlalchemy import Connection, insert, select

from recognizer.errors import Conflict, NoChampion, NotFound, RecognizerError
from recognizer.home import Home
from recognizer.rollout.action import Abort, Action, Wait
from recognizer.rollout.plan import Plan, Strategy, make_plan
from recognizer.rollout.state import LOADING, Phase, Rollout
from recognizer.rollout.steering import Wish, steer, superseded
from recognizer.store import audit, quarantine
from recognizer.store.clock import read_clock
from recognizer.store.database import Store
from recognizer.store.freezes import frozen_within, require_thawed
from recognizer.store.leases import Lease, fence
from recognizer.store.rollout_changes import persist, tell
from recognizer.store.rollout_rows import (
    OPEN_PLACE,
    QUEUED_PLACE,
    newest,
    newest_of,
    placed,
    rollout_of,
    values_of,
)
from recognizer.store.schema import rollouts, served
from recognizer.store.served import Champion, champion_within, need_version, next_generation

LEASE = "rollouts"
"""Name of the controller's lease."""


def start(
    store: Store,
    *,
    task: str,
    version: int,
    digest: str,
    reason: str,
    who: str,
    expected: str | None = None,
    strategy: Strategy | str = Strategy.CANARY,
    plan: Plan | None = None,
    key: str | None = None,
    lease: Lease | None = None,
    home: Home | None = None,
) -> Rollout:
    """Start the rollout of a blessed challenger.

    It supersedes a paused rollout of its task; behind a progressing one, or in a frozen task, it waits, and whatever
    waited there before is dropped. Started again it is the same rollout: by its key whatever became of it, else as
    long as it has not ended.

    Args:
        reason: why, with numbers.
        who: a person or a night, for the audit trail.
        expected: digest of the champion that it was judged against; None for whoever serves.
        plan: default: that of the strategy.
        key: what it is started for, such as a night.
        lease: of the night.
        home: where the head of the audit trail is noted.

    Raises:
        Conflict: the digest is in quarantine or is champion already, another champion than the expected one serves,
            or the lease is lost.
        NoChampion: nothing to compare with; the first champion needs no rollout.
        NotFound: no such version with this digest is registered.
    """
    with store.write() as connection:
        fence(connection, lease)
        found = _same(connection, task, digest, key)
        if found is None:
            need_version(connection, task, version, digest)
            quarantine.require_free(connection, digest, f"version {version} of task {task!r}")
            champion = _need_rival(connection, task, digest, expected)
            waits = _make_way(connection, task, version, who)
            now = read_clock(connection)
            made = Rollout(
                id=0,
                key=key,
                task=task,
                version=version,
                digest=digest,
                champion_version=champion.version,
                champion_digest=champion.digest,
                strategy=Strategy(strategy),
                plan=plan or make_plan(strategy),
                position=LOADING,
                phase=Phase.QUEUED if waits else Phase.PROGRESSING,
                reason=reason,
                verdict=None,
                accepts_disagreement=False,
                promote_asked=False,
                salt=secrets.token_hex(8),
                evidence_from=0,
                revision=1,
                created_at=now,
                step_since=now,
            )
            inserted = insert(rollouts).values(values_of(made)).returning(rollouts.c.id)
            found = replace(made, id=connection.execute(inserted).scalar_one())
            if not waits:
                next_generation(connection)
            tell(connection, found, "queue" if waits else "start", who, {"plan": found.plan.as_dict()})
    _note_head(store, home)
    return found


def apply(
    store: Store,
    rollout: Rollout,
    action: Action,
    *,
    lease: Lease | None,
    who: str = "controller",
    judged: int | None = None,
    home: Home | None = None,
) -> Rollout:
    """Do to a rollout what `next_action` decided; to wait changes nothing.

    Args:
        rollout: as it was when that was decided.
        lease: the controller's.
        judged: ordinal of the newest evidence that was looked at, for the audit trail.

    Raises:
        Conflict: the rollout, the champion or the quarantine has moved on since, the task was frozen, or the
            lease is lost. Read it again and decide again.
    """
    if isinstance(action, Wait):
        return rollout
    with store.write() as connection:
        fence(connection, lease)
        require_thawed(connection, rollout.task)
        changed = persist(connection, rollout, action, who, judged)
    _note_head(store, home)
    return changed


def request(store: Store, task: str, wish: Wish, *, who: str, reason: str = "", home: Home | None = None) -> Rollout:
    """Do to a task's rollout what a person asks.

    To undo looks for the rollout that made the champion, when none is on its way.

    Raises:
        Conflict: not now; says why and what to do instead.
        NotFound: the task has no rollout.
    """
    with store.write() as connection:
        rollout = _asked_for(connection, task, wish)
        champion, freeze = champion_within(connection, task), frozen_within(connection, task)
        action = steer(
            wish,
            rollout,
            who=who,
            reason=reason,
            champion=champion.digest if champion else None,
            frozen=str(freeze) if freeze else None,
        )
        if isinstance(action, Abort) and action.rollback:
            quarantine.require_free(connection, rollout.champion_digest, str(rollout))
        changed = persist(connection, rollout, action, who, None)
    _note_head(store, home)
    return changed


def get(store: Store, number: int) -> Rollout:
    """A rollout by its number.

    Raises:
        NotFound: there is no such rollout.
    """
    with store.read() as connection:
        found = newest(connection, rollouts.c.id == number)
    if found is None:
        raise NotFound(f"there is no rollout {number}", hint="`recognizer rollout status` lists them")
    return found


def current(store: Store, task: str) -> Rollout | None:
    """The task's open rollout, else the one that waits, else the newest that has ended."""
    with store.read() as connection:
        return newest_of(connection, task)


def queued(store: Store, task: str) -> Rollout | None:
    """The rollout that waits behind the task's open one, or for the task to be unfrozen."""
    with store.read() as connection:
        return placed(connection, task, QUEUED_PLACE)


def list(store: Store, task: str | None = None, *, limit: int | None = None) -> builtins.list[Rollout]:
    """Rollouts, the newest first; of all tasks when none is named."""
    query = select(rollouts).order_by(rollouts.c.id.desc()).limit(limit)
    if task is not None:
        query = query.where(rollouts.c.task == task)
    with store.read() as connection:
        return [rollout_of(row) for row in connection.execute(query)]


def due(store: Store) -> builtins.list[Rollout]:
    """Every rollout that the controller has to decide about.

    These are the open ones, those that wait behind none, and those that made a champion which late feedback may
    still take back.
    """
    ended = (rollouts.c.phase == Phase.HEALTHY.value) & (rollouts.c.digest == served.c.digest)
    of_champions = select(rollouts).join(served, served.c.task == rollouts.c.task).where(ended)
    with store.read() as connection:
        rows = connection.execute(select(rollouts).where(rollouts.c.place.is_not(None)))
        waiting = [rollout_of(row) for row in rows]
        healthy = {row.task: rollout_of(row) for row in connection.execute(of_champions.order_by(rollouts.c.id))}
    busy = {rollout.task for rollout in waiting if rollout.is_open}
    first = [rollout for rollout in waiting if rollout.is_open or rollout.task not in busy]
    return sorted([*first, *healthy.values()], key=lambda rollout: rollout.id)


def _make_way(connection: Connection, task: str, version: int, who: str) -> bool:
    """Drop and supersede what a newcomer replaces; whether it has to wait."""
    freeze, occupied = frozen_within(connection, task), False
    for place in (QUEUED_PLACE, OPEN_PLACE):
        found = placed(connection, task, place)
        if found is None:
            continue
        action = superseded(found, version)
        if action is None or (found.is_open and freeze is not None):
            occupied = True
        else:
            persist(connection, found, action, who, None)
    return occupied or freeze is not None


def _same(connection: Connection, task: str, digest: str, key: str | None) -> Rollout | None:
    """The rollout that was started for the same, if there is one."""
    if key is not None and (found := newest(connection, rollouts.c.key == key)) is not None:
        return found
    same = (rollouts.c.task == task) & (rollouts.c.digest == digest)
    return newest(connection, same & rollouts.c.place.is_not(None))


def _need_rival(connection: Connection, task: str, digest: str, expected: str | None) -> Champion:
    champion = champion_within(connection, task)
    if champion is None:
        raise NoChampion(
            f"task {task!r} has no champion to compare with", hint=f"recognizer nightly {task} makes the first one"
        )
    if champion.digest == digest:
        raise Conflict(f"version {champion.version} of task {task!r} is champion already", hint="start another version")
    if expected is not None and champion.digest != expected:
        raise Conflict(
            f"task {task!r} is served by {champion.digest[:12]}, the version was judged against {expected[:12]}",
            hint="judge the version again, against the champion of now",
        )
    return champion


def _asked_for(connection: Connection, task: str, wish: Wish) -> Rollout:
    """The rollout that a person means."""
    found = placed(connection, task, OPEN_PLACE)
    if found is None and wish is Wish.UNDO:
        champion = champion_within(connection, task)
        made = rollouts.c.digest == (champion.digest if champion else None)
        found = newest(connection, (rollouts.c.task == task) & (rollouts.c.phase == Phase.HEALTHY.value) & made)
    found = found or newest_of(connection, task)
    if found is None:
        raise NotFound(f"task {task!r} has no rollout", hint=f"recognizer rollout start {task}")
    return found


def _note_head(store: Store, home: Home | None) -> None:
    """Note the head of the audit trail outside the store; the change is made, whatever becomes of this."""
    if home is None:
        return
    try:
        audit.write_head(store, home)
    except RecognizerError as error:
        structlog.get_logger("recognizer.rollout").warning(
            "the head of the audit trail could not be noted; the next change tries again", **error.as_json()
        )
