"""Opening the store: made, migrated, refused; and transactions that lose nothing."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, insert, select, text, update

import recognizer.store
from recognizer.errors import Conflict, DiskFull, ReadOnlyHome, StorageError, StoreUnavailable
from recognizer.store import Store, open_store
from recognizer.store.clock import read_clock
from recognizer.store.schema import REVISION_TABLE, REVISIONS, audit_head, generation, leases, metadata, versions

MIGRATIONS = Path(recognizer.store.__file__).parent / "migrations"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a home" / "50%" / "recognizer.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


def run_together(script: str, *arguments: str, processes: int = 4) -> list[str]:
    """Run a script in several processes at once; returns what each printed."""
    children = [
        subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    printed = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0] * processes
    return printed


def test_a_store_is_made_and_opened_again(file, url):
    open_store(url).close()
    with open_store(url, migrate=False) as store, store.read() as connection:
        assert store.where == str(file)
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL: what was answered survives
        assert abs(read_clock(connection) - time.time()) < 5


def test_the_tables_are_those_of_the_migrations(store_url):
    with open_store(store_url) as store, store.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": REVISION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == REVISIONS[-1]


def test_the_code_knows_every_migration():
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS


def test_every_migration_can_be_undone_and_done_again(url):
    from alembic import command
    from alembic.config import Config

    with open_store(url) as store:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with store.write() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "base")
        with store.read() as connection:
            left = connection.execute(text("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")).scalars()
            assert set(left) == {REVISION_TABLE}
    with open_store(url) as store, store.read() as connection:
        assert connection.execute(select(generation.c.number)).scalar_one() == 0


def test_a_store_of_the_first_version_keeps_what_it_holds(url):
    from alembic import command
    from alembic.config import Config

    with open_store(url) as store:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with store.write() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0001")
            connection.execute(update(generation).values(number=5))
    with pytest.raises(StoreUnavailable, match="older revision 0001"):
        open_store(url, migrate=False)
    with open_store(url) as store, store.read() as connection:
        assert connection.execute(select(generation.c.number)).scalar_one() == 5
        assert connection.execute(select(audit_head.c.number)).scalar_one() == 0


def test_four_processes_may_make_the_store_at_once(empty_store_url):
    script = """
import sys
from recognizer.store import open_store
from recognizer.store.served import read_generation
with open_store(sys.argv[1]) as store:
    print(read_generation(store))
"""
    assert run_together(script, empty_store_url) == ["0\n"] * 4


def test_opening_is_cheap_and_leaves_alembic_alone(url):
    open_store(url).close()
    script = """
import sys, time
from recognizer.store import open_store
open_store(sys.argv[1]).close()
tries = []
for _ in range(10):
    began = time.perf_counter()
    open_store(sys.argv[1]).close()
    tries.append(time.perf_counter() - began)
