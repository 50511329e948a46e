"""A release as `/health` shows it."""

from __future__ import annotations

from serving.release import Beside, Release
from serving.servable import Servable


def describe(release: Release) -> dict[str, object]:
    """Generation, champions and splits with all that this process knows of their rollouts."""
    return {
        "generation": release.generation,
        "champions": {task: _model(servable) for task, servable in sorted(release.champions.items())},
        "splits": {task: _split(beside) for task, beside in sorted(release.beside.items())},
    }


def answers_all(release: Release) -> bool:
    """Whether every task that has a champion is answered, if not by the newest one."""
    return bool(release.champions) and set(release.refused) <= set(release.champions)


def _model(servable: Servable) -> dict[str, object]:
    return {"version": servable.version, "digest": servable.digest, "state": servable.state}


def _split(beside: Beside) -> dict[str, object]:
    split = beside.split
    return {
        **_model(beside.servable),
        "rollout": split.rollout,
        "mode": split.mode,
        "share": split.share,
        **beside.trial.as_dict(),
    }
