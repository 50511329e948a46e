"""What a database driver says, as an error that names the next step. Never shows a password."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recognizer.errors import Conflict, DiskFull, ReadOnlyHome, RecognizerError, StoreUnavailable

# primary SQLite result codes: the low byte of `sqlite_errorcode`
_FULL = (DiskFull, "no space left on the disk", "free some space, then run the command again")
_READ_ONLY = (ReadOnlyHome, "the store cannot be written", "set RECOGNIZER_HOME to a folder you can write")
_DAMAGED = (
    StoreUnavailable,
    "the file is damaged or no database",
    "put back a backup of it, or move it away to start an empty store; packages and snapshots stay",
)
_BUSY = (StoreUnavailable, "another process kept it locked for too long", "run the command again")
_READ_ONLY_FOLDER = (
    ReadOnlyHome,
    "its folder cannot be written, which SQLite needs for reading too",
    "make the folder writable, or set RECOGNIZER_HOME to one that is",
)
_NO_ACCESS = (StoreUnavailable, "the file cannot be opened", "check its folder's permissions, or RECOGNIZER_STORE_URL")
_BY_SQLITE_CODE: dict[int, tuple[type[RecognizerError], str, str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_CANTOPEN: _NO_ACCESS,
}


def explain(error: DBAPIError | PoolTimeout, where: str) -> RecognizerError:
    """The error to raise for what the driver raised.

    Args:
        where: the database without credentials, see `shown`.
    """
    if isinstance(error, PoolTimeout):
        return StoreUnavailable("all its connections are in use", where=where, hint="run the command again")
    said = " ".join(str(error.orig).split()).rstrip(".") or type(error.orig).__name__
    if isinstance(error, IntegrityError):
        return Conflict(f"it refuses the change: {said}", where=where, hint="read what is there, then decide again")
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _BY_SQLITE_CODE:
        kind, what, hint = _BY_SQLITE_CODE[code & 0xFF]
        if code & 0xFF == sqlite3.SQLITE_CANTOPEN and not os.access(Path(where).parent, os.W_OK):
            kind, what, hint = _READ_ONLY_FOLDER
        return kind(f"{what} ({said})", where=where, hint=hint)
    return StoreUnavailable(
        f"it does not answer as it should: {said}",
        where=where,
        hint="check RECOGNIZER_STORE_URL and that the database is up",
    )


def shown(url: URL) -> str:
    """The database as messages may show it: no user, no password, no query (it may hold a password too)."""
    if url.get_backend_name() == "sqlite":
        return str(url.database).removeprefix("file:")
    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()
