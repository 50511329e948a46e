"""Faults that nothing notices yet, with what would: no part of the matrix until something does.

`python -m benchmarks.mutations --only "not caught yet"` tries them. One that is caught belongs to its own group.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.mutations import surgery
from benchmarks.mutations.base import Night, judged
from benchmarks.mutations.fault import Fault, Refusal, refusals_of
from recognizer.skeleton import JOINTS

GROUP = "not caught yet"


def _other_joint(night: Night) -> list[Refusal]:
    model = surgery.wrong_without_joint(night.model, JOINTS.index("left_wrist"))
    return refusals_of(judged(night, night.export_of("wrist", model)))


FAULTS: Sequence[Fault] = (
    Fault(
        "depends on another joint",
        GROUP,
        "another answer when the left wrist is never seen; only eyes and ears are taken away",
        "golden",
        _other_joint,
        "drop_joint",
    ),
)
