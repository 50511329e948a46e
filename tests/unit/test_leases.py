"""Who may take a lease, and whether its holder still runs."""

import os
import subprocess
import sys

import pytest

from recognizer.store import processes
from recognizer.store.leases import Held, may_take
from recognizer.store.processes import is_alive, this_process

NOW = 1_000.0


@pytest.mark.parametrize(
    ("holder", "expires", "alive", "expected"),
    [
        (None, 0.0, None, True),  # released, or never held
        (None, NOW + 9, None, True),
        ("a", NOW + 9, True, False),
        ("a", NOW + 9, None, False),  # on another host: only its end counts
        ("a", NOW + 9, False, True),  # its process is dead
        ("a", NOW, True, True),  # it has ended
        ("a", NOW - 9, None, True),
        ("a", NOW - 9, False, True),
        ("a", NOW + 0.001, True, False),
    ],
)
def test_who_may_take_a_lease(holder, expires, alive, expected):
    assert may_take(Held("night:action", holder, 3, NOW - 60, expires, NOW), alive) is expected


def test_this_process_is_alive():
    assert is_alive(this_process()) is True


def test_a_process_that_ended_is_dead_also_before_its_parent_looks():
    script = "from recognizer.store.processes import this_process; print(this_process(), flush=True)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        holder = child.stdout.readline().strip()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended and not reaped: a zombie
        assert is_alive(holder) is False
    assert is_alive(holder) is False


def test_a_process_id_used_again_is_another_process():
    host, pid, started = this_process().split(":")
    assert is_alive(f"{host}:{pid}:{int(started) - 1}") is False


@pytest.mark.parametrize(
    "holder", ["", "somebody", "elsewhere-00000000:1:5", "{host}:0:5", "{host}:-1:5", "{host}:1:", "{host}:x:5"]
)
def test_nothing_is_said_of_what_cannot_be_seen(holder):
    assert is_alive(holder.format(host=this_process().split(":")[0])) is None


def test_a_hidden_process_is_not_called_dead(monkeypatch, tmp_path):
    host, pid, started = this_process().split(":")
    (tmp_path / "self").mkdir()
    (tmp_path / "self/stat").touch()
    monkeypatch.setattr(processes, "_PROC", tmp_path)  # a /proc that shows nobody else, as with hidepid
    assert is_alive(f"{host}:{pid}:{started}") is None


def test_without_proc_the_start_time_tells_processes_apart(monkeypatch, tmp_path):
    host = this_process().split(":")[0]
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    mine = this_process()
    assert mine.startswith(f"{host}:{os.getpid()}:")
    assert is_alive(mine) is True
    assert is_alive(f"{host}:{os.getpid()}:0.00") is False
    assert is_alive(f"{host}:999999999:1.00") is False
