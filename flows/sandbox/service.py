"""The real service as the sandbox runs it: on its own home, with little memory, watched, and ended in any case."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil

from flows import confined
from flows.sandbox.home import SandboxHome
from flows.sandbox.log import complaint, shortage
from recognizer.errors import StorageError
from recognizer.home import Home, checkout, writing
from recognizer.rollout.split import Mode
from recognizer.rollout.state import Phase
from recognizer.settings import Settings
from recognizer.store import open_store, rollouts
from serving.breadcrumb import read_breadcrumb
from serving.growth import count_kills
from serving.heartbeat import PASSING
from serving.launch import command, environment
from serving.losses import death_of
from serving.peak import peak_bytes
from serving.staging import MEMORY, sweep
from serving.worker import SUPERVISOR

HOST = "127.0.0.1"
PORTS = 3
"""Ports that are tried: between the moment at which one is found free and its use, another process may take it."""
WORKER = "_bentoml_impl.worker.service"
TAKEN = "Address already in use"
LOOK_SECONDS = 0.05
"""How often it is looked whether the service is ready, or has done something."""
WATCH_SECONDS = 0.25
"""How often its processes are looked at."""
STOP_SECONDS = 5.0
"""How long it may take to end in order; requests in flight are nobody's any more."""
KEPT = re.compile(r"(PATH|HOME|LANG|LC_\w+|TZ|LD_LIBRARY_PATH|PYTHONPATH|CUDA_\w+|NVIDIA_\w+|(OMP|MKL|OPENBLAS)_\w+)")
"""Variables of ours that it gets: nothing that names a home, a database, MLflow or Prefect."""


class Broken(Exception):
    """Why the service cannot go on, in one line."""


