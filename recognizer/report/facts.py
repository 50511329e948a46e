"""What a report is made of; a night that ended early simply knows less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from recognizer.checks import Check, Verdict, worst
from recognizer.evaluation.measured import Measured
from recognizer.evaluation.record import Evaluation
from recognizer.evaluation.sandbox import SandboxRun
from recognizer.gates import GateConfig
from recognizer.snapshot import SnapshotCard

PER_SECOND = "_per_second"
"""How the keys end in `training.json` that tell a speed, such as `clips_per_second`."""


@dataclass(frozen=True)
class Finding:
    """An expectation of the data contract that the data broke.

    Attributes:
        expectation: what was expected, for people.
        reason: what was found instead, with numbers.
        rows: the first offending rows, column → value.
        total: how many rows offend in all; None when nobody can say.
    """

    expectation: str
    reason: str
    rows: tuple[Mapping[str, Any], ...] = ()
    total: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for row in self.rows for column in row))


@dataclass(frozen=True)
class TrainingFacts:
    """How the candidate was trained.

    Attributes:
        speed: what was trained on (`clips`, `images`) → how many of them a second.
        validation: metric → value on the validation set.
    """

    epochs: int | None = None
    seconds: float | None = None
    speed: Mapping[str, float] = field(default_factory=dict)
    precision: str | None = None
    threads: int | None = None
    temperature: float | None = None
    validation: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], *, seconds: float | None = None) -> Self:
        """From the content of `training.json`; what it does not tell stays open."""
        return cls(
            epochs=plain.get("epochs"),
            seconds=seconds if seconds is not None else plain.get("seconds"),
            speed={
                name.removesuffix(PER_SECOND): float(value)
                for name, value in plain.items()
                if name.endswith(PER_SECOND) and isinstance(value, int | float)
            },
            precision=plain.get("precision"),
            threads=plain.get("threads"),
            temperature=plain.get("temperature"),
            validation={
                name: float(value)
                for name, value in (plain.get("validation") or {}).items()
                if isinstance(value, int | float)
            },
        )


@dataclass(frozen=True)
class ReportFacts:
    """One night.

    Attributes:
        night: local date, YYYY-MM-DD.
        outcome, reason: how it ended and why, with numbers.
        next_step: what a person might do now.
        version, digest: of the registered package; None when there is none.
        snapshot, identity, code, parent: digests of the data, of the training identity, of the code and of the
            weights training started from (None: from scratch).
        steps: step → seconds.
        checks: in the order of the gates.
        measured: what the stage `evaluate` found out; None when the night did not come to it.
        sandbox: what the real service made of the candidate; None when it was not tried.
        gates: what was asked for, whose margins and limits the plots mark; None: nothing is marked.
        champion_version: the version that served when the night began.
        card: the snapshot's card.
        findings: what the data contract did not like.
    """

    task: str
    night: str
    outcome: str
    reason: str
    next_step: str | None = None
    version: int | None = None
    digest: str | None = None
    snapshot: str | None = None
    identity: str | None = None
    code: str | None = None
    parent: str | None = None
    seed: int | None = None
    training: TrainingFacts | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    measured: Measured | None = None
    sandbox: SandboxRun | None = None
    gates: GateConfig | None = None
    champion_version: int | None = None
    card: SnapshotCard | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def candidate(self) -> Evaluation | None:
        """The candidate on the frozen test set; None when it was not, or could not be, evaluated."""
        return None if self.measured is None else self.measured.candidate

    @property
    def champion(self) -> Evaluation | None:
        """The champion on the same cases; None when there is none to compare with."""
        opponent = None if self.measured is None else self.measured.opponent
        return None if opponent is None else opponent.evaluation

    @property
    def verdict(self) -> Verdict | None:
        """The worst of all checks; None when the night ended before there was any."""
        return worst(check.verdict for check in self.checks) if self.checks else None