print(min(tries), "alembic" in sys.modules)
"""
    seconds, imported = run_together(script, url, processes=1)[0].split()
    assert float(seconds) < 0.05
    assert imported == "False"


def test_a_reader_makes_no_store(file, url):
    with pytest.raises(StoreUnavailable, match="no store yet") as caught:
        open_store(url, migrate=False)
    assert "recognizer nightly" in str(caught.value)
    assert not file.exists()


def test_a_store_is_not_made_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not write"):
        open_store(f"sqlite:///{tmp_path}/file/recognizer.db")


def test_a_reader_refuses_a_file_without_tables(file, url):
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(StoreUnavailable, match="no tables yet"):
        open_store(url, migrate=False)
    open_store(url).close()
    open_store(url, migrate=False).close()


@pytest.mark.parametrize("migrate", [True, False])
def test_a_store_of_newer_code_is_refused(store_url, migrate):
    with open_store(store_url) as store, store.write() as connection:
        connection.execute(text(f"UPDATE {REVISION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match=r"revision 9999.*knows") as caught:
        open_store(store_url, migrate=migrate)
    assert "install" in caught.value.hint


def test_a_reader_refuses_a_store_of_older_code(url, monkeypatch):
    open_store(url).close()
    monkeypatch.setattr("recognizer.store.migration.REVISIONS", (*REVISIONS, "9998"))
    with pytest.raises(StoreUnavailable, match=f"older revision {REVISIONS[-1]}") as caught:
        open_store(url, migrate=False)
    assert "migrate" in caught.value.hint


def read_everything(url: str, migrate: bool) -> None:
    with open_store(url, migrate=migrate) as store, store.read() as connection:
        for table in metadata.sorted_tables:
            connection.execute(select(func.count()).select_from(table)).scalar()


@pytest.mark.parametrize("migrate", [True, False])
@pytest.mark.parametrize("damage", ["text", "truncated", "folder"])
def test_a_damaged_file_is_refused_with_a_next_step(file, url, damage, migrate):
    if damage == "folder":
        file.mkdir(parents=True)
    else:
        with open_store(url) as store, store.write() as connection:
            connection.execute(insert(leases).values(name="x" * 150, epoch=1, since=0.0, expires=0.0))
        content = file.read_bytes()
        file.write_bytes(b"no database " * 400 if damage == "text" else content[: len(content) // 3])
    with pytest.raises(StoreUnavailable) as caught:
        read_everything(url, migrate)
    assert str(file) in str(caught.value)
    assert caught.value.hint


def test_a_store_that_cannot_be_written_says_so_and_can_be_read(file, url):
    open_store(url).close()
    with open_store(f"sqlite:///file:{file}?mode=ro&uri=true") as store:
        with store.read() as connection:
            assert connection.execute(select(generation.c.number)).scalar_one() == 0
        with pytest.raises(ReadOnlyHome, match="cannot be written"), store.write() as connection:
            connection.execute(update(generation).values(number=1))


def fill_the_disk(store: Store) -> None:
    with store.write() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages + 4}"))
        connection.execute(update(generation).values(number=1))
        for number in range(1000):
            connection.execute(insert(leases).values(name=f"{number:0200}", epoch=1, since=0.0, expires=0.0))


def test_a_full_disk_undoes_the_whole_transaction(url):
    with open_store(url) as store:
        with pytest.raises(DiskFull):
            fill_the_disk(store)
        with store.read() as connection:
            assert connection.execute(select(generation.c.number)).scalar_one() == 0
            assert connection.execute(select(func.count()).select_from(leases)).scalar() == 0


def test_a_server_that_is_away_is_told_without_the_password(free_port):
    pytest.importorskip("psycopg")
    url = f"postgresql+psycopg://bob:hunter2@127.0.0.1:{free_port()}/night?connect_timeout=2"
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1") as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)
    assert "bob" not in caught.value.where


def test_a_store_locked_for_too_long_says_so(file, url):
    open_store(url).close()
    with open_store(f"{url}?timeout=0.01") as store:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"), store.write():
            pass
        with store.read() as connection:  # readers do not wait for a writer
            assert connection.execute(select(generation.c.number)).scalar_one() == 0
        other.close()


def change_and_fail(store: Store) -> None:
    with store.write() as connection:
        connection.execute(update(generation).values(number=5))
        raise RuntimeError


def test_an_error_in_the_block_undoes_it(store_url):
    with open_store(store_url) as store:
        with pytest.raises(RuntimeError):
            change_and_fail(store)
        with store.read() as connection:
            assert connection.execute(select(generation.c.number)).scalar_one() == 0


def test_a_broken_constraint_is_a_conflict(store_url):
    with open_store(store_url) as store, pytest.raises(Conflict, match=r"(?i)foreign key"), store.write() as connection:
        connection.execute(
            insert(versions).values(
                task="a", version=1, digest="d", night_id=77, snapshot="s", test_digest="t", verdict="PASSED",
                metrics={}, registered_at=0.0,
            )
        )  # fmt: skip


def test_a_reader_sees_one_moment(store_url):
    with open_store(store_url) as store, store.read() as reading:
        query = select(generation.c.number)
        assert reading.execute(query).scalar_one() == 0
        with store.write() as connection:
            connection.execute(update(generation).values(number=1))
        assert reading.execute(query).scalar_one() == 0
    with open_store(store_url) as store, store.read() as connection:
        assert connection.execute(query).scalar_one() == 1


def test_threads_share_a_store(store_url):
    with open_store(store_url) as store:

        def increment() -> None:
            for _ in range(25):
                with store.write() as connection:
                    number = connection.execute(select(generation.c.number)).scalar_one()
                    connection.execute(update(generation).values(number=number + 1))

        threads = [threading.Thread(target=increment) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with store.read() as connection:
            assert connection.execute(select(generation.c.number)).scalar_one() == 200


def test_a_forked_child_goes_on_with_connections_of_its_own(store_url):
    script = """
import os, sys
from recognizer.store import open_store
from recognizer.store.schema import generation
from sqlalchemy import update
store = open_store(sys.argv[1])
def increment():
    with store.write() as connection:
        connection.execute(update(generation).values(number=generation.c.number + 1))
increment()
child = os.fork()
increment()
if child == 0:
    store.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
increment()
store.close()
"""
    run_together(script, store_url, processes=1)
    with open_store(store_url) as store, store.read() as connection:
        assert connection.execute(select(generation.c.number)).scalar_one() == 4


def test_a_killed_writer_leaves_nothing_and_no_lock(store_url):
    script = """
import os, signal, sys
from recognizer.store import open_store
from recognizer.store.schema import generation
from sqlalchemy import update
with open_store(sys.argv[1]) as store, store.write() as connection:
    connection.execute(update(generation).values(number=7))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", script, store_url], check=False)
    assert child.returncode == -9
    with open_store(store_url) as store, store.write() as connection:
        assert connection.execute(select(generation.c.number)).scalar_one() == 0


def test_importing_connects_to_nothing(tmp_path):
    before = dict(os.environ)
    subprocess.run(
        [sys.executable, "-c", "import recognizer.store, recognizer.store.leases, recognizer.store.served"],
        cwd=tmp_path,
        env={**before, "RECOGNIZER_HOME": str(tmp_path / "home")},
        check=True,
    )
    assert list(tmp_path.iterdir()) == []
