"""How rollouts look on a terminal: where they stand, what the workers really serve, what is in quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.command.terminal import program
from recognizer.rollout.state import Phase, Rollout, split_of
from recognizer.store.clock import moment
from recognizer.tasks import example_task

if TYPE_CHECKING:
    from recognizer.rollout.overview import Overview, TaskStanding
    from recognizer.store.quarantine import Quarantined

STYLES: Mapping[str, str] = {
    Phase.QUEUED: "cyan",
    Phase.PROGRESSING: "bold cyan",
    Phase.PAUSED: "bold yellow",
    Phase.HEALTHY: "bold green",
    Phase.ABORTED: "bold red",
    "WORSE": "red",
    "DISAGREES": "yellow",
    "INCONCLUSIVE": "yellow",
    "GOOD": "green",
}
LOADED_STYLES = {"AVAILABLE": "green", "REFUSED": "red"}
_NEXT: Mapping[Phase, tuple[str, ...]] = {
    Phase.QUEUED: ("abort",),
    Phase.PROGRESSING: ("explain", "pause", "abort"),
    Phase.PAUSED: ("explain", "resume", "promote", "abort"),
    Phase.HEALTHY: ("explain", "undo"),
    Phase.ABORTED: ("explain",),
}


def show_status(overview: Overview, waits: Mapping[str, str | None]) -> None:
    """Every task, who decides, and the workers."""
    console = Console()
    if not overview.tasks:
        console.print(f"Nothing serves yet. Next: {program()} nightly {example_task()}")
        return
    for standing in overview.tasks:
        _task(console, overview, standing, waits.get(standing.task))
        console.print()
    _controller(console, overview)
    _workers(console, overview)


def show_task(overview: Overview) -> None:
    """One task, after a person has changed something."""
    console = Console()
    _task(console, overview, overview.tasks[0], None)
    found = overview.tasks[0].rollout
    if found is not None and found.is_open and not overview.decides:
        _controller(console, overview)


def show_quarantine(found: Sequence[Quarantined]) -> None:
    console = Console()
    if not found:
        console.print("No digest is in quarantine.")
        return
    for one in found:
        console.print(f"[bold]{one.digest[:12]}[/] of task {one.task}, since {when(one.since)}", highlight=False)
        console.print(f"  {escape(one.reason)}", highlight=False)
    console.print(f"Next: {program()} rollout quarantine --lift DIGEST --reason WHY lets one be tried again")


def lasted(seconds: float) -> str:
    """A length of time in its two largest units, or in seconds: `4.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    whole, parts = int(seconds), []
    for name, size in units:
        number, whole = divmod(whole, size)
        parts.append((number, name))
    first = next(place for place, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {name}" for number, name in parts[first : first + 2] if number)


def when(seconds: float) -> str:
    """A stored time for people."""
    return f"{moment(seconds):%Y-%m-%d %H:%M:%S} UTC"


def stands(rollout: Rollout, now: float) -> str:
    """Number, version, phase and step of a rollout in one line."""
    split = split_of(rollout)
    said = f"{rollout.id}: version {rollout.version} against {rollout.champion_version}, {rollout.strategy}: "
    said += f"[{STYLES[rollout.phase]}]{rollout.phase}[/]"
    if rollout.ended_at is not None:
        return f"{said} since {when(rollout.ended_at)}"
    if not rollout.is_open:
        return said
    limit = rollout.plan.load_seconds if rollout.planned is None else rollout.planned.seconds
    said += f" in {rollout.step_name} for {lasted(max(now - rollout.step_since, 0.0))} (limit {lasted(limit)})"
    if split is not None and split.share:
        said += f", version {split.version} answers {100 * split.share:.3g} %"
    return said


def _task(console: Console, overview: Overview, standing: TaskStanding, waits: str | None) -> None:
    champion = standing.champion
    serves = (
        "no champion yet"
        if champion is None
        else f"version {champion.version} is champion since {when(champion.since)}"
    )
    console.print(f"[bold]{escape(standing.task)}[/]: {serves}", highlight=False)
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True, style="dim")
    facts.add_column(overflow="fold")
    found = standing.rollout
    if found is not None:
        facts.add_row("  rollout", stands(found, overview.now))
        facts.add_row("  because", escape(found.reason))
    if waits is not None:
        facts.add_row("  now", escape(waits))
    if standing.queued is not None:
        facts.add_row("  queue", f"rollout {standing.queued.id}: version {standing.queued.version} waits")
    if standing.freeze is not None:
        facts.add_row(
            "  frozen", f"[bold yellow]by {escape(str(standing.freeze))}[/] since {when(standing.freeze.since)}"
        )
    for one in standing.quarantined:
        facts.add_row("  quarantine", f"[red]{one.digest[:12]}[/] since {when(one.since)}: {escape(one.reason)}")
    words = ("unfreeze",) if standing.freeze is not None else () if found is None else _NEXT[found.phase]
    if found is None and standing.freeze is None:
        words = ("start",)
    facts.add_row("  next", f"{program()} rollout {'|'.join(words)} {escape(standing.task)}")
    console.print(facts, highlight=False)


def _controller(console: Console, overview: Overview) -> None:
    held = overview.controller
    if held is not None and overview.decides:
        console.print(
            f"decides: {escape(str(held.holder))}, epoch {held.epoch}, since {when(held.since)}", highlight=False
        )
    else:
        console.print(
            f"[bold yellow]decides: nobody[/]; rollouts stand still. Next: {program()} serve", highlight=False
        )


def _workers(console: Console, overview: Overview) -> None:
    if not overview.workers:
        console.print(f"workers: none. Next: {program()} serve", highlight=False)
        return
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("worker", "heard", "generation", "ready", "holds"):
        table.add_column(column, no_wrap=column != "holds", justify="right" if column == "heard" else "left")
    for worker in overview.workers:
        holds = []
        for one in overview.wanted:
            state = worker.loaded.get(one.digest, "not loaded")
            holds.append(f"{one.task} {one.version} [{LOADED_STYLES.get(state, 'yellow')}]{state}[/]")
        table.add_row(
            escape(worker.name),
            lasted(worker.age),
            f"{worker.generation} of {overview.generation}",
            "yes" if worker.ready else "[yellow]no[/]",
            "\n".join(holds),
            style=None if worker.lives else "dim",
        )
    console.print(table)
    for worker in overview.workers:
        for lag in overview.lags(worker):
            console.print(f"[bold yellow]lags[/] {escape(worker.name)}: {escape(lag)}", highlight=False)
