"""How results look on a terminal. Tables go to stdout; a program asks for `--json` instead."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.held_out import LARGER, RENEW, HeldOut
from recognizer.errors import RecognizerError
from recognizer.report.table import error_rows, spoken
from recognizer.tasks import example_task, load_evaluator

if TYPE_CHECKING:
    from flows.ingestion import Ingested
    from flows.night import NightResult
    from flows.registration import Registered
    from flows.standing import CheckListing, Standing
    from recognizer.checks import Check
    from recognizer.settings import Settings
    from recognizer.tasks import TaskListing
    from recognizer.traffic import Part, TrafficReport

NUMBERS = ("value", "interval", "threshold", "champion", "n")
ROOMY = 92
"""Columns of a terminal that holds every column of the checks; on others the champion's value stands in the reason."""
MOST_SLICES = 8
"""Of one kind that are shown: the worst; `--json` has them all."""
STYLES = {
    "PASSED": "green",
    "FAILED": "red",
    "ERROR": "red",
    "INCONCLUSIVE": "yellow",
    "promoted": "bold green",
    "released": "bold green",
    "unchanged": "bold cyan",
    "rejected": "bold yellow",
    "failed": "bold red",
}


def show_snapshot(ingested: Ingested, held_out: HeldOut | None) -> None:
    """What was ingested: how many per class and set, what its test set cannot tell, and what to type next."""
    console = Console()
    card = ingested.card
    if ingested.kept:
        console.print(f"Task {ingested.task} has data already: snapshot [bold]{ingested.snapshot}[/].")
        return
    known = "" if ingested.new else " (the same as before)"
    table = Table(title=f"Snapshot {ingested.snapshot}{known}", title_justify="left")
    table.add_column("class")
    for name in card.sets:
        table.add_column(name, justify="right")
    for label in card.classes:
        table.add_row(escape(label), *(str(part.per_class[label]) for part in card.sets.values()))
    table.add_section()
    table.add_row("cases", *(str(part.sequences) for part in card.sets.values()))
    table.add_row("subjects", *(str(len(part.subjects)) for part in card.sets.values()))
    console.print(table)
    for warning in card.warnings:
        console.print(f"[yellow]Note:[/] {escape(warning)}")
    if held_out is not None and held_out.caution is not None:
        console.print(f"[yellow]Note:[/] the test set has {held_out.caution}. {LARGER}", highlight=False)
    option = " --accept-new-labels" if ingested.new_labels else ""
    if option:
        console.print("[yellow]Note:[/] the champion knows other classes; the option below lets these replace it.")
    console.print(f"Next: {program()} nightly {ingested.task}{option}")


def show_night(result: NightResult, settings: Settings, standing: Standing) -> None:
    """The end of a night: its checks with numbers, its outcome with the reason, and what to type next."""
    console = Console()
    if result.checks:
        show_checks(console, result.checks, f"Gates of task {result.task}, night {result.night}")
    outcome = result.outcome.value
    console.print(f"[{STYLES[outcome]}]{outcome}[/]: {escape(result.reason)}")
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("version", result.version),
        ("champion", None if standing.champion is None else f"version {standing.champion}"),
        ("digest", result.digest),
        ("snapshot", result.snapshot),
        ("report", shortest(result.report) if result.report else None),
    ):
        if value is not None:
            facts.add_row(name, escape(str(value)))
    console.print(facts)
    console.print("Next:")
    commands = Table.grid(padding=(0, 2))
    commands.add_column(no_wrap=True)  # a command that breaks in two cannot be copied
    commands.add_column()
    for command, meaning in next_commands(result, settings, standing):
        commands.add_row(f"  [bold]{escape(command)}[/]", meaning)
    console.print(commands)


def next_commands(result: NightResult, settings: Settings, standing: Standing) -> list[tuple[str, str]]:
    """What a person would want to do after such a night."""
    recognizer, task = program(), result.task
    # a night that is asked for again may lie far back: its version may be champion by now, or have been
    if result.outcome.value == "released" and standing.champion != result.version:
        return [
            (f"{recognizer} rollout status {task}", f"how far version {result.version} is"),
            (f"{recognizer} serve", "rollouts go on while the service answers"),
            (f"{recognizer} models", "what there is"),
        ]
    if result.exit_code == 0 and standing.champion is not None:
        own = [
            (f"{recognizer} ingest {task} FILE", "your own recordings, then"),
            (f"{recognizer} nightly {task} --accept-new-labels", "train on them"),
        ]
        return [
            (f"{recognizer} serve", f"version {standing.champion} answers on port {settings.port}"),
            (f"{recognizer} models", "what there is"),
            *(own if standing.synthetic else ()),
        ]
    return [
        (f"{recognizer} gates {task}", "every check with its numbers"),
        (f"{recognizer} ingest {task} FILE", "better or more data, then"),
        (f"{recognizer} nightly {task}", "the night again"),
    ]


