"""A rollout: the way of one challenger, as a value; where it stands, what follows what, what it asks workers to serve.

What to do next is decided in `next_action`, what people may ask in `steering`; both answer with an action, and `change`
says what an action makes of a rollout. All of it is pure; the store persists it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from recognizer.errors import Conflict
from recognizer.judge.ruling import Ruling
from recognizer.rollout.plan import Plan, PlannedStep, Step, Strategy
from recognizer.rollout.split import Mode, Split

LOADING = -1
"""Position before the first step: the workers load the challenger, and it answers nothing."""


class Phase(StrEnum):
    """How a rollout stands."""

    QUEUED = "QUEUED"
    """It waits for the task's other rollout to end, or for the task to be unfrozen."""
    PROGRESSING = "PROGRESSING"
    """It goes from step to step by itself."""
    PAUSED = "PAUSED"
    """It stays at its step, share included, until somebody decides; a worse challenger is still taken out."""
    HEALTHY = "HEALTHY"
    """Its challenger became champion, and its bake is over."""
    ABORTED = "ABORTED"
    """Its challenger was taken out or never tried, and the champion before it serves."""


OPEN = frozenset({Phase.PROGRESSING, Phase.PAUSED})
"""Phases in which a rollout asks workers for something; a task has one such rollout at most."""

TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    # It begins, or is dropped for a newer one.
    Phase.QUEUED: frozenset({Phase.PROGRESSING, Phase.ABORTED}),
    # The same phase again: the next step.
    Phase.PROGRESSING: frozenset({Phase.PROGRESSING, Phase.PAUSED, Phase.HEALTHY, Phase.ABORTED}),
    # Somebody decides, a newer challenger takes its place, or it proves worse.
    Phase.PAUSED: frozenset({Phase.PROGRESSING, Phase.HEALTHY, Phase.ABORTED}),
    # Undone, by a person or by late feedback.
    Phase.HEALTHY: frozenset({Phase.ABORTED}),
    # The last word: the same challenger again is a new rollout.
    Phase.ABORTED: frozenset(),
}


@dataclass(frozen=True)
class Judgement:
    """The judge's verdict, with a reason that carries the numbers."""

    verdict: Ruling
    reason: str


@dataclass(frozen=True)
class Rollout:
    """One rollout; times are seconds since 1970 by the database's clock.

    Attributes:
        key: what it was started for, such as a night; started again with the same key it is this one.
        version, digest: the challenger.
        champion_version, champion_digest: who served when it began, and serves again when it is taken out.
        position: index of its step in the plan, or LOADING.
        reason: why it stands where it stands, with numbers.
        verdict: what paused it; None when a person did, or when it is not paused.
        accepts_disagreement: a person has seen how its answers differ and lets it go on.
        promote_asked: a person wants it promoted as soon as every worker has loaded it.
        salt: mixed into the hash of every routing key.
        evidence_from: evidence with an ordinal above this one belongs to the step.
        revision: grows with every change.
        step_since: when the step, or its time limit, began.
    """

    id: int
    key: str | None
    task: str
    version: int
    digest: str
    champion_version: int
    champion_digest: str
    strategy: Strategy
    plan: Plan
    position: int
    phase: Phase
    reason: str
    verdict: Ruling | None
    accepts_disagreement: bool
    promote_asked: bool
    salt: str
    evidence_from: int
    revision: int
    created_at: float
    step_since: float
    promoted_at: float | None = None
    ended_at: float | None = None

    def __post_init__(self) -> None:
        if not LOADING <= self.position < len(self.plan.steps):
            raise ValueError(f"position {self.position} lies outside a plan of {len(self.plan.steps)} steps")

    def __str__(self) -> str:
        return f"rollout {self.id} of task {self.task!r} (version {self.version})"

    @property
    def planned(self) -> PlannedStep | None:
        """The step it is in; None while it is queued or loading."""
        return None if self.position == LOADING else self.plan.steps[self.position]

    @property
    def step(self) -> Step | None:
        return None if self.planned is None else self.planned.step

    @property
    def step_name(self) -> str:
        """The step as people read it, such as `CANARY 5 %`."""
        return "LOADING" if self.planned is None else str(self.planned)

    @property
    def is_open(self) -> bool:
        return self.phase in OPEN

    @property
    def promoted(self) -> bool:
        """Whether its challenger was made champion, also when it is champion no more."""
        return self.promoted_at is not None


_MODES: Mapping[Step | None, Mode] = {
    None: Mode.LOAD,
    Step.SHADOW: Mode.SHADOW,
    Step.CANARY: Mode.CANARY,
    Step.BAKE: Mode.BAKE,
}


def split_of(rollout: Rollout) -> Split | None:
    """What stands beside the task's champion because of a rollout; None before it begins and after it has ended."""
    if not rollout.is_open:
        return None
    version, digest = (
        (rollout.champion_version, rollout.champion_digest) if rollout.promoted else (rollout.version, rollout.digest)
    )
    share = 0.0 if rollout.planned is None else rollout.planned.share
    return Split(rollout.task, rollout.id, _MODES[rollout.step], version, digest, share, rollout.salt)


def mode_at(plan: Plan, position: int) -> Mode:
    """What the other model is there for while a rollout is at a position of its plan."""
    return _MODES.get(None if position == LOADING else plan.steps[position].step, Mode.LOAD)


def require_transition(rollout: Rollout, wanted: Phase) -> None:
    """Raise Conflict unless the rollout may go to the phase."""
    if wanted not in TRANSITIONS[rollout.phase]:
        raise Conflict(
            f"it is {rollout.phase} ({rollout.reason}) and cannot become {wanted}",
            where=str(rollout),
            hint=f"recognizer rollout status {rollout.task}",
        )
