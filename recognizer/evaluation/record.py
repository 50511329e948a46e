"""The record of one evaluation: what reports, gates, the store and `--json` read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from recognizer.errors import FormatError

FORMAT = 1


@dataclass(frozen=True)
class ClassMeasure:
    """One class against all others; n = cases with this label.

    `recall` is None for n = 0, `precision` is None when the class was never answered, `f1` is None when both hold.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    n: int


@dataclass(frozen=True)
class SliceMeasure:
    """The cases of one subject (or camera, length, …)."""

    n: int
    accuracy: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers with low < confidence ≤ high; means are None when there are none (n = 0)."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """What one model did on one set of cases. Numbers are exact floats; JSON gives them back bit by bit.

    Attributes:
        n: cases.
        classes: the ordered class list.
        metrics: metric → value; see `evaluate_classification`.
        per_class: class → measure, every class of the list, in its order.
        slices: kind of slice (`subject`, `length`, …) → slice → measure, sorted by name.
        confusion: (k, k) counts, [label][answer].
        reliability: bins of confidence, ascending.
        errors: part of an answer (a joint) → mean distance from the truth, as a share of the size (root of the area) of
            whom it belongs to; empty where an answer has no parts.
    """

    n: int
    classes: tuple[str, ...]
    metrics: Mapping[str, float]
    per_class: Mapping[str, ClassMeasure]
    slices: Mapping[str, Mapping[str, SliceMeasure]]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...]
    errors: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": FORMAT,
            "n": self.n,
            "classes": list(self.classes),
            "metrics": dict(self.metrics),
            "per_class": {name: asdict(measure) for name, measure in self.per_class.items()},
            "slices": {
                kind: {name: asdict(measure) for name, measure in slices.items()}
                for kind, slices in self.slices.items()
            },
            "confusion": [list(row) for row in self.confusion],
            "reliability": [asdict(part) for part in self.reliability],
            "errors": dict(self.errors),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The evaluation that `as_dict` wrote.

        Raises:
            FormatError: it is not one, or of another format version.
        """
        hint = "evaluate the model again"
        if plain.get("format") != FORMAT:
            raise FormatError(f"an evaluation of format {plain.get('format')!r}, expected {FORMAT}", hint=hint)
        try:
            return cls(
                n=plain["n"],
                classes=tuple(plain["classes"]),
                metrics=dict(plain["metrics"]),
                per_class={name: ClassMeasure(**measure) for name, measure in plain["per_class"].items()},
                slices={
                    kind: {name: SliceMeasure(**measure) for name, measure in slices.items()}
                    for kind, slices in plain["slices"].items()
                },
                confusion=tuple(tuple(row) for row in plain["confusion"]),
                reliability=tuple(ReliabilityBin(**part) for part in plain["reliability"]),
                errors=dict(plain.get("errors", {})),  # older records have none
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"an evaluation that cannot be read: {error}", hint=hint) from error
