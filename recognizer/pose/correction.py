"""Corrected joints: what feedback tells of the people in a picture, and whether an answer was right about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import FormatError
from recognizer.scenes import AREA_OF_BOX, SEEN, UNLABELLED, People
from recognizer.skeleton import JOINTS

HINT = (
    'send [{"joints": {"nose": [x, y], ...}, "box": [x, y, width, height], "area": pixels}, ...], in pixels of the '
    "picture; joints that nobody knows may be left out, as may box and area, and [] says that nobody is there"
)


def read_people(told: Any) -> People:
    """The people that feedback tells of.

    Each has `joints` by name, [x, y] or [x, y, labelled] as COCO labels them (0 not at all, 1 hidden, 2 seen), one of
    them at least; and may have a `box` [x, y, width, height] and the `area` of the segment in square pixels. Without a
    box it is the one around the joints, without an area `AREA_OF_BOX` of the box.

    Raises:
        FormatError: anything else.
    """
    if not isinstance(told, list):
        raise _bad("is no list of people", "people")
    read = [_read_person(person, f"people[{place}]") for place, person in enumerate(told)]
    joints = np.array([one[0] for one in read]).reshape(-1, len(JOINTS), 3)
    labelled = joints[..., 2].astype(np.uint8)
    return People(
        joints=joints[..., :2] * (labelled > UNLABELLED)[..., None],
        labelled=labelled,
        boxes=np.array([one[1] for one in read]).reshape(-1, 4),
        areas=np.array([one[2] for one in read]),
        crowd=np.zeros(len(read), np.bool_),
    )


def write_labelled(people: People) -> list[dict[str, Any]]:
    """Whoever has to be found, as `read_people` takes them."""
    return [
        {
            "joints": {
                name: [*place, kind]
                for name, place, kind in zip(
                    JOINTS, people.joints[i].tolist(), people.labelled[i].tolist(), strict=True
                )
                if kind > UNLABELLED
            },
            "box": people.boxes[i].tolist(),
            "area": float(people.areas[i]),
        }
        for i in np.flatnonzero(people.counted).tolist()
    ]


def _read_person(told: Any, where: str) -> tuple[NDArray[np.float64], Sequence[float], float]:
    """Joints (17, 3) with what is known of each, box, and area."""
    if not isinstance(told, dict) or not {"joints"} <= set(told) <= {"joints", "box", "area"}:
        raise _bad("is no object of joints, box and area", where)
    joints = _read_joints(told["joints"], f"{where}.joints")
    known = joints[joints[:, 2] > UNLABELLED, :2]
    if not len(known):
        raise _bad("has no labelled joint", where)
    around = [*known.min(axis=0), *np.ptp(known, axis=0)]
    box = around if told.get("box") is None else _numbers(told["box"], 4, f"{where}.box")
    area = AREA_OF_BOX * box[2] * box[3] if told.get("area") is None else _numbers([told["area"]], 1, where)[0]
    if min(box[2:]) < 0 or not 0 < area < math.inf:
        raise _bad("has no size; tell its box or its area", where)
    return joints, box, area


def _read_joints(told: Any, where: str) -> NDArray[np.float64]:
    if not isinstance(told, Mapping) or not set(told) <= set(JOINTS):
        raise _bad(f"is no object with some of {', '.join(JOINTS)}", where)
    joints = np.zeros((len(JOINTS), 3))
    for name, value in told.items():
        place = f"{where}.{name}"
        x, y, *kind = _numbers(value, 3 if isinstance(value, list) and len(value) == 3 else 2, place)
        if kind and kind[0] not in range(SEEN + 1):
            raise _bad("is labelled neither 0, 1 nor 2", place)
        joints[JOINTS.index(name)] = x, y, *(kind or [SEEN])
    return joints


def _numbers(told: Any, count: int, where: str) -> list[float]:
    if isinstance(told, list) and len(told) == count and all(type(one) in (int, float) for one in told):
        try:
            found = [float(one) for one in told]
        except OverflowError:  # a whole number of hundreds of digits
            found = [math.inf]
        if all(math.isfinite(one) for one in found):
            return found
    raise _bad(f"is not {count} finite numbers", where)


def _bad(what: str, where: str) -> FormatError:
    return FormatError(what, where=where, hint=HINT)
