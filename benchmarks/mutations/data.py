"""Faults of the data: the contract has to name them before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np

from benchmarks.mutations.base import Night, judged
from benchmarks.mutations.fault import Fault, Refusal, refusal_by, refusals_of
from recognizer.ingest.recorded import Recorded, Source
from recognizer.ingest.split import cut
from recognizer.sequences import SequenceSet, SkeletonSequence, read_npz, write_npz
from recognizer.snapshot import read_set

Sets = dict[str, SequenceSet]
GROUP = "data"


def _broken(name: str, done: str, check: str, change: Callable[[Sets], Mapping[str, SequenceSet]]) -> Fault:
    """A fault that changes sets, judged by the data contract."""

    def judge(night: Night) -> list[Refusal]:
        return refusals_of(night.contract_of({**night.sets, **change(dict(night.sets))}))

    return Fault(name, GROUP, done, "contract", judge, check)


def _set(sets: Sets, items: Iterable[SkeletonSequence]) -> SequenceSet:
    return SequenceSet(sets["train"].classes, tuple(items))


def _renamed(items: Iterable[SkeletonSequence], ending: str) -> list[SkeletonSequence]:
    return [replace(one, name=f"{one.name}{ending}") for one in items]


def _leaked(sets: Sets) -> Sets:
    person = sets["train"].subjects[0]
    own = [one for one in sets["train"] if one.subject == person]
    moved = own[: len(own) // 2]
    kept = [one for one in sets["train"] if one not in moved]
    return {"train": _set(sets, kept), "test": _set(sets, [*sets["test"], *moved])}


def _trained_on_test(sets: Sets) -> Sets:
    unknown = [replace(one, subject=None) for one in _renamed(sets["test"], "_again")]
    return {"train": _set(sets, [*sets["train"], *unknown])}


def _moved_a_pixel(sets: Sets) -> Sets:
    copies = [
        replace(one, keypoints=np.where(one.visibility[..., None] > 0, one.keypoints + 1, 0).astype(np.float32))
        for one in _renamed(sets["test"], "_moved")
    ]
    return {"train": _set(sets, [*sets["train"], *copies])}


def _moved_and_unknown(sets: Sets) -> Sets:
    known = {one.name for one in sets["train"]}
    moved = _moved_a_pixel(sets)["train"]
    return {"train": _set(sets, [one if one.name in known else replace(one, subject=None) for one in moved])}


def _noisy_and_unknown(sets: Sets) -> Sets:
    noise = np.random.default_rng(0)
    copies = [replace(one, keypoints=_jittered(one, noise) / 2, subject=None) for one in _renamed(sets["test"], "_n")]
    return {"train": _set(sets, [*sets["train"], *copies])}


def _duplicated(sets: Sets) -> Sets:
    return {"train": _set(sets, [*sets["train"], *_renamed(list(sets["train"])[:60], "_copy")])}


def _without(sets: Sets, part: str, label: int, keep: int = 0) -> Sets:
    """A set that keeps so many cases of a class."""
    cases = [one for one in sets[part] if one.label == label]
    return {part: _set(sets, [one for one in sets[part] if one.label != label or one in cases[:keep]])}


def _few_tests(sets: Sets, each: int) -> SequenceSet:
    """The first cases of every class."""
    labels = range(len(sets["test"].classes))
    chosen = [one for label in labels for one in [one for one in sets["test"] if one.label == label][:each]]
    return _set(sets, chosen)


def _unseen(sets: Sets) -> Sets:
    """In every fourth recording a joint is seen now and then only."""

    def hide(one: SkeletonSequence) -> SkeletonSequence:
        visibility = np.zeros_like(one.visibility)
        visibility[:, ::8, 0] = one.visibility[:, ::8, 0]
        return replace(one, visibility=visibility)

    return {"train": _set(sets, [hide(one) if i % 4 == 0 else one for i, one in enumerate(sets["train"])])}


def _normalised(sets: Sets) -> Sets:
    """Coordinates from 0 to 1 that were multiplied by the image's size once more."""
    far = [replace(one, keypoints=one.keypoints * 20) if i % 5 == 0 else one for i, one in enumerate(sets["train"])]
    return {"train": _set(sets, far)}


def _imbalanced(sets: Sets) -> Sets:
    """One class has been recorded again and again."""
    some = [one for one in sets["train"] if one.label == 0]
    noise = np.random.default_rng(0)
    more = [replace(one, name=f"{one.name}_{i}", keypoints=_jittered(one, noise)) for i in range(24) for one in some]
    return {"train": _set(sets, [*sets["train"], *more])}


def _jittered(one: SkeletonSequence, noise: np.random.Generator) -> np.ndarray:
    moved = one.keypoints + noise.normal(0, 0.5, one.keypoints.shape)
    return np.where(one.visibility[..., None] > 0, moved, 0).astype(np.float32)


def _shrunk(sets: Sets) -> Sets:
    return {part: _set(sets, list(found)[::3]) for part, found in sets.items()}


