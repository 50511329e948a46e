"""Loading: only what there is room for."""

import pytest

from recognizer.errors import StorageError
from recognizer.store.served import Champion
from serving import memory
from serving.action.predictor import ActionPredictor
from serving.loader import Loader
from serving.servable import State


def loader(small_home):
    home = small_home.home
    return Loader(home.packages, home.keys, threads=1)


def champion(small_home):
    return Champion("action", 2, small_home.digests[2], None, 0.0, "x")


def test_a_model_for_which_there_is_no_room_is_not_loaded(small_home, monkeypatch):
    small_home.release(2)
    monkeypatch.setattr(memory, "free_bytes", lambda: memory.NEEDED_BESIDES)
    with pytest.raises(StorageError, match="MB of memory are free") as caught:
        loader(small_home).load(champion(small_home))
    assert "tried again" in caught.value.hint


@pytest.mark.parametrize("place", ["copy", "missing"])
def test_it_is_loaded_from_a_copy_or_without_room_for_one_as_it_lies_there(small_home, monkeypatch, tmp_path, place):
    small_home.release(2)
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr("serving.loader.MEMORY", tmp_path / place)
    monkeypatch.setattr("serving.loader.tempfile.gettempdir", lambda: str(tmp_path / "missing"))
    opened = []

    class Predictor(ActionPredictor):
        def __init__(self, package, *, threads):
            opened.append(package)
            super().__init__(package, threads=threads)

    monkeypatch.setattr("serving.loader.load_predictor", lambda _task: Predictor)
    servable = loader(small_home).load(champion(small_home))
    assert servable.state is State.AVAILABLE
    home = small_home.home.packages / small_home.digests[2]
    assert [folder == home for folder in opened] == [place == "missing"]
    assert [*(tmp_path / "copy").iterdir()] == []
    servable.quiesce("x")
    assert servable.unload()


@pytest.mark.parametrize(
    ("limit", "used", "free"), [("max", "5", None), ("1000", "400", 600), ("1000", "1400", 0), (None, None, None)]
)
def test_a_control_group_may_leave_less_than_the_machine(tmp_path, limit, used, free):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(used)
    found = memory.free_bytes(tmp_path)
    assert found > 10_000 if free is None else found == free
