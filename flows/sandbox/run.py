"""One run in the sandbox: the real service answers recorded requests with a candidate, and its answers are compared.

It has a home, a store, keys, a port and processes of its own and can have only so much memory. Nothing of it is read or
written anywhere else, and nothing of it is left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from flows.sandbox.compare import Comparison
from flows.sandbox.home import SandboxHome, furnish, sandbox_folder
from flows.sandbox.requests import Requests
from flows.sandbox.service import LOOK_SECONDS, Broken, SandboxService, serving
from flows.traffic import OnContent, replay
from recognizer.answers import Answers
from recognizer.card import PackageCard
from recognizer.errors import ServiceUnreachable, UsageError
from recognizer.evaluation import SandboxRun, ShadowRun
from recognizer.rollout.state import Phase
from recognizer.settings import Settings
from recognizer.store import evidence, open_store, rollouts
from recognizer.traffic import Answer, Arrivals, TrafficPlan, TrafficReport
from serving.endpoint import load_endpoint

REQUESTS = 1000
SHADOWS = 200
SHADOW_RATE = 100.0
"""Requests of the shadow a second: their latency is not looked at."""
MEMORY_MB = 2048
"""Of writable memory, for each process. A worker takes 350 MB without any model, most of it stacks of threads and
buffers of libraries that are never touched (200 MB are resident), and 100 MB more with a model of 100 MB; below 400 MB
it does not start."""
READY_SECONDS = 60.0
"""It takes 6 s on two cores, most of it imports."""
SHADOW_SECONDS = 60.0
"""How long the candidate may take for what waits to be shadowed once the champion has answered all."""
DEADLINE_SECONDS = 300.0
TIMEOUT_SECONDS = 5.0
"""After which a request has failed; the service answers within its own deadline, or not at all."""

log = structlog.get_logger("recognizer.night")


@dataclass(frozen=True)
class SandboxLimits:
    """How much is asked, and what it may take.

    Attributes:
        requests: that the candidate has to answer, at `Requests.rate`.
        shadows: requests after that, which the champion answers and the candidate shadows.
        memory_mb: writable memory of each process, see `flows.confined.confine`.
        ready_seconds: after which a service that is not ready is given up.
        deadline_seconds: after which the run is given up, wherever it is.
    """

    requests: int = REQUESTS
    shadows: int = SHADOWS
    memory_mb: int = MEMORY_MB
    ready_seconds: float = READY_SECONDS
    deadline_seconds: float = DEADLINE_SECONDS


def run_in_sandbox(
    settings: Settings,
    *,
    task: str,
    model: Path,
    card: PackageCard,
    champion: Path | None,
    requests: Requests,
    expected: Answers,
    classes: Sequence[str] | None = None,
    limits: SandboxLimits = SandboxLimits(),
) -> SandboxRun:
    """Let the real service answer requests with a candidate that nobody has blessed.

    With a champion the candidate is the challenger of a rollout in SHADOW: first every request is forced to it, then
    the champion answers and the candidate is compared with it. Without one it is champion itself.

    Whatever the candidate does is part of what is returned; only what is not its doing is raised. Ctrl-C ends it, and
    all that it has started, as does the end of this process.

    Args:
        settings: of production, for what makes a difference to a model; its home and its store are not touched.
        model: the candidate's ONNX file; `card` is its card: the package has the digest that production's will have.
        champion: package folder of the model that serves; None when there is none, or when it knows other classes.
        expected: the candidate's offline answers to `requests.cases`, in the order of `classes`.
        classes: of the data, in their order; by default the card's, which then cannot be found wrong.

    Raises:
        UsageError: `expected` is not of these cases.
        InputError: there is no model.
        StorageError: there is no room for the sandbox.
    """
    classes = card.classes if classes is None else tuple(classes)
    counts = {name: len(array) for name, array in expected.items()}
    if set(counts.values()) != {len(requests.cases)}:
        raise UsageError(
            f"holds {counts} answers, expected {len(requests.cases)}",
            where="expected",
            hint="compute it for these requests, with the candidate",
        )
    began = time.monotonic()
    run = SandboxRun(requests.source, requests.recorded, limits.memory_mb)
    with sandbox_folder() as folder:
        sandbox = furnish(folder / "home", task, model, card, champion)
        comparison = Comparison(task, load_endpoint(task), classes, expected, sandbox.candidate)
        run = _Run(settings, sandbox, folder, requests, comparison, limits, began).all(run)
    run = replace(run, seconds=time.monotonic() - began)
    log.info("tried in the sandbox", task=task, digest=sandbox.candidate, **run.as_dict())
    return run


@dataclass
class _Run:
    """One run; what it finds out is put into the record step by step, so that a problem loses nothing."""

    settings: Settings
    sandbox: SandboxHome
    folder: Path
    requests: Requests
    comparison: Comparison
    limits: SandboxLimits
    began: float

    @property
    def deadline(self) -> float:
        return self.began + self.limits.deadline_seconds

    def all(self, run: SandboxRun) -> SandboxRun:
        started, service, answered = time.monotonic(), None, None
        try:
            with serving(
                self.settings,
                self.sandbox,
                self.folder,
                shadows=self.limits.shadows,
                memory_mb=self.limits.memory_mb,
                deadline=min(started + self.limits.ready_seconds, self.deadline),
            ) as service:
                run = replace(run, ready_seconds=time.monotonic() - started)
                run, answered = self._ask(service, run)
        except Broken as problem:
            run = replace(run, problem=self._plain(str(problem)))
        if service is not None:
            held = None if service.peak is None else service.peak / 2**20
            run = replace(run, memory_mb=held)
        # after its end, because a worker brings what it has counted last to the store as it stops
        return run if answered is None else self._shadowed(run, answered)

    def _ask(self, service: SandboxService, run: SandboxRun) -> tuple[SandboxRun, int | None]:
        """Both parts of the traffic; also how many requests the champion answered in the second, if there was one."""
        arm = None if self.sandbox.rollout is None else "challenger"
        plan = self._plan(service, self.limits.requests, self.requests.rate, arm)
        report, problem = self._send(service, plan, self.comparison.of(plan))
        run = replace(self._told(run, report), not_asked=self._not_asked(service))
        if problem is not None or self.sandbox.rollout is None:
            return replace(run, problem=self._plain(problem)), None
        plan = self._plan(service, self.limits.shadows, max(SHADOW_RATE, self.requests.rate), None)
        report, problem = self._send(service, plan, None)
        answered = 0 if report is None else report.all.answers
        if problem is None:
            problem = self._await_shadow(service, answered)
        return replace(run, problem=self._plain(problem)), answered

    def _plan(self, service: SandboxService, count: int, rate: float, arm: str | None) -> TrafficPlan:
        return TrafficPlan(
            url=service.url,
            cases=self.requests.cases,
            task=self.comparison.task,
            media_type=self.requests.media_type,
            rate=rate,
            seconds=None,
            requests=count,
            arrivals=Arrivals.CONSTANT,  # bursts would show how the client's clock and the service's threads meet
            timeout=TIMEOUT_SECONDS,
            arm=arm,
        )

    def _send(
        self, service: SandboxService, plan: TrafficPlan, on_content: OnContent | None
    ) -> tuple[TrafficReport | None, str | None]:
        """Send it from a thread of its own, and watch over the service meanwhile; what broke it, if anything did.

        In the main thread `replay` would take a Ctrl-C for its own.
        """
        stop, problem = threading.Event(), None
        with ThreadPoolExecutor(1, thread_name_prefix="sandbox") as pool:
            sending = pool.submit(replay, plan, None, stop, on_content)
            try:
                _until(sending.done, service, self.deadline)
            except Broken as broken:
                problem = str(broken)
            except BaseException:
                stop.set()
                service.end()  # then nothing is waited for any more
                raise
            stop.set()
            try:
                return sending.result(), problem
            except ServiceUnreachable as error:
                return None, problem or error.what

    def _told(self, run: SandboxRun, report: TrafficReport | None) -> SandboxRun:
        if report is None:
            return run
        latency = report.all.latency
        return replace(
            run,
            requests=report.requests + report.unfinished,
            failed=report.failures,
            examples=report.examples,
            by_another=self.comparison.by_another,
            compared=self.comparison.compared,
            agreed=self.comparison.agreed,
            max_difference=self.comparison.max_difference,
            rate=_rate(report.answers),
            p50_ms=None if latency.p50 is None else latency.p50 * 1000,
            p95_ms=None if latency.p95 is None else latency.p95 * 1000,
        )

    def _not_asked(self, service: SandboxService) -> int:
        """How many requests found the candidate busy or were too late for it, as far as the service still tells."""
        with suppress(Broken):
            splits = (service.health() or {}).get("splits", {})
            return sum(split["turned_away"] + split["too_late"] for split in splits.values())
        return 0

    def _await_shadow(self, service: SandboxService, answered: int) -> str | None:
        """Wait until the candidate has answered what it shadows; what broke the service meanwhile, if anything did."""

        def over() -> bool:
            health: Any = service.health()
            shadow = None if health is None else health["shadow"]
            return shadow is not None and (not health["splits"] or shadow["done"] + shadow["dropped"] >= answered)

        try:
            _until(over, service, min(time.monotonic() + SHADOW_SECONDS, self.deadline))
        except Broken as broken:
            return str(broken)
        return None

    def _shadowed(self, run: SandboxRun, answered: int) -> SandboxRun:
        """What the store knows of the shadow once the service has ended."""
        number = self.sandbox.rollout
        assert number is not None
        store = open_store(self.sandbox.url)
        try:
            evidence.number(store, number, None)  # the last ones came after the one who numbers them had gone
            batches = [one.batch for one in evidence.of(store, number)]
            rollout = rollouts.get(store, number)
        finally:
            store.close()
        compared, disagreed = sum(one.compared for one in batches), sum(one.disagreed for one in batches)
        answered = max(answered, compared)  # some answers come after the client has given up
        shadow = ShadowRun(answered, compared, compared - disagreed, answered - compared)
        problem = run.problem
        if problem is None and rollout.phase is not Phase.PROGRESSING:
            problem = self._plain(f"the candidate was taken out: {rollout.reason}")
        return replace(run, shadow=shadow, problem=problem)

    def _plain(self, problem: str | None) -> str | None:
        """A problem in one line, without the names of folders that are gone when somebody reads it."""
        return None if problem is None else " ".join(problem.replace(f"{self.folder}/", "").split())[:300]


def _until(condition: Callable[[], bool], service: SandboxService, deadline: float) -> None:
    """Wait for it, and watch over the service meanwhile.

    Raises:
        Broken: the service broke first, or time is over.
    """
    while not condition():
        service.watch()
        if time.monotonic() > deadline:
            raise Broken("it was not done in time")
        time.sleep(LOOK_SECONDS)  # polling a process that has no other way to tell


def _rate(answers: Sequence[Answer]) -> float | None:
    """Requests a second as they were sent."""
    sent = sorted(answer.due + answer.late for answer in answers)
    if len(sent) < 2 or sent[-1] <= sent[0]:
        return None
    return (len(sent) - 1) / (sent[-1] - sent[0])
