"""The ledger: what the judge knows of each rollout that this process decides about, folded on as evidence comes in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from recognizer.errors import FormatError
from recognizer.judge import late
from recognizer.judge.fold import begin, update
from recognizer.judge.late import LateTally
from recognizer.judge.limits import JudgeLimits
from recognizer.judge.ruling import Ruling
from recognizer.judge.tally import Numbered, Tally
from recognizer.judge.verdict import Judgement as Verdict
from recognizer.judge.verdict import judge
from recognizer.rollout.plan import Step
from recognizer.rollout.state import LOADING, Judgement, Rollout, mode_at
from recognizer.store.evidence import Numbered as Stored


class Ledger:
    """Tallies by rollout. A new leader begins with an empty one and believes what the store keeps."""

    def __init__(self) -> None:
        self._tallies: dict[int, Tally] = {}
        self._late: dict[int, LateTally] = {}

    def seen(self, rollout: Rollout) -> int:
        """Ordinal of the newest batch that is folded in."""
        tally = self._tallies.get(rollout.id)
        return 0 if tally is None else tally.ordinal

    def knows(self, rollout: Rollout) -> bool:
        """Whether anything of the rollout is folded in, or restored."""
        return rollout.id in self._tallies

    def restore(self, rollout: Rollout, kept: Mapping[str, Any] | None) -> None:
        """Go on from a tally that was kept; one of another version is folded anew from the first batch."""
        tally = begin(limits_of(rollout))
        if kept is not None:
            with suppress(FormatError):
                tally = Tally.from_dict(kept)
        self._tallies[rollout.id] = tally

    def tally(self, rollout: Rollout) -> dict[str, Any]:
        """The tally as it can be kept."""
        return self._tallies[rollout.id].as_dict()

    def fold(self, rollout: Rollout, batches: Iterable[Stored]) -> Verdict:
        """The verdict after more batches. Time limits are the plan's, so none is looked at here."""
        limits = limits_of(rollout)
        tally = self._tallies.get(rollout.id) or begin(limits)
        for stored in batches:
            tally = update(tally, as_numbered(rollout, stored), limits)
        self._tallies[rollout.id] = tally
        return judge(tally, limits, 0.0, allow_disagreement=rollout.accepts_disagreement)

    def heard(self, rollout: Rollout) -> int:
        """Number of the newest late feedback that is folded in."""
        return self._late.get(rollout.id, late.begin()).number

    def hear(self, rollout: Rollout, truths: Iterable[tuple[int, bool]], blessed: float | None) -> LateTally:
        """The tally after more late feedback, see `recognizer.judge.late`."""
        tally = self._late.get(rollout.id, late.begin())
        if blessed is not None:
            tally = late.update(tally, truths, blessed)
        self._late[rollout.id] = tally
        return tally

    def answers(self, rollout: Rollout) -> int:
        """What the challenger has answered, or was compared on, since its step began."""
        tally = self._tallies.get(rollout.id)
        if tally is None or tally.step != rollout.position:
            return 0
        return tally.step_compared if rollout.step is Step.SHADOW else tally.answers[1]


def as_numbered(rollout: Rollout, stored: Stored) -> Numbered:
    """A stored batch as the judge takes it."""
    return Numbered(stored.ordinal, stored.batch, stored.position, mode_at(rollout.plan, stored.position))


def limits_of(rollout: Rollout) -> JudgeLimits:
    """The limits that a rollout began with and keeps."""
    return JudgeLimits.from_dict(rollout.plan.judge)


def in_step(rollout: Rollout, verdict: Verdict, folded: int) -> Judgement:
    """A verdict as `next_action` takes it.

    Until a batch of the step has come, all that is known is of the steps before: enough to take a challenger out, not
    to let it go on.

    Args:
        folded: ordinal of the newest batch.
    """
    ruling = verdict.ruling
    if ruling is Ruling.GOOD and (rollout.position == LOADING or folded <= rollout.evidence_from):
        return Judgement(Ruling.WAIT, f"nothing counted in {rollout.step_name} yet")
    return Judgement(ruling, verdict.reason)
