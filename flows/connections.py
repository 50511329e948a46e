"""Connections to one service: few, kept, taken in turn, and replaced before they grow old.

Not httpx: it takes 1 ms of a core for each request, ten times what this takes, and so would itself be what a load
test measures from a few hundred requests a second on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from flows.response import NoResponse, Response, ResponseReader
from recognizer.traffic import ANSWER, CONNECTION

FIRST = 4
"""Connections that are opened before the first request; more follow when requests find none free."""
LIFE_SECONDS = 5.0
"""Age at which a connection is replaced, so that a worker that joined late gets its part of the requests."""
PATIENCE = 5.0
"""Seconds after which an attempt to connect has failed."""


@dataclass(frozen=True)
class Failure:
    """Why there is no response: its kind, and what happened in words."""

    kind: str
    what: str


class Exchange:
    """One request on its way. `ended` becomes true once, with the one call of `on_end(outcome, time)`."""

    __slots__ = ("_on_end", "connection", "ended", "payload")

    def __init__(self, payload: bytes, on_end: Callable[[Response | Failure, float], None]) -> None:
        self.payload = payload
        self.connection: Connection | None = None
        self.ended = False
        self._on_end = on_end

    def end(self, outcome: Response | Failure, at: float) -> None:
        if not self.ended:
            self.ended = True
            self._on_end(outcome, at)

    def give_up(self, failure: Failure, at: float) -> None:
        """End it as failed; its connection is lost, because the answer could still come."""
        self.end(failure, at)
        if self.connection is not None:
            self.connection.drop()


class Connection(asyncio.Protocol):
    """One connection, with at most one request on it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._reader = ResponseReader()
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self.old = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pool.joined(self)

    @property
    def usable(self) -> bool:
        """False from the moment at which the other side was seen to close it."""
        return self._transport is not None and not self._transport.is_closing()

    def begin(self, exchange: Exchange) -> None:
        self._exchange, exchange.connection = exchange, self
        if self._transport is not None:
            self._transport.write(exchange.payload)

    def data_received(self, data: bytes) -> None:
        now = self._pool.loop.time()
        if self._exchange is None:  # nobody asked
            self.drop()
            return
        try:
            response = self._reader.feed(data)
        except NoResponse as error:
            self._finish(Failure(ANSWER, f"no HTTP response: {error}"), now)
            self.drop()
            return
        if response is None:
            return
        exchange, self._exchange = self._exchange, None
        exchange.connection = None
        # whoever waits is sent first: reading the answer takes time
        if response.last:
            self.drop()
        else:
            self._pool.free(self)
        exchange.end(response, now)

    def connection_lost(self, exc: Exception | None) -> None:
        now = self._pool.loop.time()
        self._pool.left(self)
        complete = self._reader.end() if exc is None else None
        self._finish(complete or Failure(CONNECTION, str(exc or "closed before the answer was complete")), now)

    def drop(self) -> None:
        """Leave the pool now; whatever was on its way here has failed."""
        self._pool.left(self)
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, outcome: Response | Failure, at: float) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.connection = None
            exchange.end(outcome, at)


class Pool:
    """At most `most` connections to one address. A request that finds none free waits in line for the next one."""

    def __init__(self, host: str, port: int, *, tls: bool, most: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._address = (host, port)
        self._tls = tls
        self._most = most
        self._all: set[Connection] = set()
        self._free: deque[Connection] = deque()
        self._waiting: deque[Exchange] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._count = 0
        self._closed = False

    async def open(self) -> None:
        """Open the first connections.

        Raises:
            OSError: the service cannot be reached.
        """
        for _ in range(min(FIRST, self._most)):
            await self._connect()

    def send(self, exchange: Exchange) -> None:
        while self._free:
            connection = self._free.popleft()
            if connection.usable:
                connection.begin(exchange)
                return
        self._waiting.append(exchange)
        self._grow()

    def joined(self, connection: Connection) -> None:
        self._all.add(connection)
        # spread: those that were opened together must not be replaced together
        self._count += 1
        life = LIFE_SECONDS * (0.5 + self._count * 0.618 % 0.5)
        self.loop.call_later(life, self._grow_old, connection)
        self.free(connection)

    def free(self, connection: Connection) -> None:
        """The connection has nothing to do: it takes whoever waits longest."""
        if connection.old:
            self._replace(connection)
            return
        while self._waiting:
            exchange = self._waiting.popleft()
            if not exchange.ended:
                connection.begin(exchange)
                return
        self._free.append(connection)

    def left(self, connection: Connection) -> None:
        if connection in self._all:
            self._all.discard(connection)
            if connection in self._free:
                self._free.remove(connection)
            self._grow()

    async def close(self) -> None:
        self._closed = True
        for task in tuple(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in tuple(self._all):
            connection.drop()
        await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next round

    def _grow_old(self, connection: Connection) -> None:
        connection.old = True
        if connection in self._free:
            self._replace(connection)

    def _replace(self, connection: Connection) -> None:
        connection.drop()
        # the pool shrinks to its first size while there is less to do
        if len(self._free) < FIRST:
            self._open_another()

    def _grow(self) -> None:
        """While requests wait, as many connections are being opened as there are requests, or as may be."""
        while len(self._opening) < len(self._waiting) and len(self._all) + len(self._opening) < self._most:
            if self._closed:
                return
            self._open_another()

    def _open_another(self) -> None:
        if not self._closed and len(self._all) + len(self._opening) < self._most:
            task = self.loop.create_task(self._try())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        # its connection may have come and gone while it still counted as being opened
        self._grow()

    async def _try(self) -> None:
        try:
            await self._connect()
        except OSError as error:
            while self._waiting:
                exchange = self._waiting.popleft()
                if not exchange.ended:
                    exchange.end(Failure(CONNECTION, str(error) or type(error).__name__), self.loop.time())
                    break

    async def _connect(self) -> None:
        async with asyncio.timeout(PATIENCE):  # its TimeoutError is an OSError
            await self.loop.create_connection(lambda: Connection(self), *self._address, ssl=self._tls or None)
