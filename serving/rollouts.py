"""Rollouts over HTTP: read how they stand, and steer them, as the command does.

    GET  /v1/rollouts                 every task and every worker
    GET  /v1/rollouts/TASK            one task
    POST /v1/rollouts/TASK/WORD       pause, resume, promote, abort, undo, freeze or unfreeze; body {"reason": "why"}

Whoever reaches the service may read. Steering needs `Authorization: Bearer` with RECOGNIZER_ADMIN_TOKEN; where no token
is set, only requests from this machine itself may steer.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass

from recognizer.errors import (
    Forbidden,
    FormatError,
    NotFound,
    StoreUnavailable,
    Unauthorized,
    UnsupportedMedia,
    WrongMethod,
)
from recognizer.overview import read_overview
from recognizer.settings import Settings
from recognizer.store.wishes import WORDS, fulfil
from serving.link import Link

ROOT = "/v1/rollouts"
BODY_LIMIT = 16 * 1024
"""Bytes of the largest body: a reason."""
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        parts: of the path below `ROOT`.
        client: address of who sent it; None when it is not known.
    """

    method: str
    parts: tuple[str, ...]
    headers: Mapping[bytes, bytes]
    client: str | None
    body: bytes = b""


def is_ours(path: str) -> bool:
    """Whether a path is answered here."""
    return path == ROOT or path.startswith(f"{ROOT}/")


def parts_of(path: str) -> tuple[str, ...]:
    """What a path names below `ROOT`."""
    return tuple(part for part in path.removeprefix(ROOT).split("/") if part)


class RolloutDesk:
    """Answers requests about rollouts. Used by one thread, which is never the event loop."""

    def __init__(self, settings: Settings) -> None:
        self._link = Link(settings.database_url)
        self._home = settings.home
        self._token = None if settings.admin_token is None else settings.admin_token.get_secret_value()

    def answer(self, asked: Asked) -> object:
        """What is sent back.

        Raises:
            NotFound: nothing is at this address, or no such task.
            WrongMethod: it takes another one.
            Unauthorized, Forbidden: whoever sent it may not steer.
            Conflict: not now; says why and what to do instead.
            StoreUnavailable: the store does not answer.
        """
        try:
            return self._read(asked) if len(asked.parts) <= 1 else self._steer(asked)
        except StoreUnavailable:
            self.close()  # the next request opens it anew
            raise

    def _read(self, asked: Asked) -> object:
        _need(asked, "GET", "HEAD")
        return read_overview(self._link.open(), *asked.parts).as_dict()

    def _steer(self, asked: Asked) -> object:
        task, word = asked.parts[:2]
        if len(asked.parts) > 2 or word not in WORDS:
            raise NotFound(
                f"nothing is at {'/'.join(asked.parts)[:200]!r}",
                where=ROOT,
                hint=f"POST {ROOT}/TASK/ and one of {', '.join(WORDS)}",
            )
        _need(asked, "POST")
        require_allowed(asked, self._token)
        reason = read_reason(asked)
        store = self._link.open()
        fulfil(store, task, word, who=f"http {asked.client}", reason=reason, home=self._home)
        overview = read_overview(store, task)
        return overview.tasks[0].as_dict(overview.now)

    def close(self) -> None:
        self._link.close()


def require_allowed(asked: Asked, token: str | None) -> None:
    """Make sure that whoever sent a request may steer.

    Args:
        token: that is asked for; None where none is set.

    Raises:
        Unauthorized: the token is missing or another one.
        Forbidden: no token is set, and it does not come from this machine itself.
    """
    if token is not None:
        kind, _, given = asked.headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), token.encode()):
            raise Unauthorized(
                "the token is missing or another one",
                where="Authorization",
                hint="send `Authorization: Bearer` and what RECOGNIZER_ADMIN_TOKEN is set to",
            )
        return
    hint = "set RECOGNIZER_ADMIN_TOKEN and send it as `Authorization: Bearer`, or use `recognizer rollout`"
    if not _is_loopback(asked.client) or any(name in asked.headers for name in _FORWARDED):
        raise Forbidden("only this machine itself may steer rollouts", where="client", hint=hint)
    if b"origin" in asked.headers:  # a page in this machine's browser is not this machine
        raise Forbidden("a web page may not steer rollouts", where="Origin", hint=hint)


def read_reason(asked: Asked) -> str:
    """The reason in a request's body; none in an empty body.

    Raises:
        UnsupportedMedia: the body is no JSON.
        FormatError: it is not `{"reason": "why"}`.
    """
    if not asked.body.strip():
        return ""
    media_type = asked.headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise UnsupportedMedia("a reason is sent as JSON", where="Content-Type", hint="send application/json")
    try:
        content = json.loads(asked.body)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"no JSON: {error}", where="body", hint=_EXAMPLE) from error
    if not isinstance(content, dict) or set(content) - {"reason"} or not isinstance(content.get("reason", ""), str):
        raise FormatError("something else than a reason", where="body", hint=_EXAMPLE)
    return str(content.get("reason", ""))


_EXAMPLE = 'send {"reason": "why"}, or nothing'


def _is_loopback(client: str | None) -> bool:
    try:
        return client is not None and ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False


def _need(asked: Asked, *methods: str) -> None:
    if asked.method not in methods:
        where = "/".join((ROOT, *asked.parts))
        raise WrongMethod(f"takes {' or '.join(methods)}, not {asked.method}", where=where, hint=f"send {methods[0]}")
