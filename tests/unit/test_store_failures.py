"""What a driver says becomes an error with a next step and without a password."""

import sqlite3

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from recognizer.errors import Conflict, DiskFull, ReadOnlyHome, StoreUnavailable, UsageError
from recognizer.store.engine import make_engine, parse_url, sqlite_file
from recognizer.store.failures import explain, shown


def driver_error(code: int | None, text: str = "said so") -> DBAPIError:
    error = sqlite3.OperationalError(text)
    if code is not None:
        error.sqlite_errorcode = code
    return OperationalError("SELECT secret FROM t WHERE p = ?", ("hunter2",), error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, DiskFull),
        (sqlite3.SQLITE_READONLY, ReadOnlyHome),
        (sqlite3.SQLITE_READONLY_DIRECTORY, ReadOnlyHome),
        (sqlite3.SQLITE_CORRUPT, StoreUnavailable),
        (sqlite3.SQLITE_NOTADB, StoreUnavailable),
        (sqlite3.SQLITE_BUSY, StoreUnavailable),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreUnavailable),
        (sqlite3.SQLITE_CANTOPEN, StoreUnavailable),
        (sqlite3.SQLITE_IOERR_READ, StoreUnavailable),
        (None, StoreUnavailable),
    ],
)
def test_every_code_has_an_error_with_a_next_step(code, kind):
    error = explain(driver_error(code), "/tmp/recognizer.db")
    assert type(error) is kind
    assert error.where == "/tmp/recognizer.db"
    assert error.hint
    assert "said so" in str(error)
    assert "hunter2" not in str(error)
    assert "SELECT" not in str(error)


def test_a_folder_that_cannot_be_written_is_told_from_a_file_that_cannot_be_opened(tmp_path, monkeypatch):
    where = str(tmp_path / "recognizer.db")
    assert type(explain(driver_error(sqlite3.SQLITE_CANTOPEN), where)) is StoreUnavailable
    monkeypatch.setattr("os.access", lambda path, _mode: path != tmp_path)
    assert type(explain(driver_error(sqlite3.SQLITE_CANTOPEN), where)) is ReadOnlyHome


def test_a_refused_change_is_a_conflict():
    error = explain(IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE constraint failed: a.b")), "x")
    assert type(error) is Conflict
    assert "UNIQUE constraint failed: a.b" in error.what


def test_no_free_connection_is_unavailable():
    assert type(explain(PoolTimeout("QueuePool limit"), "x")) is StoreUnavailable


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////data/recognizer.db", "/data/recognizer.db"),
        ("postgresql+psycopg://bob:hunter2@db:5432/night?password=hunter2", "postgresql+psycopg://db:5432/night"),
    ],
)
def test_a_url_is_shown_without_credentials(url, expected):
    assert shown(make_url(url)) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "postgresql://bob:hunter2@db:port/x",
        "mysql://bob:hunter2@db/x",
        "sqlite://",
        "sqlite:///:memory:",
        "nosuch+hunter2://x",
    ],
)
def test_a_url_that_is_no_good_is_refused_and_not_repeated(url):
    with pytest.raises(UsageError) as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value).replace("mysql+hunter2", "")
    assert "RECOGNIZER_STORE_URL" in str(caught.value)
    assert caught.value.__cause__ is None


def test_postgres_is_asked_through_the_driver_that_is_installed():
    assert parse_url("postgresql://db/x").drivername == "postgresql+psycopg"
    assert parse_url("postgresql+asyncpg://db/x").drivername == "postgresql+asyncpg"


def test_a_driver_that_is_missing_is_named():
    with pytest.raises(UsageError, match="nosuchdriver"):
        make_engine(parse_url("postgresql+nosuchdriver://bob:hunter2@db/x"))


def test_a_server_has_no_file(tmp_path):
    assert sqlite_file(parse_url(f"sqlite:///{tmp_path}/a.db")) == tmp_path / "a.db"
    assert sqlite_file(parse_url(f"sqlite:///file:{tmp_path}/a.db?mode=ro&uri=true")) == tmp_path / "a.db"
    assert sqlite_file(parse_url("postgresql+psycopg://db/x")) is None
