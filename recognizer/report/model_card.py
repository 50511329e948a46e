"""The model card of a package: what a model is for, how it was made and judged, and what nobody knows about it.

Source: Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recognizer.blessing import Blessing
from recognizer.card import PackageCard
from recognizer.checks import Check, Verdict, figure, worst
from recognizer.evaluation.measured import Measured
from recognizer.evaluation.paired import FEWEST_CLUSTERS
from recognizer.report import table
from recognizer.report.facts import TrainingFacts
from recognizer.report.rendering import markdown, tidy
from recognizer.snapshot import SnapshotCard
from recognizer.tasks import load_evaluator

SMALL = 8
"""A slice of fewer cases says next to nothing."""
MOST_SLICES = 5
"""Of a kind that the card lists, the worst ones; the night's report has them all."""


@dataclass(frozen=True)
class ModelCardFacts:
    """What is known of a package; what is None is left out of its card.

    Attributes:
        digest: of the package.
        checks: of its last judgement.
        blessing: None when it is not blessed.
        key: id of the key that signed the package.
    """

    digest: str
    card: PackageCard
    checks: tuple[Check, ...]
    blessing: Blessing | None = None
    key: str | None = None
    measured: Measured | None = None
    snapshot: SnapshotCard | None = None
    training: TrainingFacts | None = None


def render_model_card(facts: ModelCardFacts) -> str:
    """Markdown; the same facts give the same text."""
    measured, opponent = facts.measured, None if facts.measured is None else facts.measured.opponent
    candidate = None if measured is None else measured.candidate
    slices = []
    if candidate is not None:
        for kind in table.slices_of(candidate):
            rows = table.slice_rows(kind, candidate, opponent)
            if rows:
                slices.append((table.spoken(kind), rows[:MOST_SLICES], len(rows)))
    content: dict[str, Any] = {
        "facts": facts,
        "card": facts.card,
        "about": load_evaluator(facts.card.task).about(facts.card.classes),
        "verdict": worst(check.verdict for check in facts.checks).value,
        "inputs": [
            (one.name, one.dtype, " x ".join(map(str, one.shape))) for one in (*facts.card.inputs, *facts.card.outputs)
        ],
        "sets": _sets(facts.snapshot),
        "trained": _trained(facts),
        "metrics": _metrics(facts),
        "check_columns": [column for column in table.CHECK_COLUMNS if column != "reason"],
        "checks": [row[:-1] for row in table.check_rows(facts.checks)],
        "refusals": [check for check in facts.checks if check.verdict is not Verdict.PASSED],
        "difference_columns": table.DIFFERENCE_COLUMNS,
        "differences": [] if measured is None else table.difference_rows(measured),
        "slice_columns": table.SLICE_COLUMNS,
        "slices": slices,
        "limits": list(_limits(facts)),
        "lineage": _lineage(facts),
    }
    return tidy(markdown().get_template("model_card.md.j2").render(content))


def _sets(snapshot: SnapshotCard | None) -> list[table.Row]:
    if snapshot is None:
        return []
    return [
        (name, f"{part.sequences:,}", f"{len(part.subjects):,}" if part.subjects else "unknown")
        for name, part in snapshot.sets.items()
    ]


def _trained(facts: ModelCardFacts) -> list[tuple[str, str]]:
    made = facts.training
    rows: list[tuple[str, object]] = [
        ("warm start from weights", facts.card.parent or "none: from scratch"),
        ("seed", facts.card.seed),
        ("precision", facts.card.precision),
        ("threads", facts.card.threads),
        ("epochs", None if made is None else made.epochs),
        ("temperature", None if made is None or made.temperature is None else figure(made.temperature)),
    ]
    return [(name, str(value)) for name, value in rows if value is not None]


def _metrics(facts: ModelCardFacts) -> list[tuple[str, str]]:
    return [(table.spoken(name), figure(value)) for name, value in facts.card.metrics.items()]


def _limits(facts: ModelCardFacts) -> Iterator[str]:
    """What was not tested, or on too little to say much."""
    if facts.snapshot is not None and facts.snapshot.synthetic:
        yield "It was trained and tested on people whom a generator made: of real recordings nothing is known."
    if facts.snapshot is not None:
        yield from facts.snapshot.warnings
        subjects = len(facts.snapshot.sets["test"].subjects) if "test" in facts.snapshot.sets else 0
        if subjects < FEWEST_CLUSTERS:
            yield (
                f"The test set names {subjects} subjects, fewer than {FEWEST_CLUSTERS}: the intervals hold for other "
                "cases of the same ones only."
            )
    measured = facts.measured
    if measured is None or measured.candidate is None:
        yield "What was measured of it is not at hand; its metrics and checks are all that is known."
        return
    candidate = measured.candidate
    told = table.slices_of(candidate)
    unknown = [kind for kind in load_evaluator(facts.card.task).kinds if not told.get(kind)]
    if unknown:
        yield f"The test set does not tell {', '.join(unknown)}: how good it is by these is not known."
    for kind, slices in told.items():
        small = [f"{name} ({one.n})" for name, one in slices.items() if one.n < SMALL]
        if small:
            yield f"By {table.spoken(kind)}, fewer than {SMALL} test cases show {', '.join(small)}."
    if measured.opponent is None:
        yield "It was compared with no champion."
    if measured.golden is None or not measured.golden.answers:
        yield "No golden case of its classes was asked."
    if not any(change.n for change in measured.invariances):
        yield "What changed inputs do to its answers was not tried."


def _lineage(facts: ModelCardFacts) -> list[tuple[str, str]]:
    card, blessing = facts.card, facts.blessing
    rows = [
        ("package", facts.digest),
        ("snapshot", card.snapshot),
        ("test set", card.test_digest),
        ("training identity", card.identity),
        ("code", card.code),
        ("weights", card.weights),
        ("signed by key", facts.key),
        ("blessed by key", None if blessing is None or blessing.signature is None else blessing.signature.key),
        ("gates", None if blessing is None else blessing.gates_digest),
    ]
    return [(name, value) for name, value in rows if value is not None]
