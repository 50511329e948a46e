"""Labelled people from COCO's person keypoints.

CrowdPose is written the same way, with 14 joints: shoulders, elbows, wrists, hips, knees and ankles are COCO's too;
head and neck are none of the 17 and are left out (see `recognizer.evaluation.oks.CROWDPOSE_SIGMAS`), and nose, eyes and
ears stay unlabelled.

Sources:
    cocodataset.org, data format of keypoints.
    Li et al. 2019, "CrowdPose: Efficient Crowded Scenes Pose Estimation and a New Benchmark".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from recognizer.errors import FormatError
from recognizer.ingest.json_numbers import (
    FARTHEST,
    Floats,
    fault,
    number_table,
    read_json,
    require_id,
    require_sizes,
    shown,
    told,
)
from recognizer.ingest.meta import usable_name
from recognizer.ingest.recorded import Source
from recognizer.scenes import AREA_OF_BOX, SEEN, UNLABELLED, People
from recognizer.skeleton import JOINTS

PERSON = "person"
CROWDPOSE_JOINTS = (*JOINTS[5:], "head", "neck")
OTHER_JOINTS = frozenset(CROWDPOSE_JOINTS) - frozenset(JOINTS)
WIDEST = 100_000
SLACK = 1.0
"""Pixels by which boxes may leave the image without being told of; COCO rounds them."""
EXAMPLE = (
    "give COCO's person_keypoints_*.json or CrowdPose's: {'images': [...], 'annotations': [...], 'categories': [...]}"
)


@dataclass(frozen=True)
class CocoImage:
    """One image of a file, and who is in it.

    Attributes:
        id: the file's own.
        name: of the image file, relative to a folder of images that the file does not name.
        shape: (height, width) in pixels.
        people: everybody labelled, in the file's order, with numbers as exact as it has them (float64).
        annotations: the id of each of them.
    """

    id: int
    name: str
    shape: tuple[int, int]
    people: People
    annotations: tuple[int, ...]


@dataclass(frozen=True)
class CocoPeople:
    """What one file labels.

    Attributes:
        images: by ascending id, as COCO's evaluators go through them; those without people too.
        joints: the file's own joints, in its order.
        person: the category that stands for people.
        warnings: what was put right or left out while reading, one sentence each.
    """

    images: tuple[CocoImage, ...]
    joints: tuple[str, ...]
    person: int
    source: Source
    warnings: tuple[str, ...] = field(default=())

    @property
    def people(self) -> tuple[People, ...]:
        """(i,) of each image."""
        return tuple(image.people for image in self.images)


def read_coco(path: Path) -> CocoPeople:
    """Read who is labelled in which image.

    Put right, and told in `warnings`: an annotation without id or with id 0, which COCO's evaluators take for "not
    matched", gets a new one; a missing `area` becomes 0.53 of the box (`AREA_OF_BOX`); annotations of other categories
    or of images that are not listed are left out. Told only: boxes that leave the image, people without labelled joints
    (they are kept, and neither to be found nor to be missed), a `num_keypoints` that is not the number of labelled
    joints (the joints count).

    Raises:
        UsageError: no such file.
        InputError: it cannot be read.
        FormatError: a folder, empty, no JSON, JSON of another layout; an id that is there twice, a number that is none,
            is not finite or is beyond all measure, not as many keypoints as joints.
    """
    content = read_json(path, EXAMPLE)
    lists = [content.get(key) if type(content) is dict else None for key in ("images", "annotations", "categories")]
    if not all(type(part) is list and all(type(item) is dict for item in part) for part in lists):
        raise FormatError("is JSON of another layout", where=str(path), hint=EXAMPLE)
    images, annotations, categories = (part or [] for part in lists)
    listed = _images(images, path)
    person, named = _person(categories, path)
    rows = _Rows(path, listed)
    for position, annotation in enumerate(annotations):
        if annotation.get("category_id") == person and type(annotation.get("category_id")) is int:
            rows.add(position, annotation)
        else:
            rows.others += 1
    return rows.put_together(person, named)


class _Rows:
    """The annotations of people, checked one by one, and then put together by image."""

    def __init__(self, path: Path, images: dict[int, tuple[str, tuple[int, int]]]) -> None:
        self._path, self._images = path, images
        self._positions: list[int] = []
        self._ids: list[int | None] = []
        self._owners: list[int] = []
        self._keypoints: list[Any] = []
        self._boxes: list[Any] = []
        self._areas: list[Any] = []
        self._crowd: list[bool] = []
        self._counts: list[Any] = []
        self._seen: set[int] = set()
        self.others = self._strays = 0

    def add(self, position: int, annotation: dict[str, Any]) -> None:
        owner, own = annotation.get("image_id"), annotation.get("id")
        if type(owner) is not int:
            raise fault(f"has no whole number as `image_id`, but {shown(owner)}", self._where(position))
        if owner not in self._images:
            self._strays += 1
            return
        if own is not None:
            require_id(own, self._where(position))
            if own in self._seen:
                raise FormatError(
                    f"two annotations have the id {own}",
                    where=self._where(position),
                    hint="give every annotation an id of its own",
                )
            self._seen.add(own)
        crowd = annotation.get("iscrowd", 0)
        if crowd not in (0, 1) or type(crowd) not in (int, bool):
            raise fault(f"has an `iscrowd` of {shown(crowd)}, expected 0 or 1", self._where(position))
        self._positions.append(position)
        self._ids.append(own)
        self._owners.append(owner)
        self._keypoints.append(annotation.get("keypoints"))
        self._boxes.append(annotation.get("bbox"))
        self._areas.append(annotation.get("area"))
        self._crowd.append(bool(crowd))
        self._counts.append(annotation.get("num_keypoints"))

    def put_together(self, person: int, joints: tuple[str, ...]) -> CocoPeople:
        keypoints, boxes, areas = self._measured(joints)
        known = keypoints[..., 2]
        wrong = ~np.isin(known, (UNLABELLED, 1, SEEN)).all(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            raise fault("labels a joint with another number than 0, 1 or 2", self._row(row))
        ids = self._renumbered()
        placed = in_our_joints(keypoints, joints)
        labelled = placed[..., 2].astype(np.uint8)
        placed[labelled == UNLABELLED] = 0
        crowd = np.array(self._crowd, np.bool_)
        order = np.argsort(np.array(self._owners, np.int64), kind="stable")
        owners = np.array(self._owners, np.int64)[order]
        images = []
        for image in sorted(self._images):
            name, shape = self._images[image]
            rows = order[np.searchsorted(owners, image) : np.searchsorted(owners, image, side="right")]
            people = People(placed[rows, :, :2], labelled[rows], boxes[rows], areas[rows], crowd[rows])
            images.append(CocoImage(image, name, shape, people, tuple(ids[row] for row in rows.tolist())))
        edges = np.array([self._images[owner][1][::-1] for owner in self._owners]).reshape(-1, 2)
        beyond = ((boxes[:, :2] < -SLACK) | (boxes[:, :2] + boxes[:, 2:] > edges + SLACK)).any(axis=1)
        nothing = ~(labelled > UNLABELLED).any(axis=1)
        counts = (known > UNLABELLED).sum(axis=1).tolist()
        differ = sum(given is not None and given != count for given, count in zip(self._counts, counts, strict=True))
        renumbered = sum(own in (None, 0) for own in self._ids)
        warnings = told(
            (self.others, "annotations of other categories were left out"),
            (self._strays, "annotations of images that are not listed were left out"),
            (
                renumbered,
                'annotations without an id, or with id 0, which COCO\'s evaluators take for "not matched", got one',
            ),
            (sum(area is None for area in self._areas), f"annotations without `area` got {AREA_OF_BOX} of their box"),
            (int(beyond.sum()), "boxes leave their image"),
            (int((nothing & ~crowd).sum()), "people have no labelled joint: they are neither to be found nor missed"),
            (differ, "annotations have a `num_keypoints` that is not the number of their labelled joints"),
        )
        return CocoPeople(tuple(images), joints, person, Source.of(self._path), warnings)

    def _measured(self, joints: tuple[str, ...]) -> tuple[Floats, Floats, Floats]:
        """(n, k, 3) keypoints, (n, 4) boxes, (n,) areas."""
        if self._keypoints and not any(type(item) is list for item in self._keypoints):
            raise FormatError("its annotations have no keypoints", where=str(self._path), hint=EXAMPLE)
        size = 3 * len(joints)
        # COCO has no keypoints for some; that says that nobody labelled them
        keypoints = [[0] * size if item is None else item for item in self._keypoints]
        table = number_table(keypoints, size, "keypoints", self._row).reshape(len(keypoints), len(joints), 3)
        boxes = number_table(self._boxes, 4, "bbox", self._row)
        require_sizes(boxes, self._row)
        covered = AREA_OF_BOX * boxes[:, 2:].prod(axis=1)
        given = [[0 if area is None else area] for area in self._areas]
        areas = number_table(given, 1, "area", self._row, FARTHEST**2)[:, 0]
        if (areas < 0).any():
            raise fault("has a negative area", self._row(int((areas < 0).argmax())))
        missing = np.array([area is None for area in self._areas], np.bool_)
        return table, boxes, np.where(missing, covered, areas)

    def _renumbered(self) -> list[int]:
        following = max(self._seen, default=0) + 1
        ids = []
        for own in self._ids:
            ids.append(own or following)
            following += not own
        return ids

    def _where(self, position: int) -> str:
        return f"{self._path}, annotation {position}"

    def _row(self, row: int) -> str:
        own = self._ids[row]
        return self._where(self._positions[row]) + ("" if own is None else f" (id {own})")


def _images(images: Sequence[dict[str, Any]], path: Path) -> dict[int, tuple[str, tuple[int, int]]]:
    """Id → name and (height, width)."""
    if not images:
        raise FormatError("lists no images", where=str(path), hint=EXAMPLE)
    listed: dict[int, tuple[str, tuple[int, int]]] = {}
    names: set[str] = set()
    for position, image in enumerate(images):
        own, name, shape = image.get("id"), image.get("file_name"), (image.get("height"), image.get("width"))
        where = f"{path}, image {position}"
        require_id(own, where)
        if type(name) is not str or not usable_name(name) or not _stays_inside(name):
            raise fault(f"has no usable `file_name`: {shown(name)}", where)
        if own in listed or name in names:
            twice = f"the id {own}" if own in listed else f"the name {name!r}"
            raise FormatError(f"two images have {twice}", where=where, hint="list every image once")
        height, width = shape
        if not all(type(side) is int and 0 < side <= WIDEST for side in shape):
            raise fault(f"has no usable `height` and `width`: {shown(height)}, {shown(width)}", where)
        names.add(name)
        listed[own] = name, (height, width)  # type: ignore[index, assignment]
    return listed


def _stays_inside(name: str) -> bool:
    """Whether a name leads to somewhere below the folder it is looked for in."""
    return not name.startswith(("/", "\\")) and "\\" not in name and ".." not in PurePosixPath(name).parts


def _person(categories: Sequence[dict[str, Any]], path: Path) -> tuple[int, tuple[str, ...]]:
    """The id of the category of people, and the names of its joints."""
    found = [one for one in categories if one.get("name") == PERSON]
    if len(found) != 1:
        what = f"has {len(found)} categories called {PERSON!r}"
        raise FormatError(
            what, where=str(path), hint=f"name one category {PERSON!r}, and list its joints as `keypoints`"
        )
    own, names = found[0].get("id"), found[0].get("keypoints")
    require_id(own, f"{path}, category {PERSON!r}")
    if names is None:
        return own, JOINTS  # type: ignore[return-value]
    usable = type(names) is list and all(type(name) is str for name in names) and len(set(names)) == len(names)
    if not usable or not names or not set(names) <= {*JOINTS, *OTHER_JOINTS}:
        raise FormatError(
            f"its joints are not those of COCO or CrowdPose: {shown(names)}",
            where=f"{path}, category {PERSON!r}",
            hint=f"name them as COCO does: {', '.join(JOINTS)}",
        )
    return own, tuple(names)  # type: ignore[return-value]


def in_our_joints(keypoints: Floats, joints: tuple[str, ...]) -> Floats:
    """(n, 17, 3) of (n, k, 3): 0 for joints that the file has not."""
    placed = np.zeros((len(keypoints), len(JOINTS), 3))
    both = [(place, JOINTS.index(name)) for place, name in enumerate(joints) if name in JOINTS]
    for here, there in both:
        placed[:, there] = keypoints[:, here]
    return placed
