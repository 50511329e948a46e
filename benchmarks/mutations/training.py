"""Faults of the training: each network is trained anew and judged as a night judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import numpy as np

from benchmarks.mutations.base import TASK, Night, judged
from benchmarks.mutations.fault import Fault, Refusal, refusals_of
from flows import stages
from flows.inputs import StageInputs
from recognizer.params import StageParams
from recognizer.sequences import SequenceSet, SkeletonSequence, write_npz

GROUP = "training"
Change = Callable[[SequenceSet], SequenceSet]


def _trained(
    name: str,
    done: str,
    gate: str,
    check: str | None,
    change: Change | None = None,
    **train: Any,
) -> Fault:
    """A fault of what training sees, or of how it is done; the test set stays as it is."""

    def judge(night: Night) -> list[Refusal]:
        place = night.folder / "retrained" / name.replace(" ", "-")
        rmtree(place, ignore_errors=True)  # a training that was killed would be resumed
        prepared = Path(copytree(night.prepared, place / "prepared"))
        for part in ("train", "validation"):
            if change is not None:
                write_npz(prepared / f"{part}.npz", change(night.sets[part]))
        inputs = _inputs(night, train)
        stages.train(inputs, prepared, place / "trained", lambda _share, _line: None)
        stages.export(inputs, prepared, place / "trained", place / "exported")
        return refusals_of(judged(night, place / "exported", trained=place / "trained"))

    return Fault(name, GROUP, done, gate, judge, check)


def _inputs(night: Night, train: Mapping[str, Any]) -> StageInputs:
    params = StageParams(TASK, {**night.params.stages, "train": {**night.params["train"], **train}})
    return StageInputs(params, night.snapshot, None, None)


def _each(change: Callable[[int, SkeletonSequence], SkeletonSequence]) -> Change:
    return lambda found: SequenceSet(found.classes, tuple(change(i, one) for i, one in enumerate(found)))


def _shuffled(found: SequenceSet) -> SequenceSet:
    labels = np.random.default_rng(0).permutation(found.labels)
    return _each(lambda i, one: replace(one, label=int(labels[i])))(found)


def _mislabelled(found: SequenceSet) -> SequenceSet:
    """The first class under the second one's name, but for every tenth case: ingest refuses a class without any."""
    first = [i for i, one in enumerate(found) if one.label == 0]
    kept = set(first[::10])
    return _each(lambda i, one: replace(one, label=1) if one.label == 0 and i not in kept else one)(found)


def _upside_down(one: SkeletonSequence) -> SkeletonSequence:
    """y upwards, as some detectors have it."""
    seen = one.visibility[..., None] > 0
    turned = one.keypoints * (1, -1) + (0, one.image_shape[0])
    return replace(one, keypoints=np.where(seen, turned, 0).astype(np.float32))


def _first_people(found: SequenceSet) -> SequenceSet:
    """Two people of a set, as often as it had cases."""
    people = sorted({subject for subject in found.subjects if subject is not None})[:2]
    some = [one for one in found if one.subject in people]
    return SequenceSet(found.classes, tuple(replace(some[i % len(some)], name=f"{i:04d}") for i in range(len(found))))


def _frozen(one: SkeletonSequence) -> SkeletonSequence:
    """Every frame is the first one: a reader that never went on."""
    keypoints, visibility = (np.repeat(side[:, :1], one.frames, axis=1) for side in (one.keypoints, one.visibility))
    return replace(one, keypoints=keypoints, visibility=visibility)


def _swap_joints(one: SkeletonSequence) -> SkeletonSequence:
    """Arms under the names of legs: another detector's order of joints."""
    order = [*range(5), 11, 12, 13, 14, 15, 16, 5, 6, 7, 8, 9, 10]
    return replace(one, keypoints=one.keypoints[:, :, order], visibility=one.visibility[:, :, order])


FAULTS: Sequence[Fault] = (
    _trained("shuffled labels", "labels of train and validation in random order", "absolute", "accuracy", _shuffled),
    _trained(
        "one class mislabelled",
        "nine of ten cases of a class bear another class's label in train and validation",
        "slices",
        "class",
        _mislabelled,
    ),
    _trained(
        "frozen weights",
        "trained with a learning rate of 1e-12",
        "absolute",
        "accuracy",
        None,
        epochs=1,
        learning_rate=1e-12,
    ),
    _trained("trained too little", "one epoch, in batches of 256", "absolute", "accuracy", None, epochs=1, batch=256),
    _trained(
        "upside down in training",
        "train and validation with y upwards",
        "absolute",
        "accuracy",
        _each(lambda _, one: _upside_down(one)),
    ),
    _trained(
        "other order of joints in training",
        "arms and legs change places in train and validation",
        "absolute",
        "accuracy",
        _each(lambda _, one: _swap_joints(one)),
    ),
    _trained("few people", "two people of train, as often as it has cases", "relative", "accuracy", _first_people),
    _trained(
        "no movement in training",
        "every frame of train and validation is the first one of its recording",
        "absolute",
        "accuracy",
        _each(lambda _, one: _frozen(one)),
    ),
)
