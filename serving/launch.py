"""Start the service: `recognizer serve` calls `serve`."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from itertools import chain
from typing import NoReturn

import structlog

from recognizer.errors import StorageError, UsageError
from recognizer.home import checkout
from recognizer.settings import Settings
from recognizer.store import open_store
from serving.worker import SUPERVISOR

SERVICE = "serving.service:RecognizerService"
LAST_REQUESTS_SECONDS = 20
"""How long requests in flight may take when the service is told to stop."""
IDLE_SECONDS = 75
"""How long an idle connection stays open: longer than most clients keep theirs, so that they close first."""


def serve(settings: Settings) -> NoReturn:
    """Become the BentoML server: this process turns into its supervisor, `settings.workers` workers answer.

    It ends on SIGTERM or SIGINT with all its workers, after the requests in flight.

    Raises:
        UsageError: the host is no address of this machine, or the port is taken.
        StorageError: the home cannot be written.
        StoreUnavailable: the store does not answer.
    """
    host = find_address(settings.host, settings.port)
    settings.home.prepare()
    # one process migrates before several open it; a service without a store could load nothing anyway
    open_store(settings.database_url).close()
    structlog.get_logger("recognizer.serving").info(
        "starting",
        url=f"http://{settings.host}:{settings.port}",
        workers=settings.workers,
        home=str(settings.home.root),
    )
    sys.stdout.flush()
    sys.stderr.flush()
    told = {**os.environ, **environment(settings), SUPERVISOR: str(os.getpid())}  # the id stays the same
    os.execve(sys.executable, command(settings, host), told)  # noqa: S606 - no shell is wanted


def command(settings: Settings, host: str) -> list[str]:
    """The program that is the supervisor, and its arguments; `host` is a numeric address."""
    options = {
        "--host": host,
        "--port": str(settings.port),
        "--working-dir": str(checkout()),
        "--timeout-graceful-shutdown": str(LAST_REQUESTS_SECONDS),
        "--timeout-keep-alive": str(IDLE_SECONDS),
    }
    # quiet: its greeting goes to stdout in a format of its own; errors are still shown
    return [sys.executable, "-m", "bentoml", "serve", "--quiet", *chain(*options.items()), SERVICE]


def environment(settings: Settings) -> dict[str, str]:
    """What the supervisor and its workers need to know: our settings and BentoML's own."""
    ours = {
        f"RECOGNIZER_{name.upper()}": json.dumps(value) if isinstance(value, tuple) else str(value)
        for name, value in settings
        if value is not None and name not in ("home", "store_url", "admin_token")
    }
    if settings.admin_token is not None:
        ours["RECOGNIZER_ADMIN_TOKEN"] = settings.admin_token.get_secret_value()
    return {
        **ours,
        "RECOGNIZER_HOME": str(settings.home.root),
        "RECOGNIZER_STORE_URL": settings.database_url,
        "BENTOML_HOME": str(settings.home.root / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_CONFIG_OVERRIDES": json.dumps({"services": {"recognizer": {"workers": settings.workers}}}),
    }


def find_address(host: str, port: int) -> str:
    """The numeric address to listen on, found out to be free.

    Raises:
        UsageError: no such host, not this machine's, or something listens there already.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(
            f"{host!r} is no host: {error.strerror}", where="RECOGNIZER_HOST", hint="use 127.0.0.1 or 0.0.0.0"
        ) from error
    # `localhost` has both kinds of address, and most clients try the IPv4 one
    family, kind, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
    return str(address[0])


def _cannot_listen(host: str, port: int, error: OSError) -> UsageError | StorageError:
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            "something listens on this port already", where=where, hint="stop it, or set RECOGNIZER_PORT to a free port"
        )
    if error.errno == errno.EACCES:
        return UsageError("this user may not listen on this port", where=where, hint="set RECOGNIZER_PORT above 1023")
    return UsageError(f"cannot listen there: {error.strerror}", where=where, hint="set RECOGNIZER_HOST to 127.0.0.1")
