"""The open store: transactions, and errors that say what to do next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recognizer.errors import NoStore
from recognizer.home import writing
from recognizer.store.engine import WRITES, make_engine, parse_url, sqlite_file
from recognizer.store.failures import explain, shown
from recognizer.store.migration import current_revision, standing, upgrade


class Store:
    """A database whose tables are those this code knows; threads may share it, and a forked child may go on with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._process = os.getpid()
        self.where = shown(engine.url)
        """Which database, for messages: without credentials."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that sees one moment and changes nothing.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, kept when the block ends well, else undone.

        Nobody else writes between its statements. Keep it short: every other writer waits.

        Raises:
            Conflict: a constraint refuses the change.
            StorageError: the disk or the database does not take it.
        """
        with self._transaction(writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        if self._process != os.getpid():
            # a connection must not be used on both sides of a fork; leave the parent's open, they are its own
            self._engine.dispose(close=False)
            self._process = os.getpid()
        options: dict[str, Any] = {WRITES: writes}
        if self._engine.dialect.name == "postgresql" and not writes:
            # its default shows each statement another moment
            options["isolation_level"] = "REPEATABLE READ"
        try:
            with self._engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except (DBAPIError, PoolTimeout) as error:
            raise explain(error, self.where) from error

    def close(self) -> None:
        """Close every connection; the store can still be used and then opens new ones."""
        self._engine.dispose(close=self._process == os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str, *, migrate: bool = True, make: bool = True) -> Store:
    """Open the store that `url` names; `Settings.database_url` is that URL.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`.
        migrate: make the database, or bring its tables up to date; several processes may do so at once.
            Without it a database that is missing or older is refused.
        make: make the database when it is missing. An empty one in its place would say that nothing should be served.

    Raises:
        UsageError: the URL is no good.
        NoStore: the database is missing, and is not to be made.
        StoreUnavailable: it is damaged, does not answer, or is of another version.
        ReadOnlyHome: it has to be made or migrated and cannot be written.
    """
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    if file is not None and not file.is_file():
        if not (migrate and make):
            raise _no_store(str(file))
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()  # SQLite would only say that it cannot open it
    store = Store(make_engine(parsed))
    try:
        with store.read() as connection:
            found = current_revision(connection)
        if found is None and not make:
            raise _no_store(store.where)
        if standing(found, store.where, migrate=migrate):
            return store
        upgrade(store._engine, store.where)
        return store
    except BaseException:
        store.close()
        raise


def _no_store(where: str) -> NoStore:
    return NoStore(
        "there is no store yet", where=where, hint="put it back if it was lost; else recognizer nightly TASK"
    )
