"""What a rollout does next, from what was observed: pure, and the same answer however often it is asked.

Each phase has its rules in order; the first one that has something to say decides. Protection comes first and
holds in a pause too; a frozen task comes before everything, and there nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from recognizer.judge.ruling import Ruling
from recognizer.rollout.action import Abort, Action, Advance, Begin, Finish, Pause, Promote, Wait
from recognizer.rollout.plan import Step
from recognizer.rollout.state import LOADING, Judgement, Phase, Rollout


@dataclass(frozen=True)
class Barrier:
    """How far the live workers have come with loading a rollout's challenger.

    Attributes:
        live: how many workers live.
        lagging: names of those that do not report its digest AVAILABLE.
        refused: of those that will never load it: name and reason, as one text each.
    """

    live: int
    lagging: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.live > 0 and not self.lagging and not self.refused

    def __str__(self) -> str:
        loaded = f"{self.live - len(self.lagging)} of {self.live} workers have loaded it"
        return f"{loaded}, {', '.join(self.lagging)} not yet" if self.lagging else loaded


@dataclass(frozen=True)
class Observed:
    """What there is to decide from.

    Attributes:
        champion: digest of who serves; None when nobody does.
        answers: of the challenger, counted since its step began: 0 is no traffic.
        frozen: who froze the task and why; None when nobody did.
        losses: worker processes that died of the challenger.
        relapsed: of live workers that ask it no more, because it failed again after several pauses: name and reason,
            as one text each.
        heard: workers that were heard within the last minute; more than live when some have just died.
        quarantined: why the challenger's digest is in quarantine; None when it is not.
    """

    barrier: Barrier
    judgement: Judgement
    champion: str | None
    answers: int = 0
    frozen: str | None = None
    losses: int = 0
    relapsed: tuple[str, ...] = ()
    heard: int = 0
    quarantined: str | None = None


@dataclass(frozen=True)
class _Case:
    rollout: Rollout
    observed: Observed
    now: float

    @property
    def seconds(self) -> float:
        """In the step, or since its time limit began anew."""
        return max(self.now - self.rollout.step_since, 0.0)

    @property
    def verdict(self) -> Ruling:
        verdict = self.observed.judgement.verdict
        # a person has seen it: from now on it is no more than the lack of another verdict
        accepted = verdict is Ruling.DISAGREES and self.rollout.accepts_disagreement
        return Ruling.INCONCLUSIVE if accepted else verdict

    @property
    def said(self) -> str:
        """The judgement as part of a reason."""
        verdict, reason = self.observed.judgement.verdict, self.observed.judgement.reason
        return f"{verdict} in {self.rollout.step_name}: {reason}"

    @property
    def serves(self) -> bool:
        """Whether the challenger is champion now."""
        return self.rollout.promoted and self.observed.champion == self.rollout.digest


def next_action(rollout: Rollout, observed: Observed, now: float) -> Action:
    """What to do to a rollout.

    Args:
        now: seconds since 1970 by the clock that the rollout's times are of.
    """
    case = _Case(rollout, observed, now)
    return next(action for rule in RULES[rollout.phase] if (action := rule(case)) is not None)


Rule = Callable[[_Case], Action | None]


def _frozen(case: _Case) -> Action | None:
    if case.observed.frozen is None:
        return None
    return Wait(f"the task is frozen by {case.observed.frozen}; nothing changes, {case.said}")


def _quarantined(case: _Case) -> Action | None:
    if case.observed.quarantined is None:
        return None
    return Abort(f"its digest is in quarantine: {case.observed.quarantined}", rollback=case.serves)


def _begin(case: _Case) -> Action:
    if case.observed.champion is None:
        return Wait("the task has no champion to compare with")
    if case.observed.champion == case.rollout.digest:
        return Abort("it has become champion while it waited")
    return Begin("the way is free: the workers load it")


def _other_champion(case: _Case) -> Action | None:
    """The comparison has lost what it compares with."""
    expected = case.rollout.digest if case.rollout.promoted else case.rollout.champion_digest
    if case.observed.champion == expected:
        return None
    serving = "nobody" if case.observed.champion is None else case.observed.champion[:12]
    return Abort(f"it was compared while {expected[:12]} was champion, and now {serving} is")


def _lost_workers(case: _Case) -> Action | None:
    losses, limit = case.observed.losses, case.rollout.plan.losses
    if losses < limit:
        return None
    return Abort(
        f"{losses} worker process(es) died of it in {case.rollout.step_name} (limit {limit})",
        rollback=case.serves,
        quarantine=True,
    )


def _refused(case: _Case) -> Action | None:
    refused = case.observed.barrier.refused
    if not refused or case.rollout.promoted:
        return None
    return Abort(f"{len(refused)} of {case.observed.barrier.live} workers refused it: {refused[0]}", quarantine=True)


def _relapsed(case: _Case) -> Action | None:
    """It is asked no more by anybody, so there will be no evidence; a champion in its bake would stay for all of it.

    Many failures of the newest calls opened a breaker in each worker, and after several pauses the next call failed as
    well. Who has just died may have been asked by others and answered well: the worker in its place is waited for.
    """
    relapsed, workers = case.observed.relapsed, max(case.observed.barrier.live, case.observed.heard)
    if not relapsed or len(relapsed) < workers:
        return None
    return Abort(
        f"it went on failing after several pauses in {len(relapsed)} of {workers} workers: {relapsed[0]}",
        rollback=case.serves,
        quarantine=True,
    )


def _worse(case: _Case) -> Action | None:
    if case.verdict is not Ruling.WORSE or case.rollout.position == LOADING:
        return None
    return Abort(case.said, rollback=case.serves, quarantine=True)


def _asked(case: _Case) -> Action | None:
    """A person wants it promoted: only the load barrier is left."""
    if not case.rollout.promote_asked:
        return None
    barrier = case.observed.barrier
    if barrier.holds or not case.rollout.plan.load_first:
        return Promote(f"{case.rollout.reason}; {barrier}")
    return _loads(case, "to be promoted")


def _load(case: _Case) -> Action | None:
    """Before the first step nothing is judged: nothing has been answered."""
    if case.rollout.position != LOADING:
        return None
    if not case.rollout.plan.load_first:
        return Promote("promoted at once, as its strategy asks")
    if not case.observed.barrier.holds:
        return _loads(case, "to begin")
    return _forward(case, str(case.observed.barrier))


def _forward(case: _Case, reason: str) -> Action:
    last = case.rollout.position + 1 == case.rollout.plan.promotion
    return Promote(reason) if last else Advance(reason)


def _loads(case: _Case, purpose: str) -> Action:
    limit = case.rollout.plan.load_seconds
    waited = f"{case.observed.barrier} {purpose} after {case.seconds:.0f} s"
    # with no worker alive nobody is late
    if case.seconds < limit or not case.observed.barrier.live:
        return Wait(waited)
    return Pause(f"{waited} (limit {limit:.0f} s)", Ruling.INCONCLUSIVE)


def _disagrees(case: _Case) -> Action | None:
    return Pause(case.said, Ruling.DISAGREES) if case.verdict is Ruling.DISAGREES else None


def _good(case: _Case) -> Action | None:
    rollout, barrier = case.rollout, case.observed.barrier
    if case.verdict is not Ruling.GOOD or _watches_alone(rollout):
        return None
    if rollout.planned is not None and case.seconds < rollout.planned.least:
        return Wait(f"{case.said} (after {case.seconds:.0f} s, it lasts {rollout.planned.least:.0f} s at least)")
    if rollout.promoted:
        return Finish(case.said)
    if not barrier.holds:
        # a worker that has joined meanwhile: a larger share waits for it, the share of now does not
        return Wait(f"{case.said}; {barrier}")
    return _forward(case, case.said)


def _time_is_up(case: _Case) -> Action | None:
    """Neither promoted on no evidence nor taken out for want of traffic: a person decides."""
    planned = case.rollout.planned
    if planned is None or case.seconds < planned.seconds:
        return None
    late = f"{case.said} (after {case.seconds:.0f} s, limit {planned.seconds:.0f} s)"
    if _watches_alone(case.rollout):
        return Finish(late)
    if planned.step is Step.SHADOW and not case.observed.answers:
        return Wait(f"no request to compare yet; {late}")
    return Pause(late, Ruling.INCONCLUSIVE)


def _wait(case: _Case) -> Action:
    planned = case.rollout.planned
    limit = "" if planned is None else f" (after {case.seconds:.0f} s, limit {planned.seconds:.0f} s)"
    return Wait(case.said + limit)


def _stay(case: _Case) -> Action:
    return Wait(f"paused: {case.rollout.reason}")


def _rest(case: _Case) -> Action:
    return Wait(f"it has ended: {case.rollout.reason}")


def _late_feedback(case: _Case) -> Action | None:
    return _worse(case) if case.serves else None


def _watches_alone(rollout: Rollout) -> bool:
    """A bake without hold-back has nothing to compare with: it lasts for its time, and only guards can end it."""
    return rollout.promoted and rollout.planned is not None and not rollout.planned.share


_PROTECTION: tuple[Rule, ...] = (_frozen, _quarantined, _other_champion, _lost_workers, _refused, _relapsed)

RULES: Mapping[Phase, tuple[Rule, ...]] = {
    Phase.QUEUED: (_frozen, _quarantined, _begin),
    Phase.PROGRESSING: (*_PROTECTION, _worse, _asked, _load, _disagrees, _good, _time_is_up, _wait),
    Phase.PAUSED: (*_PROTECTION, _worse, _stay),
    Phase.HEALTHY: (_frozen, _late_feedback, _rest),
    Phase.ABORTED: (_rest,),
}
