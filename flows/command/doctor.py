"""`recognizer doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flows.diagnosis import Diagnosis


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def doctor(as_json: bool) -> None:
    """Say what is installed, reachable and consistent, and what to do about what is not.

    Changes nothing. Ends with exit code 1 when something FAILED.
    """
    from flows.command.session import begin
    from flows.doctor import examine

    found = examine(begin())
    if as_json:
        click.echo(json.dumps([{**asdict(one), "verdict": str(one.verdict)} for one in found]))
    else:
        _show(found)
    if not all(one.passed for one in found):
        raise click.exceptions.Exit(1)


def _show(found: Sequence[Diagnosis]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from flows.command.terminal import STYLES

    console = Console(highlight=False)
    for part in dict.fromkeys(one.part for one in found):
        console.print(f"[bold]{part}[/]")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for one in (one for one in found if one.part == part):
            advice = "" if one.next is None else f"\n[dim]Next:[/] {escape(one.next)}"
            table.add_row(f"  [{STYLES[one.verdict]}]{one.verdict}[/]", escape(one.name), escape(one.said) + advice)
        console.print(table)
    wrong = sum(not one.passed for one in found)
    console.print(f"[red]{wrong} of {len(found)} FAILED[/]" if wrong else f"[green]all {len(found)} PASSED[/]")
