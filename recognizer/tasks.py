"""Tasks are plug-ins: a trainer, a predictor and an evaluator, each found through an entry point named after its task.

A package adds a task by declaring, in its own `pyproject.toml`:

    [project.entry-points."recognizer.trainers"]
    pose = "my_package.pose:PoseTrainer"
    [project.entry-points."recognizer.predictors"]
    pose = "my_package.pose:PosePredictor"
    [project.entry-points."recognizer.evaluators"]
    pose = "my_package.pose:PoseEvaluator"

The built-in tasks use the same door.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from recognizer.answers import Answers
from recognizer.errors import NotFound, PluginError
from recognizer.evaluator import Evaluator, Progress

TRAINERS = "recognizer.trainers"
PREDICTORS = "recognizer.predictors"
EVALUATORS = "recognizer.evaluators"

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Prediction:
    """What one model answered to n cases; what its arrays mean, the task knows.

    Attributes:
        recovered: it answered, and not in the way it first tried to: a GPU that was full, and the CPU did it instead.
    """

    answers: Answers
    recovered: bool = False


class Cancel:
    """Gives up one run of a model from another thread. One object a run; all methods may be called from any thread.

    Attributes:
        why: what the run did wrong, where that is more than taking too long.
    """

    def __init__(self) -> None:
        self.why: Exception | None = None
        self._lock = threading.Lock()
        self._given_up = False
        self._stop: Callable[[], None] | None = None

    @property
    def given_up(self) -> bool:
        return self._given_up

    def give_up(self, why: Exception | None = None) -> None:
        """Stop the run, or keep it from starting; twice is as good as once."""
        with self._lock:
            self.why = self.why or why
            self._given_up = True
            if self._stop is not None:
                self._stop()

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Inside, `give_up` calls `stop`, which must be quick; at once when it was called before."""
        with self._lock:
            self._stop = stop
            if self._given_up:
                stop()
        try:
            yield
        finally:
            with self._lock:
                self._stop = None


@runtime_checkable
class Trainer(Protocol):
    """Makes a model. Every method reads folders and writes one folder, and can be run again."""

    task: str

    def resolve(self, params: Params) -> Params:
        """The `train` parameters with every `auto` made concrete for this machine; part of the training identity."""

    def prepare(self, snapshot: Path, destination: Path, params: Params) -> None:
        """Turn a snapshot's `train` and `validation` into what `train` reads. Never opens `test`."""

    def train(
        self, prepared: Path, destination: Path, params: Params, *, parent: Path | None, progress: Progress
    ) -> None:
        """Fit; leaves `weights.pt` and `training.json`. Goes on from the checkpoint of a killed run."""

    def export(self, trained: Path, destination: Path, params: Params, *, prepared: Path) -> None:
        """Write `model.onnx` and `model.json` (labels, signature, preprocessing) from the weights.

        `prepared` is there for what needs to see data, such as calibrating a quantized model.
        """

    def reference_answers(self, trained: Path, cases: Sequence[Any]) -> Answers:
        """What the framework which trained the model answers to n cases; the parity gate's truth.

        It makes its inputs itself, by what it was trained with: the predictor's own may be wrong.
        """


@runtime_checkable
class Predictor(Protocol):
    """Answers with a loaded `model.onnx`. Made from a folder that holds `model.onnx` and `package.json`.

    The folder may be gone once it is made: it keeps open, or in memory, what it needs.
    A class may name an `endpoint` besides, see `serving.endpoint`; then the service answers at `/v1/TASK`.
    """

    task: str

    def __init__(self, package: Path, *, threads: int) -> None: ...

    def inputs(self, sequences: Sequence[Any]) -> Mapping[str, NDArray[Any]]:
        """The model's input arrays for the given cases; the only place where cases become tensors."""

    def predict(self, inputs: Mapping[str, NDArray[Any]], cancel: Cancel | None = None) -> Prediction:
        """Run the model.

        Args:
            cancel: when it is given up, the run ends as soon as the runtime can; without it nothing stops the run.

        Raises:
            InvalidAnswer: the model answered something that is no answer.
            GivenUp: the run was given up.
            PluginError: the model failed.
        """


@dataclass(frozen=True)
class TaskListing:
    """One entry point as `recognizer tasks` shows it; `problem` is None when the plug-in is usable."""

    task: str
    role: str
    target: str
    package: str
    problem: str | None


def load_trainer(task: str) -> Trainer:
    """The task's trainer.

    Raises:
        NotFound: no such task.
        PluginError: it cannot be imported or breaks the contract.
    """
    made = _load(task, TRAINERS)()
    if not isinstance(made, Trainer):
        raise _broken(task, TRAINERS, f"{type(made).__name__} lacks methods of recognizer.tasks.Trainer")
    return made


