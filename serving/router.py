"""From a case to an answer: who is asked, who answers when that fails, and what is noted of it. Knows no task."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from recognizer.split import Mode
from recognizer.tasks import Prediction
from serving.canary import Attempt, Skipped, ask, blameless, not_asked, time_left
from serving.outcome import Outcome, raised, run
from serving.release import Beside, Releases, Taken
from serving.routing import NO_WISH, Arm, Choice, Wish, choose
from serving.servable import Servable
from serving.shadow import Shadow
from serving.watch import Watch

DEADLINE_SECONDS = 1.0
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


class Router:
    """Answers cases with the newest release. All methods may be called from any thread.

    Args:
        deadline: seconds within which a request is answered, if need be by the champion.
        observe: called with every answer, still inside the request: it must be quick and never raise.

    Attributes:
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
        observe: Callable[[Answered], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.held: str | None = None
        self._releases = releases
        self._shadow = shadow
        self._watch = watch
        self._deadline = deadline
        self._observe = observe
        self._clock = clock

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
        prediction_id = uuid.uuid4().hex
        with self._releases.take(task) as taken:
            split = None if taken.beside is None else taken.beside.split
            share = 0.0 if split is None or self.held is not None else split.share
            choice = choose(taken.champion.version, split, wish, prediction_id, share)
            request = _Request(taken, case, wish, choice, share, self.held is not None, arrived)
            answer = self._ask(request)
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
            if self._observe is not None:
                self._observe(answered)
            return answered

    def _ask(self, request: _Request) -> _Answer:
        beside = request.taken.beside
        if beside is None:
            return _Answer(request.taken.champion, Arm.CHAMPION, run(request.taken.champion, request.case))
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
            return _Answer(servable, arm, run(servable, request.case))
        asked = ask(beside.trial, servable, request.case, self._time_left(request), counts=False)
        return _Answer(servable, arm, asked.outcome or not_asked(servable, asked.skipped))

    def _champion(self, request: _Request, beside: Beside) -> _Answer:
        """The champion answers; in SHADOW the challenger is asked off the path."""
        champion = request.taken.champion
        outcome = run(champion, request.case)
        if request.counts and beside.split.mode is Mode.CANARY:
            beside.trial.count(outcome, new=False)
        if beside.split.mode is Mode.SHADOW and request.shadowed and not blameless(outcome):
            self._shadow.offer(
                beside.trial, request.case, answered_by=champion, outcome=outcome, servable=beside.servable, new=True
            )
        return _Answer(champion, Arm.CHAMPION, outcome)

    def _canary(self, request: _Request, beside: Beside) -> _Answer:
        """The challenger answers, or else the champion."""
        forced, champion = request.wish.forced, request.taken.champion
        attempt = ask(beside.trial, beside.servable, request.case, self._time_left(request), counts=not forced)
        if attempt.skipped is not None:
            answer = self._champion(request, beside)
            return replace(answer, recovered=forced)
        if attempt.outcome is not None and attempt.outcome.prediction is not None:
            self._note(request, beside, attempt.outcome, None)
            return _Answer(beside.servable, Arm.CHALLENGER, attempt.outcome)
        outcome = run(champion, request.case)
        if attempt.outcome is not None:
            self._note(request, beside, attempt.outcome, outcome)
        return _Answer(champion, Arm.CHAMPION, outcome, recovered=True)

    def _baking(self, request: _Request, beside: Beside) -> _Answer:
        """After the promotion the new model is the champion, and the old one still stands in for it."""
        new = _Answer(request.taken.champion, Arm.CHAMPION, NOTHING)
        old = _Answer(beside.servable, Arm.HOLDBACK, NOTHING)
        first, second = (old, new) if request.choice.other else (new, old)
        attempt = Attempt(run(old.servable, request.case)) if first is old else self._ask_baking(request, beside)
        outcome = attempt.outcome
        if outcome is not None and outcome.prediction is not None:
            self._note(request, beside, outcome, None)
            return replace(first, outcome=outcome)
        instead = run(second.servable, request.case)
        if outcome is not None:
            self._note(request, beside, outcome, instead)
        return replace(second, outcome=instead, recovered=request.wish.forced or outcome is not None)

    def _ask_baking(self, request: _Request, beside: Beside) -> Attempt:
        """The new champion in the request's own thread: it carries almost everything, so no few threads would do.

        It is given up at its deadline too; only an endless kernel would hold the request.
        """
        champion, trial, forced = request.taken.champion, beside.trial, request.wish.forced
        ticket = trial.breaker.allow()
        if ticket is None:
            return Attempt(skipped=Skipped.BREAKER)
        seconds = max(self._time_left(request), self._deadline / 10)
        stuck = partial(trial.breaker.trip, f"version {champion.version} does not come back from a request")
        with self._watch.until(seconds, stuck, suspect=True) as cancel, trial.crumb.during(champion.digest):
            outcome = run(champion, request.case, cancel)
        if forced or blameless(outcome):
            trial.breaker.abandon(ticket)
        else:
            trial.breaker.record(ticket, outcome.signal is None, outcome.what)
        return Attempt(outcome)

    def _note(self, request: _Request, beside: Beside, first: Outcome, instead: Outcome | None) -> None:
        """Evidence of a request by who was asked first: in its arm, or in a pair where the key is sticky.

        Args:
            instead: what the other model answered when the first one failed.
        """
        if blameless(first):
            if instead is None or instead.prediction is None:
                return
            first = replace(first, signal="error")  # the other model could use this request
        asked_new = request.choice.other is not (beside.split.mode is Mode.BAKE)
        if request.counts:
            beside.trial.count(first, new=asked_new)
        elif not request.paired:
            return
        elif instead is not None:
            new, old = (first, instead) if asked_new else (instead, first)
            beside.trial.pair(new, old, agree=None)
        else:
            asked, other = beside.servable, request.taken.champion
            self._shadow.offer(
                beside.trial, request.case, answered_by=asked, outcome=first, servable=other, new=not asked_new
            )

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
        return not self.held and not self.wish.forced