class SandboxService:
    """A running service with one worker.

    Attributes:
        url: where it answers.
        peak: bytes that a worker held at most, as far as it was seen; None when nobody could see it.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, home: Home, log: Path, memory_mb: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.peak: int | None = None
        self._process = process
        self._port = port
        self._home = home
        self._log = log
        self._memory_mb = memory_mb
        self._workers: dict[int, psutil.Process] = {}
        self._looked = 0.0

    @classmethod
    def start(cls, settings: Settings, home: Home, folder: Path, memory_mb: int) -> Self:
        """Start it; whoever calls this ends it.

        Args:
            settings: of the sandbox, see `settings_for`.
            folder: for its log and its temporary files.
        """
        log, temporary = folder / f"serve-{settings.port}.log", folder / "tmp"
        with writing(log):
            temporary.mkdir(exist_ok=True)
            output = log.open("wb")
        with output:
            process = subprocess.Popen(
                [*_confined_to(memory_mb), *command(settings, HOST)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                # in a group of its own: Ctrl-C must reach it through us alone
                process_group=0,
                env=_environment(settings, temporary),
            )
        return cls(process, settings.port, home, log, memory_mb)

    @property
    def lost_port(self) -> bool:
        """Whether it ended because somebody else has its port."""
        return self._process.poll() is not None and TAKEN in self._log.read_text(errors="replace")

    def health(self) -> Mapping[str, Any] | None:
        """What its worker says of itself; None while nothing answers.

        Raises:
            Broken: somebody else's service answers.
        """
        connection = http.client.HTTPConnection(HOST, self._port, timeout=5)
        try:
            with closing(connection):
                connection.request("GET", "/health")
                found = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        if not isinstance(found, dict) or found.get("worker") not in {one.pid for one in self._children()}:
            raise Broken(f"{TAKEN}: another service answers on port {self._port}")
        return found

    def watch(self) -> None:
        """See that its processes live, and how much they hold.

        Raises:
            Broken: the supervisor has ended, or a worker has died.
        """
        if self._process.poll() is not None:
            words = f"{self._last_words()}{self.shortage()}"
            raise Broken(f"the service ended with code {self._process.returncode}: {words}")
        now = time.monotonic()
        if now - self._looked < WATCH_SECONDS:
            return
        self._looked = now
        running = {one.pid: one for one in self._children() if _is_worker(one)}
        for pid in running:
            held = _peak(pid)
            if held is not None:
                self.peak = max(self.peak or 0, held)
        gone = sorted(set(self._workers) - set(running))
        self._workers |= running
        if gone:
            raise Broken(f"a worker died: {self._cause(gone[0])}{self.shortage()}")

    def shortage(self) -> str:
        """What it ran out of, to be put behind what went wrong; empty where its log says nothing of the kind."""
        return shortage(self._log.read_text(errors="replace"), self._memory_mb)

    def end(self) -> None:
        """End it with all its processes; those that do not go in time are killed."""
        processes = list({one.pid: one for one in (*self._children(), *self._workers.values())}.values())
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for one in processes:
            with suppress(psutil.NoSuchProcess):  # psutil knows an id that was used again from the process that it had
                one.kill()
        psutil.wait_procs(processes, timeout=STOP_SECONDS)
        for place in (MEMORY, Path(tempfile.gettempdir())):
            sweep(place)  # one that was killed while it loaded leaves a copy of the model there

    def _children(self) -> list[psutil.Process]:
        try:
            found = psutil.Process(self._process.pid).children(recursive=True)
            return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:
            return []

    def _cause(self, pid: int) -> str:
        """Why a worker died, as far as it has left word of it."""
        for path in self._home.workers.glob(f"*:{pid}:*"):
            left = read_breadcrumb(path)
            if left is not None and (cause := death_of(left, count_kills()).cause) is not None:
                return cause
        return self._last_words()

    def _last_words(self) -> str:
        """The last thing in its log that says what went wrong, else the last line that is none of ours."""
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        said = [text for line in lines if (text := complaint(line)) is not None]
        return (said or [line for line in lines if not line.startswith("{")] or ["it left no word"])[-1]


def settings_for(settings: Settings, home: Home, *, shadows: int) -> Settings:
    """Production's settings where they make a difference to a model, with the sandbox's own home and port.

    Args:
        shadows: requests of the shadow; none of them is to be lost for want of a place or of time.
    """
    return settings.model_copy(
        update={
            "home": home,
            "store_url": None,
            "mlflow_uri": None,
            "admin_token": None,
            "host": HOST,
            "port": _free_port(),
            "workers": 1,
            "poll_seconds": LOOK_SECONDS,
            # in production it gets a small share through these; here every request is meant for it
            "challenger_threads": max(settings.challenger_threads, 8),
            "shadow_duty": 1.0,
            "input_limit_mb": 0,  # a thousand files that nobody reads
            "shadow_queue": min(max(shadows, settings.shadow_queue), 4096),
            "log_level": "info",
            "log_format": "json",
        }
    )


@contextmanager
def serving(
    settings: Settings, sandbox: SandboxHome, folder: Path, *, shadows: int, memory_mb: int, deadline: float
) -> Iterator[SandboxService]:
    """The service, able to answer with the candidate, and ended with the block.

    Args:
        deadline: by `time.monotonic()`, until which it has to be ready.

    Raises:
        Broken: it does not come up; says why.
        StorageError: there is no room for its log.
    """
    for number in range(1, PORTS + 1):
        service = SandboxService.start(
            settings_for(settings, sandbox.home, shadows=shadows), sandbox.home, folder, memory_mb
        )
        try:
            _await_candidate(service, sandbox, deadline)
        except Broken as problem:
            service.end()
            if number < PORTS and (TAKEN in str(problem) or service.lost_port):
                continue
            raise
        except BaseException:
            service.end()
            raise
        break
    try:
        yield service
    finally:
        service.end()


def _await_candidate(service: SandboxService, sandbox: SandboxHome, deadline: float) -> None:
    """Wait until the candidate is loaded, and in shadow where there is a champion."""
    store, said = open_store(sandbox.url), "it is still starting"
    try:
        while time.monotonic() < deadline:
            service.watch()
            if sandbox.rollout is not None:
                rollout = rollouts.get(store, sandbox.rollout)
                if rollout.phase is not Phase.PROGRESSING:
                    raise Broken(f"the candidate was taken out: {rollout.reason}")
            health = service.health()
            if health is not None:
                if _holds(health, sandbox):
                    return
                for problem in health["problems"]:
                    said = f"{problem['error']}: {problem['what']}"
                    if sandbox.rollout is None and problem["error"] not in PASSING:
                        raise Broken(said)
            time.sleep(LOOK_SECONDS)  # polling a process that has no other way to tell
    finally:
        store.close()
    raise Broken(f"it was not ready in time: {said}{service.shortage()}")


def _holds(health: Mapping[str, Any], sandbox: SandboxHome) -> bool:
    """Whether the candidate is where it is to be asked."""
    if sandbox.rollout is None:
        return any(one["digest"] == sandbox.candidate for one in health["champions"].values())
    splits = health["splits"].values()
    return any(one["digest"] == sandbox.candidate and one["mode"] == Mode.SHADOW for one in splits)


def _is_worker(process: psutil.Process) -> bool:
    """Whether it is a worker of BentoML, and not a tool that something asks while it is imported."""
    try:
        return WORKER in process.cmdline()
    except psutil.Error:
        return False


def _confined_to(memory_mb: int) -> list[str]:
    """What stands before a command that may have only so much memory and ends when this process does."""
    return [sys.executable, "-P", confined.__file__, str(os.getpid()), str(memory_mb), SUPERVISOR]


def _environment(settings: Settings, temporary: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    path = [str(checkout()), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, **environment(settings), "PYTHONPATH": os.pathsep.join(path), "TMPDIR": str(temporary)}


def _peak(pid: int) -> int | None:
    """Bytes that a process held at most."""
    try:
        return peak_bytes(Path(f"/proc/{pid}")) or int(psutil.Process(pid).memory_info().rss)  # no Linux: what it holds
    except psutil.Error:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, 0))
        except OSError as error:
            raise StorageError(f"no free port: {error.strerror}", where=HOST, hint="end what holds them") from error
        return int(probe.getsockname()[1])
