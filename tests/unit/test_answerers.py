"""The threads that answer: order, one at a time, who waits lets another in, and what becomes of errors and the end."""

import asyncio
import gc
import threading
import time
import weakref

import pytest

from serving.answerers import Answerers

PATIENCE = 20.0


@pytest.fixture
def make():
    made = []

    def answerers(most: int) -> Answerers:
        made.append(Answerers(most))
        return made[-1]

    yield answerers
    for one in made:
        one.shutdown()


class Gauge:
    """How many are inside at once, and how many that were at most."""

    def __init__(self):
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def __enter__(self):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self.lock:
            self.now -= 1


def ask(answerers: Answerers, function, count: int) -> list:
    """The answers to 0 … count - 1, asked for at once."""

    async def all_of_them():
        asked = (answerers.run(function, number) for number in range(count))
        return await asyncio.wait_for(asyncio.gather(*asked), PATIENCE)

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("most", [1, 4])
def test_one_works_at_a_time_in_the_order_of_the_requests(make, most):
    gauge, order = Gauge(), []

    def work(number):
        with gauge:
            order.append(number)
            return number * 2

    assert ask(make(most), work, 200) == [number * 2 for number in range(200)]
    assert order == list(range(200))
    assert gauge.most == 1


@pytest.mark.parametrize("most", [2, 4])
def test_while_some_are_away_others_work(make, most):
    """All threads are needed at the barrier at once, so it is passed only if each lets the next one in."""
    answerers, barrier = make(most), threading.Barrier(most)

    def work(number):
        with answerers.away():
            barrier.wait(PATIENCE)
        return threading.current_thread().name

    assert len(set(ask(answerers, work, 5 * most))) == most


def test_no_more_threads_than_were_allowed_are_away(make):
    answerers, gauge, third = make(2), Gauge(), threading.Event()

    def work(number):
        if number == 2:
            third.set()
            return
        with answerers.away(), gauge:
            third.wait(0.2)  # long enough for a third thread to begin, if there were one

    ask(answerers, work, 3)
    assert gauge.most == 2


def test_after_some_came_back_one_works_at_a_time_again(make):
    answerers, gauge, begun = make(3), Gauge(), threading.Barrier(3)

    def wait(number):
        with answerers.away():
            begun.wait(PATIENCE)

    def work(number):
        with gauge:
            return number

    ask(answerers, wait, 3)  # all three come back at once, and two have no place any more
    assert ask(answerers, work, 200) == list(range(200))
    assert gauge.most == 1


def test_away_means_nothing_in_a_thread_of_somebody_else(make):
    answerers = make(1)
    with answerers.away():
        assert ask(answerers, lambda number: number, 3) == [0, 1, 2]


@pytest.mark.parametrize(
    ("raised", "told"), [(KeyError("x"), KeyError), (MemoryError(), MemoryError), (StopIteration("x"), RuntimeError)]
)
def test_an_error_is_handed_to_who_asked_and_the_thread_goes_on(make, raised, told):
    answerers = make(1)

    def fail(number):
        raise raised

    with pytest.raises(told):
        ask(answerers, fail, 1)
    assert ask(answerers, lambda number: number, 2) == [0, 1]


def test_an_error_while_away_gives_the_place_back(make):
    answerers = make(2)

    def fail(number):
        with answerers.away():
            raise KeyError(number)

    for _ in range(5):
        with pytest.raises(KeyError):
            ask(answerers, fail, 1)
    assert ask(answerers, lambda number: number, 20) == list(range(20))


def test_the_end_waits_for_all_that_was_taken_and_takes_no_more(make):
    answerers, go, done = make(2), threading.Event(), []

    def work(number):
        with answerers.away():
            go.wait(PATIENCE)
        done.append(number)

    async def stop_with_some_underway():
        asked = [asyncio.ensure_future(answerers.run(work, number)) for number in range(10)]
        await asyncio.sleep(0)
        stopping = asyncio.get_running_loop().run_in_executor(None, answerers.shutdown)
        go.set()
        await asyncio.wait_for(asyncio.gather(*asked), PATIENCE)
        await stopping
        with pytest.raises(RuntimeError):
            await answerers.run(work, 10)

    asyncio.run(stop_with_some_underway())
    assert sorted(done) == list(range(10))
    answerers.shutdown()  # a second time says nothing


def test_a_client_that_has_gone_is_not_computed_for(make):
    answerers, go, done = make(1), threading.Event(), []

    def work(number):
        go.wait(PATIENCE)
        done.append(number)

    async def leave_before_the_turn():
        asked = [asyncio.ensure_future(answerers.run(work, number)) for number in range(3)]
        await asyncio.sleep(0)
        asked[1].cancel()
        await asyncio.sleep(0)
        go.set()
        await asyncio.wait_for(asyncio.gather(asked[0], asked[2]), PATIENCE)

    asyncio.run(leave_before_the_turn())
    assert done == [0, 2]


def test_an_answer_for_a_loop_that_was_closed_hurts_nobody(make):
    answerers, go = make(1), threading.Event()

    async def leave():
        asked = asyncio.ensure_future(answerers.run(go.wait, PATIENCE))
        await asyncio.sleep(0)
        asked.cancel()

    asyncio.run(leave())
    go.set()
    assert ask(answerers, lambda number: number, 5) == list(range(5))


def test_an_idle_thread_keeps_no_request_alive(make):
    class Body:
        pass

    answerers, body = make(1), Body()
    gone = weakref.ref(body)
    asyncio.run(answerers.run(lambda one: None, body))
    del body
    deadline = time.monotonic() + PATIENCE
    while gone() is not None:  # until its thread has come to rest
        assert time.monotonic() < deadline
        gc.collect()
