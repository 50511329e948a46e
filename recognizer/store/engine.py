"""The SQLAlchemy engine, set up so that no update between processes is lost."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from recognizer.errors import UsageError

BUSY_SECONDS = 30
"""How long a writer waits for the others before it gives up."""

WRITES = "recognizer_writes"
"""Execution option of a connection whose transaction is going to write."""

_POSTGRES_LOCK = 0x7265636F67  # any number that is the same in every process: "recog"

_HINT = "correct RECOGNIZER_STORE_URL; without it the store is an SQLite file in the home"


def parse_url(text: str) -> URL:
    """Check the URL of the store. Its text never appears in a message: it may hold a password.

    Raises:
        UsageError: not a URL, or a database that cannot be shared between processes.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError("the store's URL cannot be read", hint=_HINT) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(f"the store cannot be a {url.get_backend_name()} database", hint=_HINT)
    if url.get_backend_name() == "sqlite" and (url.database or ":memory:") == ":memory:":
        raise UsageError("the store has to be a file: several processes share it", hint=_HINT)
    # SQLAlchemy's default driver for it is another one than ours
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite URL; None for a server."""
    return Path(str(url.database).removeprefix("file:")) if url.get_backend_name() == "sqlite" else None


def make_engine(url: URL) -> Engine:
    """An engine that has not connected yet.

    Raises:
        UsageError: the driver is unknown or not installed.
    """
    options: dict[str, Any] = {"json_serializer": to_json, "pool_pre_ping": url.get_backend_name() != "sqlite"}
    if url.get_backend_name() == "sqlite" and "timeout" not in url.query:
        options["connect_args"] = {"timeout": BUSY_SECONDS}
    try:
        engine = create_engine(url, **options)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise UsageError(f"no driver for {url.drivername}: {error}", hint="pip install -e .[postgres]") from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgres)
    return engine


def _on_connect(connection: Any, _record: Any) -> None:
    # pysqlite opens transactions by itself and late: two processes would read the same row before either locks it
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgres(connection: Connection) -> None:
    # the same promise as SQLite's: of the writers of this store one is at work at a time
    if connection.get_execution_options().get(WRITES, False):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRES_LOCK})")


def to_json(value: object) -> str:
    """JSON that every database takes: what is no number becomes null."""
    return json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
