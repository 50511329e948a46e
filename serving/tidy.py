"""Keep the prediction log within its policy: what is too old or too much goes, now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from recognizer.errors import RecognizerError
from recognizer.home import Home
from recognizer.inputs import delete_inputs, find_surplus
from recognizer.predictions import Retention
from recognizer.store import open_store, predictions

TIDY_SECONDS = 60.0


class Tidy:
    """Called by the leader again and again; works in a thread of its own, so that no decision waits for it."""

    def __init__(
        self,
        url: str,
        home: Home,
        retention: Retention,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._home = home
        self._retention = retention
        self._clock = clock
        self._wall_clock = wall_clock
        self._last = clock()
        self._thread: threading.Thread | None = None

    def now_and_then(self) -> None:
        """Tidy up in the background when it is time and the last time is over."""
        if self._clock() - self._last < TIDY_SECONDS or (self._thread is not None and self._thread.is_alive()):
            return
        self._last = self._clock()
        self._thread = threading.Thread(target=self._work, name="tidy", daemon=True)
        self._thread.start()

    def tidy(self) -> int:
        """Delete what policy does not keep; returns how many inputs went.

        Raises:
            StorageError: the store or the disk does not take it.
        """
        with open_store(self._url, migrate=False) as store:
            files = predictions.expire(store, self._wall_clock() - self._retention.seconds)
            too_much = find_surplus(self._home.inputs, self._retention.input_bytes)
            predictions.forget_inputs(store, too_much)
        delete_inputs(self._home.inputs, [*files, *too_much])
        return len({*files, *too_much})

    def _work(self) -> None:
        try:
            self.tidy()
        except (RecognizerError, OSError) as error:
            structlog.get_logger("recognizer.serving").warning("the prediction log was not tidied up", error=str(error))
