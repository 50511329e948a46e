"""Images with labelled people: the cases of the task that finds people and their joints.

Conventions of COCO: pixels from the image's upper left corner, x to the right and y down; boxes are (x, y, width,
height); joints are the 17 of `recognizer.skeleton`.
Source: Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; cocodataset.org, format of keypoint annotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import FormatError
from recognizer.skeleton import JOINTS

UNLABELLED, HIDDEN, SEEN = 0, 1, 2
"""What is known of a joint: nothing; where it is though something hides it; where it is, for everybody to see."""

AREA_OF_BOX = 0.53
"""What a person's segment covers of its box, where nobody has drawn the segment.

Source: the evaluation of CrowdPose (xtcocotools `cocoeval.py`, `use_area=False`), whose annotations have no areas.
"""


@dataclass(frozen=True)
class People:
    """The n labelled people of one image; numbers are float32, or float64 where a file is judged to the last digit.

    Attributes:
        joints: (n, 17, 2) pixels, 0 where unlabelled.
        labelled: (n, 17) uint8 of `UNLABELLED`, `HIDDEN`, `SEEN`.
        boxes: (n, 4) x, y, width, height.
        areas: (n,) square pixels of the segment: what OKS measures distances by.
        crowd: (n,) whether it stands for many people together, who are neither to be found nor to be missed.

    Raises:
        FormatError: shapes that do not agree, numbers that are not finite, or negative sizes.
    """

    joints: NDArray[Any]
    labelled: NDArray[np.uint8]
    boxes: NDArray[Any]
    areas: NDArray[Any]
    crowd: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n, k = len(self.joints), len(JOINTS)
        shapes = {"joints": (n, k, 2), "labelled": (n, k), "boxes": (n, 4), "areas": (n,), "crowd": (n,)}
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape:
                raise _bad(f"have {name} of shape {found.shape}, expected {shape}")
            if not np.isfinite(found).all():
                raise _bad(f"have {name} that are not finite")
        if (self.boxes[:, 2:] < 0).any() or (self.areas < 0).any():
            raise _bad("have a negative size")
        if (self.labelled > SEEN).any():
            raise _bad(f"have joints labelled {int(self.labelled.max())}, expected 0, 1 or 2")

    def __len__(self) -> int:
        return len(self.joints)

    @classmethod
    def nobody(cls) -> Self:
        """Of an image that shows no person."""
        k = len(JOINTS)
        return cls(
            np.zeros((0, k, 2), np.float32),
            np.zeros((0, k), np.uint8),
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.bool_),
        )

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(n,) who has to be found: no crowd, and at least one labelled joint."""
        return ~self.crowd & (self.labelled > UNLABELLED).any(axis=1)


@dataclass(frozen=True)
class FoundPeople:
    """The n people that a model found in one image, the surest first; float32, or float64 as a file has them.

    Attributes:
        joints: (n, 17, 2) pixels of the image.
        visibility: (n, 17) in [0, 1].
        boxes: (n, 4) x, y, width, height in pixels of the image.
        scores: (n,) in [0, 1]; of other models any number, the higher the surer.
    """

    joints: NDArray[Any]
    visibility: NDArray[Any]
    boxes: NDArray[Any]
    scores: NDArray[Any]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def nobody(cls) -> Self:
        """Where a model found no one."""
        k = len(JOINTS)
        parts = ((0, k, 2), (0, k), (0, 4), (0,))
        return cls(*(np.zeros(shape, np.float32) for shape in parts))


@dataclass(frozen=True)
class Scene:
    """One image as a file holds it, and who is in it.

    Attributes:
        name: its own in a set.
        image: JPEG or PNG bytes.
        shape: (height, width) in pixels.
        people: everybody labelled.
        subject: whom or what must not stand in two sets (a camera, a video, a generated cast); None when nobody knows.
    """

    name: str
    image: bytes
    shape: tuple[int, int]
    people: People
    subject: str | None = None


@dataclass(frozen=True)
class SceneSet:
    """Scenes that are held in memory, such as a test set; training streams shards instead.

    Raises:
        FormatError: two scenes have one name.
    """

    scenes: tuple[Scene, ...]

    def __post_init__(self) -> None:
        if len({scene.name for scene in self.scenes}) != len(self.scenes):
            raise _bad("share a name", "scenes")

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def subjects(self) -> Sequence[str | None]:
        return [scene.subject for scene in self.scenes]


def _bad(what: str, who: str = "people") -> FormatError:
    return FormatError(f"{who} {what}", hint="correct the annotations, or ingest the file again")
