"""How the explanation of a rollout looks on a terminal: steps, the numbers behind each decision, events."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.command.rollout_terminal import STYLES, lasted, stands
from flows.command.terminal import shortest
from recognizer.store.clock import moment
from recognizer.tally import DISAGREEMENT

if TYPE_CHECKING:
    from recognizer.explanation import Decision, Explanation, Leg
    from recognizer.judge import Row
    from recognizer.store.audit import Entry


def show_explanation(explanation: Explanation, plot: Path | None) -> None:
    """The way of a rollout from top to bottom."""
    console = Console(highlight=False)
    found = explanation.rollout
    # the end of what is known, so that a finished one shows no time that runs on
    last = explanation.points[-1].at if explanation.points else found.step_since
    console.print(f"[bold]{escape(found.task)}[/], rollout {stands(found, max(last, found.step_since))}")
    console.print(escape(found.reason))
    console.print()
    _steps(console, explanation.legs)
    for decision in explanation.decisions:
        if decision.rows:
            _numbers(console, decision)
    if explanation.now is not None and found.ended_at is None:
        console.print(f"\n[bold]Now[/], after batch {len(explanation.points):,}: {escape(explanation.now.reason)}")
        console.print(signal_table(explanation.now.rows))
    _events(console, explanation.events)
    console.print()
    _replayed(console, explanation)
    if plot is not None:
        console.print(f"plot: {escape(shortest(str(plot)))}", soft_wrap=True)


def signal_table(rows: Sequence[Row]) -> Table:
    """Every signal on which something was counted: both rates with their 95 % ranges, and what the tests made of it."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("signal", no_wrap=True)
    for column in ("champion", "challenger", "difference", "against", "for"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("says", no_wrap=True)
    for row in rows:
        if not (row.champion[1] or row.challenger[1] or row.pairs[0]):
            continue
        proof = "-" if row.proof is None else f"{short(row.proof)} of {short(row.proof_needed or 0)}"
        style = STYLES.get(row.ruling, "default")
        table.add_row(
            row.name,
            *_arms(row),
            f"{short(row.highest)} of {short(row.needed)}",
            proof,
            f"[{style}]{row.ruling}[/]",
        )
    return table


def short(value: float) -> str:
    """A number in three digits: `0.00012`, `3.21`, `1,234`, `4.5e8`, `∞`."""
    if math.isinf(value):
        return "∞"
    if 100 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else text


def _arms(row: Row) -> tuple[str, str, str]:
    """Cells of champion, challenger and difference; in pairs only those bad for one model alone tell anything."""
    if row.name == DISAGREEMENT:
        return (f"≤ {_percent(row.champion_range[0])} %", _rate(row.challenger, row.challenger_range), "")
    if not row.champion[1] and not row.challenger[1]:
        pairs, challenger, champion = row.pairs
        return (f"{champion:,} alone", f"{challenger:,} alone", f"{pairs:,} pairs")
    low, high = row.difference_range
    arms = _rate(row.champion, row.champion_range), _rate(row.challenger, row.challenger_range)
    seen = row.challenger[0] / max(row.challenger[1], 1) - row.champion[0] / max(row.champion[1], 1)
    alone = f"\n{row.pairs[2]:,} alone", f"\n{row.pairs[1]:,} alone", f"\n{row.pairs[0]:,} pairs"
    cells = *arms, f"{_signed(seen)} points\n{_signed(low)} … {_signed(high)}"
    return tuple(cell + (more if row.pairs[0] else "") for cell, more in zip(cells, alone, strict=True))  # type: ignore[return-value]


def _rate(counts: tuple[int, int], bounds: tuple[float, float]) -> str:
    bad, number = counts
    if not number:
        return "-"
    return f"{bad:,} of {number:,}\n{_percent(bad / number)} % ({_percent(bounds[0])} … {_percent(bounds[1])})"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _steps(console: Console, legs: Sequence[Leg]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("step", "began (UTC)", "lasted", "batches", "champion", "challenger", "compared"):
        table.add_column(column, justify="left" if column == "step" else "right", no_wrap=True)
    for leg in legs:
        table.add_row(
            leg.step,
            f"{moment(leg.began):%m-%d %H:%M:%S}",
            "…" if leg.ended is None else lasted(leg.ended - leg.began),
            *(f"{number:,}" for number in (leg.batches, *leg.answers, leg.compared)),
        )
    console.print(table)
    for leg in legs:
        if leg.decision is not None:
            one = leg.decision
            console.print(f"[bold]{leg.step}[/] ended: {one.event} by {escape(one.who)}: {escape(one.reason)}")


def _numbers(console: Console, decision: Decision) -> None:
    """The signals at the moment of a decision."""
    same = "[red]the replay says otherwise[/]" if decision.differs else escape(decision.verdict or "")
    console.print(
        f"\n[bold]{decision.event} at {moment(decision.at):%H:%M:%S}[/], after batch {decision.judged:,} of "
        f"{escape(decision.step)}: {same}"
    )
    console.print(signal_table(decision.rows))


def _events(console: Console, events: Sequence[Entry]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, title="Audit trail", title_justify="left")
    for column in ("row", "at (UTC)", "who", "event", "after it"):
        table.add_column(column, no_wrap=column not in ("after it", "who"), overflow="fold")
    for entry in events:
        told = entry.payload
        stands_at = f"{told['phase']} in {told['step']}" if "step" in told else str(told.get("reason", ""))
        if entry.event == "champion":
            stands_at = f"version {told['version']} is champion, generation {told['generation']}"
        table.add_row(
            str(entry.number), f"{moment(entry.at):%m-%d %H:%M:%S}", escape(entry.who), entry.event, escape(stands_at)
        )
    console.print()
    console.print(table)


def _replayed(console: Console, explanation: Explanation) -> None:
    number = explanation.replayed
    if explanation.differences:
        for line in explanation.differences:
            console.print(f"[bold red]differs[/]: {escape(line)}")
        console.print("Next: recognizer doctor, which verifies the audit trail")
    elif number:
        verdicts = "the one verdict that decided comes" if number == 1 else f"all {number} verdicts that decided come"
        console.print(f"[green]replayed[/]: {verdicts} out of the stored evidence as written down")
    else:
        console.print("replayed: no verdict has decided anything yet")
