"""Send traffic to a running service and report what became of it: `replay(plan)`.

One thread, one event loop. A benchmark gives it a process of its own, so that it shares no interpreter with what it
measures; plan and report can be pickled:

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        report = pool.submit(replay, plan).result()
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import select
import selectors
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol
from urllib.parse import urlsplit

from flows.connections import Exchange, Failure, Pool
from flows.response import Response
from recognizer.errors import ServiceUnreachable
from recognizer.traffic import (
    ANSWER,
    TIMEOUT,
    Answer,
    Feedback,
    TrafficPlan,
    TrafficReport,
    summarize,
    write_schedule,
)
from serving.endpoint import load_endpoint

SWEEP_SECONDS = 0.02
"""How often it is looked for requests that are overdue, and whether all is done."""
LAST_SECONDS = 2.0
"""How long requests in flight may take once somebody pressed Ctrl-C."""
GENERATION = b"x-recognizer-generation"

OnAnswer = Callable[[Answer], None]
OnContent = Callable[[int, Mapping[str, Any]], None]


class Stop(Protocol):
    """A `threading.Event`, or one of multiprocessing's."""

    def is_set(self) -> bool: ...


def replay(
    plan: TrafficPlan,
    on_answer: OnAnswer | None = None,
    stop: Stop | None = None,
    on_content: OnContent | None = None,
) -> TrafficReport:
    """Do what the plan says; Ctrl-C (in the main thread) or `stop` ends it early with a report of what was done.

    Args:
        on_answer: called in this thread with every answer and failure; as quick as it is, so exact are the latencies.
        stop: once set, nothing more is sent; what is on its way is waited for.
        on_content: called likewise, before `on_answer`, with the number of each answered request and the JSON object
            that was answered.

    Raises:
        NotFound: truths are known, and the plan's task is no task here that could judge answers by them.
        ServiceUnreachable: nothing listens at the address when it begins. Later this is a failed request.
    """
    run = _Replay(plan, on_answer, stop, on_content)
    gc.collect()
    gc.freeze()  # what was imported is not looked through again and again while latencies are measured
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_selector())) as runner:
            return runner.run(run.all())
    finally:
        gc.unfreeze()


