"""Cutting recorded sequences into train, validation and the frozen test, by subject."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import LabelError, SplitError
from recognizer.ingest.recorded import TEST, TRAIN, VALIDATION, Recorded
from recognizer.sequences import SequenceSet, SkeletonSequence

NEXT = "correct the split in the file, or leave it out so that all sets are cut by subject"
BLOCKS = 10
ORDERS = 512


@dataclass(frozen=True)
class Split:
    """Three sets that share a class list and no subject.

    Raises:
        SplitError: a set is empty, or a subject or a sequence stands in two sets.
        LabelError: `train` lacks a class, or there is one class only.
    """

    train: SequenceSet
    validation: SequenceSet
    test: SequenceSet
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        sets = self.sets()
        for name, part in sets.items():
            if not len(part):
                raise SplitError(f"the set {name!r} is empty", hint="record more people, or correct the file's split")
        _refuse_leaks(sets)
        classes = self.train.classes
        if len({*self.train.labels, *self.validation.labels, *self.test.labels}) < 2:
            raise LabelError("there is only one class; nothing can be told apart", hint="record a second class")
        lacking = [name for label, name in enumerate(classes) if label not in self.train.labels]
        if lacking:
            raise LabelError(
                f"the set 'train' has no sequence of {', '.join(map(repr, lacking))}",
                hint="record it, or take it out of the class list",
            )

    def sets(self) -> dict[str, SequenceSet]:
        return {TRAIN: self.train, VALIDATION: self.validation, TEST: self.test}


def cut(recorded: Recorded, *, validation_share: float = 0.2, test_share: float = 0.2, seed: int = 0) -> Split:
    """Cut by subject so that the sets have the wanted shares of every class as nearly as whole subjects allow.

    The file's own held-out part is the test set; its `validation` is kept when it has both. What is missing is cut
    from the rest. The same input and seed give the same sets. Sequences whose subject is unknown are cut in blocks
    of neighbours (order of names, class by class), which keeps most of one person together but proves nothing:
    the warnings say so.

    Raises:
        SplitError, LabelError: see `Split`; also too few subjects to cut.
    """
    sequences, warnings = recorded.sequences, list(recorded.warnings)
    groups = _groups(sequences)
    place = {item.name: index for index, item in enumerate(sequences)}
    own = {part: sorted(place[name] for name in names) for part, names in recorded.split.items()}
    rest = own.get(TRAIN, []) if own else list(range(len(sequences)))
    placed = {index for indices in own.values() for index in indices}
    if own and len(placed) < len(sequences):
        warnings.append(f"{len(sequences) - len(placed)} sequences stand in no set of the file's split; left out")
    if not rest:
        raise SplitError("the set 'train' is empty", where=recorded.source.name, hint=NEXT)
    _refuse_leaks({part: sequences.subset(indices) for part, indices in own.items()})
    generator = np.random.default_rng(seed)
    chosen: dict[str, Sequence[int]] = dict(own)
    for part, share in ((TEST, test_share), (VALIDATION, validation_share)):
        if part not in own:
            chosen[part] = _choose(sequences, groups, rest, share=share, part=part, generator=generator)
            taken = set(chosen[part])
            rest = [index for index in rest if index not in taken]
    chosen[TRAIN] = rest
    sets = {part: sequences.subset(indices) for part, indices in chosen.items()}
    warnings += _doubts(sequences, sets)
    return Split(sets[TRAIN], sets[VALIDATION], sets[TEST], tuple(warnings))


def _refuse_leaks(sets: Mapping[str, SequenceSet]) -> None:
    for left, right in combinations(sets, 2):
        shared = sorted(_subjects(sets[left]) & _subjects(sets[right]))
        if shared:
            raise SplitError(
                f"{len(shared)} subjects stand in {left!r} and in {right!r}: {', '.join(shared[:10])}", hint=NEXT
            )
        twice = sorted({item.name for item in sets[left]} & {item.name for item in sets[right]})
        if twice:
            raise SplitError(f"{len(twice)} sequences stand in {left!r} and in {right!r}: {twice[:5]}", hint=NEXT)


def _subjects(sequences: SequenceSet) -> set[str]:
    return {subject for subject in sequences.subjects if subject is not None}


def _groups(sequences: SequenceSet) -> list[str]:
    """What must stay together: one group per subject; blocks of neighbours where no subject is known."""
    groups = [f"subject {item.subject}" for item in sequences]
    for label in range(len(sequences.classes)):
        unknown = [i for i, item in enumerate(sequences) if item.subject is None and item.label == label]
        unknown.sort(key=lambda index: _natural(sequences.sequences[index]))
        for rank, index in enumerate(unknown):
            # The same block of every class, so that one person's recordings of all classes mostly share a block.
            groups[index] = f"block {rank * BLOCKS // len(unknown)}"
    return groups


def _natural(sequence: SkeletonSequence) -> list[tuple[int, str]]:
    """Sort key that puts `p2_1` before `p10_1`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d{1,18})", sequence.name)]


def _choose(
    sequences: SequenceSet,
    groups: Sequence[str],
    among: Sequence[int],
    *,
    share: float,
    part: str,
    generator: np.random.Generator,
) -> list[int]:
    """Indices of whole groups that hold about `share` of each class, the best of many seeded draws."""
    names = sorted({groups[index] for index in among})
    if len(names) < 2:
        raise SplitError(
            f"the set {part!r} cannot be cut: the rest is all of one subject ({names[0]})",
            hint="record more people, or say who is seen (--meta with subject_of, or a pattern for the names)",
        )
    counts = np.zeros((len(names), len(sequences.classes)))
    row = {name: index for index, name in enumerate(names)}
    for index in among:
        counts[row[groups[index]], sequences.sequences[index].label] += 1
    best, least = None, np.inf
    for _ in range(ORDERS):
        order = generator.permutation(len(names))
        losses = _losses(counts[order].cumsum(axis=0), share)
        if losses.min() < least:
            best, least = order[: int(losses.argmin()) + 1], float(losses.min())
    if best is None:
        best = generator.permutation(len(names))[: max(1, round(share * len(names)))]
    taken = {names[int(index)] for index in best}
    return [index for index in among if groups[index] in taken]


def _losses(taken: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """(g,) how far each prefix of an order of g groups is from the wanted share of every class.

    Args:
        taken: (g, k) sequences per class in the first 1, 2 ... g groups.
        share: what is wanted of every class.
    """
    total = taken[-1]
    present = total > 0
    shares = taken[:, present] / total[present]
    away = np.abs(shares - share).mean(axis=1) + np.abs(taken.sum(axis=1) / total.sum() - share)
    away += (shares == 0).sum(axis=1)  # a class that cannot be judged is worse than any uneven share
    return np.where((shares == 1).any(axis=1), np.inf, away)  # and one that cannot be learned is out of the question


def _doubts(sequences: SequenceSet, sets: dict[str, SequenceSet]) -> list[str]:
    """What a reader of the figures ought to know about this cut."""
    told = []
    unknown = sum(subject is None for subject in sequences.subjects)
    if unknown:
        told.append(
            f"{unknown} of {len(sequences)} sequences have no known subject: one person may stand on two sides, "
            "and figures may be too good"
        )
    for part in (VALIDATION, TEST):
        lacking = [name for label, name in enumerate(sequences.classes) if label not in sets[part].labels]
        if lacking:
            told.append(f"the set {part!r} has no sequence of {', '.join(lacking)}")
    return told
