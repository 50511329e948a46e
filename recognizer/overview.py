"""Where every rollout stands, and what every worker really serves: one picture for the command and the service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recognizer.lag import Wanted, lags, wanted_of
from recognizer.rollout import Rollout, split_of
from recognizer.store import Store, leases, quarantine, rollouts, workers
from recognizer.store.clock import read_clock
from recognizer.store.freezes import Freeze, frozen
from recognizer.store.leases import Held
from recognizer.store.quarantine import Quarantined
from recognizer.store.served import Champion, Served, read_served
from recognizer.store.wishes import require_task
from recognizer.store.workers import Worker


@dataclass(frozen=True)
class TaskStanding:
    """One task: who serves, the rollout that people mean, and what keeps it from going on.

    Attributes:
        rollout: the open one, else the one that waits, else the newest.
        queued: the one that waits behind an open one, or for the task to be unfrozen.
    """

    task: str
    champion: Champion | None
    rollout: Rollout | None
    queued: Rollout | None
    freeze: Freeze | None
    quarantined: tuple[Quarantined, ...]

    def as_dict(self, now: float) -> dict[str, Any]:
        return {
            "task": self.task,
            "champion": None if self.champion is None else asdict(self.champion),
            "rollout": None if self.rollout is None else rollout_as_dict(self.rollout, now),
            "queued": None if self.queued is None else rollout_as_dict(self.queued, now),
            "freeze": None if self.freeze is None else asdict(self.freeze),
            "quarantined": [asdict(one) for one in self.quarantined],
        }


@dataclass(frozen=True)
class Overview:
    """Everything at one moment.

    Attributes:
        now: seconds since 1970 by the database's clock, as all times.
        controller: the lease of who decides; None when nobody ever did.
        wanted: what every worker should hold.
    """

    now: float
    generation: int
    controller: Held | None
    tasks: tuple[TaskStanding, ...]
    workers: tuple[Worker, ...]
    wanted: tuple[Wanted, ...]

    @property
    def decides(self) -> bool:
        """Whether a process decides about rollouts."""
        held = self.controller
        return held is not None and held.holder is not None and held.expires > held.now

    def lags(self, worker: Worker) -> tuple[str, ...]:
        """Why a worker does not serve what it should; empty when it does."""
        return lags(worker, self.generation, self.wanted)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        held = self.controller
        controller = None
        if held is not None and self.decides:
            controller = {"holder": held.holder, "epoch": held.epoch, "since": held.since, "expires": held.expires}
        return {
            "now": self.now,
            "generation": self.generation,
            "controller": controller,
            "tasks": [standing.as_dict(self.now) for standing in self.tasks],
            "workers": [_worker(worker, self.lags(worker)) for worker in self.workers],
        }


def read_overview(store: Store, task: str | None = None) -> Overview:
    """The standing of a task, or of every task that has a champion or a rollout.

    Raises:
        NotFound: nothing of the task was ever registered.
    """
    served = read_served(store)
    if task is not None:
        require_task(store, task)
        names: Sequence[str] = (task,)
    else:
        names = sorted({*served.champions, *(rollout.task for rollout in rollouts.list(store))})
    with store.read() as connection:
        now = read_clock(connection)
    return Overview(
        now,
        served.generation,
        leases.held(store, rollouts.LEASE),
        tuple(_standing(store, served, name) for name in names),
        tuple(workers.list(store)),
        wanted_of(served),
    )


def rollout_as_dict(rollout: Rollout, now: float) -> dict[str, Any]:
    """A rollout in plain values, with what follows from them."""
    split = split_of(rollout)
    plain = {
        name: value for name, value in vars(rollout).items() if name not in ("plan", "salt", "position", "verdict")
    }
    planned = rollout.planned
    return {
        **plain,
        "strategy": str(rollout.strategy),
        "phase": str(rollout.phase),
        "verdict": None if rollout.verdict is None else str(rollout.verdict),
        "step": rollout.step_name,
        "share": 0.0 if split is None else split.share,
        "seconds_in_step": max(now - rollout.step_since, 0.0) if rollout.is_open else None,
        "limit_seconds": rollout.plan.load_seconds if planned is None else planned.seconds,
        "plan": rollout.plan.as_dict(),
    }


def _standing(store: Store, served: Served, task: str) -> TaskStanding:
    found = rollouts.current(store, task)
    waiting = rollouts.queued(store, task)
    return TaskStanding(
        task,
        served.champions.get(task),
        found,
        None if found is not None and waiting is not None and waiting.id == found.id else waiting,
        frozen(store, task),
        tuple(quarantine.list(store, task)),
    )


def _worker(worker: Worker, lag: Sequence[str]) -> dict[str, Any]:
    return {**asdict(worker), "problems": [*worker.problems], "lives": worker.lives, "lags": [*lag]}
