"""The threads that answer: one works at a time, and while it waits for something another one takes over."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Task(NamedTuple):
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Answerers:
    """Runs functions for an event loop, in the order in which they came.

    Threads that compute in Python at the same time only take the interpreter's lock from each other: four of them
    answered half as many requests as one. So one works, and goes straight on to the next request. Who is about to wait
    outside the interpreter, for a model or for a challenger, says so with `away`; then the next one begins. Leader and
    followers, as in Schmidt et al., "Leader/Followers" (2000).

    Args:
        most: threads, those that are away included.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._tasks: deque[_Task] = deque()
        self._working = 0  # threads that have a place: they compute, or are about to
        self._idle = 0
        self._called = 0  # idle threads that were given a place and have not woken up yet
        self._stopped = False
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told = False  # the loop will look at what is done
        self._here = threading.local()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns or raises, called in one of the threads.

        Raises:
            RuntimeError: after `shutdown`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._stopped:
                raise RuntimeError("no request is answered any more")
            self._tasks.append(_Task(function, arguments, loop, future))
            self._let_one_in()
        return await future

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside, this thread waits, and another one may work; without effect in any other thread."""
        if not getattr(self._here, "answers", False):
            yield
            return
        with self._lock:
            self._working -= 1
            self._let_one_in()
        try:
            yield
        finally:
            with self._lock:  # without waiting for the place: who came back ends what it began
                self._working += 1

    def shutdown(self) -> None:
        """Take nothing more, and wait until everything that was taken is done."""
        with self._lock:
            self._stopped = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def _let_one_in(self) -> None:
        """Give an idle thread, or a new one, the free place. With the lock."""
        if self._working or not self._tasks:
            return
        if self._idle:
            self._idle -= 1
            self._called += 1
            self._wake.notify()
        elif len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name=f"answer-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        else:
            return
        self._working += 1

    def _work(self) -> None:
        """Begins with a place."""
        self._here.answers = True
        while (task := self._next()) is not None:
            answer: Any = None
            error: BaseException | None = None
            if not task.future.cancelled():  # its client is still there
                try:
                    answer = task.function(*task.arguments)
                except StopIteration as raised:  # a future takes none
                    error = RuntimeError(f"StopIteration was raised: {raised}")
                except BaseException as raised:
                    error = raised
                self._hand_over(task, answer, error)
            del task, answer, error  # an idle thread must keep no request alive

    def _next(self) -> _Task | None:
        """The next task of a thread that has a place, which it may have to wait for; None when it should end."""
        with self._lock:
            while True:
                if self._working == 1 and self._tasks:
                    return self._tasks.popleft()
                self._working -= 1
                if self._stopped:
                    return None
                self._idle += 1
                while not self._called:
                    if self._stopped:
                        self._idle -= 1
                        return None
                    self._wake.wait()
                self._called -= 1

    def _hand_over(self, task: _Task, answer: Any, error: BaseException | None) -> None:
        with self._lock:
            self._done.append((task.future, answer, error))
            if self._told:
                return
            self._told = True
        try:
            task.loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop was closed: nobody waits any more
            self._told = False

    def _deliver(self) -> None:
        """In the loop: one look for all that is done by then."""
        with self._lock:
            done, self._done, self._told = self._done, deque(), False
        for future, answer, error in done:
            if future.done():
                continue
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)
