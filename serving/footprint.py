"""What models cost where they serve: measured in processes of their own, all models in one run.

The time of an answer depends on the machine and on its other work. So one process holds all models and lets them answer
the same cases in turn, in an order that is balanced: whatever else the machine does meets every one of them. Waiting
for a core is left out, see `serving.stopwatch`. Memory is what one model makes a fresh process grow by, so each gets
its own.

The largest request of this service is one case: a request body holds one, nothing collects several into a batch, and
the predictor of a task brings every case to the same size. Larger batches are run by evaluations alone.
Requests that are answered at the same time each need that much again, whichever model answers.
"""

from __future__ import annotations

import gc
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from recognizer.errors import InputError
from recognizer.evaluation.footprint import Footprint
from recognizer.tasks import Predictor, load_predictor, require_task
from serving.child import At, Bounds, run_in_child
from serving.peak import Peak
from serving.stopwatch import Stopwatch

ROUNDS, FEWEST_ROUNDS, ROUND_SECONDS = 120, 12, 2.5
"""Answers of every model: so many, and fewer when they take longer than that."""
LOADS, FEWEST_LOADS, LOAD_SECONDS = 21, 3, 1.0
"""Loads of every model, likewise."""
WARM = 3
"""Answers before time is taken: the first one allocates."""
LIMIT_SECONDS = 60.0
"""After which a process is given up; far above what any model needs that may serve."""
CASES_AT_ONCE = 1
"""The largest request, see above."""

Times = list[tuple[float, ...]]


def measure_footprints(
    task: str,
    packages: Sequence[Path],
    cases: Sequence[Any],
    *,
    threads: int = 1,
    rounds: int = ROUNDS,
    cases_at_once: int = CASES_AT_ONCE,
    memory_limit_mb: int | None = None,
    limit_seconds: float = LIMIT_SECONDS,
) -> tuple[Footprint, ...]:
    """Footprints of the packages, in their order.

    Two models of 10 ms a case take about 5 s, most of it to start three processes and to answer.

    Args:
        packages: folders as `load_predictor(task)` takes them; one may be there twice.
        cases: what the predictor's `inputs` takes; can be pickled. The first ones are answered in turn, the largest
            ones (by their pickled size) make up the largest request.
        threads: of one session, as in service.
        rounds: answers of every model at most.
        memory_limit_mb: what one process may take; by default what the machine has left.
        limit_seconds: after which one process is given up.

    Raises:
        InputError: no cases, or less than one round or case at once.
        NotFound: no such task.
        PluginError: a model crashed, was killed, hung or failed; `where` is its package.
        RecognizerError: what else a predictor raises on purpose, such as FormatError for a file it cannot read.
    """
    if not cases or rounds < 1 or cases_at_once < 1:
        raise InputError(
            f"cannot measure {rounds} rounds over {len(cases)} cases, {cases_at_once} at once", hint="give at least 1"
        )
    require_task(task)
    if not packages:
        return ()
    bounds = Bounds(limit_seconds, memory_limit_mb)
    asked = (task, tuple(packages), tuple(cases[:rounds]), threads, rounds)
    load_ms, latencies_ms = run_in_child(time_models, asked, packages, bounds)
    largest = sorted(cases, key=lambda case: len(pickle.dumps(case)), reverse=True)
    request = tuple(islice(cycle(largest[:cases_at_once]), cases_at_once))
    peaks = [run_in_child(weigh_model, (task, package, request, threads), [package], bounds) for package in packages]
    return tuple(
        Footprint(answers, loads, peak / 2**20, cases_at_once)
        for answers, loads, peak in zip(latencies_ms, load_ms, peaks, strict=True)
    )


def time_models(
    at: At, task: str, packages: Sequence[Path], cases: Sequence[Any], threads: int, rounds: int
) -> tuple[Times, Times]:
    """In a child: milliseconds of every load and of every answer, for each package."""
    kind, models, inputs = load_predictor(task), dict[int, Predictor](), list[list[Mapping[str, NDArray[Any]]]]()

    def load(i: int, _turn: int) -> None:
        models[i] = kind(packages[i], threads=threads)

    def drop(i: int) -> None:
        at(i)
        models.pop(i, None)  # its end is no part of the next load

    def answer(i: int, turn: int) -> None:
        # two rounds on each case, so that every model meets it in either order
        models[i].predict(inputs[i][turn // 2 % len(cases)])

    numbers = range(len(packages))
    for i in numbers:
        at(i)
        load(i, 0)  # the first load reads from the disk, and sets up the runtime
    load_ms = _timed(load, len(numbers), (FEWEST_LOADS, LOADS), LOAD_SECONDS, before=drop)
    for i in numbers:
        at(i)
        inputs.append([models[i].inputs([case]) for case in cases])
        for turn in range(WARM):
            answer(i, turn)
    gc.collect()
    gc.freeze()  # as the service does, so that a collection finds nothing to do
    return load_ms, _timed(answer, len(numbers), (min(rounds, FEWEST_ROUNDS), rounds), ROUND_SECONDS, before=at)


def weigh_model(at: At, task: str, package: Path, request: Sequence[Any], threads: int) -> int:
    """In a child: bytes by which it grew at most, from before the load until it answered the request."""
    kind = load_predictor(task)
    at(0)
    gc.collect()
    peak = Peak()
    model = kind(package, threads=threads)
    peak.look()
    for _ in range(2):  # a runtime may plan its memory on the first run and take it on the second
        model.predict(model.inputs(request))
        peak.look()
    return peak.growth


def _timed(
    do: Callable[[int, int], object],
    n: int,
    turns: tuple[int, int],
    seconds: float,
    *,
    before: Callable[[int], None],
) -> Times:
    """Milliseconds of `do(i, turn)` for each i below n, in balanced order; all have the same number of turns.

    Args:
        turns: at least and at most; between them the seconds decide, after pairs of turns.
        before: called with i, outside of the time.
    """
    fewest, most = turns
    times: list[list[float]] = [[] for _ in range(n)]
    end = time.monotonic() + seconds
    with Stopwatch() as watch:
        for turn, order in enumerate(islice(balanced_orders(n), most)):
            if turn >= fewest and turn % 2 == 0 and time.monotonic() > end:
                break
            for i in order:
                before(i)
                times[i].append(watch.milliseconds(partial(do, i, turn)))
    return [tuple(part) for part in times]


def balanced_orders(n: int) -> Iterator[tuple[int, ...]]:
    """Orders of n, without end: forwards and backwards, then from one place further. For two: AB BA BA AB."""
    turn = 0
    while True:
        order = [(turn // 2 + i) % n for i in range(n)] if n else []
        yield tuple(reversed(order) if turn % 2 else order)
        turn += 1
