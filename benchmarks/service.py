"""The real service for a benchmark: started, asked, watched and killed from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, TypeVar

import psutil

from flows.traffic import replay
from recognizer.home import checkout
from recognizer.traffic import Sent, TrafficPlan, TrafficReport

PATIENCE = 60.0
_START = "from recognizer.settings import load_settings; from serving.launch import serve; serve(load_settings())"
_WALL = time.time() - time.monotonic()
T = TypeVar("T")


def monotonic(wall: float) -> float:
    """A moment of the wall clock by `time.monotonic()`, which traffic reports count in."""
    return wall - _WALL


def wait_for(condition: Callable[[], T], what: str, seconds: float = PATIENCE, pause: float = 0.02) -> T:
    """What the condition says once it says something; what a process does cannot be waited for otherwise."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise TimeoutError(f"no {what} after {seconds:g} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Published:
    """A worker's own report of a release: process id, generation, and when, in seconds since 1970."""

    worker: int
    generation: int
    at: float


_stop: Event


def _adopt(stop: Event) -> None:
    """The traffic's process keeps the event that ends its traffic."""
    global _stop  # noqa: PLW0603 - how a pool hands something to its processes
    _stop = stop


def _replay(plan: TrafficPlan) -> TrafficReport:
    return replay(plan, None, _stop)


class Sending:
    """Traffic on its way."""

    def __init__(self, report: Future[TrafficReport], stop: Event) -> None:
        self._report = report
        self._stop = stop

    @property
    def over(self) -> bool:
        return self._report.done()

    def result(self) -> TrafficReport:
        """The report once the plan is done."""
        return self._report.result()

    def end(self) -> TrafficReport:
        """Send nothing more; the report once what is on its way was answered."""
        self._stop.set()
        return self._report.result()


@dataclass
class Service:
    """A running service."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    count: int
    _pool: ProcessPoolExecutor = field(repr=False)
    _stop: Event = field(repr=False)
    _read: int = 0
    _published: list[Published] = field(default_factory=list, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(self.log.read_text()[-3000:])
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def workers(self) -> list[psutil.Process]:
        """Running worker processes."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]

    def healths(self) -> dict[int, dict[str, Any]]:
        """The health of every worker by process id; each connection reaches whichever is faster."""
        seen: dict[int, dict[str, Any]] = {}

        def all_seen() -> bool:
            with contextlib.suppress(OSError):
                health = self.get("/health")[1]
                seen[health["worker"]] = health
            return len(seen) >= self.count

        wait_for(all_seen, "answer of every worker", pause=0.005)
        return seen

    def published(self) -> list[Published]:
        """Every release that any worker has told of in the log."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is still being written
                self._read += len(line)
                with contextlib.suppress(ValueError):
                    told = json.loads(line)
                    if told.get("event") == "published":
                        at = datetime.fromisoformat(told["at"]).timestamp()
                        self._published.append(Published(told["worker"], told["generation"], at))
        return self._published

    def everywhere(self, generation: int, workers: int | None = None) -> bool:
        """Whether that many workers (default: all) have published the generation or a later one."""
        there = {one.worker for one in self.published() if one.generation >= generation}
        return len(there & {worker.pid for worker in self.workers()}) >= (workers or self.count)

    def send(self, plan: TrafficPlan) -> Sending:
        """Traffic from a process of its own, one after the other."""
        self._stop.clear()
        return Sending(self._pool.submit(_replay, plan), self._stop)

    def memory(self) -> dict[int, int]:
        """Resident bytes of every worker, by process id."""
        return {worker.pid: worker.memory_info().rss for worker in self.workers()}


@contextlib.contextmanager
def running(root: Path, workers: int, **settings: object) -> Iterator[Service]:
    """The service on a home, ready; ended with all its workers."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RECOGNIZER_", "BENTOML_"))},
        "RECOGNIZER_HOME": str(root),
        "RECOGNIZER_PORT": str(port),
        "RECOGNIZER_WORKERS": str(workers),
        "RECOGNIZER_LOG_FORMAT": "json",
        "PYTHONPATH": str(checkout()),
        **{f"RECOGNIZER_{name.upper()}": str(value) for name, value in settings.items()},
    }
    log = root / f"serve-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", _START], env=environment, stdout=file, stderr=file, cwd=root)
    spawn = multiprocessing.get_context("spawn")
    stop = spawn.Event()
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_adopt, initargs=(stop,)) as pool:
        service = Service(process, port, log, workers, pool, stop)
        try:
            wait_for(service.ready, "service that is ready")
            service.healths()
            yield service
        finally:
            process.terminate()
            process.wait(PATIENCE)
            faults = [line for line in log.read_text().splitlines() if "Traceback" in line]
            print(*faults[:3], sep="\n", end="\n" if faults else "", file=sys.stderr)


@contextlib.contextmanager
def serving(command: Sequence[str], folder: Path, port: int, ready: str, **environment: str) -> Iterator[str]:
    """Somebody else's server, from when it answers `ready` with 200 until it has ended; its address."""
    log, url = folder / "log", f"http://127.0.0.1:{port}"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=folder, stdout=file, stderr=file)

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(log.read_text()[-3000:])
        with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as one:
            one.request("GET", ready)
            return one.getresponse().status == 200
        return False

    try:
        wait_for(answers, f"answer of {command[0]}")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def plan(service: Service, windows: Sequence[Sent], **more: Any) -> TrafficPlan:
    """Traffic with `.npy` windows of the action task."""
    return TrafficPlan(url=service.url, cases=tuple(windows), **more)


def capacity(service: Service, windows: Sequence[Sent], requests: int) -> float:
    """Answers a second when there is always something to do."""
    service.send(plan(service, windows, rate=10_000.0, seconds=None, requests=200, timeout=60.0)).result()
    report = service.send(
        plan(service, windows, rate=10_000.0, seconds=None, requests=requests, connections=16, timeout=120.0)
    ).result()
    if report.failed:
        raise RuntimeError(f"{report.failed} requests failed: {dict(report.failures)}, {dict(report.examples)}")
    return report.requests / report.seconds
