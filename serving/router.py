"""From a case to an answer: who is asked, who answers when that fails, and what is noted of it. Knows no task."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from recognizer.errors import GivenUp
from recognizer.predictions import new_id
from recognizer.rollout.split import Mode
from recognizer.tasks import Prediction
from serving.breaker import State as BreakerState
from serving.canary import Attempt, Skipped, ask, not_asked, time_left
from serving.outcome import Outcome, blameless, raised, run
from serving.release import Beside, Releases, Taken
from serving.routing import NO_WISH, Arm, Choice, Wish, choose
from serving.servable import Servable
from serving.shadow import Job, Shadow
from serving.watch import Watch

DEADLINE_SECONDS = 1.0
QUICK_SECONDS = 0.002
"""A model that takes less is waited for: to let another thread in and to come back costs about as much."""
STAYS = nullcontext()
NOTHING = Outcome(None, 0.0)


@dataclass(frozen=True)
class Answered:
    """One answered request: what the client is told, and what a log of predictions wants to know.

    Attributes:
        prediction_id: of this answer; also its routing key unless the client sent one.
        generation: of the release that it was answered from.
        servable: the model that answered; held until `Router.answer` returns.
        classes: names of the columns of the scores.
        arm: the side of the rollout that answered.
        recovered: another model was asked first and gave no answer, or was asked for and could not be asked.
        forced: the client chose the model; then it is no evidence.
        rollout: number of the rollout on its way.
        prediction: one row.
        seconds: the answering model's own time.
    """

    prediction_id: str
    task: str
    case: Any
    generation: int
    servable: Servable
    classes: tuple[str, ...]
    arm: Arm
    recovered: bool
    forced: bool
    key: str | None
    rollout: int | None
    prediction: Prediction
    seconds: float


@dataclass(frozen=True)
class _Answer:
    """Who answered, as part of a request."""

    servable: Servable
    arm: Arm
    outcome: Outcome
    recovered: bool = False
    job: Job | None = None


class Router:
    """Answers cases with the newest release. All methods may be called from any thread.

    Args:
        deadline: seconds within which a request is answered, if need be by the champion.
        turns: how many requests compute at once; the others wait in order. Who waits for a challenger takes no turn.
        away: what a request's thread waits for is waited for inside of it; see `serving.answerers`.

    Attributes:
        observe: called with every answer, still inside the request: it must be quick and never raise.
        held: why no challenger is asked and nothing is counted for now; None when that is not so. A worker that has
            seen no controller for a while holds its shares.
    """

    def __init__(
        self,
        releases: Releases,
        shadow: Shadow,
        watch: Watch,
        *,
        deadline: float = DEADLINE_SECONDS,
        turns: int = 2,
        away: Callable[[], AbstractContextManager[None]] = nullcontext,
        observe: Callable[[Answered], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.held: str | None = None
        self._releases = releases
        self._shadow = shadow
        self._watch = watch
        self._deadline = deadline
        self.observe = observe
        self._clock = clock
        self._turns = threading.Semaphore(turns)
        self._away = away
        self._lock = threading.Lock()
        self._in_flight = 0

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._in_flight > 0

    def answer(self, task: str, case: Any, wish: Wish = NO_WISH, arrived: float | None = None) -> Answered:
        """One release is taken and kept to the end.

        Args:
            case: whatever the task's predictor takes.
            arrived: when the request was there, by the router's clock; its deadline counts from then.

        Raises:
            NoChampion: nothing answers for this task.
            NotFound: the request is pinned to a version that is not loaded.
            InputError: the case is of no use to the model.
            PluginError: no model gave an answer.
        """
        arrived = self._clock() if arrived is None else arrived
        prediction_id = new_id(time.time())
        with self._counted(), self._releases.take(task) as taken:
            split = None if taken.beside is None else taken.beside.split
            share = 0.0 if split is None or self.held is not None else split.share
            choice = choose(taken.champion.version, split, wish, prediction_id, share)
            request = _Request(taken, case, wish, choice, share, self.held is not None, arrived)
            if request.paired or request.shadowed:
                request = replace(request, placed=self._shadow.reserve())
            answer = self._ask(request)
            if answer.job is not None:
                self._shadow.offer(answer.job)
            elif request.placed:
                self._shadow.give_back()
            if answer.outcome.prediction is None:
                raise raised(answer.outcome)
            answered = Answered(
                prediction_id=prediction_id,
                task=task,
                case=case,
                generation=taken.release.generation,
                servable=answer.servable,
                classes=tuple(answer.servable.opened.card.classes),
                arm=answer.arm,
                recovered=answer.recovered,
                forced=wish.forced,
                key=wish.key,
                rollout=None if split is None else split.rollout,
                prediction=answer.outcome.prediction,
                seconds=answer.outcome.seconds,
            )
            if self.observe is not None:
                self.observe(answered)
            return answered

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def _run(self, servable: Servable, case: Any) -> Outcome:
        """Ask a model in the request's own thread, when it is its turn."""
        with self._waiting(servable), self._turns:
            return run(servable, case)

    def _waiting(self, servable: Servable) -> AbstractContextManager[None]:
        """Inside others come in, unless the model is done before they had."""
        quickest = servable.latency.quickest
        return STAYS if quickest is not None and quickest < QUICK_SECONDS else self._away()

    def _ask(self, request: _Request) -> _Answer:
        beside = request.taken.beside
        if beside is None:
            return _Answer(request.taken.champion, Arm.CHAMPION, self._run(request.taken.champion, request.case))
        if request.wish.version is not None:
            return self._pinned(request, beside)
        if beside.split.mode is Mode.BAKE:
            return self._baking(request, beside)
        if request.choice.other:
            return self._canary(request, beside)
        return self._champion(request, beside)

    def _pinned(self, request: _Request, beside: Beside) -> _Answer:
        """The one version and no other, however it does."""
        arm, new_is_other = request.choice.arm, beside.split.mode is not Mode.BAKE
        servable = beside.servable if request.choice.other else request.taken.champion
        if not (request.choice.other and new_is_other):
            return _Answer(servable, arm, self._run(servable, request.case))
        with self._away():
            asked = ask(beside.trial, servable, request.case, self._time_left(request), counts=False)
        return _Answer(servable, arm, asked.outcome or not_asked(servable, asked.skipped))

    def _champion(self, request: _Request, beside: Beside) -> _Answer:
        """The champion answers; in SHADOW the challenger is asked off the path."""
        champion = request.taken.champion
        outcome = self._run(champion, request.case)
        # One that the challenger was meant to answer and could not be asked for counts for nobody: such requests come
        # in busy moments, which would make the champion look worse than it is.
        if request.counts and not request.choice.other and beside.split.mode is Mode.CANARY:
            beside.trial.count(outcome, new=False, share=request.share)
        job = None
        if request.shadowed and request.placed and not blameless(outcome):
            job = _job(request, beside, (champion, outcome), beside.servable, new=True, timed=True)
        return _Answer(champion, Arm.CHAMPION, outcome, job=job)

    def _canary(self, request: _Request, beside: Beside) -> _Answer:
        """The challenger answers, or else the champion."""
        forced, champion = request.wish.forced, request.taken.champion
        with self._away():
            attempt = ask(beside.trial, beside.servable, request.case, self._time_left(request), counts=not forced)
        if attempt.skipped is not None:
            answer = self._champion(request, beside)
            return replace(answer, recovered=forced)
        if attempt.outcome is not None and attempt.outcome.prediction is not None:
            job = None if attempt.probe else self._note(request, beside, attempt.outcome, None)
            return _Answer(beside.servable, Arm.CHALLENGER, attempt.outcome, job=job)
        outcome = self._run(champion, request.case)
        if attempt.outcome is not None and not attempt.probe:
            self._note(request, beside, attempt.outcome, outcome)
        return _Answer(champion, Arm.CHAMPION, outcome, recovered=True)

    def _baking(self, request: _Request, beside: Beside) -> _Answer:
        """After the promotion the new model is the champion, and the old one still stands in for it."""
        new = _Answer(request.taken.champion, Arm.CHAMPION, NOTHING)
        old = _Answer(beside.servable, Arm.HOLDBACK, NOTHING)
        first, second = (old, new) if request.choice.other else (new, old)
        attempt = Attempt(self._run(old.servable, request.case)) if first is old else self._ask_baking(request, beside)
        outcome = attempt.outcome
        if outcome is not None and outcome.prediction is not None:
            job = None if attempt.probe else self._note(request, beside, outcome, None)
            return replace(first, outcome=outcome, job=job)
        instead = self._run(second.servable, request.case)
        if outcome is not None and not attempt.probe:
            self._note(request, beside, outcome, instead)
        return replace(second, outcome=instead, recovered=request.wish.forced or attempt.skipped is None)

    def _ask_baking(self, request: _Request, beside: Beside) -> Attempt:
        """The new champion in the request's own thread: it carries almost everything, so no few threads would do.

        It is given up at its deadline too; only an endless kernel would hold the request.
        """
        champion, trial, forced = request.taken.champion, beside.trial, request.wish.forced
        probe = trial.breaker.state is not BreakerState.CLOSED
        ticket = trial.breaker.allow()
        if ticket is None:
            return Attempt(skipped=Skipped.BREAKER)
        stuck = partial(trial.breaker.trip, f"version {champion.version} does not come back from a request")
        with self._waiting(champion), self._turns:
            # whoever waited long for its turn still leaves the model a fair time
            seconds = max(self._time_left(request), self._deadline / 2)
            with self._watch.until(seconds, stuck, suspect=True) as cancel, trial.running(champion, cancel):
                outcome = run(champion, request.case, cancel)
        if trial.ended and isinstance(outcome.error, GivenUp):
            return Attempt()
        if forced or blameless(outcome):
            trial.breaker.abandon(ticket)
        else:
            trial.breaker.record(ticket, outcome.signal is None, outcome.what)
        return Attempt(outcome, probe=probe)

    def _note(self, request: _Request, beside: Beside, first: Outcome, instead: Outcome | None) -> Job | None:
        """Evidence of a request by who was asked first: in its arm, or in a pair where the key is sticky.

        Args:
            instead: what the other model answered when the first one failed.

        Returns:
            What is left to do for a pair.
        """
        if blameless(first):
            if instead is None or instead.prediction is None:
                return None
            first = replace(first, signal="error")  # the other model could use this request
        asked_new = request.choice.other is not (beside.split.mode is Mode.BAKE)
        if request.counts:
            share = 1 - request.share if beside.split.mode is Mode.BAKE else request.share
            beside.trial.count(first, new=asked_new, share=share)
        elif request.paired and request.placed and instead is not None:
            new, old = (first, instead) if asked_new else (instead, first)
            beside.trial.pair(new, old, timed=False, agree=None)
        elif request.paired and request.placed:
            asked, other = beside.servable, request.taken.champion
            return _job(request, beside, (asked, first), other, new=not asked_new, timed=False)
        return None

    def _time_left(self, request: _Request) -> float:
        beside = request.taken.beside
        old = request.taken.champion
        if beside is not None and beside.split.mode is Mode.BAKE:
            old = beside.servable
        return time_left(self._deadline, self._clock() - request.arrived, old.latency.quantile(0.99))


@dataclass(frozen=True)
class _Request:
    """What `Router.answer` hands on."""

    taken: Taken
    case: Any
    wish: Wish
    choice: Choice
    share: float
    held: bool
    arrived: float
    placed: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is evidence for one arm: routed by chance, independently of every other request."""
        return self.share > 0 and not self.wish.forced and self.wish.key is None

    @property
    def paired(self) -> bool:
        """Whether it is evidence if the champion answers it too: the split's model was asked because of its key."""
        return self.share > 0 and not self.wish.forced and self.wish.key is not None and self.choice.other

    @property
    def shadowed(self) -> bool:
        """Whether the challenger of a SHADOW is asked too."""
        beside = self.taken.beside
        return beside is not None and beside.split.mode is Mode.SHADOW and not self.held and not self.wish.forced


def _job(
    request: _Request, beside: Beside, answered: tuple[Servable, Outcome], other: Servable, *, new: bool, timed: bool
) -> Job:
    servable, outcome = answered
    return Job(beside.trial, request.case, outcome, servable.opened.card.classes, other, new, timed)
