"""Rendered scenes, cut by cast: whoever is in the test set is in no other one.

Many scenes are rendered by several processes, which makes them sooner and not otherwise: a scene depends on nothing but
its index, seed and size, and they come in the order of their indices.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

import cv2
import numpy as np

from recognizer.errors import StorageError, UsageError
from recognizer.ingest.recorded import Source
from recognizer.scenes import Scene
from recognizer.snapshot import SetName
from recognizer.synthetic.scenes import generate_scenes, is_held_out, scene_of, subject_of

LEAST = 40
"""Scenes that it takes until every cast has been in one."""
ALONE = 400
"""So many scenes are sooner rendered than other processes are started."""
MOST = 8
"""Processes: the one that writes takes no more scenes than they render."""
TOGETHER = 32
"""Scenes that a process renders before it hands them over."""
AHEAD = 3
"""Such parts for each process that are asked for at once: memory does not grow with the number of scenes."""


def generated_scenes(
    count: int, validation_share: float, *, seed: int = 0, size: int = 256
) -> tuple[Iterator[tuple[SetName, Scene]], Source]:
    """`count` scenes, each with its set, one after the other; and what they come from.

    Raises:
        UsageError: too few for three sets.
    """
    if count < LEAST:
        raise UsageError(f"{count} rendered scenes are too few", hint=f"ask for at least {LEAST}")
    casts = sorted({subject_of(index, seed) for index in range(LEAST)})
    learning = [cast for cast in casts if not is_held_out(cast)]
    kept = max(round(validation_share * len(learning)), 1)
    order = np.random.default_rng([seed, 3]).permutation(len(learning))
    validation = {learning[place] for place in order[:kept]}
    source = Source(f"rendered, {count} scenes of {size} pixels, seed {seed}", "")
    return _placed(count, seed, size, validation), source


def _placed(count: int, seed: int, size: int, validation: set[str]) -> Iterator[tuple[SetName, Scene]]:
    processes = min(_cores(), MOST) if count > ALONE else 1
    scenes = generate_scenes(count, seed=seed, size=size) if processes == 1 else rendered(count, seed, size, processes)
    for scene in scenes:
        subject = scene.subject or ""
        name: SetName = "test" if is_held_out(subject) else "validation" if subject in validation else "train"
        yield name, scene


def rendered(count: int, seed: int, size: int, processes: int) -> Iterator[Scene]:
    """The scenes of `generate_scenes`, by so many processes.

    Raises:
        StorageError: a process was ended from outside.
    """
    parts = iter([range(start, min(start + TOGETHER, count)) for start in range(0, count, TOGETHER)])
    # spawned, since a fork would begin with our threads and the locks that they hold
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begin)
    try:
        waiting: deque[Future[list[Scene]]] = deque()
        for part in islice(parts, AHEAD * processes):
            waiting.append(pool.submit(_render, part, seed, size))
        while waiting:
            made = waiting.popleft().result()
            for part in islice(parts, 1):
                waiting.append(pool.submit(_render, part, seed, size))
            yield from made
    except BrokenProcessPool as error:
        raise StorageError(
            "a process that renders was ended from outside", hint="free some memory, then ingest again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """That this process may use; not every system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed outright cannot end its processes, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _render(part: range, seed: int, size: int) -> list[Scene]:
    return [scene_of(index, seed, size) for index in part]
