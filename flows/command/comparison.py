"""`recognizer compare`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.command.options import describes_file

if TYPE_CHECKING:
    from rich.console import Console

    from flows.comparison import Comparison
    from recognizer.evaluation.paired import PairedDifference

MOST_SLICES = 12
"""Slices that are shown; `--json` has them all."""


@click.command()
@click.argument("task")
@click.argument("first")
@click.argument("second")
@click.option("--data", type=click.Path(path_type=Path), help="Ask this data file instead of the frozen test set.")
@describes_file
@click.option("--no-costs", is_flag=True, help="Do not measure what both cost, which takes seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def compare(
    task: str,
    first: str,
    second: str,
    data: Path | None,
    meta: Path | None,
    subject_pattern: str | None,
    images: Path | None,
    no_costs: bool,
    as_json: bool,
) -> None:
    """Set two versions of TASK side by side on the same cases, FIRST less SECOND.

    FIRST and SECOND are `champion`, a version number, or a digest. Without --data both answer the newest snapshot's
    frozen test set.
    """
    from flows.command.session import begin, existing_store, require_data
    from flows.comparison import ComparisonRequest, compare_versions
    from recognizer.tasks import require_task

    settings = begin()
    require_task(task)
    file = require_data(data, meta, subject_pattern, images, f"compare {task} {first} {second}")
    request = ComparisonRequest(task, first, second, file, costs=not no_costs)
    with existing_store(settings, task) as store:
        found = compare_versions(settings, store, request)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        from rich.console import Console

        show_comparison(Console(highlight=False), found)


def show_comparison(console: Console, found: Comparison) -> None:
    """Metrics, who is right where only one is, slices, costs and gates; every difference names its direction."""
    from rich.markup import escape

    from recognizer.report.table import percent

    one, other = f"version {found.first.version}", f"version {found.second.version}"
    less = f"{found.first.version} less {found.second.version}"
    people = f" of {found.people:,} subjects" if found.people else ""
    console.print(
        f"[bold]{found.task}, {one} less {other}[/] on the same {found.n:,} cases{people}: {escape(found.source)}"
    )
    console.print("A difference above 0 means that the first has more. Each end of an interval is one-sided at 95 %.")
    _print(console, ("metric", one, other, less, "interval", "better"), _metrics(found))
    console.print(
        f"Cases on which only one is right: {one} on {found.answers.only_first:,}, {other} on "
        f"{found.answers.only_second:,} (McNemar p {found.answers.p_value:.3f}); "
        f"they answer {percent(found.disagreement)} differently."
    )
    rows = _slices(found)
    cut = f" (the {MOST_SLICES} worst of {len(rows)})" if len(rows) > MOST_SLICES else ""
    if rows:
        console.print(f"\n[bold]accuracy by slice[/], the worst for {one} first{cut}")
        _print(console, ("slice", "n", one, other, less, "interval"), rows[:MOST_SLICES])
    if found.first.costs is not None:
        console.print("\n[bold]costs[/], measured in turn in one run")
        _print(console, ("cost", one, other, "ratio"), _costs(found))
    if gates := _gates(found):
        console.print("\n[bold]gates[/], as each was judged last")
        _print(console, ("gate", one, other), gates, numbers=False)


def _print(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for place, column in enumerate(columns):
        first = place == 0
        right = numbers and not first and column != "better"
        table.add_column(column, justify="right" if right else "left", no_wrap=not first, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _metrics(found: Comparison) -> Iterator[tuple[str, ...]]:
    from recognizer.checks import figure
    from recognizer.evaluation.comparison import NEITHER_IS_BETTER
    from recognizer.evaluation.comparison import compare as side_by_side
    from recognizer.report.table import interval, signed, spoken

    for row in side_by_side(found.first.evaluation, found.second.evaluation):
        paired = found.differences.get(row.metric)
        bounds = "-" if paired is None else interval((paired.low, paired.high), signs=True)
        change = "-" if row.change is None else signed(row.change)
        better = "-" if row.metric in NEITHER_IS_BETTER else _better(found, row.better, paired)
        yield spoken(row.metric), figure(row.candidate), figure(row.champion), change, bounds, better


def _better(found: Comparison, first: bool | None, paired: PairedDifference | None) -> str:
    """The version that is better, where the interval leaves no doubt."""
    if paired is None:
        return "-"
    if first is None or paired.low <= 0 <= paired.high:
        return "unsure"
    return str((found.first if first else found.second).version)


def _slices(found: Comparison) -> list[tuple[str, ...]]:
    from recognizer.checks import figure
    from recognizer.report.table import interval, signed

    listed = [(one.value, kind, name, one) for kind, slices in found.slices.items() for name, one in slices.items()]
    rows = []
    for value, kind, name, one in sorted(listed, key=lambda entry: entry[:3]):
        mine, theirs = (side.evaluation.slices[kind][name].accuracy for side in (found.first, found.second))
        bounds = interval((one.low, one.high), signs=True)
        rows.append((f"{kind}: {name}", f"{one.n:,}", figure(mine), figure(theirs), signed(value), bounds))
    return rows


def _costs(found: Comparison) -> Iterator[tuple[str, ...]]:
    from recognizer.checks import figure

    assert found.first.costs is not None
    assert found.second.costs is not None
    mine, theirs = found.first.costs.metrics, found.second.costs.metrics
    for name, value in mine.items():
        yield name, figure(value), figure(theirs[name]), f"{value / theirs[name]:.2f}" if theirs[name] else "-"


def _gates(found: Comparison) -> list[tuple[str, ...]]:
    names = dict.fromkeys((*found.first.gates, *found.second.gates))
    sides = (found.first.gates, found.second.gates)
    return [(gate, *(side[gate].value if gate in side else "-" for side in sides)) for gate in names]