def _cut_short(sets: Sets) -> Sets:
    short = [
        replace(one, keypoints=one.keypoints[:, :3], visibility=one.visibility[:, :3]) if i == 0 else one
        for i, one in enumerate(sets["train"])
    ]
    return {"train": _set(sets, short)}


def _crowd(sets: Sets) -> Sets:
    """A tracker that loses everybody all the time and finds another person."""
    first, *rest = sets["train"]
    split = replace(first, keypoints=np.repeat(first.keypoints, 20, 0), visibility=np.repeat(first.visibility, 20, 0))
    return {"train": _set(sets, [split, *rest])}


def _impossible_scores(night: Night) -> list[Refusal]:
    file = night.folder / "impossible.npz"
    write_npz(file, night.sets["train"])
    with np.load(file) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    np.savez(file, **{**content, "visibility": content["visibility"] * 100})  # per cent
    return refusal_by("ingest", lambda: read_npz(file))


def _leaked_by_file(night: Night) -> list[Refusal]:
    """The file's own split has a person on both sides."""
    sets = {**night.sets, **_leaked(dict(night.sets))}
    every = SequenceSet(night.classes, tuple(one for part in sets.values() for one in part))
    split = {"train": tuple(one.name for one in sets["train"]), "test": tuple(one.name for one in sets["test"])}
    return refusal_by("ingest", lambda: cut(Recorded(every, split, Source("leaked", ""))))


def _exchanged_test(night: Night) -> list[Refusal]:
    changed = Path(copytree(night.snapshot, night.folder / "exchanged", dirs_exist_ok=True))
    write_npz(changed / "test.npz", night.sets["validation"])
    return refusal_by("snapshot", lambda: read_set(changed, "test"))


def _judged_on(change: Callable[[Night], SequenceSet], name: str) -> Callable[[Night], list[Refusal]]:
    """The sound model on another test set, whose contract nobody asks."""

    def judge(night: Night) -> list[Refusal]:
        place = night.resnapshot(name, {"test": change(night)})
        return refusals_of(judged(night, night.exported, trained=night.trained, snapshot=place))

    return judge


FAULTS = (
    _broken("leaked subject", "half of what one person of train did stands in test", "shared_subjects", _leaked),
    Fault(
        "leaked subject in the file's split",
        GROUP,
        "the file's own split has one person in train and in test",
        "ingest",
        _leaked_by_file,
        "SplitError",
    ),
    _broken(
        "trained on the test set",
        "every test recording stands in train too, under another name and of nobody known",
        "shared_recordings",
        _trained_on_test,
    ),
    _broken(
        "trained on a moved test set",
        "every test recording stands in train too, moved by a pixel",
        "shared_subjects",
        _moved_a_pixel,
    ),
    _broken(
        "trained on a moved test set of unknown people",
        "every test recording stands in train too, moved by a pixel, and nobody says who is seen",
        "alike_recordings",
        _moved_and_unknown,
    ),
    _broken(
        "trained on a noisy test set of unknown people",
        "every test recording stands in train too, with noise and at half the resolution, of nobody known",
        "alike_recordings",
        _noisy_and_unknown,
    ),
    _broken("duplicated recordings", "60 recordings of train stand there twice", "duplicates", _duplicated),
    _broken(
        "class not trained on",
        "train has lost every case of a class",
        "known_classes",
        lambda s: _without(s, "train", 2),
    ),
    _broken(
        "class hardly trained on",
        "train keeps four cases of a class",
        "cases_train",
        lambda s: _without(s, "train", 1, 4),
    ),
    _broken(
        "class without test cases",
        "test has lost every case of a class",
        "cases_test",
        lambda s: _without(s, "test", 3),
    ),
    _broken("tiny test set", "test keeps two cases of each class", "cases_test", lambda s: {"test": _few_tests(s, 2)}),
    _broken("hidden joints", "in every fourth recording all joints but the nose are lost", "visibility", _unseen),
    _broken("coordinates outside the image", "a fifth of train is 20 times too large", "coordinates", _normalised),
    _broken("imbalance", "one class of train has 25 times its cases", "balance", _imbalanced),
    _broken("shrunken volume", "two of three recordings are missing", "volume", _shrunk),
    _broken("recordings cut short", "one recording of train has three frames", "frames", _cut_short),
    _broken("broken tracker", "one recording shows its people 20 times", "people", _crowd),
    Fault(
        "scores in per cent",
        GROUP,
        "visibility from 0 to 100 in a file of recordings",
        "ingest",
        _impossible_scores,
        "InputError",
    ),
    Fault(
        "test set exchanged",
        GROUP,
        "the frozen test set's file holds other recordings than the snapshot's card says",
        "snapshot",
        _exchanged_test,
        "FormatError",
    ),
    Fault(
        "too few test cases to judge",
        GROUP,
        "the model is judged on four cases of each class",
        "absolute",
        _judged_on(lambda night: _few_tests(dict(night.sets), 4), "few"),
        "accuracy",
    ),
    Fault(
        "empty slice",
        GROUP,
        "the model is judged on a test set that lacks a class",
        "slices",
        _judged_on(lambda night: _without(dict(night.sets), "test", 3)["test"], "lacking"),
        "class",
    ),
)
