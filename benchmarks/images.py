"""What a picture costs beside the model: to read, to place, and to find the people among the candidates.

python -m benchmarks.images
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import cv2
import numpy as np

from benchmarks.table import Row, at_most, table
from recognizer.image_header import read_header
from recognizer.images import Placement, decode, letterbox
from recognizer.suppression import Candidates, Suppression, best_left_out, suppress
from serving.pose.answer import write_people
from serving.pose.drawing import draw
from serving.stopwatch import Stopwatch

TURNS = 200
PICTURE, FRAME = (480, 640), (1080, 1920)
INPUTS = (256, 320, 640)
STRIDES = (16, 32)
CROWD = 60
"""People in the busiest picture: three times as many as are answered."""


def image_rows(turns: int = TURNS) -> list[Row]:
    random = np.random.default_rng(0)
    picture = smooth_picture(random, PICTURE)
    jpeg, png = (cv2.imencode(kind, picture)[1].tobytes() for kind in (".jpg", ".png"))
    rows = [
        _row("look at a JPEG's header", 0.2, turns, lambda: read_header(jpeg)),
        _row("look at a PNG's header", 1.0, turns, lambda: read_header(png)),
        _row("decode a JPEG", 8.0, turns // 4, lambda: decode(jpeg)),
        _row("decode a PNG", 20.0, turns // 4, lambda: decode(png)),
    ]
    frame = smooth_picture(random, FRAME)
    rows.append(_row("letterbox a frame of 1920 x 1080 to 640", 8.0, turns // 4, lambda: letterbox(frame, (640, 640))))
    for side in INPUTS:
        size = (side, side)
        placement = Placement.of(PICTURE, size)
        candidates = crowd(random, side, CROWD)
        before = _seconds(turns, partial(letterbox, picture, size))
        after = _seconds(turns, partial(answer, candidates, placement))
        rows.append(at_most(f"letterbox to {side}", 1e3 * before, 1.5, " ms", 3))
        rows.append(
            at_most(f"people of {len(candidates[0])} candidates, {CROWD} in the picture", 1e3 * after, 2.5, " ms", 3)
        )
        rows.append(at_most(f"both at {side}", 1e3 * (before + after), 3.0, " ms", 3))
    people = suppress(Candidates(*crowd(random, 640, 5)), Placement.of(PICTURE, (640, 640)), Suppression())
    rows.append(_row(f"draw {len(people)} people", 150.0, turns // 4, lambda: draw(picture, people)))
    return rows


def answer(arrays: tuple[np.ndarray, ...], placement: Placement) -> list[dict[str, Any]]:
    """Everything between what the model gives and what JSON takes."""
    candidates, rules = Candidates(*arrays), Suppression()
    people = suppress(candidates, placement, rules)
    best_left_out(candidates, people, placement, rules.score)
    return write_people(people)


def smooth_picture(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) that compresses about as a photograph does."""
    coarse = random.integers(0, 256, (shape[0] // 16, shape[1] // 16, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return (smooth + random.integers(-4, 5, smooth.shape)).clip(0, 255).astype(np.uint8)


def crowd(random: np.random.Generator, side: int, people: int) -> tuple[np.ndarray, ...]:
    """Scores, boxes, joints and visibility of all cells of a model's input; some ten cells see each person."""
    k = sum((side // stride) ** 2 for stride in STRIDES)
    whom = random.integers(0, people, k)
    pose = random.uniform(0, 1, (people, 17, 2))[whom] + random.normal(0, 0.02, (k, 17, 2))
    corner = random.uniform(0, 0.8, (people, 2))[whom] * side
    extent = random.uniform(0.05, 0.3, (people, 2))[whom] * side
    corner += random.normal(0, 0.01 * side, (k, 2))
    boxes = np.concatenate([corner, corner + extent], axis=1)
    scores = random.uniform(0, 0.25, k)
    seeing = random.permutation(k)[: 10 * people]
    scores[seeing] = random.uniform(0.3, 1, len(seeing))
    joints = corner[:, None] + pose * extent[:, None]
    arrays = scores, boxes, joints, random.uniform(0, 1, (k, 17))
    return tuple(array.astype(np.float32) for array in arrays)


def _row(name: str, bound: float, turns: int, do: Callable[[], object]) -> Row:
    return at_most(name, 1e3 * _seconds(turns, do), bound, " ms", 3)


def _seconds(turns: int, do: Callable[[], object]) -> float:
    do()
    with Stopwatch() as watch:
        return median(watch.milliseconds(do) for _ in range(turns)) / 1e3


if __name__ == "__main__":
    rows = image_rows()
    print(table(rows))
    sys.exit(not all(row.passed for row in rows))
