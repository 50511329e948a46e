"""The Prefect server that a night or the schedule starts for itself, and that ends with it whatever happens.

Prefect would start one of its own accord; that one writes into our caller's pipes and outlives a night that was killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import structlog

from flows import attached
from recognizer.errors import StorageError
from recognizer.home import writing
from recognizer.settings import Settings

log = structlog.get_logger("recognizer.schedule")

START_SECONDS = 180.0
STOP_SECONDS = 20.0
TAKEN = "the port may be taken: set RECOGNIZER_PREFECT_PORT to another"
URL = "PREFECT_API_URL"
QUIET = ("--no-ui", "--no-scheduler", "--no-late-runs")
"""Options of a server that only a night looks at."""


@contextmanager
def prefect_server(settings: Settings, *, schedules: bool) -> Iterator[str]:
    """The server that PREFECT_API_URL names, or one of our own for as long as the block lasts; yields its page.

    Prefect must not have been imported yet: it reads its environment then.

    Args:
        schedules: on the settings' port, with Prefect's page and its scheduler, and the block is left with an error
            when the server ends. Otherwise on any free port.

    Raises:
        StorageError: it did not start, the port belongs to somebody else, or it ended before the block did.
    """
    given = os.environ.get(URL)
    if given:
        yield given.removesuffix("/api")
        return
    logs = settings.home.logs / "prefect-server.log"
    port = settings.prefect_port if schedules else 0
    with writing(logs):
        logs.parent.mkdir(parents=True, exist_ok=True)
        output = logs.open("ab")
    with output:
        port = _free_port(port)
        url = f"http://127.0.0.1:{port}"
        command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(
            # in a group of its own: Ctrl-C must not end it before the night has told it about that
            [sys.executable, "-P", attached.__file__, str(os.getpid()), sys.executable, *command]
            + ([] if schedules else list(QUIET)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            env={**os.environ, URL: f"{url}/api"},
        )
    os.environ[URL] = f"{url}/api"
    try:
        _wait_for(server, port, str(logs))
        if schedules:
            with _watched(server, str(logs)):
                yield url
        else:
            yield url
    finally:
        os.environ.pop(URL, None)
        server.terminate()
        try:
            server.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _free_port(wanted: int) -> int:
    """The port, found out to be free; any free one for 0.

    Raises:
        StorageError: something listens there; a server of another home would take our deployments for its own.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
            probe.listen()
        except OSError as error:
            raise StorageError(
                f"the Prefect server cannot be started: {error.strerror}", where=f"127.0.0.1:{wanted}", hint=TAKEN
            ) from error
        return int(probe.getsockname()[1])


def _wait_for(server: subprocess.Popen[bytes], port: int, logs: str) -> None:
    """Wait until the server answers, and it is this one that does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StorageError(
                f"the Prefect server ended with code {server.returncode}", where=logs, hint=f"read this log; {TAKEN}"
            )
        if _answers(port) and _listens(server.pid, port):
            return
        time.sleep(0.2)  # polling a process that has no other way to tell
    raise StorageError(f"the Prefect server did not answer in {START_SECONDS:.0f} s", where=logs, hint="read this log")


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/health", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


@contextmanager
def _watched(server: subprocess.Popen[bytes], logs: str) -> Iterator[None]:
    """Leave the block as after Ctrl-C, but with an error, when the server ends."""
    done, ended = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            if server.poll() is not None:
                ended.set()
                log.error("the Prefect server has ended", code=server.returncode, log=logs)
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=watch, name="prefect-server", daemon=True)
    thread.start()
    try:
        yield
    except KeyboardInterrupt:
        if not ended.is_set():
            raise
    finally:
        done.set()
        thread.join()
    if ended.is_set():
        raise StorageError(
            f"the Prefect server ended with code {server.returncode}, so no night starts any more",
            where=logs,
            hint="read this log, then run `recognizer schedule` again: no night is lost",
        )
