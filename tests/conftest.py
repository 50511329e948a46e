"""Which database the tests of the store use; and every test gives the environment back as it was."""

import gc
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from recognizer.store import open_store

TESTS = Path(__file__).parent
POSTGRES = os.environ.get("TEST_POSTGRES_URL")

# `make test &` begins with Ctrl-C ignored, and so would the processes that tests start, and stop by it
signal.signal(signal.SIGINT, signal.default_int_handler)

# What earlier tests left as garbage is never taken apart in a forked child: the destructor of an onnxruntime session
# waits there for threads that were not forked with it, without end
os.register_at_fork(after_in_child=gc.freeze)

LONGEST_FIRST = ("e2e", "behaviour", "unit")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that two processes end together; otherwise the order stays random.

    End-to-end tests are not counted in the coverage: they are there for the whole and not for lines, and tracing
    makes them 1.4 times as long.
    """
    folder = {item: item.path.relative_to(TESTS).parts[0] for item in items}
    items.sort(key=lambda item: LONGEST_FIRST.index(folder[item]))
    for item in items:
        if folder[item] == "e2e":
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store with its tables and nothing in them."""
    file = tmp_path_factory.mktemp("migrated") / "recognizer.db"
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def empty_store_url(tmp_path: Path) -> Iterator[str]:
    """A store that nobody has made yet: SQLite, or a database on the Postgres server that TEST_POSTGRES_URL names."""
    if POSTGRES is None:
        yield f"sqlite:///{tmp_path}/recognizer.db"
        return
    name = f"recognizer_test_{uuid.uuid4().hex[:12]}"
    server = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture
def store_url(empty_store_url: str, migrated: Path, tmp_path: Path) -> str:
    """A store with its tables; copied, where it can be, because making it takes longer than most tests."""
    if POSTGRES is None:
        shutil.copyfile(migrated, tmp_path / "recognizer.db")
    else:
        open_store(empty_store_url).close()
    return empty_store_url


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)
