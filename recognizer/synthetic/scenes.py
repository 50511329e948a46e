"""Rendered scenes: pictures of acting people with exact labels, to train and to judge a pose estimator.

    python -m recognizer.synthetic.scenes FOLDER 100

writes 100 pictures into the folder. The same index, seed and size give the same picture, whatever else is rendered.

OpenCV's threads are a setting of the whole process and are left alone here. On pictures this small they gain nothing:
whoever renders in several processes calls `cv2.setNumThreads(1)` in each of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from recognizer.errors import UsageError
from recognizer.scenes import SEEN, People, Scene
from recognizer.synthetic.annotation import annotate
from recognizer.synthetic.arrangement import arrange
from recognizer.synthetic.backdrop import backdrop
from recognizer.synthetic.canvas import Painted, cover, paint
from recognizer.synthetic.figure import figures
from recognizer.synthetic.furnishing import behind, in_front
from recognizer.synthetic.light import Image, Light, develop
from recognizer.synthetic.texture import cloth
from recognizer.synthetic.wardrobe import CASTS, HELD_OUT

SMALLEST = 64  # pixels of a picture's side
QUALITY = 90  # of the JPEG files
# Whoever shows less than this is left out of the scene: nobody could be asked to find them.
LEAST_SEEN, LEAST_SHARE = 5, 0.003  # joints; share of the picture's pixels
WALL = (0.5, 9.0)  # metres behind the farthest person
SHADOW = 0.33  # metres
Size = int | tuple[int, int]


def generate_scenes(count: int, *, seed: int = 0, size: Size = 256) -> Iterator[Scene]:
    """`count` scenes one after the other, as JPEG; scene i is the same whatever `count` is.

    Args:
        size: pixels of a side, or (height, width).

    Raises:
        UsageError: a size that makes no picture; raised when the first scene is asked for.
    """
    for index in range(count):
        yield scene_of(index, seed, size)


def scene_of(index: int, seed: int = 0, size: Size = 256) -> Scene:
    """One scene as a JPEG file; processes that share the work take indices in turn.

    Raises:
        UsageError: a side below 64 pixels.
    """
    image, people = render(index, seed, size)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return Scene(f"{index:06d}", encoded, (image.shape[0], image.shape[1]), people, subject_of(index, seed))


def subject_of(index: int, seed: int = 0) -> str:
    """The cast whose members are in a scene; another seed has other casts."""
    return f"s{seed}c{index % CASTS:02d}"


def is_held_out(subject: str) -> bool:
    """Whether a cast is for testing only: every fifth is."""
    return int(subject.rpartition("c")[2]) % HELD_OUT == HELD_OUT - 1


def render(index: int, seed: int = 0, size: Size = 256) -> tuple[Image, People]:
    """One scene: its picture (h, w, 3), RGB, and everybody in it who can be seen.

    Args:
        size: pixels of a side, or (height, width).

    Raises:
        UsageError: a side below 64 pixels.
    """
    painted, people = compose(index, seed, size)
    return develop(painted.image, np.random.default_rng([seed, 13, index])), people


def compose(index: int, seed: int = 0, size: Size = 256) -> tuple[Painted, People]:
    """A scene before exposure, blur, noise and codec, and what every pixel shows.

    Owner n of a pixel is the n-th of the people.

    Raises:
        UsageError: a side below 64 pixels.
    """
    shape = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if min(shape) < SMALLEST:
        raise UsageError(f"scenes of {shape[0]}x{shape[1]} pixels", hint=f"no side can be below {SMALLEST}")
    generator = np.random.default_rng([seed, 12, index])
    view, actors = arrange(seed, index % CASTS, shape, generator)
    light = Light.draw(-view.down, generator)
    wall = max(float(actor.place[0]) for actor in actors) + float(np.exp(generator.uniform(*np.log(WALL))))
    furniture = behind(view, light, actors, wall, generator)
    hiding = in_front(view, light, actors, generator)
    seen = view.seen(np.stack([actor.joints for actor in actors]))
    bodies, away = figures([actor.person for actor in actors], [actor.outfit for actor in actors], seen, view, light)
    pixels = view.pixels(seen)
    while True:
        ids, ordered = cover([*furniture, *hiding, *bodies], shape)
        people, there = annotate(ids, ordered, seen, pixels, away)
        clear = (people.labelled == SEEN).sum(axis=1) >= LEAST_SEEN
        kept = there[clear & (people.areas >= LEAST_SHARE * ids.size)]
        if not len(kept) and hiding:
            hiding = []  # where everybody is hidden, what hides them goes instead
            continue
        kept = kept if len(kept) else there
        if len(kept) == len(actors):
            break
        place = {int(old): new for new, old in enumerate(kept)}
        bodies = [one for one in bodies if one.owner in place]
        for one in bodies:
            one.owner = place[one.owner]
        actors, away, seen, pixels = [actors[i] for i in kept], [away[i] for i in kept], seen[kept], pixels[kept]
    shadows = np.array([(*actor.place, SHADOW) for actor in actors])
    empty = backdrop(view, wall, shadows, generator)
    return paint(empty, ids, ordered, cloth(shape, generator)), people


def write_scenes(folder: Path, count: int, *, seed: int = 0, size: Size = 256) -> None:
    """Write the pictures of scenes into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for scene in generate_scenes(count, seed=seed, size=size):
        (folder / f"{scene.name}.jpg").write_bytes(scene.image)


if __name__ == "__main__":
    write_scenes(Path(sys.argv[1]), int(sys.argv[2]))
