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

_LEGEND = (
    "Bad events of all answers with their 95 % range, since the rollout began. against: the highest e-value that the "
    "challenger is worse than tolerated, and where it takes the challenger out. for: the e-value that it is not worse "
    "by the margin, and what a pass needs. alone: bad for one of the two models only."
)


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
    if explanation.points:
        console.print(f"\n[dim]{_LEGEND}[/]")
    _events(console, explanation.events)
    console.print()
    _replayed(console, explanation)
    if plot is not None:
        console.print(f"plot: {escape(shortest(str(plot)))}", soft_wrap=True)


def signal_table(rows: Sequence[Row]) -> Table:
    """Every signal on which something was counted: both rates with their 95 % ranges, and what the tests made of it."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("signal", "champion", "challenger", "against", "for", "says"):
        table.add_column(column, justify="left" if column in ("signal", "says") else "right", no_wrap=True)
    for row in rows:
        if not (row.champion[1] or row.challenger[1] or row.pairs[0]):
            continue
        proof = "-" if row.proof is None else f"{short(row.proof)}\nof {short(row.proof_needed or 0)}"
        against, style = f"{short(row.highest)}\nof {short(row.needed)}", STYLES.get(row.ruling, "default")
        table.add_row(*_counted(row), against, proof, f"[{style}]{row.ruling}[/]")
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


def _counted(row: Row) -> tuple[str, str, str]:
    """Cells of signal, champion and challenger; of pairs those tell something that were bad for one model alone."""
    if row.name == DISAGREEMENT:
        ceiling = f"at most\n{_percent(row.champion_range[0])} %"
        return row.name, ceiling, "\n".join(_rate(row.challenger, row.challenger_range))
    cells: list[tuple[str, str, str]] = []
    if row.champion[1] or row.challenger[1]:
        arms = _rate(row.champion, row.champion_range), _rate(row.challenger, row.challenger_range)
        cells += [("", *line) for line in zip(*arms, strict=True)]
    pairs, challenger, champion = row.pairs
    alone = f"{champion:,} alone", f"{challenger:,} alone"
    if pairs:
        cells += [(f"{pairs:,} pairs", *alone)] if cells else [("", *alone), (f"{pairs:,} pairs", "", "")]
    cells[0] = (row.name, *cells[0][1:])
    names, champions, challengers = zip(*cells, strict=True)
    return "\n".join(names), "\n".join(champions), "\n".join(challengers)


def _rate(counts: tuple[int, int], bounds: tuple[float, float]) -> tuple[str, str]:
    """Two lines: the counts, and the rate with its range in per cent."""
    bad, number = counts
    if not number:
        return "-", ""
    return f"{bad:,} of {number:,}", f"{_percent(bad / number)} % ({_percent(bounds[0])} … {_percent(bounds[1])})"


def _percent(share: float) -> str:
    """In per cent, two digits: `0`, `0.02`, `5.1`, `23`."""
    if share >= 0.0995:
        return f"{100 * share:.0f}"
    text = f"{100 * share:.2g}" if share >= 0.0001 else f"{100 * share:.2f}"
    return "0" if float(text) == 0 else text


def _steps(console: Console, legs: Sequence[Leg]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
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
    same = f"[red]the replay says[/] {escape(decision.verdict or '')}" if decision.differs else "replayed as decided"
    console.print(
        f"\n[bold]{decision.event} at {moment(decision.at):%H:%M:%S}[/], after batch {decision.judged:,} of "
        f"{escape(decision.step)}: {same}"
    )
    console.print(signal_table(decision.rows))


def _events(console: Console, events: Sequence[Entry]) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for column in ("row", "at (UTC)", "who", "event", "after it"):
        table.add_column(column, no_wrap=column not in ("after it", "who"), overflow="fold")
    for entry in events:
        told = entry.payload
        after = f"{told['phase']} in {told['step']}" if "step" in told else str(told.get("reason", ""))
        if entry.event == "champion":
            after = f"version {told['version']} is champion, generation {told['generation']}"
        elif entry.event == "quarantine":
            after = f"{told['digest'][:12]} is not tried again by itself"
        at = f"{moment(entry.at):%m-%d %H:%M:%S}"
        table.add_row(str(entry.number), at, escape(entry.who), entry.event, escape(after))
    console.print("\n[bold]Audit trail[/]")
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
