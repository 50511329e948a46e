"""What became of traffic: every answer, and what they amount to by arm and version."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np

from recognizer.evaluator import Progress
from recognizer.traffic.plan import TrafficPlan

TIMEOUT, CONNECTION, ANSWER = "timeout", "connection", "answer"
"""Kinds of failure beside `status 503` and its like: no answer in time; the connection was refused or broke; what came
was no HTTP, no JSON, or named no model."""


class Answer(NamedTuple):
    """What became of one request.

    Attributes:
        number: its place in the schedule.
        due: when it was due, by `time.monotonic()`, which all processes of a machine share.
        late: seconds after `due` at which the client took it up: the client's own delay, part of `latency`.
        latency: seconds from `due` to the whole answer, or to the failure.
        failure: its kind; None when it was answered.
        arm, version, generation: who answered; None where the answer does not say.
        recovered: the challenger failed, and the champion answered in its place.
        correct: None when the truth is not known, or nothing that the model could have answered.
        camera: None without cameras.
    """

    number: int
    due: float
    late: float
    latency: float
    failure: str | None
    arm: str | None
    version: int | None
    generation: int | None
    recovered: bool
    correct: bool | None
    camera: int | None


@dataclass(frozen=True)
class Latency:
    """Seconds; each percentile is one that was measured. All None of no measurement."""

    n: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        if not len(seconds):
            return cls(0, None, None, None, None)
        # the smallest measurement with this share at or below it; interpolation would make one up
        p50, p95, p99 = np.percentile(seconds, [50, 95, 99], method="inverted_cdf")
        return cls(len(seconds), float(p50), float(p95), float(p99), float(max(seconds)))

    def as_dict(self) -> dict[str, float | None]:
        """In milliseconds."""
        return {
            f"{name}_ms": None if value is None else round(1000 * value, 3)
            for name, value in asdict(self).items()
            if name != "n"
        }


@dataclass(frozen=True)
class Part:
    """The answers of one arm or version.

    Attributes:
        share: of all answers.
        judged, correct: answers whose truth is known, and those of them that were right.
    """

    answers: int
    share: float
    recovered: int
    judged: int
    correct: int
    latency: Latency

    @classmethod
    def of(cls, answers: Sequence[Answer], whole: int) -> Part:
        judged = [answer.correct for answer in answers if answer.correct is not None]
        return cls(
            len(answers),
            len(answers) / whole if whole else 0.0,
            sum(answer.recovered for answer in answers),
            len(judged),
            sum(judged),
            Latency.of([answer.latency for answer in answers]),
        )

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "share": round(self.share, 6), "latency": self.latency.as_dict()}


@dataclass(frozen=True)
class Feedback:
    """Truths sent back: `refused` counts by kind; `door` is False when the service takes no feedback at all."""

    sent: int = 0
    accepted: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    door: bool = True


@dataclass(frozen=True)
class TrafficReport:
    """What a service did with the traffic.

    Attributes:
        planned: requests in the plan; fewer were sent when it was stopped.
        requests: those that were answered or failed.
        unfinished: sent, and neither answered nor failed when it was stopped.
        seconds: from the beginning to the last answer.
        failures: by kind, the most frequent first.
        examples: one message for each kind of failure.
        all, arms, versions: of the answers; latency is that of answers, failures are counted, not averaged in.
        generations: releases that were seen, by their numbers, where the service names them.
        late: the client's own delay before it sent; a p99 that is not far below that of the service spoils the run.
        answers: of every request, in the order in which they ended.
    """

    planned: int
    requests: int
    unfinished: int
    seconds: float
    failures: Mapping[str, int]
    examples: Mapping[str, str]
    all: Part
    arms: Mapping[str, Part]
    versions: Mapping[int, Part]
    generations: tuple[int, ...]
    late: Latency
    feedback: Feedback
    answers: tuple[Answer, ...] = field(repr=False)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def latency(self, among: Callable[[Answer], bool]) -> Latency:
        """Of some of the answers: `report.latency(lambda answer: start <= answer.due < end)`."""
        return Latency.of([answer.latency for answer in self.answers if answer.failure is None and among(answer)])

    def as_dict(self) -> dict[str, object]:
        """For `--json`: everything but the single answers."""
        return {
            "planned": self.planned,
            "requests": self.requests,
            "unfinished": self.unfinished,
            "seconds": round(self.seconds, 3),
            "rate": round(self.requests / self.seconds, 3) if self.seconds else None,
            "failed": self.failed,
            "failures": dict(self.failures),
            "examples": dict(self.examples),
            "recovered": self.all.recovered,
            "all": self.all.as_dict(),
            "arms": {arm: part.as_dict() for arm, part in self.arms.items()},
            "versions": {str(version): part.as_dict() for version, part in self.versions.items()},
            "generations": len(self.generations),
            "client_late": self.late.as_dict(),
            "feedback": asdict(self.feedback),
        }


class Tally:
    """The live line: give `add` to `replay`, and it tells `progress` four times a second how things stand."""

    def __init__(self, plan: TrafficPlan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._recent: deque[float] = deque(maxlen=1000)
        self._arms: Counter[str] = Counter()
        self._ended = self._failed = 0
        self._began: float | None = None
        self._next = 0.0

    def add(self, answer: Answer) -> None:
        self._ended += 1
        if answer.failure is None:
            self._recent.append(answer.latency)
            self._arms[answer.arm or "?"] += 1
        else:
            self._failed += 1
        ended_at = answer.due + answer.latency
        self._began = answer.due if self._began is None else self._began
        if ended_at >= self._next:
            self._next = ended_at + 0.25
            self._progress(self._share(ended_at - self._began), self._line())

    def _share(self, seconds: float) -> float:
        """Of the plan that is done: of its time or its requests, whichever is further."""
        by_time = seconds / self._plan.seconds if self._plan.seconds else 0.0
        by_count = self._ended / self._plan.requests if self._plan.requests else 0.0
        return min(1.0, max(by_time, by_count))

    def _line(self) -> str:
        p99 = Latency.of(self._recent).p99
        answered = sum(self._arms.values())
        arms = [f"{arm} {count / answered:.0%}" for arm, count in sorted(self._arms.items())]
        latency = [] if p99 is None else [f"p99 {1000 * p99:.0f} ms"]
        return ", ".join([f"{self._ended:,} requests", f"{self._failed:,} failed", *latency, *arms])


def summarize(
    answers: Iterable[Answer],
    *,
    planned: int,
    sent: int,
    seconds: float,
    examples: Mapping[str, str],
    feedback: Feedback,
) -> TrafficReport:
    """The report of what was done, whether or not that is all that was planned."""
    ended = tuple(answers)
    good = [answer for answer in ended if answer.failure is None]
    arms = sorted({answer.arm for answer in good if answer.arm is not None})
    versions = sorted({answer.version for answer in good if answer.version is not None})
    failures = Counter(answer.failure for answer in ended if answer.failure is not None)
    return TrafficReport(
        planned=planned,
        requests=len(ended),
        unfinished=sent - len(ended),
        seconds=seconds,
        failures=dict(failures.most_common()),
        examples=dict(examples),
        all=Part.of(good, len(good)),
        arms={arm: Part.of([answer for answer in good if answer.arm == arm], len(good)) for arm in arms},
        versions={
            version: Part.of([answer for answer in good if answer.version == version], len(good))
            for version in versions
        },
        generations=tuple(sorted({answer.generation for answer in good if answer.generation is not None})),
        late=Latency.of([answer.late for answer in ended]),
        feedback=feedback,
        answers=ended,
    )
