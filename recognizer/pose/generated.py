"""Rendered scenes, cut by cast: whoever is in the test set is in no other one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recognizer.errors import UsageError
from recognizer.ingest.recorded import Source
from recognizer.scenes import Scene
from recognizer.snapshot import SetName
from recognizer.synthetic.scenes import generate_scenes, is_held_out, subject_of

LEAST = 40
"""Scenes that it takes until every cast has been in one."""


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
    for scene in generate_scenes(count, seed=seed, size=size):
        subject = scene.subject or ""
        name: SetName = "test" if is_held_out(subject) else "validation" if subject in validation else "train"
        yield name, scene
