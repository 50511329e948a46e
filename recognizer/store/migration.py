"""Bring the tables of a database to the revision this code works with.

Alembic is imported only when there is something to do: opening a store that is up to date stays cheap.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from recognizer.errors import StoreUnavailable
from recognizer.store.engine import BUSY_SECONDS, WRITES
from recognizer.store.failures import explain
from recognizer.store.schema import REVISION_TABLE, REVISIONS

_SCRIPTS = Path(__file__).parent / "migrations"


def current_revision(connection: Connection) -> str | None:
    """The revision the database is at; None for one that has no tables of ours."""
    if not inspect(connection).has_table(REVISION_TABLE):
        return None
    return connection.execute(select(column("version_num")).select_from(table(REVISION_TABLE))).scalar()


def standing(found: str | None, where: str, *, migrate: bool) -> bool:
    """Whether a database at revision `found` can be used as it is; False when it has to be migrated first.

    Raises:
        StoreUnavailable: made by newer code, or older and `migrate` is off.
    """
    if found == REVISIONS[-1]:
        return True
    if found is not None and found not in REVISIONS:
        raise StoreUnavailable(
            f"its tables are of revision {found}, this version of recognizer knows {REVISIONS[-1]} and older",
            where=where,
            hint="install the version of recognizer that wrote it, or a newer one",
        )
    if not migrate:
        raise StoreUnavailable(
            "it has no tables yet" if found is None else f"its tables are of the older revision {found}",
            where=where,
            hint="recognizer nightly TASK" if found is None else "run `recognizer models` once to migrate it",
        )
    return False


def upgrade(engine: Engine, where: str) -> None:
    """Migrate to the newest revision, in one transaction that waits for whoever else is migrating.

    Raises:
        StorageError: the database does not take it; its tables are then as they were.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    try:
        if engine.dialect.name == "sqlite":
            _turn_on_wal(engine, where)
        with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
            # somebody else may have migrated while this process waited for the lock
            if not standing(current_revision(connection), where, migrate=True):
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except DBAPIError as error:
        raise explain(error, where) from error


def _turn_on_wal(engine: Engine, where: str) -> None:
    """Let readers and one writer work at once; the mode stays in the file.

    The change needs the file for itself, and SQLite answers "busy" at once instead of waiting for it.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        connection = engine.raw_connection()
        try:
            mode = connection.cursor().execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise explain(DBAPIError("PRAGMA journal_mode", None, error), where) from error
            time.sleep(0.02)
        finally:
            connection.close()
    if mode != "wal":
        raise StoreUnavailable(
            f"its disk allows no write-ahead log (mode stays {mode})",
            where=where,
            hint="use a local disk, or a Postgres database by RECOGNIZER_STORE_URL",
        )