class _Replay:
    """One replay; every method runs in its event loop."""

    def __init__(
        self, plan: TrafficPlan, on_answer: OnAnswer | None, stop: Stop | None, on_content: OnContent | None
    ) -> None:
        self._plan = plan
        self._on_answer = on_answer
        self._on_content = on_content
        self._stop = stop
        judged = any(case.truth is not None for case in plan.cases)
        self._endpoint = load_endpoint(plan.task) if judged else None
        self._schedule = write_schedule(plan)
        self._head, self._feedback_head = _heads(plan)
        self._answers: list[Answer] = []
        self._examples: dict[str, str] = {}
        self._underway: deque[tuple[float, Exchange]] = deque()
        self._sent = 0
        self._stopped = False
        self._feedback_door = True
        self._feedback_due = 0
        self._feedback_sent = 0
        self._feedback_ends: dict[str, int] = {}

    async def all(self) -> TrafficReport:
        self._loop = asyncio.get_running_loop()
        address = urlsplit(self._plan.url)
        tls = address.scheme == "https"
        host, port = address.hostname or "", address.port or (443 if tls else 80)
        self._pool = Pool(host, port, tls=tls, most=self._plan.connections)
        try:
            try:
                await self._pool.open()
            except OSError as error:
                raise ServiceUnreachable(
                    f"no service answers: {error}",
                    where=self._plan.url,
                    hint="start it with `recognizer serve`, or name another with --url",
                ) from error
            began = self._loop.time() + SWEEP_SECONDS
            self._due = (self._schedule.due + began).tolist()
            self._send_due()
            try:
                await self._until_over()
            except asyncio.CancelledError:  # Ctrl-C; a second one ends this too
                self._stopped = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._until_over(), LAST_SECONDS)
            return self._report(began)
        finally:
            await self._pool.close()

    async def _until_over(self) -> None:
        while not self._over():
            await asyncio.sleep(SWEEP_SECONDS)
            if self._stop is not None and self._stop.is_set():
                self._stopped = True
            now = self._loop.time()
            # all have the same time, so those that were due first run out first
            while self._underway and (self._underway[0][1].ended or self._underway[0][0] <= now):
                _, exchange = self._underway.popleft()
                exchange.give_up(Failure(TIMEOUT, f"no answer within {self._plan.timeout:g} s"), now)

    def _over(self) -> bool:
        sent = self._stopped or self._sent == len(self._due)
        return sent and not self._underway and (self._stopped or not self._feedback_due)

    def _send_due(self) -> None:
        """Send all that is due, and come back when the next one is."""
        while self._sent < len(self._due) and not self._stopped:
            due, now = self._due[self._sent], self._loop.time()
            if due > now:
                self._loop.call_at(due, self._send_due)
                return
            number, self._sent = self._sent, self._sent + 1
            content = self._plan.cases[self._schedule.case[number]].content
            camera = int(self._schedule.camera[number])
            key = b"" if camera < 0 else b"X-Routing-Key: camera-%d\r\n" % (camera + 1)
            payload = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, key, len(content), content)
            exchange = Exchange(payload, partial(self._ended, number, now - due))
            self._underway.append((due + self._plan.timeout, exchange))
            self._pool.send(exchange)

    def _ended(self, number: int, late: float, outcome: Response | Failure, at: float) -> None:
        content, failure = _understand(outcome)
        due, camera = self._due[number], int(self._schedule.camera[number])
        if failure is not None:
            self._examples.setdefault(failure.kind, failure.what)
        generation = outcome.headers.get(GENERATION, b"") if isinstance(outcome, Response) else b""
        truth = self._plan.cases[self._schedule.case[number]].truth
        answer = Answer(
            number=number,
            due=due,
            late=late,
            latency=at - due,
            failure=None if failure is None else failure.kind,
            arm=content.get("arm"),
            version=content["model"]["version"] if content else None,
            generation=int(generation) if generation.isdigit() else None,
            recovered=bool(content.get("recovered")),
            correct=self._judge(content, truth),
            camera=None if camera < 0 else camera,
        )
        self._answers.append(answer)
        if self._schedule.feedback[number] and truth is not None and content.get("prediction_id"):
            self._feedback_due += 1
            told = {"prediction_id": content["prediction_id"], **truth}
            self._loop.call_later(self._plan.feedback_delay, self._send_feedback, json.dumps(told).encode())
        if self._on_content is not None and failure is None:
            self._on_content(number, content)
        if self._on_answer is not None:
            self._on_answer(answer)

    def _judge(self, content: Mapping[str, Any], truth: Mapping[str, Any] | None) -> bool | None:
        """Whether the answer is right; None when nobody can say."""
        if self._endpoint is None or truth is None or not content:
            return None
        return self._endpoint.agrees(content, truth)

    def _send_feedback(self, body: bytes) -> None:
        if self._stopped or not self._feedback_door:
            self._feedback_due -= 1
            return
        self._feedback_sent += 1
        payload = b"%bContent-Length: %d\r\n\r\n%b" % (self._feedback_head, len(body), body)
        exchange = Exchange(payload, self._feedback_ended)
        self._underway.append((self._loop.time() + self._plan.timeout, exchange))
        self._pool.send(exchange)

    def _feedback_ended(self, outcome: Response | Failure, at: float) -> None:
        self._feedback_due -= 1
        kind = outcome.kind if isinstance(outcome, Failure) else f"status {outcome.status}"
        if isinstance(outcome, Response) and outcome.status in (404, 405) and "error" not in _read(outcome.body):
            self._feedback_door = False  # not this prediction is unknown, the path is
        self._feedback_ends[kind] = self._feedback_ends.get(kind, 0) + 1

    def _report(self, began: float) -> TrafficReport:
        accepted = {kind: n for kind, n in self._feedback_ends.items() if kind.startswith("status 2")}
        refused = {kind: n for kind, n in self._feedback_ends.items() if kind not in accepted}
        return summarize(
            self._answers,
            planned=len(self._due),
            sent=self._sent,
            seconds=max((answer.due + answer.latency for answer in self._answers), default=began) - began,
            examples=self._examples,
            feedback=Feedback(
                self._feedback_sent,
                sum(accepted.values()),
                refused if self._feedback_door else {},
                self._feedback_door,
            ),
        )


def _heads(plan: TrafficPlan) -> tuple[bytes, bytes]:
    """What every request, and every feedback, begins with."""
    address = urlsplit(plan.url)
    _, _, host = address.netloc.rpartition("@")
    form = "POST {}/v1/{} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nContent-Type: {}\r\n"
    path = address.path.rstrip("/")
    arm = "" if plan.arm is None else f"X-Recognizer-Arm: {plan.arm}\r\n"
    return (
        (form.format(path, plan.task, host, plan.media_type) + arm).encode(),
        form.format(path, "feedback", host, "application/json").encode(),
    )


def _understand(outcome: Response | Failure) -> tuple[dict[str, Any], Failure | None]:
    """The answer, or an empty one and why there is none."""
    if isinstance(outcome, Failure):
        return {}, outcome
    content = _read(outcome.body)
    if outcome.status != 200:
        what = f"{content['error']}: {content.get('what')}" if "error" in content else _text(outcome.body)
        return {}, Failure(f"status {outcome.status}", what[:200])
    model = content.get("model")
    version = model.get("version") if isinstance(model, dict) else None
    if type(version) is not int or not isinstance(content.get("arm"), str):
        return {}, Failure(ANSWER, f"not an answer that names model and arm: {_text(outcome.body)}")
    return content, None


def _read(body: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(body: bytes) -> str:
    return repr(body[:80].decode("latin-1"))


def _selector() -> selectors.BaseSelector:
    if not hasattr(selectors, "EpollSelector"):
        return selectors.DefaultSelector()

    class Punctual(selectors.EpollSelector):
        """Wakes up when a request is due; epoll counts in milliseconds and rounds up."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0 and self.fileno() < 1024:  # beyond, `select` knows no files
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)

    return Punctual()
