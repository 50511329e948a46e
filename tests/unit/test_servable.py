"""A servable only moves downwards, counts its requests, and is freed after the last one."""

import threading

import pytest

from recognizer.errors import Conflict
from serving.servable import TRANSITIONS, Opened, Servable, State

OPENED = Opened(predictor=None, card=None)
ORDER = [State.START, State.LOADING, State.AVAILABLE, State.QUIESCING, State.UNLOADED]


def fail():
    raise MemoryError("no room")


def start():
    return Servable("action", 7, "d" * 64)


def available():
    servable = start()
    servable.load(lambda: OPENED)
    return servable


def quiescing():
    servable = available()
    servable.quiesce("superseded")
    return servable


def unloaded():
    servable = quiescing()
    assert servable.unload()
    return servable


def failed():
    servable = start()
    with pytest.raises(MemoryError):
        servable.load(fail)
    return servable


def test_transitions_never_lead_backwards():
    assert set(TRANSITIONS) == set(State) == set(ORDER)
    for state, nexts in TRANSITIONS.items():
        assert all(ORDER.index(after) > ORDER.index(state) for after in nexts)


@pytest.mark.parametrize(
    ("make", "state", "takes", "says"),
    [
        (start, State.START, False, "named"),
        (available, State.AVAILABLE, True, "verified"),
        (quiescing, State.QUIESCING, False, "superseded"),
        (unloaded, State.UNLOADED, False, "last request"),
        (failed, State.UNLOADED, False, "no room"),
    ],
)
def test_states(make, state, takes, says):
    servable = make()
    assert servable.state is state
    assert says in servable.reason
    assert servable.enter() is takes
    if not takes and state is not State.QUIESCING:
        with pytest.raises(Conflict):
            _ = servable.opened


MOVES = {
    State.LOADING: lambda servable: servable.load(lambda: OPENED),
    State.QUIESCING: lambda servable: servable.quiesce("again"),
    State.UNLOADED: lambda servable: servable.unload(),
}


@pytest.mark.parametrize("make", [start, available, quiescing, unloaded, failed])
@pytest.mark.parametrize("to", MOVES)
def test_only_moves_of_the_table_are_made(make, to):
    servable = make()
    before = servable.state
    if to in TRANSITIONS[before]:
        MOVES[to](servable)
        assert ORDER.index(servable.state) > ORDER.index(before)
    else:
        with pytest.raises(Conflict, match=f"{before} does not become {to}"):
            MOVES[to](servable)
        assert servable.state is before


def test_freed_only_after_the_last_request():
    servable = available()
    assert servable.enter()
    assert servable.enter()
    servable.quiesce("superseded")
    assert not servable.unload()
    assert servable.opened is OPENED
    servable.leave()
    assert not servable.unload()
    servable.leave()
    assert servable.in_flight == 0
    assert servable.unload()


def test_requests_are_counted_from_many_threads():
    servable = available()

    def work():
        for _ in range(500):
            assert servable.enter()
            servable.leave()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert servable.in_flight == 0
