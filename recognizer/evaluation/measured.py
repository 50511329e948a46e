"""Everything that was measured of a candidate before the gates judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from recognizer.errors import FormatError
from recognizer.evaluation.behaviour import GoldenAnswer, Invariance
from recognizer.evaluation.footprint import Footprint
from recognizer.evaluation.paired import PairedDifference
from recognizer.evaluation.parity import Parity
from recognizer.evaluation.record import Evaluation
from recognizer.evaluation.significance import McNemar

FORMAT = 2
FLOAT, INT8 = "float", "int8"
FORMS = (FLOAT, INT8)
"""Forms of a model: as the network was trained, or quantized to 8 bits."""


@dataclass(frozen=True)
class Rival:
    """Another model on the same cases; differences are candidate less rival.

    Attributes:
        version: None when it was never registered.
        differences: metric → difference, for the metrics of the relative gate.
        slices: kind → slice → difference of the accuracy.
        answers: on how many cases only one of the two was right.
        disagreement: share of the cases that they answer differently.
    """

    digest: str
    version: int | None
    evaluation: Evaluation
    differences: Mapping[str, PairedDifference]
    slices: Mapping[str, Mapping[str, PairedDifference]]
    answers: McNemar
    disagreement: float

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "evaluation": self.evaluation.as_dict()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **plain,
                "evaluation": Evaluation.from_dict(plain["evaluation"]),
                "differences": {name: PairedDifference(**one) for name, one in plain["differences"].items()},
                "slices": {
                    kind: {name: PairedDifference(**one) for name, one in slices.items()}
                    for kind, slices in plain["slices"].items()
                },
                "answers": McNemar(**plain["answers"]),
            }
        )


@dataclass(frozen=True)
class Golden:
    """How the golden cases were answered; `left_out` others are not for this model: see `recognizer.golden`."""

    answers: tuple[GoldenAnswer, ...]
    left_out: int
    digest: str


@dataclass(frozen=True)
class Costs:
    """What a candidate costs, and in the same run the champion (where there is one) and the float form (of 8 bits)."""

    candidate: Footprint
    champion: Footprint | None
    float_form: Footprint | None = None

    @property
    def faster(self) -> float | None:
        """How many times as fast as its float form it is; None for a candidate that is in float."""
        if self.float_form is None:
            return None
        return self.float_form.latency_p50_ms / max(self.candidate.latency_p50_ms, 1e-9)


@dataclass(frozen=True)
class Measured:
    """What the stage `evaluate` found out.

    Attributes:
        classes: the candidate's ordered class list.
        candidate: None when it could not be evaluated at all; then `problem` says why.
        rivals: by digest; the champion, where it knows the same classes, and the best versions before.
        champion: digest of the task's champion; None when there is none.
        champion_classes: its class list.
        best: metric → digest of the best version that was ever blessed on this test set, None where there is none.
        parity: by the number of cases at once; `again` is the same input a second time.
        invariances: of the changes of the input that were tried.
        form: `float` or `int8`.
        quantized: of a float form, what became of the 8-bit one that was made besides; None when none was.
    """

    classes: tuple[str, ...]
    candidate: Evaluation | None
    problem: str | None = None
    rivals: Mapping[str, Rival] = field(default_factory=dict)
    champion: str | None = None
    champion_classes: tuple[str, ...] | None = None
    best: Mapping[str, str | None] = field(default_factory=dict)
    parity: Mapping[str, Parity] = field(default_factory=dict)
    golden: Golden | None = None
    invariances: tuple[Invariance, ...] = ()
    costs: Costs | None = None
    form: str = FLOAT
    quantized: str | None = None

    @property
    def opponent(self) -> Rival | None:
        """The champion as a rival; None when there is none to compare with."""
        return self.rivals.get(self.champion) if self.champion is not None else None

    @property
    def disagreement(self) -> float | None:
        """Share of the test cases that candidate and champion answer differently."""
        return None if self.opponent is None else self.opponent.disagreement

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": FORMAT,
            "classes": list(self.classes),
            "candidate": None if self.candidate is None else self.candidate.as_dict(),
            "problem": self.problem,
            "rivals": {digest: rival.as_dict() for digest, rival in self.rivals.items()},
            "champion": self.champion,
            "champion_classes": self.champion_classes,
            "best": dict(self.best),
            "parity": {name: asdict(one) for name, one in self.parity.items()},
            "golden": None if self.golden is None else asdict(self.golden),
            "invariances": [asdict(one) for one in self.invariances],
            "costs": None
            if self.costs is None
            else {name: one and one.as_dict() for name, one in vars(self.costs).items()},
            "form": self.form,
            "quantized": self.quantized,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What `as_dict` wrote.

        Raises:
            FormatError: it is something else.
        """
        hint = "run the night again, which measures anew"
        if plain.get("format") != FORMAT:
            raise FormatError(f"measurements of format {plain.get('format')!r}, expected {FORMAT}", hint=hint)
        try:
            golden, costs, classes = plain["golden"], plain["costs"], plain["champion_classes"]
            return cls(
                classes=tuple(plain["classes"]),
                candidate=None if plain["candidate"] is None else Evaluation.from_dict(plain["candidate"]),
                problem=plain["problem"],
                rivals={digest: Rival.from_dict(one) for digest, one in plain["rivals"].items()},
                champion=plain["champion"],
                champion_classes=None if classes is None else tuple(classes),
                best=dict(plain["best"]),
                parity={name: Parity(**one) for name, one in plain["parity"].items()},
                golden=None
                if golden is None
                else Golden(
                    tuple(GoldenAnswer(**one) for one in golden["answers"]), golden["left_out"], golden["digest"]
                ),
                invariances=tuple(Invariance(**one) for one in plain["invariances"]),
                costs=None
                if costs is None
                else Costs(**{name: one and Footprint.from_dict(one) for name, one in costs.items()}),
                form=plain["form"],
                quantized=plain["quantized"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"measurements that cannot be read: {error}", hint=hint) from error
