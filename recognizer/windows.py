"""Windows: the fixed-size form in which people's movements enter the action network.

Training and serving call the same `to_window`, so a model sees in service what it saw in training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import FormatError, InputError
from recognizer.skeleton import JOINTS

Array = NDArray[np.float32]

SHOULDERS, HIPS = (5, 6), (11, 12)


@dataclass(frozen=True)
class WindowSpec:
    """How sequences become windows; travels with the model as `preprocessing`.

    Attributes:
        frames: T, to which every sequence is resampled evenly.
        people: M; the most visible people are kept, empty slots are zero.
        shoulder_factor: scale is the larger of torso and this many shoulder widths (hips are often hidden).
        limit: coordinates are clipped to [-limit, limit] body units, so that a stray joint cannot dominate.

    Raises:
        FormatError: a value below 1 frame or person, or not positive.
    """

    frames: int = 100
    people: int = 4
    shoulder_factor: float = 1.3
    limit: float = 10.0

    def __post_init__(self) -> None:
        if self.frames < 1 or self.people < 1 or self.shoulder_factor <= 0 or self.limit <= 0:
            raise FormatError(f"window {asdict(self)} has a value that is not positive", hint="train and package again")

    def as_dict(self) -> dict[str, int | float]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> WindowSpec:
        """Read `as_dict`'s form.

        Raises:
            FormatError: an unknown key (a newer kind of window) or a value that is no number.
        """
        known = {field.name: field.type for field in fields(cls)}
        unknown = sorted(set(content) - set(known))
        if unknown:
            raise FormatError(f"window has unknown settings {unknown}", hint="use the code that trained it")
        try:
            values: dict[str, Any] = {
                name: int(value) if known[name] == "int" else float(value) for name, value in content.items()
            }
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise FormatError(f"window settings are not numbers: {error}", hint="train and package again") from error


class Recorded(Protocol):
    """Anything with keypoints (M, T, 17, 2) in pixels and visibility (M, T, 17)."""

    @property
    def keypoints(self) -> Array: ...
    @property
    def visibility(self) -> Array: ...


def to_windows(sequences: Iterable[Recorded], spec: WindowSpec) -> tuple[Array, Array]:
    """Windows of n sequences: (n, people, frames, 17, 2) and (n, people, frames, 17); raises as `to_window`."""
    pairs = [to_window(item.keypoints, item.visibility, spec) for item in sequences]
    shape = (len(pairs), spec.people, spec.frames, len(JOINTS))
    keypoints, visibility = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32)
    for i, (window, seen) in enumerate(pairs):
        keypoints[i], visibility[i] = window, seen
    return keypoints, visibility


def to_window(keypoints: Array, visibility: Array, spec: WindowSpec) -> tuple[Array, Array]:
    """One window, in body units around each person's shoulders.

    Each person is centred on the middle of the shoulders and scaled by body size, both as medians over the whole
    window: movement through the picture stays, while camera, distance and body size go. Without shoulders all
    joints that were seen stand in.

    Args:
        keypoints: (M, T, 17, 2) in pixels, M >= 0, T >= 1.
        visibility: (M, T, 17); a joint with visibility 0 was not seen and its keypoint is ignored.
        spec: the window's size and scale.

    Returns:
        Keypoints (people, frames, 17, 2), zero where not seen, and visibility (people, frames, 17); never NaN.

    Raises:
        InputError: shapes that do not fit, or no frames.
    """
    shape = keypoints.shape
    if len(shape) != 4 or shape[2:] != (len(JOINTS), 2) or visibility.shape != shape[:3]:
        raise InputError(
            f"keypoints {shape} and visibility {visibility.shape} do not fit",
            hint=f"send keypoints (people, frames, {len(JOINTS)}, 2) and visibility (people, frames, {len(JOINTS)})",
        )
    if shape[1] < 1:
        raise InputError("a window needs at least 1 frame", hint="send 1 frame or more")
    chosen = _most_visible(visibility, spec.people)
    points, seen = _resampled(keypoints, visibility, chosen, spec.frames)
    window = np.zeros((spec.people, spec.frames, len(JOINTS), 2), np.float32)
    mask = np.zeros((spec.people, spec.frames, len(JOINTS)), np.float32)
    mask[: len(chosen)] = seen
    for person in range(len(chosen)):
        visible = seen[person] > 0
        if visible.any():
            centre, scale = _frame_of(points[person], visible, spec)
            placed = np.clip((points[person] - centre) / scale, -spec.limit, spec.limit)
            window[person] = np.where(visible[..., None], placed, 0)
    return window, mask


def _most_visible(visibility: Array, people: int) -> NDArray[np.int64]:
    """Indices of at most `people` persons, most visible first; the earlier one where they tie."""
    total = visibility.sum(axis=(1, 2), dtype=np.float64)
    return np.argsort(-total, kind="stable")[:people]


def _resampled(
    keypoints: Array, visibility: Array, chosen: NDArray[np.int64], frames: int
) -> tuple[NDArray[np.float64], Array]:
    """Evenly spaced frames from first to last of the chosen people: (P, frames, 17, 2) and (P, frames, 17).

    Between two frames that both saw a joint it is interpolated; else the nearer frame decides. What is not finite
    counts as not seen.
    """
    position = np.linspace(0, keypoints.shape[1] - 1, frames)
    before = np.floor(position).astype(np.int64)
    after = np.minimum(before + 1, keypoints.shape[1] - 1)
    start, seen_at_start = _taken(keypoints, visibility, chosen, before)
    end, seen_at_end = _taken(keypoints, visibility, chosen, after)
    share = (position - before)[:, None]
    weight = np.where((seen_at_start > 0) & (seen_at_end > 0), share, np.round(share))
    points = start + (end - start) * weight[..., None]
    return points, (seen_at_start + (seen_at_end - seen_at_start) * weight).astype(np.float32)


def _taken(
    keypoints: Array, visibility: Array, people: NDArray[np.int64], frames: NDArray[np.int64]
) -> tuple[NDArray[np.float64], Array]:
    points = keypoints[people[:, None], frames].astype(np.float64)
    finite = np.isfinite(points)
    seen = np.where(finite[..., 0] & finite[..., 1], visibility[people[:, None], frames], 0).astype(np.float32)
    return np.where(seen[..., None] > 0, points, 0), seen


def _frame_of(
    points: NDArray[np.float64], visible: NDArray[np.bool_], spec: WindowSpec
) -> tuple[NDArray[np.float64], float]:
    """Centre (2,) and scale of one person from points (T, 17, 2) and visible (T, 17), some of it true."""
    shoulders, hips = (visible[:, left] & visible[:, right] for left, right in (SHOULDERS, HIPS))
    if not shoulders.any():
        every = points[visible]
        spread = float((np.percentile(every, 95, axis=0) - np.percentile(every, 5, axis=0)).max())
        return np.median(every, axis=0), spread / 2 if spread > 0 else 1.0
    across = points[shoulders, SHOULDERS[0]] - points[shoulders, SHOULDERS[1]]
    scale = spec.shoulder_factor * _median(np.hypot(across[:, 0], across[:, 1]))
    torso = shoulders & hips
    if torso.any():
        trunk = _middle(points[torso], SHOULDERS) - _middle(points[torso], HIPS)
        scale = max(scale, _median(np.hypot(trunk[:, 0], trunk[:, 1])))
    middle = _middle(points[shoulders], SHOULDERS)
    return np.array([_median(middle[:, 0]), _median(middle[:, 1])]), scale if scale > 0 else 1.0


def _middle(points: NDArray[np.float64], pair: tuple[int, int]) -> NDArray[np.float64]:
    """Between two joints: (T, 2) of points (T, 17, 2)."""
    return (points[:, pair[0]] + points[:, pair[1]]) / 2


def _median(values: NDArray[np.float64]) -> float:
    """What `np.median` says of (n,) finite values, n >= 1, without what it spends on every other case."""
    ordered, half = np.sort(values), len(values) // 2
    return float(ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2)
