"""Loading: room in memory, and a challenger that answers what clients sent lately before it answers anybody."""

import numpy as np
import pytest

from recognizer.errors import InvalidAnswer, PluginError, StorageError
from recognizer.rollout.split import Mode, Split
from recognizer.store.served import Champion
from serving import memory
from serving.loader import Loader, recorded_inputs
from serving.servable import State


def log_input(small_home, name, visibility=1.0, day="2026-11-20"):
    """An input as the prediction log keeps it; the bad models of these tests misbehave where a joint is surely seen."""
    folder = small_home.home.inputs / "action" / day
    folder.mkdir(parents=True, exist_ok=True)
    shape = (2, 30, 17)
    np.savez(
        folder / f"{name}.npz",
        keypoints=np.full((*shape, 2), 100, np.float32),
        visibility=np.full(shape, visibility, np.float32),
    )


def loader(small_home):
    home = small_home.home
    return Loader(home.packages, home.keys, threads=1, inputs=home.inputs)


def split(small_home):
    return Split("action", 1, Mode.LOAD, 2, small_home.digests[2], 0.0, "salt")


def champion(small_home):
    return Champion("action", 2, small_home.digests[2], None, 0.0, "x")


@pytest.fixture
def small(small_home, make_bad_model):
    def make(kind):
        small_home.package(2, make_bad_model(kind))
        small_home.bless(2)
        return small_home

    return make


@pytest.mark.parametrize(("kind", "error"), [("raises", PluginError), ("nan", InvalidAnswer)])
def test_a_challenger_that_fails_on_what_clients_sent_is_refused(small, kind, error):
    home = small(kind)
    assert loader(home).load(split(home)).state is State.AVAILABLE  # nothing was logged yet
    log_input(home, "1")
    with pytest.raises(error):
        loader(home).load(split(home))
    # the champion has answered it, whatever came of that: a process that starts goes on with it
    assert loader(home).load(champion(home)).state is State.AVAILABLE


def test_logged_inputs_that_are_of_no_use_refuse_nobody(small_home):
    small_home.package(2)
    small_home.bless(2)
    log_input(small_home, "1")
    log_input(small_home, "2", visibility=0.0)
    (small_home.home.inputs / "action" / "2026-11-20" / "3.npz").write_bytes(b"half a file")
    assert loader(small_home).load(split(small_home)).state is State.AVAILABLE


def test_the_newest_logged_inputs_are_taken(small_home):
    for day in ("2026-11-18", "2026-11-19", "2026-11-20"):
        log_input(small_home, f"{day}-a", day=day)
        log_input(small_home, f"{day}-b", day=day)
    found = [path.stem for path in recorded_inputs(small_home.home.inputs, "action")]
    assert found == ["2026-11-20-b", "2026-11-20-a", "2026-11-19-b"]
    assert recorded_inputs(small_home.home.inputs, "pose") == []
    assert recorded_inputs(None, "action") == []


def test_a_model_for_which_there_is_no_room_is_not_loaded(small_home, monkeypatch):
    small_home.release(2)
    monkeypatch.setattr(memory, "free_bytes", lambda: memory.NEEDED_BESIDES)
    with pytest.raises(StorageError, match="MB of memory are free") as caught:
        loader(small_home).load(champion(small_home))
    assert "tried again" in caught.value.hint


@pytest.mark.parametrize(
    ("limit", "used", "free"), [("max", "5", None), ("1000", "400", 600), ("1000", "1400", 0), (None, None, None)]
)
def test_a_control_group_may_leave_less_than_the_machine(tmp_path, limit, used, free):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(used)
    found = memory.free_bytes(tmp_path)
    assert found > 10_000 if free is None else found == free
