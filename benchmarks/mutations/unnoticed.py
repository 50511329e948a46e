"""Faults that nothing notices yet, with what would: no part of the matrix until something does.

`python -m benchmarks.mutations --only "not caught yet"` tries them. One that is caught belongs to its own group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.mutations import surgery
from benchmarks.mutations.base import Night, judged
from benchmarks.mutations.data import moved_a_pixel
from benchmarks.mutations.fault import Fault, Refusal, refusals_of
from recognizer.sequences import SequenceSet
from recognizer.skeleton import JOINTS

GROUP = "not caught yet"


def _other_joint(night: Night) -> list[Refusal]:
    model = surgery.wrong_without_joint(night.model, JOINTS.index("left_wrist"))
    return refusals_of(judged(night, night.export_of("wrist", model)))


def _no_golden_cases(night: Night) -> list[Refusal]:
    nothing = night.folder / "no-golden"
    nothing.mkdir(exist_ok=True)
    return refusals_of(judged(night, night.exported, trained=night.trained, golden=nothing))


def _moved_and_unknown(night: Night) -> list[Refusal]:
    sets: Mapping[str, SequenceSet] = moved_a_pixel(dict(night.sets))
    known = {one.name for one in night.sets["train"]}
    items = tuple(one if one.name in known else replace(one, subject=None) for one in sets["train"])
    return refusals_of(night.contract_of({**night.sets, "train": replace(sets["train"], sequences=items)}))


FAULTS: Sequence[Fault] = (
    Fault(
        "depends on another joint",
        GROUP,
        "another answer when the left wrist is never seen; only eyes and ears are taken away",
        "golden",
        _other_joint,
        "drop_joint",
    ),
    Fault(
        "golden cases deleted",
        GROUP,
        "the folder of golden cases is empty, which passes",
        "golden",
        _no_golden_cases,
        "cases",
    ),
    Fault(
        "trained on a moved test set of unknown people",
        GROUP,
        "every test recording stands in train too, moved by a pixel, and nobody says who is seen",
        "contract",
        _moved_and_unknown,
    ),
)
