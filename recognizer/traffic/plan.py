"""Traffic for a running service, decided purely: what is asked, and when.

Arrivals are open-loop: a request is due at its time whatever happened to those before it, and its latency counts from
that time. A service that stands still for a second is charged with every request that was due in that second; a
client that waits for one answer before it sends the next would charge it with one ("coordinated omission": Gil Tene,
"How NOT to measure latency"; Schroeder, Wierman, Harchol-Balter, "Open versus closed: a cautionary tale").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import UsageError

MOST_REQUESTS = 5_000_000
"""More than this is refused: every answer is remembered until the report."""


class Arrivals(StrEnum):
    """How requests follow each other."""

    POISSON = "poisson"
    """Independent of each other, as of many cameras: bursts and gaps."""
    CONSTANT = "constant"
    """Evenly spaced."""


class Sent(NamedTuple):
    """A case as a request sends it, and what feedback on its answer would tell (None: nobody knows what is true)."""

    content: bytes
    truth: Mapping[str, Any] | None


@dataclass(frozen=True)
class TrafficPlan:
    """What to ask a service, and when; the same plan asks the same at the same times.

    Attributes:
        url: of the service, `http://host:port`; requests go to `/v1/<task>` below it.
        cases: the bodies, replayed again and again in an order drawn by `seed`.
        media_type: of the bodies.
        rate: requests a second, on average.
        seconds, requests: the plan ends with whichever comes first; one of them is needed.
        connections: at most so many at once; a request that finds none free waits, and its latency grows.
        timeout: seconds after it was due at which a request is given up as failed.
        arm: that every request is forced to, as `X-Recognizer-Arm` names it; None leaves it to the service.
        cameras: 0, or how many routing keys share the requests unequally (the k-th gets 1/k of the first one's).
        feedback: share of the answers with a known truth for which the truth is sent back.
        feedback_delay: seconds between an answer and its feedback; services log predictions off the request path.

    Raises:
        UsageError: a value out of its range, an address that is none, or no cases.
    """

    url: str
    cases: tuple[Sent, ...] = field(repr=False)
    task: str = "action"
    media_type: str = "application/x-npy"
    rate: float = 50.0
    seconds: float | None = 60.0
    requests: int | None = None
    arrivals: Arrivals = Arrivals.POISSON
    connections: int = 64
    timeout: float = 10.0
    arm: str | None = None
    cameras: int = 0
    feedback: float = 0.0
    feedback_delay: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = {
            "rate": not 0 < self.rate <= 100_000,
            "seconds": self.seconds is not None and not 0 < self.seconds <= 7 * 86400,
            "requests": self.requests is not None and self.requests < 1,
            "connections": not 1 <= self.connections <= 10_000,
            "timeout": not 0 < self.timeout <= 3600,
            "arm": self.arm is not None and not (self.arm.isascii() and self.arm.isalpha()),
            "cameras": not 0 <= self.cameras <= 10_000,
            "feedback": not 0 <= self.feedback <= 1,
            "feedback_delay": not 0 <= self.feedback_delay <= 3600,
            "seed": self.seed < 0,
        }
        for name in (name for name, is_wrong in wrong.items() if is_wrong):
            raise UsageError(f"{getattr(self, name)} is out of range", where=name, hint=f"give another {name}")
        if self.seconds is None and self.requests is None:
            raise UsageError("has no end", where="traffic", hint="give seconds or requests")
        expected = min(self.requests or np.inf, self.rate * (self.seconds or np.inf))
        if expected > MOST_REQUESTS:
            raise UsageError(
                f"asks for {expected:,.0f} requests, at most {MOST_REQUESTS:,} are remembered",
                where="traffic",
                hint="ask for less, several times",
            )
        if not self.cases:
            raise UsageError("there is nothing to send", where="cases", hint="give at least one case")
        _check_url(self.url)


def _check_url(url: str) -> None:
    hint = "write it like http://127.0.0.1:3000"
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname is not None and (parts.port is None or parts.port)
    except ValueError as error:  # a port that is no number, or brackets that do not close
        raise UsageError(f"is no address of a service: {error}", where=url, hint=hint) from error
    if not known or parts.query or parts.fragment or not url.isascii() or any(letter <= " " for letter in url):
        raise UsageError("is no address of a service", where=url, hint=hint)


class Schedule(NamedTuple):
    """A plan written out: one entry for each of n requests, in the order in which they are due.

    Attributes:
        due: (n,) seconds from the beginning, ascending.
        case: (n,) index of the case to send.
        camera: (n,) index of the camera; -1 without cameras.
        feedback: (n,) whether the truth is sent back, where it is known.
    """

    due: NDArray[np.float64]
    case: NDArray[np.intp]
    camera: NDArray[np.intp]
    feedback: NDArray[np.bool_]


def write_schedule(plan: TrafficPlan) -> Schedule:
    """When each request is due and what it sends. Each part has a generator of its own: one does not move another."""
    due = arrival_times(plan, np.random.default_rng([plan.seed, 1]))
    shuffle, draw = np.random.default_rng([plan.seed, 2]), np.random.default_rng([plan.seed, 3])
    camera = np.full(len(due), -1, np.intp)
    if plan.cameras:
        weights = 1 / np.arange(1, plan.cameras + 1)
        camera = draw.choice(plan.cameras, len(due), p=weights / weights.sum())
        case = _cases_of_cameras(camera, plan.cameras, len(plan.cases))
    else:
        rounds = -(-len(due) // len(plan.cases))
        orders = np.tile(np.arange(len(plan.cases)), (rounds, 1))
        case = shuffle.permuted(orders, axis=1).ravel()[: len(due)]
    feedback = np.random.default_rng([plan.seed, 4]).random(len(due)) < plan.feedback
    return Schedule(due, case, camera, feedback)


def arrival_times(plan: TrafficPlan, generator: np.random.Generator) -> NDArray[np.float64]:
    """(n,) seconds from the beginning, ascending."""
    end = np.inf if plan.seconds is None else plan.seconds
    if plan.arrivals is Arrivals.CONSTANT:
        # rounded first: 0.1 s at 30 a second are 3 requests, not the 4 that 3.0000000000000004 would give
        most = np.inf if plan.seconds is None else np.ceil(round(plan.rate * plan.seconds, 6))
        return np.arange(int(min(most, plan.requests or np.inf))) / plan.rate
    times = np.empty(0)
    while (not len(times) or times[-1] < end) and len(times) < (plan.requests or np.inf):
        gaps = generator.exponential(1 / plan.rate, 4096)
        times = np.concatenate([times, (times[-1] if len(times) else 0.0) + gaps.cumsum()])
    return times[times < end][: plan.requests]


def _cases_of_cameras(camera: NDArray[np.intp], cameras: int, cases: int) -> NDArray[np.intp]:
    """Each camera goes round in a block of neighbouring cases: what it sees, and errs in, resembles itself."""
    blocks = np.array_split(np.arange(cases), min(cameras, cases))
    case = np.empty(len(camera), np.intp)
    for number in range(cameras):
        (mine,) = np.nonzero(camera == number)
        block = blocks[number % len(blocks)]
        case[mine] = block[np.arange(len(mine)) % len(block)]
    return case