def load_predictor(task: str) -> type[Predictor]:
    """The task's predictor class; raises as `load_trainer` does."""
    found = _load(task, PREDICTORS)
    problem = _missing(found, Predictor)
    if problem:
        raise _broken(task, PREDICTORS, problem)
    return found  # type: ignore[no-any-return]


def load_evaluator(task: str) -> Evaluator:
    """The task's evaluator; raises as `load_trainer` does."""
    made = _load(task, EVALUATORS)()
    if not isinstance(made, Evaluator):
        raise _broken(task, EVALUATORS, f"{type(made).__name__} lacks methods of recognizer.evaluator.Evaluator")
    return made


def wrong_in_tests(task: str, metrics: Mapping[str, float]) -> float | None:
    """Share of wrong answers on the test set, as feedback counts them.

    None where the task's evaluator is not installed, or the metrics are of a time before it said so.
    """
    try:
        right = metrics.get(load_evaluator(task).correct)
    except (NotFound, PluginError):
        return None
    return None if right is None else 1.0 - float(right)


def trainable_tasks() -> tuple[str, ...]:
    """Names of the tasks that declare a trainer, sorted."""
    return _declared(TRAINERS)


def predictable_tasks() -> tuple[str, ...]:
    """Names of the tasks that declare a predictor, sorted; no trainer is imported to find out."""
    return _declared(PREDICTORS)


def example_task() -> str:
    """The task that a hint names to whoever has named none."""
    return next(iter(trainable_tasks()), "TASK")


def require_task(task: str) -> None:
    """Raise NotFound unless a task of this name is declared, in whatever role; imports no plug-in."""
    known = _declared(TRAINERS, PREDICTORS, EVALUATORS)
    if task not in known:
        hint = f"use one of: {', '.join(known)}; `recognizer tasks` lists them"
        raise NotFound(f"no task {task!r}", hint=hint)


def list_tasks() -> list[TaskListing]:
    """Every declared plug-in, each tried and checked, and what a trainer lacks beside it, by task and role."""
    listings = []
    for group, protocol in ((TRAINERS, Trainer), (PREDICTORS, Predictor), (EVALUATORS, Evaluator)):
        for point in entry_points(group=group):
            package = point.dist.name if point.dist else "?"
            problem = None
            try:
                problem = _missing(point.load(), protocol) or _misnamed(point)
            except Exception as error:  # a foreign plug-in may fail in any way; the listing has to survive it
                problem = f"{type(error).__name__}: {error}"
            listings.append(TaskListing(point.name, _role(group), point.value, package, problem))
    return sorted([*listings, *_lacking()], key=lambda listing: (listing.task, listing.role))


def _lacking() -> Iterator[TaskListing]:
    """What is not declared though a night would need it: nothing that is trained goes into service unjudged."""
    for point in entry_points(group=TRAINERS):
        for group in (PREDICTORS, EVALUATORS):
            if point.name not in _declared(group):
                package = point.dist.name if point.dist else "?"
                problem = f"none is declared among {group}, so nothing that is trained can be judged"
                yield TaskListing(point.name, _role(group), "-", package, problem)


def _declared(*groups: str) -> tuple[str, ...]:
    """Names of the tasks that have an entry point in one of the groups, sorted."""
    return tuple(sorted({point.name for group in groups for point in entry_points(group=group)}))


def _role(group: str) -> str:
    return group.split(".")[1][:-1]


def _load(task: str, group: str) -> Any:
    found = [point for point in entry_points(group=group) if point.name == task]
    if not found:
        require_task(task)
        raise NotFound(f"task {task!r} has no {_role(group)}", hint=f"declare it among the entry points {group}")
    if len(found) > 1:
        raise _broken(task, group, f"declared {len(found)} times: {[point.value for point in found]}")
    try:
        loaded = found[0].load()
    except Exception as error:  # whatever a foreign module raises on import is the plug-in's problem
        raise _broken(task, group, f"{type(error).__name__}: {error}") from error
    problem = _misnamed(found[0])
    if problem:
        raise _broken(task, group, problem)
    return loaded


def _missing(found: object, protocol: type) -> str | None:
    members = [name for name in vars(protocol) if not name.startswith("_")] + list(protocol.__annotations__)
    missing = sorted({name for name in members if not hasattr(found, name)})
    return f"lacks {', '.join(missing)} of {protocol.__module__}.{protocol.__name__}" if missing else None


def _misnamed(point: EntryPoint) -> str | None:
    task = getattr(point.load(), "task", None)
    return None if task == point.name else f"is declared for task {point.name!r} but says task = {task!r}"


def _broken(task: str, group: str, problem: str) -> PluginError:
    return PluginError(
        problem, where=f"{group} entry point {task!r}", hint="`recognizer tasks` shows what each plug-in lacks"
    )
