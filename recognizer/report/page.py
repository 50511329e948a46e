"""Write the report: `report.html` stands alone, `report.md` has its plots as `.svg` files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recognizer.checks import Verdict, figure, worst
from recognizer.evaluation.comparison import compare
from recognizer.home import atomic_write, writing
from recognizer.report import table
from recognizer.report.difference_plot import difference_plot
from recognizer.report.facts import ReportFacts
from recognizer.report.latency_plot import latency_plot
from recognizer.report.plots import Plot, confusion_plot, reliability_plot
from recognizer.report.rendering import html, markdown, tidy
from recognizer.report.slice_plot import slice_plot
from recognizer.tasks import load_evaluator

PLOT_FILES = frozenset(
    f"{name}.svg" for name in ("confusion", "reliability", "differences", "slices", "latency", "classes", "subjects")
)
"""Also those of earlier versions of this page."""
HEADLINES = {
    "promoted": "The candidate became champion",
    "released": "The candidate was blessed and is being rolled out",
    "rejected": "The candidate was rejected",
    "unchanged": "Nothing new to judge",
    "failed": "The night failed",
}
CONTRACT = "contract"
TONES = {"promoted": "good", "released": "good", "rejected": "bad", "failed": "bad"}


def write_report(folder: Path, facts: ReportFacts) -> Path:
    """Write `report.html`, `report.md` and the plots into the folder; returns the path of `report.html`.

    Other files there stay; the same facts give the same bytes. Each file is replaced whole, `report.html` last.

    Raises:
        StorageError: the disk did not take it.
    """
    plots = make_plots(facts)
    content = _content(facts, plots)
    with writing(folder):
        for name in PLOT_FILES - {f"{plot.name}.svg" for plot in plots}:
            (folder / name).unlink(missing_ok=True)
    for plot in plots:
        atomic_write(folder / f"{plot.name}.svg", plot.svg)
    atomic_write(folder / "report.md", tidy(markdown().get_template("report.md.j2").render(content)).encode())
    page = folder / "report.html"
    atomic_write(page, html().get_template("report.html.j2").render(content).encode())
    return page


def make_plots(facts: ReportFacts) -> tuple[Plot, ...]:
    """Every plot that what was measured allows, in the order of the page."""
    measured, candidate = facts.measured, facts.candidate
    if measured is None or candidate is None:
        return ()
    gates = None if facts.gates is None else facts.gates.gates
    floor = None if gates is None or gates.slices is None else gates.slices.floor
    found = (
        difference_plot(measured, None if gates is None else gates.relative),
        slice_plot(candidate, facts.champion, floor),
        confusion_plot(candidate) if candidate.confusion else None,
        reliability_plot(candidate),
        None if measured.costs is None else latency_plot(measured.costs, None if gates is None else gates.budgets),
    )
    return tuple(plot for plot in found if plot is not None)


def _content(facts: ReportFacts, plots: tuple[Plot, ...]) -> dict[str, Any]:
    said, refusals = _reason(facts)
    return {
        "facts": facts,
        "headline": _headline(facts),
        "tone": TONES.get(facts.outcome, "plain"),
        "reason": said,
        "refusals": refusals,
        "plots": plots,
        "tiles": _tiles(facts),
        "gates": _gates(facts),
        "check_columns": table.CHECK_COLUMNS,
        "folded": _folded(facts),
        "checks": table.check_rows(facts.checks),
        "standing": _standing(facts),
        **_tables(facts),
        **_behaviour(facts),
        "sandbox": [] if facts.sandbox is None else table.sandbox_rows(facts.sandbox),
        "lineage": _lineage(facts),
        "training": _training(facts),
        "steps": [(name, f"{seconds:,.1f} s") for name, seconds in facts.steps.items()],
        "sets": _sets(facts),
        "by_subject": facts.card is not None and all(card.subjects for card in facts.card.sets.values()),
    }


def _headline(facts: ReportFacts) -> str:
    if facts.outcome == "rejected" and facts.measured is None:
        return "The data was refused, and nothing was trained"
    if facts.outcome == "rejected" and facts.candidate is None:
        return "The candidate could not be evaluated"
    return HEADLINES.get(facts.outcome, f"The night ended: {facts.outcome}")


def _reason(facts: ReportFacts) -> tuple[str, list[tuple[str, str, str]]]:
    """The reason, and the checks that said no as (name, verdict, reason) where it is nothing but a list of them."""
    refusals = [check for check in facts.checks if check.verdict is not Verdict.PASSED]
    if len(refusals) < 2 or not all(check.reason in facts.reason for check in refusals):
        return facts.reason, []
    said = facts.reason.partition(": ")[0]
    named: dict[tuple[str, str], list[str]] = {}  # a candidate that broke breaks every gate, for one reason
    for check in refusals:
        name = check.gate if check.name == check.gate else f"{check.gate}/{check.name}"
        named.setdefault((check.verdict.value, check.reason), []).append(name)
    return f"{said}:", [(", ".join(names), verdict, reason) for (verdict, reason), names in named.items()]


def _gates(facts: ReportFacts) -> list[tuple[str, str, str]]:
    """Each gate with its worst verdict and how many checks it made, in their order."""
    found = []
    for gate in dict.fromkeys(check.gate for check in facts.checks):
        verdicts = [check.verdict for check in facts.checks if check.gate == gate]
        said = worst(verdicts)
        broken = sum(one is not Verdict.PASSED for one in verdicts)
        some = f"{broken} of " if 0 < broken < len(verdicts) else ""
        found.append((gate, said.value, f"{some}{len(verdicts)} check{'s' if len(verdicts) != 1 else ''}"))
    return found


def _folded(facts: ReportFacts) -> int:
    """How many checks of the data contract, which come first, need not be seen at once: all, when all passed."""
    first = next((place for place, check in enumerate(facts.checks) if check.gate != CONTRACT), 0)
    return first if all(check.verdict is Verdict.PASSED for check in facts.checks[:first]) else 0


def _standing(facts: ReportFacts) -> str:
    """What was judged on, and against whom."""
    if facts.candidate is None:
        return ""
    test = None if facts.card is None else facts.card.sets.get("test")
    subjects = f" of {len(test.subjects):,} subjects" if test is not None and test.subjects else ""
    which = f" (digest {facts.card.test_digest[:12]})" if facts.card is not None else ""
    on = f"{facts.candidate.n:,} cases{subjects} that training never sees{which}"
    version = facts.champion_version
    if facts.champion is not None:
        return f"Candidate and champion{'' if version is None else f' (version {version})'} answered the same {on}."
    if version is not None:
        return f"The candidate answered {on}. Champion version {version} was not compared; the gates say why."
    return (
        f"The candidate answered {on}. There is no champion to compare with: this is the first version of its lineage."
    )


def _tables(facts: ReportFacts) -> dict[str, Any]:
    """The tables of the evaluation; without a champion they have no column for one."""
    measured, candidate, champion = facts.measured, facts.candidate, facts.champion
    if measured is None or candidate is None:
        return {}
    alone = champion is None

    def cut(rows: list[table.Row], width: int) -> list[table.Row]:
        return [row[:width] for row in rows] if alone else rows

    kinds = ((kind, table.slice_rows(kind, candidate, measured.opponent)) for kind in table.slices_of(candidate))
    return {
        "metric_columns": table.METRIC_COLUMNS[: 2 if alone else None],
        "metrics": cut(table.metric_rows(candidate, champion), 2),
        "rival_columns": table.RIVAL_COLUMNS,
        "rivals": table.rival_rows(table.rivals_of(measured)),
        "difference_columns": table.DIFFERENCE_COLUMNS,
        "differences": table.difference_rows(measured),
        "confusion_columns": table.CONFUSION_COLUMNS,
        "confusable": bool(candidate.confusion),
        "confusions": table.confusion_rows(candidate),
        "class_columns": table.CLASS_COLUMNS[: -1 if alone else None],
        "classes": cut(table.class_rows(candidate, champion), -1),
        "slice_columns": table.SLICE_COLUMNS[: -2 if alone else None],
        "slices": [(table.spoken(kind), cut(rows, -2)) for kind, rows in kinds if rows],
        "error_columns": table.ERROR_COLUMNS[: -1 if alone else None],
        "errors": cut(table.error_rows(candidate.errors, champion.errors if champion is not None else {}), -1),
    }


def _behaviour(facts: ReportFacts) -> dict[str, Any]:
    """Golden cases and changed inputs; empty where nobody asked."""
    measured = facts.measured
    if measured is None:
        return {"golden": "", "changes": []}
    return {
        "golden": "" if measured.golden is None else table.golden_sentence(measured.golden),
        "change_columns": table.CHANGE_COLUMNS,
        "changes": table.change_rows(measured),
    }


def _tiles(facts: ReportFacts) -> list[tuple[str, str, str]]:
    """Label, figure and a small line below it: the four numbers one looks for first."""
    if facts.candidate is None:
        return []
    tiles = []
    headlines = load_evaluator(facts.task).headlines
    for row in compare(facts.candidate, facts.champion):
        if row.metric in headlines:
            beside = "" if row.change is None else f"{table.signed(row.change)} against the champion"
            tiles.append((table.spoken(row.metric), figure(row.candidate), beside))
    test = None if facts.card is None else facts.card.sets.get("test")
    subjects = f"of {len(test.subjects):,} subjects" if test is not None and test.subjects else ""
    tiles.append(("test cases", f"{facts.candidate.n:,}", subjects))
    return tiles


def _lineage(facts: ReportFacts) -> list[tuple[str, str]]:
    seed = None if facts.seed is None else str(facts.seed)
    rows = [
        ("package", facts.digest),
        ("snapshot", facts.snapshot),
        ("training identity", facts.identity),
        ("code", facts.code),
        ("warm start from weights", facts.parent or ("none: from scratch" if facts.training else None)),
        ("seed", seed),
        ("test set", facts.card.test_digest if facts.card else None),
    ]
    return [(name, value) for name, value in rows if value is not None]


def _training(facts: ReportFacts) -> list[tuple[str, str]]:
    made = facts.training
    if made is None:
        return []
    rows = [
        ("epochs", made.epochs),
        ("duration", None if made.seconds is None else f"{made.seconds:,.1f} s"),
        *(("speed", f"{value:,.0f} {what}/s") for what, value in made.speed.items()),
        ("precision", made.precision),
        ("threads", made.threads),
        ("temperature", None if made.temperature is None else figure(made.temperature)),
        *((f"validation {table.spoken(name)}", figure(value)) for name, value in made.validation.items()),
    ]
    return [(name, str(value)) for name, value in rows if value is not None]


def _sets(facts: ReportFacts) -> list[tuple[str, ...]]:
    """One row per class, then all cases and subjects: how many each set of the snapshot has."""
    if facts.card is None:
        return []
    sets = facts.card.sets
    rows = [(name, *(f"{card.per_class.get(name, 0):,}" for card in sets.values())) for name in facts.card.classes]
    rows.append(("cases", *(f"{card.sequences:,}" for card in sets.values())))
    rows.append(("subjects", *(f"{len(card.subjects):,}" if card.subjects else "unknown" for card in sets.values())))
    return rows
