"""Leases between real processes: none lost, none held twice, dead holders replaced at once."""

import signal
import subprocess
import sys

import pytest
from sqlalchemy import select

from recognizer.errors import Conflict, StoreUnavailable
from recognizer.store import leases, open_store
from recognizer.store.leases import Keeper, Lease, acquire, fence, held, keep, release, renew
from recognizer.store.processes import this_process
from recognizer.store.schema import generation

NAME = "night:action"


def alive(_holder: str) -> bool:
    return True


@pytest.fixture
def url(store_url):
    return store_url


@pytest.fixture
def store(url):
    with open_store(url) as opened:
        yield opened


def test_a_lease_is_held_by_one(store):
    lease = acquire(store, NAME, "one", 60, alive=alive)
    assert lease == Lease(NAME, "one", 1)
    with pytest.raises(Conflict, match=r"one holds it since 20\d\d-.* UTC") as caught:
        acquire(store, NAME, "two", 60, alive=alive)
    assert NAME in caught.value.where
    with pytest.raises(Conflict):
        acquire(store, NAME, "one", 60, alive=alive)  # by the same name, but not by the same hand
    assert acquire(store, "night:pose", "two", 60, alive=alive).epoch == 1


def test_the_epoch_grows_with_every_acquisition(store):
    for epoch in range(1, 5):
        lease = acquire(store, NAME, "one", 60)
        assert lease.epoch == epoch
        assert release(store, lease)
    shown = held(store, NAME)
    assert (shown.holder, shown.epoch) == (None, 4)
    assert held(store, "night:pose") is None


def test_a_lease_that_ended_is_taken_over_and_lost(store):
    first = acquire(store, NAME, "one", -1, alive=alive)
    second = acquire(store, NAME, "two", 60, alive=alive)
    assert second.epoch == 2
    with pytest.raises(Conflict, match=r"epoch 1 is lost, two \(epoch 2\) holds it now"):
        renew(store, first, 60)
    assert not release(store, first)
    assert held(store, NAME).holder == "two"
    with pytest.raises(Conflict, match="is lost"), store.write() as connection:
        fence(connection, first)
    with store.write() as connection:
        fence(connection, second)
        fence(connection, None)


def test_a_lease_that_ended_and_nobody_took_can_be_renewed(store):
    lease = acquire(store, NAME, "one", -1)
    renew(store, lease, 60)
    shown = held(store, NAME)
    assert shown.now < shown.expires <= shown.now + 60


def test_a_released_lease_is_lost(store):
    lease = acquire(store, NAME, "one", 60)
    release(store, lease)
    with pytest.raises(Conflict, match="nobody holds it now"):
        renew(store, lease, 60)
    assert not release(store, lease)


@pytest.mark.parametrize(("sign", "length"), [(signal.SIGKILL, 3600), (None, 3600)])
def test_a_dead_holder_is_replaced_at_once(store, url, sign, length):
    script = f"""
import sys
from recognizer.store import open_store
from recognizer.store.leases import acquire
from recognizer.store.processes import this_process
store = open_store(sys.argv[1])
acquire(store, {NAME!r}, this_process(), {length})
print("held", flush=True)
if {sign is not None}:
    sys.stdin.read()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "held\n"
        if sign is not None:
            with pytest.raises(Conflict, match=str(child.pid)):
                acquire(store, NAME, this_process(), 60)
            child.send_signal(sign)
        child.wait(timeout=10)
    assert acquire(store, NAME, this_process(), 60).epoch == 2


def test_no_read_modify_write_of_four_processes_is_lost(store, url):
    """200 from each, with time between reading and writing for the others to get in."""
    script = """
import sys
from recognizer.store import open_store
from recognizer.store.schema import generation, leases
from sqlalchemy import select, update
with open_store(sys.argv[1]) as store:
    for _ in range(200):
        with store.write() as connection:
            epoch = connection.execute(select(leases.c.epoch).where(leases.c.name == "counted")).scalar_one()
            number = connection.execute(select(generation.c.number)).scalar_one()
            connection.execute(update(leases).where(leases.c.name == "counted").values(epoch=epoch + 1))
            connection.execute(update(generation).values(number=number + 1))
"""
    release(store, acquire(store, "counted", "nobody", 60))
    children = [subprocess.Popen([sys.executable, "-c", script, url]) for _ in range(4)]
    assert [child.wait(timeout=120) for child in children] == [0] * 4
    assert held(store, "counted").epoch == 1 + 800
    with store.read() as connection:
        assert connection.execute(select(generation.c.number)).scalar_one() == 800


def test_four_processes_never_hold_a_lease_together(store, url, tmp_path):
    """Each acquires 25 times; while it holds, it alone may make a file that the others would trip over."""
    script = f"""
import os, sys
from recognizer.errors import Conflict
from recognizer.store import open_store
from recognizer.store.leases import acquire, release
from recognizer.store.processes import this_process
with open_store(sys.argv[1]) as store:
    done = 0
    while done < 25:
        try:
            lease = acquire(store, {NAME!r}, this_process(), 60)
        except Conflict:
            continue
        os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL))
        os.unlink(sys.argv[2])
        assert release(store, lease)
        done += 1
"""
    mark = str(tmp_path / "mark")
    children = [subprocess.Popen([sys.executable, "-c", script, url, mark]) for _ in range(4)]
    assert [child.wait(timeout=120) for child in children] == [0] * 4
    assert held(store, NAME).epoch == 100


def test_a_kept_lease_outlives_its_length_and_is_given_back(store):
    with keep(store, NAME, 1.5) as keeper:
        first = held(store, NAME)
        assert first.holder == this_process()
        while held(store, NAME).now < first.expires:
            assert not keeper.lost.wait(0.05)
        with pytest.raises(Conflict):
            acquire(store, NAME, "two", 60)
        keeper.check()
    assert held(store, NAME).holder is None
    assert acquire(store, NAME, "two", 60).epoch == 2


def test_a_kept_lease_that_somebody_took_is_lost(store):
    with keep(store, NAME, 0.3) as keeper:
        steal(store, keeper)
        assert keeper.lost.wait(5)
        with pytest.raises(Conflict, match="lost the lease"):
            keeper.check()
    assert held(store, NAME).holder == "thief"


def test_a_kept_lease_is_lost_when_the_store_is_away_for_its_length(store, monkeypatch):
    with keep(store, NAME, 0.2) as keeper:
        monkeypatch.setattr(leases, "renew", away)
        assert keeper.lost.wait(5)
    with pytest.raises(Conflict, match="gone fishing"):
        keeper.check()
    # it was not given back: nobody knows whose it is
    assert held(store, NAME).holder == this_process()


def keep_and_fail(store, monkeypatch, error: Exception | None) -> None:
    with keep(store, NAME, 60):
        monkeypatch.setattr(leases, "release", away)
        if error:
            raise error


@pytest.mark.parametrize(("error", "told"), [(None, StoreUnavailable), (ZeroDivisionError(), ZeroDivisionError)])
def test_the_error_of_the_block_comes_before_that_of_giving_back(store, monkeypatch, error, told):
    with pytest.raises(told):
        keep_and_fail(store, monkeypatch, error)


def test_two_keepers_of_one_lease_conflict_at_once(store):
    with keep(store, NAME, 60), pytest.raises(Conflict):
        keep(store, NAME, 60)


def away(*_arguments):
    raise StoreUnavailable("gone fishing", hint="wait")


def steal(store, keeper: Keeper) -> None:
    release(store, keeper.lease)
    acquire(store, NAME, "thief", 60)
