"""Leases: what one process at a time may do, such as one task's night.

A lease has a holder, an end, and an epoch that grows each time it is acquired. Whoever changes the store under a lease
passes it along, and the change is refused (`fence`) once somebody else has acquired it: a holder that slept too
long cannot write over its successor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy import ColumnElement, Connection, insert, select, update

from recognizer.errors import Conflict, RecognizerError
from recognizer.store.clock import database_now, moment, read_clock
from recognizer.store.database import Store
from recognizer.store.processes import is_alive, this_process
from recognizer.store.schema import leases

RENEWALS = 3
"""How often a kept lease is renewed within its length: one renewal may fail without harm."""


@dataclass(frozen=True)
class Lease:
    """Proof of an acquisition."""

    name: str
    holder: str
    epoch: int


@dataclass(frozen=True)
class Held:
    """A lease as the store shows it.

    Attributes:
        holder: None when it was released.
        since: when it was acquired; as `expires` and `now` in seconds since 1970 by the database's clock.
        now: when this was read.
    """

    name: str
    holder: str | None
    epoch: int
    since: float
    expires: float
    now: float


def may_take(held: Held, alive: bool | None) -> bool:
    """Whether a lease may be acquired.

    Args:
        held: what the store shows.
        alive: whether its holder runs; None when that cannot be seen (another host): then only its end counts.
    """
    return held.holder is None or held.expires <= held.now or alive is False


def acquire(
    store: Store, name: str, holder: str, seconds: float, *, alive: Callable[[str], bool | None] = is_alive
) -> Lease:
    """Take a lease that is free, has ended, or whose holder is a dead process of this machine.

    Args:
        holder: `recognizer.store.processes.this_process()`, or any text that names the holder.
        seconds: how long it holds unless renewed.
        alive: says whether a holder runs.

    Raises:
        Conflict: somebody holds it; says who, since when and until when.
    """
    with store.write() as connection:
        found = _read(connection, name) or _make(connection, name)
        if not may_take(found, alive(found.holder) if found.holder else None):
            raise _taken(found)
        changed = connection.execute(
            update(leases)
            .where(leases.c.name == name, leases.c.epoch == found.epoch)
            .values(holder=holder, epoch=found.epoch + 1, since=database_now(), expires=database_now() + seconds)
        ).rowcount
        if changed != 1:
            raise _taken(_read(connection, name) or found)
        return Lease(name, holder, found.epoch + 1)


def renew(store: Store, lease: Lease, seconds: float) -> None:
    """Hold a lease for `seconds` from now, also when it has ended but nobody took it.

    Raises:
        Conflict: somebody else has acquired it, or it was released.
    """
    with store.write() as connection:
        changed = connection.execute(update(leases).where(_is(lease)).values(expires=database_now() + seconds)).rowcount
        if changed != 1:
            raise _lost(connection, lease)


def release(store: Store, lease: Lease) -> bool:
    """Give a lease back; False when it was somebody else's already, which harms nobody."""
    with store.write() as connection:
        return connection.execute(update(leases).where(_is(lease)).values(holder=None, expires=0.0)).rowcount == 1


def held(store: Store, name: str) -> Held | None:
    """What the store shows of a lease; None when nobody ever held it."""
    with store.read() as connection:
        return _read(connection, name)


def fence(connection: Connection, lease: Lease | None) -> None:
    """Make sure, inside a write transaction, that the lease is still the caller's. None asks for nothing.

    Raises:
        Conflict: somebody else has acquired it.
    """
    if lease and connection.execute(update(leases).where(_is(lease)).values(epoch=lease.epoch)).rowcount != 1:
        raise _lost(connection, lease)


class Keeper:
    """A lease that a thread renews from construction until the end of the `with` block, which releases it.

    Attributes:
        lost: set once the lease is somebody else's, or could not be renewed before it ended.
        error: what the last renewal failed with.
    """

    def __init__(self, store: Store, lease: Lease, seconds: float) -> None:
        self.lease = lease
        self.lost = threading.Event()
        self.error: RecognizerError | None = None
        self._store = store
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name=f"lease {lease.name}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Ask whether the lease is still held; for long work to do now and then.

        Raises:
            Conflict: it was lost.
        """
        if self.lost.is_set():
            raise Conflict(
                f"lost the lease {self.lease.name!r} of epoch {self.lease.epoch}",
                where=str(self.error.what) if self.error else None,
                hint="another process may go on with it; run the command again to see how it ended",
            )

    def close(self) -> None:
        """Stop renewing and give the lease back."""
        self._stop.set()
        self._thread.join()
        if not self.lost.is_set():
            release(self._store, self.lease)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except RecognizerError:
            if error is None:
                raise  # else the error under way says more; the lease ends by itself

    def _renew_until_stopped(self) -> None:
        log = structlog.get_logger("recognizer.lease").bind(lease=self.lease.name, epoch=self.lease.epoch)
        ends = time.monotonic() + self._seconds
        while not self.lost.is_set() and not self._stop.wait(self._seconds / RENEWALS):
            asked = time.monotonic()
            try:
                renew(self._store, self.lease, self._seconds)
                ends, self.error = asked + self._seconds, None
            except RecognizerError as error:
                self.error = error
                log.warning("a lease could not be renewed", error=str(error))
                if isinstance(error, Conflict) or time.monotonic() >= ends:
                    self.lost.set()


def keep(store: Store, name: str, seconds: float, *, holder: str | None = None) -> Keeper:
    """Acquire a lease, renew it in the background, and release it when the `with` block ends.

    Args:
        seconds: for how long it outlives a process that nobody can see to be dead.
        holder: default: this process.

    Raises:
        Conflict: somebody else holds it.
    """
    return Keeper(store, acquire(store, name, holder or this_process(), seconds), seconds)


def _is(lease: Lease) -> ColumnElement[bool]:
    return (leases.c.name == lease.name) & (leases.c.holder == lease.holder) & (leases.c.epoch == lease.epoch)


def _read(connection: Connection, name: str) -> Held | None:
    row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    if row is None:
        return None
    return Held(row.name, row.holder, row.epoch, row.since, row.expires, read_clock(connection))


def _make(connection: Connection, name: str) -> Held:
    """Add the row of a lease that nobody ever held."""
    connection.execute(insert(leases).values(name=name, epoch=0, since=0.0, expires=0.0))
    return Held(name, None, 0, 0.0, 0.0, read_clock(connection))


def _taken(by: Held) -> Conflict:
    return Conflict(
        f"{by.holder} holds it since {moment(by.since):%Y-%m-%d %H:%M:%S} UTC",
        where=f"lease {by.name!r}",
        hint=f"wait for it to end, or for {max(by.expires - by.now, 0):.0f} s after its process has died",
    )


def _lost(connection: Connection, lease: Lease) -> Conflict:
    now = _read(connection, lease.name)
    who = "nobody" if now is None or now.holder is None else f"{now.holder} (epoch {now.epoch})"
    return Conflict(
        f"the lease of epoch {lease.epoch} is lost, {who} holds it now",
        where=f"lease {lease.name!r}",
        hint="stop here: another process may be at work; run the command again to go on",
    )