def program() -> str:
    """How this command is called from here: by its name when the shell would find it, else by its path."""
    return "recognizer" if shutil.which("recognizer") else shortest(str(Path(sys.executable).parent / "recognizer"))


def show_checks(console: Console, checks: Sequence[Check], title: str) -> None:
    """Every check as a row, and below what each one that did not simply pass has to say."""
    from recognizer.report import CHECK_COLUMNS, check_rows

    # no frame, and narrow gaps: with wider ones, the names of checks break in two on a terminal of 80 columns
    roomy = console.width >= ROOMY
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, int(roomy), 0, 0), show_edge=False)
    left_out = ("reason",) if roomy else ("reason", "champion")
    kept = [place for place, column in enumerate(CHECK_COLUMNS) if column not in left_out]
    for column in (CHECK_COLUMNS[place] for place in kept):
        table.add_column(
            column, justify="right" if column in NUMBERS else "left", no_wrap=column != "check", overflow="fold"
        )
    rows = check_rows(checks)
    for check, row in zip(checks, rows, strict=True):
        style = None if check.verdict == "PASSED" else STYLES[check.verdict]
        table.add_row(*(escape(row[place]) for place in kept), style=style)
    console.print(table)
    for check in checks:
        if check.verdict != "PASSED" or check.value is None:
            colour = STYLES[check.verdict]
            console.print(f"[{colour}]{check.gate}/{escape(check.name)}[/]: {escape(check.reason)}")


def show_models(listing: Sequence[Mapping[str, Any]]) -> None:
    console = Console()
    if not listing:
        console.print(f"No versions yet. Next: {program()} nightly {example_task()}")
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)  # with a frame, 80 columns are too few
    for column in ("task", "version", "aliases", "verdict", "metric", "night", "digest"):
        table.add_column(column, justify="right" if column in ("version", "metric") else "left", no_wrap=True)
    for row in listing:
        table.add_row(
            row["task"],
            str(row["version"]),
            ", ".join(row["aliases"]),
            f"[{STYLES.get(row['verdict'], 'default')}]{row['verdict']}[/]",
            _headline(row["task"], row["metrics"]),
            row["night"] or "-",
            row["digest"][:8],
        )
    console.print(table)


def _headline(task: str, metrics: Mapping[str, float]) -> str:
    """The metric of a version that is looked at first."""
    try:
        name = load_evaluator(task).headlines[0]
    except RecognizerError:  # the plug-in is gone or broken; what it made is listed all the same
        return "-"
    value = metrics.get(name)
    return "-" if value is None else f"{spoken(name)} {value:.3f}"


def show_gates(listing: CheckListing) -> None:
    console = Console()
    which = f"version {listing.version}" if listing.version is not None else f"night {listing.night}"
    show_checks(console, listing.checks, f"Gates of task {listing.task}, {which}")
    if (held_out := listing.held_out) is not None:
        console.print(held_out.sentence, highlight=False)
        if held_out.used_up:
            console.print(f"[yellow]It is used up.[/] Next: {RENEW}", highlight=False)
        if held_out.caution is not None:
            console.print(f"[yellow]It has {held_out.caution}.[/] Next: {LARGER}", highlight=False)


def show_registered(registered: Registered) -> None:
    """The checks of a model that somebody brought, and whether it may serve."""
    console = Console()
    show_checks(console, registered.checks, f"Gates of task {registered.task}, version {registered.version}")
    said = "[bold green]blessed[/]" if registered.blessed else "[bold yellow]rejected[/]"
    console.print(f"{said}: version {registered.version}, digest {registered.digest}")


