"""Rendered scenes: how many a second, and what is in them.

python -m benchmarks.scenes                     figures against their bounds
python -m benchmarks.scenes sheet FILE.jpg      scenes as people see them, and with their labels
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from benchmarks.table import Row, at_least, at_most, table
from recognizer.scenes import HIDDEN, SEEN, UNLABELLED, People
from recognizer.skeleton import BONES, LEFT
from recognizer.synthetic.light import Image
from recognizer.synthetic.scenes import compose, render

SIZE = 256
TIMED = 500  # scenes, rendered twice: the second time, textures and acting are at hand, as after a few thousand scenes
SLICE = 100
COUNTED = 1000
COLUMNS, ROWS, WIDE = 6, 4, 176  # of the sheet, pixels a picture
COLOURS = {SEEN: (60, 230, 60), HIDDEN: (250, 60, 60)}


@dataclass(frozen=True)
class Pace:
    """Scenes a second: by the clock, and by the processor's time, which other processes on the machine do not take."""

    clock: float
    processor: float


def pace(first: int) -> Pace:
    """Of one process, OpenCV on one thread, nothing encoded: the slice that other processes have disturbed least."""
    cv2.setNumThreads(1)
    found = []
    for turn in range(2):
        for start in range(first, first + TIMED, SLICE):
            clock, processor = time.perf_counter(), time.process_time()
            for index in range(start, start + SLICE):
                render(index, 0, SIZE)
            if turn == 1:
                found.append(Pace(SLICE / (time.perf_counter() - clock), SLICE / (time.process_time() - processor)))
    return max(found, key=lambda each: each.processor)


def speed_rows() -> list[Row]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        one = pool.submit(pace, 0).result()
        two = list(pool.map(pace, (0, TIMED)))
    clock = sum(each.clock for each in two)
    return [
        at_least(f"scenes/s of one core's time ({one.clock:.0f} by the clock)", one.processor, 150, digits=0),
        at_least(
            f"scenes/s of two processes ({clock:.0f} by the clock)", sum(each.processor for each in two), 300, digits=0
        ),
    ]


def contents(index: int) -> tuple[People, int]:
    """Who is in a scene, and how many joints are hidden by the person's own body."""
    painted, people = compose(index, 0, SIZE)
    person, joint = np.nonzero(people.labelled == HIDDEN)
    columns, rows = people.joints[person, joint].round().astype(int).T
    return people, int((painted.owners[rows, columns] == person).sum())


def content_rows(found: Sequence[tuple[People, int]]) -> list[Row]:
    """What is in the scenes: shares that make them neither trivial nor hopeless."""
    scenes = [people for people, _ in found]
    labelled = np.concatenate([people.labelled for people in scenes])
    boxes = np.concatenate([people.boxes for people in scenes])
    counts = np.array([len(people) for people in scenes])
    within = labelled > UNLABELLED
    cut = (~within).any(axis=1)
    hidden = (labelled == HIDDEN).sum(axis=1) / within.sum(axis=1)
    sizes = np.sqrt(boxes[:, 2] * boxes[:, 3]) / SIZE
    own = sum(count for _, count in found) / (labelled == HIDDEN).sum()
    split = ", ".join(f"{number}: {(counts == number).mean():.0%}" for number in range(1, 5))
    few, half, many = np.quantile(sizes, [0.1, 0.5, 0.9])
    return [
        at_least(f"people a scene ({split}), mean", float(counts.mean()), 1.5, digits=2),
        at_most("scenes without people", float((counts == 0).mean()), 0, digits=3),
        at_most(
            f"joints within the picture that are hidden ({own:.0%} of them by the own body)",
            float(hidden.mean()),
            0.4,
            digits=3,
        ),
        at_most("people with more than half of their joints hidden", float((hidden > 0.5).mean()), 0.25, digits=3),
        at_most("people who reach beyond the picture", float(cut.mean()), 0.5, digits=3),
        at_least(
            f"side of a box, share of the picture (10 %: {few:.2f}, 90 %: {many:.2f}), median",
            float(half),
            0.2,
            digits=2,
        ),
    ]


def sheet() -> Image:
    """Scenes in two rows without and two rows with their labels."""
    tiles = []
    for number in range(COLUMNS * ROWS):
        plain = ROWS * COLUMNS // 2
        image, people = render(number % plain, 1, SIZE)
        tiles.append(
            cv2.resize(image if number < plain else drawn(image, people), (WIDE, WIDE), interpolation=cv2.INTER_AREA)
        )
    rows = [np.concatenate(tiles[row * COLUMNS : (row + 1) * COLUMNS], axis=1) for row in range(ROWS)]
    return np.concatenate(rows)


def drawn(image: Image, people: People) -> Image:
    """Boxes, bones and joints on a copy: green where seen, red where hidden; left joints are rings."""
    image = image.copy()
    for joints, labelled, box in zip(people.joints, people.labelled, people.boxes, strict=True):
        x, y, wide, high = box.astype(int).tolist()
        cv2.rectangle(image, (x, y), (x + wide - 1, y + high - 1), (255, 230, 0), 1)
        points = joints.round().astype(int).tolist()
        for end, start in BONES:
            if labelled[end] and labelled[start]:
                cv2.line(image, points[end], points[start], (255, 255, 255), 1, cv2.LINE_AA)
        for joint, point in enumerate(points):
            if labelled[joint]:
                cv2.circle(image, point, 3, COLOURS[int(labelled[joint])], 1 if joint in LEFT else -1, cv2.LINE_AA)
    return image


def main(arguments: Sequence[str]) -> int:
    cv2.setNumThreads(1)
    if arguments[:1] == ["sheet"]:
        encoded = cv2.imencode(".jpg", cv2.cvtColor(sheet(), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        Path(arguments[1]).write_bytes(encoded.tobytes())
        return 0
    rows = content_rows([contents(index) for index in range(COUNTED)]) + speed_rows()
    print(table(rows))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
