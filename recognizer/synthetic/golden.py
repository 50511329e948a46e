"""Golden cases of the synthetic actions: four plain scenes of each, by people and cameras that no recording has.

    python -m recognizer.synthetic.golden data/golden/action/synthetic

writes the checkout's files again, one an action. They are small: every second frame, quarters of a pixel.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recognizer.errors import UsageError
from recognizer.sequences import SequenceSet, SkeletonSequence, write_npz
from recognizer.skeleton import LEFT
from recognizer.synthetic.actions import ACTIONS
from recognizer.synthetic.body import Body
from recognizer.synthetic.camera import detect, film
from recognizer.synthetic.recordings import act

SEED = 20_270_101  # far from those that recordings are made with
FRAMES = (60, 120)  # before every second one is left out
STEP = 2
PIXEL, SCORE = 4, 32  # steps of one pixel and of a score of 1: few bits, which compress well
AWAY = 0.2  # a person far from the camera has this share of the size it would have
COVERED = 1 / 3  # share of the time, from its start, in which a half-hidden body is half hidden


@dataclass(frozen=True)
class Scene:
    """What is special about a golden case.

    Attributes:
        people: fewest and most in the picture; fighting needs two.
        hidden: joints that something hides until a third of the time is over.
        size: how large the people are, as a share of what the camera would see from near.
    """

    people: tuple[int, int] = (1, 2)
    hidden: tuple[int, ...] = ()
    size: float = 1.0


SCENES = {
    "plain": Scene(),
    "several_people": Scene(people=(3, 4)),
    "half_hidden": Scene(hidden=LEFT),  # behind the edge of a door
    "far_away": Scene(size=AWAY),
}
# Which take of a scene: the one that two models, trained with other seeds, answered with the most certainty.
TAKES: dict[str, dict[str, int]] = {
    "standing": {"plain": 37, "several_people": 484, "half_hidden": 22, "far_away": 17},
    "walking": {"plain": 33, "several_people": 196, "half_hidden": 15, "far_away": 3},
    "running": {"plain": 56, "several_people": 2, "half_hidden": 16, "far_away": 3},
    "sitting_down": {"plain": 59, "several_people": 452, "half_hidden": 16, "far_away": 4},
    "falling": {"plain": 14, "several_people": 152, "half_hidden": 43, "far_away": 55},
    "lying": {"plain": 15, "several_people": 391, "half_hidden": 26, "far_away": 54},
    "waving": {"plain": 26, "several_people": 22, "half_hidden": 2, "far_away": 19},
    "fighting": {"plain": 25, "several_people": 293, "half_hidden": 36, "far_away": 50},
}


def take(action: str, scene: str, number: int) -> SkeletonSequence | None:
    """One attempt at a scene, label 0; None when it came out otherwise: other people, or too long.

    Raises:
        UsageError: no such action or scene.
    """
    if action not in ACTIONS or scene not in SCENES:
        raise UsageError(f"no scene {scene!r} of {action!r}", hint=f"use {sorted(ACTIONS)} and {sorted(SCENES)}")
    generator = np.random.default_rng([SEED, list(ACTIONS).index(action), list(SCENES).index(scene), number])
    wanted = SCENES[scene]
    people, main = act(action, Body.draw(generator), generator)
    if not FRAMES[0] <= people.shape[1] <= FRAMES[1] or not wanted.people[0] <= len(people) <= wanted.people[1]:
        return None
    pixels, shape = film(people, main, generator)
    middle = np.array(shape[::-1]) / 2
    pixels = middle + (pixels - middle) * wanted.size
    found, sure = detect(pixels, shape, generator)
    visibility = np.maximum(np.round(sure * SCORE), sure > 0) / SCORE
    visibility[:, : round(COVERED * visibility.shape[1]), list(wanted.hidden)] = 0
    keypoints = np.where(visibility[..., None] > 0, np.round(found * PIXEL) / PIXEL, 0)
    return SkeletonSequence(
        f"{action}_{scene}",
        keypoints[:, ::STEP].astype(np.float32),
        visibility[:, ::STEP].astype(np.float32),
        0,
        None,
        shape,
    )


def write_golden(folder: Path) -> None:
    """Write one file an action into the folder; the same bytes every time.

    Raises:
        UsageError: a chosen take is none any more, because bodies, actions or cameras have changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for action, numbers in TAKES.items():
        cases = tuple(_chosen(action, scene, number) for scene, number in numbers.items())
        write_npz(folder / f"{action}.npz", SequenceSet((action,), cases))


def _chosen(action: str, scene: str, number: int) -> SkeletonSequence:
    case = take(action, scene, number)
    if case is None:
        raise UsageError(f"take {number} of {action}, {scene}, came out otherwise", hint="choose other takes")
    return case


if __name__ == "__main__":
    write_golden(Path(sys.argv[1]))
