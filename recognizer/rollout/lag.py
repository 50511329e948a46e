"""Whether a worker serves what the store wants, and why not: pure, from its last report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recognizer.rollout.split import Mode
from recognizer.store.served import Served
from recognizer.store.workers import AVAILABLE, LIVE_SECONDS, REFUSED, Worker


@dataclass(frozen=True)
class Wanted:
    """A package that every worker should hold; `role` is champion, challenger or holdback."""

    task: str
    role: str
    version: int
    digest: str


def wanted_of(served: Served) -> tuple[Wanted, ...]:
    """What every worker should hold: by task the champion, then what stands beside it."""
    found = []
    for task, champion in sorted(served.champions.items()):
        found.append(Wanted(task, "champion", champion.version, champion.digest))
        split = served.splits.get(task)
        if split is not None:
            role = "holdback" if split.mode is Mode.BAKE else "challenger"
            found.append(Wanted(task, role, split.version, split.digest))
    return tuple(found)


def lags(worker: Worker, generation: int, wanted: Iterable[Wanted]) -> tuple[str, ...]:
    """Why a worker does not serve what it should; empty when it does.

    Args:
        generation: that is wanted.
    """
    if not worker.lives:
        # whatever it said last is no news
        return (f"not heard for {worker.age:.0f} s (limit {LIVE_SECONDS:.0f} s): taken for dead",)
    said = []
    if worker.generation < generation:
        said.append(f"answers with generation {worker.generation}, {generation} is wanted")
    for one in wanted:
        state = worker.loaded.get(one.digest)
        if state != AVAILABLE:
            said.append(f"{one.role} of {one.task}, version {one.version}, is {state or 'not loaded yet'}")
            if (one.role, state) == ("champion", REFUSED):
                said[-1] += ", the one before goes on answering"
    if not worker.ready:
        said.append("not ready: no request should be sent there")
    said += [_told(problem) for problem in worker.problems]
    return tuple(said)


def _told(problem: Any) -> str:
    """A problem as the worker reported it, in one line."""
    if not isinstance(problem, Mapping):
        return str(problem)
    where = f"{problem['task']}: " if problem.get("task") else ""
    return f"{where}{problem.get('error', 'problem')}: {problem.get('what', problem)}"
