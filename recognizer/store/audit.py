"""The audit trail: what happened to champions and rollouts, in rows that are chained by their hashes.

Each row holds the hash of the one before, so that a row which was changed, removed or put elsewhere is found; the
number and hash of the newest row are also written to a file outside the store, so that a cut tail is found as well.
That file is written after the commit: a process killed in between leaves it behind, never ahead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from recognizer.digest import canonical_json, sha256_bytes
from recognizer.errors import Conflict
from recognizer.home import Home, atomic_write
from recognizer.store.clock import read_clock
from recognizer.store.database import Store
from recognizer.store.engine import to_json
from recognizer.store.schema import audit, audit_head

MOST_ROWS_OF_A_KILL = 4
"""Rows that one transaction may write: so many may be there before the head was ever written."""


@dataclass(frozen=True)
class Entry:
    """One row of the trail.

    Attributes:
        number: from 1, without gaps.
        at: seconds since 1970.
        who: a person, the controller, or a night.
        event: one word, such as `promote`.
        rollout: number of the rollout it happened to, if it was one.
        payload: what is true after it.
        hash: of this row and `previous_hash`.
    """

    number: int
    at: float
    who: str
    event: str
    rollout: int | None
    payload: Mapping[str, Any]
    previous_hash: str
    hash: str

    def expected_hash(self) -> str:
        """The hash that this row has to have."""
        row = {"number": self.number, "at": self.at, "who": self.who, "event": self.event, "rollout": self.rollout}
        return sha256_bytes(self.previous_hash.encode() + canonical_json({**row, "payload": self.payload}))


@dataclass(frozen=True)
class Head:
    """The newest row as it was when this was noted."""

    number: int
    hash: str


def append(
    connection: Connection, *, who: str, event: str, payload: Mapping[str, Any], rollout: int | None = None
) -> None:
    """Add a row to the transaction that makes the change.

    Raises:
        Conflict: somebody else added one at the same moment.
    """
    head = _head(connection)
    # as the database will give it back
    kept = json.loads(to_json(dict(payload)))
    entry = Entry(head.number + 1, read_clock(connection), who, event, rollout, kept, head.hash, "")
    digest = entry.expected_hash()
    connection.execute(insert(audit).values({**vars(entry), "hash": digest}))
    changed = connection.execute(
        update(audit_head)
        .where(audit_head.c.number == head.number, audit_head.c.hash == head.hash)
        .values(number=entry.number, hash=digest)
    ).rowcount
    if changed != 1:
        raise Conflict("somebody else wrote to the audit trail at the same moment", hint="run the command again")


def of(store: Store, rollout: int | None = None, *, limit: int | None = None) -> list[Entry]:
    """The rows of a rollout, or all, the oldest first; with a limit the newest of them."""
    query = select(audit).order_by(audit.c.number.desc()).limit(limit)
    if rollout is not None:
        query = query.where(audit.c.rollout == rollout)
    with store.read() as connection:
        return [Entry(**row._mapping) for row in reversed(connection.execute(query).all())]


def write_head(store: Store, home: Home) -> None:
    """Note the newest row outside the store; call it after each commit, or now and then.

    A file that the store contradicts stays as it is: it is the evidence.

    Raises:
        StorageError: the home does not take it.
    """
    noted = _read_head(home)
    with store.read() as connection:
        head = _head(connection)
        if head.number == 0 or noted == head:
            return
        if isinstance(noted, str) or (noted is not None and _contradiction(connection, noted) is not None):
            return
    atomic_write(home.audit_head, canonical_json({"number": head.number, "hash": head.hash}) + b"\n")


def verify_audit(store: Store, home: Home) -> list[str]:
    """What is wrong with the trail; empty when it is whole. A head that was left behind is not wrong."""
    noted = _read_head(home)
    with store.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.number)).all()
        head = _head(connection)
        problems, last = _broken_links(Entry(**row._mapping) for row in rows)
        if last != head:
            problems.append(f"the store notes row {head.number} as the newest, its last row is {last.number}")
        if isinstance(noted, str):
            problems.append(noted)
        elif noted is None:
            if len(rows) > MOST_ROWS_OF_A_KILL:
                problems.append(f"{home.audit_head} is missing, and the trail has {len(rows)} rows")
        elif (said := _contradiction(connection, noted)) is not None:
            problems.append(said)
    return problems


def _broken_links(entries: Iterable[Entry]) -> tuple[list[str], Head]:
    """What is wrong between the rows, and the last of them."""
    problems, last = [], Head(0, NO_HASH)
    for entry in entries:
        if entry.number != last.number + 1:
            gone = f"row {last.number + 1} is" if entry.number == last.number + 2 else "some rows are"
            problems.append(f"{gone} missing before row {entry.number}")
        elif entry.previous_hash != last.hash:
            problems.append(f"row {entry.number} does not follow row {last.number}: the hash before it is another one")
        if entry.expected_hash() != entry.hash:
            problems.append(f"row {entry.number} ({entry.event} by {entry.who}) was changed: its hash is another one")
        last = Head(entry.number, entry.hash)
    return problems, last


def _contradiction(connection: Connection, noted: Head) -> str | None:
    """How the store contradicts a head that was noted outside; None when it does not."""
    found = connection.execute(select(audit.c.hash).where(audit.c.number == noted.number)).scalar()
    if found is None:
        return f"row {noted.number} was written, and is gone: the trail was cut"
    if found != noted.hash:
        return f"row {noted.number} is another one than was written: the trail was written anew"
    return None


NO_HASH = "0" * 64
"""What the first row follows."""


def _head(connection: Connection) -> Head:
    row = connection.execute(select(audit_head.c.number, audit_head.c.hash)).one()
    return Head(row.number, row.hash)


def _read_head(home: Home) -> Head | str | None:
    """The head noted outside the store; None when there is none, a text when it cannot be read."""
    try:
        content = json.loads(home.audit_head.read_bytes())
        return Head(int(content["number"]), str(content["hash"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{home.audit_head} cannot be read ({type(error).__name__}: {error})"
