"""The HTTP door in front of BentoML's own routes.

It answers `/v1/action`, `/health` and `/ready` itself, by the same plain functions as the typed BentoML API. BentoML's
route would parse every JSON body on the event loop, know no `.npy`, read pickles and forms for others, and turn an
error that the client made into a 500; it also takes four times as long.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar

import structlog

from recognizer.errors import RecognizerError, TooLarge, UnsupportedMedia, UsageError, WrongMethod
from serving.action.answer import answer
from serving.action.body import JSON, read_window
from serving.worker import Worker

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAIN = 4
"""A body up to this many times the limit is read and thrown away, so that the client gets to read the refusal."""

RETRY_SECONDS = 5
"""What a client is told to wait when nothing can answer yet."""


class Door:
    """ASGI middleware. `state["worker"]` is this process's `Worker`, set when the service starts."""

    def __init__(self, app: App, state: MutableMapping[str, Any]) -> None:
        self._app = app
        self._state = state
        self._log = structlog.get_logger("recognizer.serving")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer_request = self._routes.get(scope.get("path", "")) if scope["type"] == "http" else None
        if answer_request is None:
            await self._app(scope, receive, send)
            return
        try:
            status, content = await answer_request(self, scope, receive)
        except RecognizerError as error:
            status, content = error.http_status, error.as_json()
        except Exception:
            self._log.exception("a request failed", path=scope["path"])
            status, content = 500, _unexpected()
        await _send_json(send, status, content, head=scope["method"] == "HEAD")

    async def _action(self, scope: Scope, receive: Receive) -> tuple[int, object]:
        _need(scope, "POST")
        worker: Worker = self._state["worker"]
        headers = dict(scope["headers"])
        media_type = _media_type(headers)
        body = await _read_body(headers, receive, worker.body_limit)
        run = asyncio.get_running_loop().run_in_executor
        return 200, await run(worker.threads, lambda: answer(worker.releases, read_window(body, media_type)))

    async def _health(self, scope: Scope, receive: Receive) -> tuple[int, object]:
        _need(scope, "GET", "HEAD")
        return 200, self._state["worker"].health()

    async def _ready(self, scope: Scope, receive: Receive) -> tuple[int, object]:
        _need(scope, "GET", "HEAD")
        worker: Worker = self._state["worker"]
        ready = worker.ready()
        return 200 if ready else 503, {"ready": ready, **worker.health()}

    _routes: ClassVar = {"/v1/action": _action, "/health": _health, "/ready": _ready}


def _need(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        raise WrongMethod(
            f"takes {' or '.join(methods)}, not {scope['method']}", where=scope["path"], hint=f"send {methods[0]}"
        )


def _media_type(headers: dict[bytes, bytes]) -> str:
    """What the client says it sends; JSON when it says nothing.

    Raises:
        UnsupportedMedia: the body is compressed.
    """
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if encoding.lower() != "identity":
        raise UnsupportedMedia(
            f"encoding {encoding!r} is not read here", where="Content-Encoding", hint="send it plain"
        )
    return headers.get(b"content-type", JSON.encode()).decode("latin-1").partition(";")[0].strip().lower()


async def _read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """The whole body, at most `limit` bytes of which are ever held.

    Raises:
        TooLarge: it is longer.
        UsageError: it never came to its end.
    """
    length = headers.get(b"content-length", b"")
    announced = int(length) if length.isdigit() else 0
    chunks: list[bytes] = []
    size, more = 0, announced <= DRAIN * limit
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            # nobody reads this, but BentoML waits until something is answered
            raise UsageError("the client went away before its request was complete", where="body")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        more = message.get("more_body", False) and size <= DRAIN * limit
    if max(size, announced) > limit:
        raise TooLarge(
            f"has {max(size, announced)} bytes, at most {limit} are taken",
            where="body",
            hint="send fewer frames, send .npy, or raise RECOGNIZER_BODY_LIMIT_MB",
        )
    return b"".join(chunks)


def _unexpected() -> dict[str, object]:
    return {
        "error": "InternalError",
        "what": "the service failed to answer; this is a fault of the service",
        "where": None,
        "next": "send it again; the service's log says more",
    }


async def _send_json(send: Send, status: int, content: object, *, head: bool) -> None:
    body = json.dumps(content, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
