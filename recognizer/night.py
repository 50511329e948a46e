"""The night, decided purely: its name, its steps, how it starts and how it ends.

The shell in `flows` reads the store, asks here, persists the answer, then acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from recognizer.gates import Check, Verdict, worst


class Step(StrEnum):
    """The steps of a night, in order; each leaves a mark when it is done and is not done twice."""

    CONTRACT = "contract"
    """The data is held against its contract."""
    PREPARE = "prepare"
    """What training reads is made from the snapshot."""
    TRAIN = "train"
    """The network is fitted."""
    EXPORT = "export"
    """The network becomes one ONNX file."""
    EVALUATE = "evaluate"
    """Candidate and champion answer the frozen test set, and what they cost is measured."""
    JUDGE = "judge"
    """The real service runs the candidate in a sandbox, and the gates judge all that was measured."""
    PACKAGE = "package"
    """The candidate is packaged and signed, and blessed when every check passed."""
    REGISTER = "register"
    """The package gets its version."""
    REPORT = "report"
    """The report is written, before anything changes in service."""
    PROMOTE = "promote"
    """A blessed version becomes champion or starts its rollout, and the night gets its last word."""


class Outcome(StrEnum):
    """How a night ends; the store keeps it with a reason."""

    PROMOTED = "promoted"
    """Every gate passed, and the candidate, which has no champion to compare with, is champion."""
    RELEASED = "released"
    """Every gate passed, and a rollout compares the candidate with the champion in service."""
    REJECTED = "rejected"
    """A gate said no; the champion goes on serving."""
    UNCHANGED = "unchanged"
    """Data, code and parameters were judged on an earlier night; nothing was trained."""
    FAILED = "failed"
    """The night broke, which says nothing about a model; the next call of it goes on."""


SUCCESSES = frozenset({Outcome.PROMOTED, Outcome.RELEASED, Outcome.UNCHANGED})


class Start(StrEnum):
    """What to do when somebody asks for a night."""

    BEGIN = "begin"
    """Nothing like it was done before."""
    RESUME = "resume"
    """It was begun and never ended, or it failed: go on where it stopped."""
    RETURN = "return"
    """It has ended: hand out what it said."""
    UNCHANGED = "unchanged"
    """The newest judgement was of the same data, code and parameters: end at once."""


@dataclass(frozen=True)
class Earlier:
    """What the store knows of an earlier night of the task.

    Attributes:
        night: local date, YYYY-MM-DD.
        outcome: None while it has not ended.
    """

    night: str
    outcome: Outcome | None
    version: int | None


def decide_start(same_night: Earlier | None, same_inputs: Earlier | None) -> Start:
    """How to start a night.

    Args:
        same_night: the row of this task, night and inputs, if there is one.
        same_inputs: the newest night that judged a model, if it had the same inputs.
    """
    if same_night is not None:
        return Start.RESUME if same_night.outcome in (None, Outcome.FAILED) else Start.RETURN
    return Start.BEGIN if same_inputs is None else Start.UNCHANGED


def night_of(now: datetime, zone: ZoneInfo, start: str) -> str:
    """The name of the night that `now` belongs to: the local date on which its window started.

    Args:
        now: any aware time.
        start: local time of day at which a window starts, HH:MM.
    """
    local = now.astimezone(zone)
    hour, minute = (int(part) for part in start.split(":"))
    began = local.date() if (local.hour, local.minute) >= (hour, minute) else local.date() - timedelta(days=1)
    return began.isoformat()


def judge_night(checks: tuple[Check, ...], *, rival: bool = False) -> tuple[Outcome, str]:
    """The outcome that the checks ask for, with a reason that carries the numbers of what said no.

    Args:
        rival: whether a champion of the same classes serves: then a rollout compares the two in service first.
    """
    verdict = worst(check.verdict for check in checks)
    if verdict is Verdict.PASSED:
        return (Outcome.RELEASED if rival else Outcome.PROMOTED), f"all {len(checks)} checks passed: " + "; ".join(
            _headlines(checks)
        )
    refusals = [check for check in checks if check.verdict is not Verdict.PASSED]
    return Outcome.REJECTED, f"{len(refusals)} of {len(checks)} checks said no: " + "; ".join(
        f"{check.gate}/{check.name} {check.verdict.value}: {check.reason}" for check in refusals
    )


def _headlines(checks: tuple[Check, ...]) -> list[str]:
    return [check.reason for check in checks if check.name == "accuracy" and check.gate in ("absolute", "relative")]
