"""A rollout as a row of the store, and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from recognizer.judge.ruling import Ruling
from recognizer.rollout.plan import Plan, Strategy
from recognizer.rollout.split import Split
from recognizer.rollout.state import OPEN, Phase, Rollout, split_of
from recognizer.store.schema import rollouts

OPEN_PLACE, QUEUED_PLACE = "open", "queued"
"""Of each a task has one at most; a rollout that has ended has no place."""


def read_splits(connection: Connection) -> dict[str, Split]:
    """What stands beside the champions, by task."""
    rows = connection.execute(select(rollouts).where(rollouts.c.place == OPEN_PLACE))
    found = (split_of(rollout_of(row)) for row in rows)
    return {split.task: split for split in found if split is not None}


def place_of(phase: Phase) -> str | None:
    """The place that a rollout takes up in its task."""
    return OPEN_PLACE if phase in OPEN else QUEUED_PLACE if phase is Phase.QUEUED else None


def values_of(rollout: Rollout) -> dict[str, Any]:
    """The columns of a rollout but for its id."""
    plain = {field.name: getattr(rollout, field.name) for field in fields(rollout) if field.name != "id"}
    texts = {name: str(plain[name]) for name in ("strategy", "phase")}
    verdict = None if rollout.verdict is None else str(rollout.verdict)
    return {**plain, **texts, "verdict": verdict, "plan": rollout.plan.as_dict(), "place": place_of(rollout.phase)}


def rollout_of(row: Row[Any]) -> Rollout:
    kept = {field.name: row._mapping[field.name] for field in fields(Rollout)}
    return Rollout(
        **{
            **kept,
            "strategy": Strategy(row.strategy),
            "plan": Plan.from_dict(row.plan),
            "phase": Phase(row.phase),
            "verdict": None if row.verdict is None else Ruling(row.verdict),
        }
    )


def placed(connection: Connection, task: str, place: str) -> Rollout | None:
    """The rollout that has a place in its task."""
    return newest(connection, (rollouts.c.task == task) & (rollouts.c.place == place))


def newest(connection: Connection, condition: ColumnElement[bool]) -> Rollout | None:
    """The rollout started last of those that fulfil a condition."""
    row = connection.execute(select(rollouts).where(condition).order_by(rollouts.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else rollout_of(row)


def newest_of(connection: Connection, task: str) -> Rollout | None:
    """The task's open rollout, else the one that waits, else the one started last."""
    places = (placed(connection, task, place) for place in (OPEN_PLACE, QUEUED_PLACE))
    return next((found for found in places if found), None) or newest(connection, rollouts.c.task == task)
