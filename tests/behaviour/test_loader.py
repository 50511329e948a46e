"""Loading: only what there is room for."""

import numpy as np
import pytest
from structlog.testing import capture_logs

from recognizer.errors import PluginError, StorageError
from recognizer.store.served import Champion
from serving import memory
from serving.action.predictor import ActionPredictor
from serving.action.window import make_window
from serving.growth import Memory
from serving.loader import Loader
from serving.periodic import Periodic
from serving.servable import State
from serving.watch import TICK_SECONDS, Watch


def loader(small_home, **more):
    home = small_home.home
    return Loader(home.packages, home.keys, threads=1, **more)


@pytest.fixture
def watch(monkeypatch):
    """One that gives up what lasts longer than a moment, or needs 64 MB."""
    monkeypatch.setattr("serving.loader.WARM_SECONDS", 0.3)
    made = Watch(Memory(64 * 2**20))
    ticking = Periodic("watch", TICK_SECONDS, made.tick, "watching failed")
    ticking.start()
    yield made
    ticking.stop()


SURE = make_window(np.ones((1, 30, 17, 3), np.float32))


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


@pytest.mark.parametrize("kind", ["raises", "nan", "hangs", "grows", "allocates"])
def test_a_model_that_fails_at_what_was_asked_lately_is_for_the_shadow_to_judge(
    small_home, watch, make_bad_model, kind
):
    small_home.release(2, make_bad_model(kind))
    tasks = []

    def recent(task):
        tasks.append(task)
        return [SURE, SURE]

    with capture_logs() as logs:
        servable = loader(small_home, watch=watch, recent=recent).load(champion(small_home))
    assert (servable.state, tasks) == (State.AVAILABLE, ["action"])
    (told,) = [one for one in logs if "asked lately" in one["event"]]
    assert told["version"] == 2
    assert watch.stuck == 0


@pytest.mark.parametrize(("kind", "said"), [("hangs", "gave no answer within"), ("grows", "the process grew by")])
def test_a_model_that_does_not_even_answer_what_is_made_up_is_refused(
    small_home, watch, make_bad_model, monkeypatch, kind, said
):
    small_home.release(2, make_bad_model(kind))
    monkeypatch.setattr(
        "serving.loader.made_up_inputs",
        lambda card: {tensor.name: np.ones((1, *tensor.shape[1:]), np.float32) for tensor in card.inputs},
    )
    with pytest.raises(PluginError, match=said) as caught:
        loader(small_home, watch=watch).load(champion(small_home))
    assert caught.value.hint


def test_a_model_that_answers_what_was_asked_lately_says_nothing(small_home, watch):
    small_home.release(2)
    with capture_logs() as logs:
        loader(small_home, watch=watch, recent=lambda _task: [SURE]).load(champion(small_home))
    assert logs == []


@pytest.mark.parametrize(
    ("limit", "used", "free"), [("max", "5", None), ("1000", "400", 600), ("1000", "1400", 0), (None, None, None)]
)
def test_a_control_group_may_leave_less_than_the_machine(tmp_path, limit, used, free):
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(used)
    found = memory.free_bytes(tmp_path)
    assert found > 10_000 if free is None else found == free