def show_evaluation(answer: Mapping[str, Any]) -> None:
    console = Console()
    version = answer.get("version")
    title = f"{answer['task']}" + (f" version {version}" if version is not None else "") + f" on {answer['n']} cases"
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in answer["metrics"].items():
        table.add_row(spoken(name), "-" if value is None else f"{value:.4f}")
    console.print(table)
    table = Table(title="classes", title_justify="left")
    for column in ("class", "precision", "recall", "f1", "n"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, measure in answer["per_class"].items():
        numbers = ("-" if measure[key] is None else f"{measure[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(escape(name), *numbers, str(measure["n"]))
    console.print(table)
    if any(answer["slices"].values()):
        console.print(_slices(answer["slices"]))
    if answer["errors"]:
        console.print(_errors(answer["errors"]))
    for warning in answer.get("warnings", ()):
        console.print(f"[yellow]Note:[/] {escape(warning)}", highlight=False)


def _slices(slices: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Of every kind the worst first, and not more than one can read."""
    table = Table(title="slices", title_justify="left")
    for column in ("kind", "slice", "accuracy", "n"):
        table.add_column(column, justify="left" if column in ("kind", "slice") else "right")
    for kind, found in slices.items():
        ordered = sorted(found.items(), key=lambda item: (item[1]["accuracy"], item[0]))
        for name, measure in ordered[:MOST_SLICES]:
            table.add_row(spoken(kind), escape(name), f"{measure['accuracy']:.3f}", f"{measure['n']:,}")
        if len(ordered) > MOST_SLICES:
            table.add_row(spoken(kind), f"and {len(ordered) - MOST_SLICES:,} better ones", "", "")
    return table


def _errors(errors: Mapping[str, float]) -> Table:
    table = Table(title="mean errors, as a share of size", title_justify="left")
    table.add_column("of")
    table.add_column("error", justify="right")
    for name, error, _ in error_rows(errors, {}):
        table.add_row(name, error)
    return table


def show_tasks(listings: Sequence[TaskListing]) -> None:
    console = Console()
    table = Table()
    for column in ("task", "role", "implementation", "package", "state"):
        table.add_column(column, overflow="fold")
    for listing in listings:
        state = "[green]usable[/]" if listing.problem is None else f"[red]{escape(listing.problem)}[/]"
        table.add_row(listing.task, listing.role, listing.target, listing.package, state)
    console.print(table)


def show_traffic(report: TrafficReport, source: str) -> None:
    """Answers by arm and version, then what failed, and how exact the figures are."""
    console = Console()
    console.print(f"{report.requests:,} requests in {report.seconds:.1f} s: {escape(source)}", soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("answered by", "answers", "share", "recovered", "correct", "p50 ms", "p95", "p99", "max"):
        table.add_column(column, justify="left" if column == "answered by" else "right", no_wrap=True)
    table.add_row("all", *_traffic_row(report.all), end_section=True)
    for arm, part in report.arms.items():
        table.add_row(escape(arm), *_traffic_row(part))
    table.add_section()
    for version, part in report.versions.items():
        table.add_row(f"version {version}", *_traffic_row(part))
    console.print(table)
    if report.generations:
        console.print(f"generations seen: {len(report.generations):,}")
    for kind, count in report.failures.items():
        console.print(f"[red]{count:,} failed, {escape(kind)}[/]: {escape(report.examples.get(kind, ''))}")
    if not report.failed:
        console.print("[green]no request failed[/]")
    if report.requests + report.unfinished < report.planned:
        console.print(f"[yellow]stopped[/]: {report.planned:,} requests were planned, {report.unfinished:,} unfinished")
    feedback = report.feedback
    if not feedback.door:
        console.print("[yellow]Note:[/] this service takes no feedback; the rest was not sent")
    elif feedback.sent:
        refused = "".join(f", {count:,} {escape(kind)}" for kind, count in feedback.refused.items())
        console.print(f"feedback: {feedback.accepted:,} of {feedback.sent:,} taken{refused}")
    if report.late.p99 and report.all.latency.p99 and report.late.p99 > max(0.001, 0.2 * report.all.latency.p99):
        console.print(
            f"[yellow]Note:[/] this client itself was late by {1000 * report.late.p99:.1f} ms at p99; the latencies "
            "above hold that too. Give it a core of its own."
        )


def _traffic_row(part: Part) -> list[str]:
    latency = part.latency
    correct = f"{part.correct / part.judged:.1%}" if part.judged else "-"
    times = (
        "-" if value is None else f"{1000 * value:.1f}"
        for value in (latency.p50, latency.p95, latency.p99, latency.max)
    )
    return [f"{part.answers:,}", f"{part.share:.1%}", f"{part.recovered:,}", correct, *times]


def shortest(path: str) -> str:
    """The path from here when it lies below, else whole."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
