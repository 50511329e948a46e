"""The HTTP door in front of BentoML's own routes.

It answers `/v1/TASK`, `/health` and `/ready` itself, by the same plain functions as the typed BentoML API, and what
lies under `/v1/rollouts`. BentoML's route would parse every JSON body on the event loop, know no `.npy`, read pickles
and forms for others, and turn an error that the client made into a 500; it also takes four times as long.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from recognizer import __version__
from recognizer.errors import NotFound, RecognizerError, UnsupportedMedia, WrongMethod
from serving.endpoint import Asked as Case
from serving.endpoint import Document, Endpoint, find_endpoints
from serving.intake import Incoming, Receive, drain, kind_of, read_body
from serving.rollouts import BODY_LIMIT, Asked, is_ours, parts_of
from serving.routing import Wish, read_query, read_wish
from serving.worker import Worker

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = "application/json"
FEEDBACK_LIMIT = 64 * 1024
"""Bytes of the longest feedback."""
GENERATION_HEADER = b"x-recognizer-generation"
"""Response header: generation of the release that answered."""
HIDDEN = ("/static_content/", "/assets/")
"""BentoML's own page, which loads scripts of a foreign host, and what belongs to it; nothing of ours needs them."""
RETRY_SECONDS = 5
"""What a client is told to wait when nothing can answer yet."""


@dataclass(frozen=True)
class Reply:
    """What is sent back: JSON, or a document; `generation` is the release that answered a prediction."""

    status: int
    content: object | Document
    generation: int | None = None


Route = Callable[[Scope, Receive], Awaitable[Reply]]


class Door:
    """ASGI middleware. `state["worker"]` is this process's `Worker`, set when the service starts."""

    def __init__(self, app: App, state: MutableMapping[str, Any]) -> None:
        self._app = app
        self._state = state
        self._log = structlog.get_logger("recognizer.serving")
        self._routes: dict[str, Route] = {
            "/": self._index,
            "/health": self._health,
            "/ready": self._ready,
            "/v1/feedback": self._feedback,
        }
        for path, (task, endpoint) in find_endpoints().items():
            self._routes[path] = partial(self._predict, task, endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer_request = self._find(scope.get("path", "")) if scope["type"] == "http" else None
        if answer_request is None:
            await self._app(scope, receive, send)
            return
        incoming = Incoming(receive)
        try:
            reply = await answer_request(scope, incoming)
        except RecognizerError as error:
            reply = Reply(error.http_status, error.as_json())
        except Exception:
            self._log.exception("a request failed", path=scope["path"])
            reply = Reply(500, _unexpected())
        more = reply.status == 413 and not incoming.ended
        unread = partial(drain, incoming, self._state["worker"].body_limit) if more else None
        await _send(send, reply, head=scope["method"] == "HEAD", before_end=unread)

    def _find(self, path: str) -> Route | None:
        if path.startswith(HIDDEN):
            return self._hidden
        return self._routes.get(path) or (self._rollouts if is_ours(path) else None)

    async def _predict(self, task: str, endpoint: Endpoint, scope: Scope, receive: Receive) -> Reply:
        _need(scope, "POST")
        worker: Worker = self._state["worker"]
        headers = dict(scope["headers"])
        query = read_query(scope.get("query_string", b""), endpoint.parameters)
        media_type, wish = _media_type(headers), read_wish(headers, query)
        hint = f"{endpoint.smaller}, or raise RECOGNIZER_BODY_LIMIT_MB"
        body = await read_body(headers, receive, worker.body_limit, hint=hint)
        arrived = time.monotonic()
        own = {name: value for name, value in query.items() if name in endpoint.parameters}
        read = partial(endpoint.read, body, media_type, own)
        return await worker.answerers.run(_answer, worker, task, endpoint, wish, read, arrived)

    async def _rollouts(self, scope: Scope, receive: Receive) -> Reply:
        worker: Worker = self._state["worker"]
        headers = dict(scope["headers"])
        body = await read_body(headers, receive, BODY_LIMIT, hint="say it in fewer words")
        client = (scope.get("client") or (None,))[0]
        asked = Asked(scope["method"], parts_of(scope["path"]), headers, client, body)
        run = asyncio.get_running_loop().run_in_executor
        return Reply(200, await run(worker.rollout_thread, worker.rollouts.answer, asked))

    async def _feedback(self, scope: Scope, receive: Receive) -> Reply:
        _need(scope, "POST")
        worker: Worker = self._state["worker"]
        headers = dict(scope["headers"])
        media_type = kind_of(_media_type(headers))
        body = await read_body(headers, receive, FEEDBACK_LIMIT, hint="say it in fewer words")
        # threads of their own: feedback that waits for the store takes no turn of a prediction
        return Reply(
            200, await asyncio.get_running_loop().run_in_executor(None, worker.take_feedback, body, media_type)
        )

    async def _index(self, scope: Scope, receive: Receive) -> Reply:
        _need(scope, "GET", "HEAD")
        paths = sorted({*self._routes, "/schema.json", "/docs.json"} - {"/"})
        return Reply(200, {"name": "recognizer", "version": __version__, "paths": paths})

    async def _hidden(self, scope: Scope, receive: Receive) -> Reply:
        raise NotFound("there is no such page", where=scope["path"], hint="GET / lists what there is")

    async def _health(self, scope: Scope, receive: Receive) -> Reply:
        _need(scope, "GET", "HEAD")
        return Reply(200, self._state["worker"].health())

    async def _ready(self, scope: Scope, receive: Receive) -> Reply:
        _need(scope, "GET", "HEAD")
        worker: Worker = self._state["worker"]
        ready = worker.ready()
        return Reply(200 if ready else 503, {"ready": ready, **worker.health()})


def _answer(
    worker: Worker, task: str, endpoint: Endpoint, wish: Wish, read: Callable[[], Case], arrived: float
) -> Reply:
    asked = read()
    answered = worker.router.answer(task, asked.case, wish.or_canary(asked.canary), arrived)
    return Reply(200, endpoint.write(answered), answered.generation)


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
    return headers.get(b"content-type", JSON.encode()).decode("latin-1")


def _unexpected() -> dict[str, object]:
    return {
        "error": "InternalError",
        "what": "the service failed to answer; this is a fault of the service",
        "where": None,
        "next": "send it again; the service's log says more",
    }


def _written(content: object | Document) -> tuple[bytes, str, Mapping[str, str]]:
    """Body, media type and further headers."""
    if isinstance(content, Document):
        return content.content, content.media_type, content.headers
    return json.dumps(content, separators=(",", ":")).encode(), JSON, {}


async def _send(
    send: Send, reply: Reply, *, head: bool, before_end: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Send the reply; `before_end` runs when the client has all of it, before the connection may be closed."""
    status = reply.status
    body, media_type, told = _written(reply.content)
    headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in told.items()]
    if reply.generation is not None:
        headers.append((GENERATION_HEADER, str(reply.generation).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 503:
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    if status == 408 or before_end is not None:  # what is unread of the body would be taken for the next request
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body, "more_body": before_end is not None})
    if before_end is not None:
        await before_end()
        await send({"type": "http.response.body", "body": b""})
