"""Read the body of a request, within bounds of size and time; and how a client gets to read that it was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from recognizer.errors import TooLarge, TooSlow, UsageError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

READ_SECONDS = 10.0
"""A body has to be here within this time: sooner than BentoML would give the request up without a word of ours."""
DRAIN = 16
"""After a refusal a body of up to this many times the limit is read on and thrown away: most clients read nothing
before they have sent everything, and one that finds its connection closed meanwhile sees a broken pipe instead."""
DRAIN_SECONDS = 10.0
"""How long it is read on at most."""


class Incoming:
    """What still comes of a request; `ended` once nothing does."""

    def __init__(self, receive: Receive) -> None:
        self.ended = False
        self._receive = receive

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


async def read_body(
    headers: dict[bytes, bytes], receive: Receive, limit: int, seconds: float = READ_SECONDS, *, hint: str
) -> bytes:
    """The whole body, at most `limit` bytes of which are ever held.

    Args:
        hint: what to do when it is longer.

    Raises:
        TooLarge: it is longer, or is announced to be.
        TooSlow: it was not here in time.
        UsageError: it never came to its end.
    """
    announced = _length(headers)
    if announced > limit:
        raise _too_large(announced, limit, hint)
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    # nobody reads this, but BentoML waits until something is answered
                    raise UsageError("the client went away before its request was complete", where="body")
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limit:
                    raise _too_large(size, limit, hint)
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise TooSlow(
            f"{size} bytes came within {seconds:g} s" + (f", {announced} were announced" if announced else ""),
            where="body",
            hint="send the whole body at once, and less on a slow line",
        ) from error
    return b"".join(chunks)


async def drain(receive: Receive, limit: int, seconds: float = DRAIN_SECONDS) -> None:
    """Throw away what still comes of a refused body, within bounds."""
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while size <= DRAIN * limit:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def kind_of(media_type: str) -> str:
    """A `Content-Type` without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def _length(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"")
    return int(length) if length.isdigit() else 0


def _too_large(size: int, limit: int, hint: str) -> TooLarge:
    return TooLarge(
        f"has {size} bytes or more, at most {limit} are taken",
        where="body",
        hint=hint,
    )
