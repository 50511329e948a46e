"""Loading: only what there is room for."""

import contextlib
import os
import time
from threading import Timer

import numpy as np
import pytest
from onnx import numpy_helper
from structlog.testing import capture_logs

from recognizer.errors import FormatError, GivenUp, PackageTampered, PluginError, StorageError
from recognizer.store.served import Champion
from serving import memory
from serving.action.predictor import ActionPredictor
from serving.action.window import make_window
from serving.growth import Memory
from serving.loader import Loader
from serving.periodic import Periodic
from serving.servable import State
from serving.staging import PREFIX
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


def with_table(model, megabytes):
    """The model with so many megabytes of weights that no answer needs."""
    table = np.zeros(megabytes * 2**18, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(table, "table"))
    return model


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


def held():
    """Files of weights that this process keeps though they have no name any more."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # it was that of the listing
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return {link for link in found if PREFIX in link}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at open files as Linux shows them")
def test_a_load_that_is_of_no_use_keeps_nothing(small_home, watch, monkeypatch):
    def refused(*_):
        raise PluginError("no", hint="x")

    small_home.release(2)
    before = held()  # of other tests
    servable = loader(small_home).load(champion(small_home))
    assert len(held() - before) == 1
    servable.quiesce("x")
    assert servable.unload()
    assert held() <= before
    servable = loader(small_home).load(champion(small_home))
    del servable  # its rollout was aborted while it was loading
    assert held() <= before
    monkeypatch.setattr(Loader, "_warm", refused)
    with pytest.raises(PluginError) as caught:
        loader(small_home).load(champion(small_home))
    assert held() <= before
    assert caught.value.hint


@pytest.mark.parametrize("when", ["while it is read", "before it is warm"])
def test_a_process_that_ends_gives_its_load_up(small_home, make_bad_model, monkeypatch, when):
    small_home.release(2, with_table(make_bad_model("sum"), 40))
    made = loader(small_home, recent=lambda _task: [SURE])
    if when == "before it is warm":
        monkeypatch.setattr("serving.loader.DUTY", 1)
        monkeypatch.setattr("serving.loader.load_predictor", lambda _task: made.stop() or ActionPredictor)
    else:
        monkeypatch.setattr("serving.loader.DUTY", 0.001)
        Timer(0.2, made.stop).start()
    began = time.monotonic()
    with pytest.raises(GivenUp, match="the process ends"):
        made.load(champion(small_home))
    assert time.monotonic() - began < 5


def test_what_cannot_be_opened_is_told_of_the_package(small_home, monkeypatch):
    small_home.release(2)
    folder = small_home.home.packages / small_home.digests[2]

    class Predictor(ActionPredictor):
        def __init__(self, package, *, threads):
            raise FormatError("onnxruntime cannot load it", where=str(package), hint="x")

    monkeypatch.setattr("serving.loader.load_predictor", lambda _task: Predictor)
    with pytest.raises(FormatError) as caught:
        loader(small_home).load(champion(small_home))
    assert caught.value.where == str(folder)


def test_what_is_changed_while_it_is_opened_in_place_is_refused(small_home, monkeypatch, tmp_path):
    small_home.release(2)
    model = small_home.home.packages / small_home.digests[2] / "model.onnx"
    monkeypatch.setattr("serving.loader.MEMORY", tmp_path / "missing")
    monkeypatch.setattr("serving.loader.tempfile.gettempdir", lambda: str(tmp_path / "missing"))

    class Predictor(ActionPredictor):
        def __init__(self, package, *, threads):
            model.write_bytes(model.read_bytes() + b" ")
            super().__init__(package, threads=threads)

    monkeypatch.setattr("serving.loader.load_predictor", lambda _task: Predictor)
    with pytest.raises((PackageTampered, FormatError)):
        loader(small_home).load(champion(small_home))


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
