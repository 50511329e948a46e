"""`recognizer rollout`: how rollouts stand, why they went as they did, and what a person may ask of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.command.group import Group

if TYPE_CHECKING:
    from recognizer.store import Store

STRATEGIES = ("canary", "shadow", "blue-green", "immediate")


@click.group(cls=Group)
def rollout() -> None:
    """Watch and steer how a challenger goes into service."""


@rollout.command()
@click.argument("task", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def status(task: str | None, as_json: bool) -> None:
    """Show the rollout of TASK (of every task without one), and what every worker really serves."""
    from flows.command.rollout_terminal import show_status
    from flows.command.session import begin, writable_store
    from flows.rollouts import waits_for
    from recognizer.overview import read_overview

    settings = begin()
    with writable_store(settings) as store:
        overview = read_overview(store, task)
        waits = {one.task: waits_for(store, one.rollout) for one in overview.tasks if one.rollout is not None}
    if as_json:
        plain = overview.as_dict()
        for standing in plain["tasks"]:
            standing["waits_for"] = waits.get(standing["task"])
        click.echo(json.dumps(plain))
    else:
        show_status(overview, waits)


@rollout.command()
@click.argument("task")
@click.argument("version", required=False)
@click.option(
    "--strategy", type=click.Choice(STRATEGIES), help="How it goes into service; default: RECOGNIZER_STRATEGY."
)
@click.option("--reason", default="", help="Why; kept in the audit trail.")
@click.option("--accept-new-labels", is_flag=True, help="Let a model of another class list replace the champion.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def start(
    task: str, version: str | None, strategy: str | None, reason: str, accept_new_labels: bool, as_json: bool
) -> None:
    """Start the rollout of a VERSION of TASK; without one, of the newest blessed one above the champion.

    It supersedes a paused rollout, and waits behind one that is progressing.
    """
    from flows.command.session import begin, writable_store
    from flows.rollouts import StartRequest, start_rollout

    settings = begin()
    with writable_store(settings) as store:
        start_rollout(settings, store, StartRequest(task, version, strategy, reason, accept_new_labels))
        _show_standing(store, task, as_json)


def _asks(word: str, told: str) -> None:
    """Add the subcommand that asks for `word`."""

    @rollout.command(word, help=told)
    @click.argument("task")
    @click.option("--reason", default="", help="Why; kept in the audit trail.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
    def ask(task: str, reason: str, as_json: bool) -> None:
        from flows.command.session import begin, writable_store
        from flows.rollouts import person
        from recognizer.store.wishes import fulfil

        settings = begin()
        with writable_store(settings) as store:
            fulfil(store, task, word, who=person(), reason=reason, home=settings.home)
            _show_standing(store, task, as_json)


_asks("pause", "Keep the rollout of TASK at its step, share included; a worse challenger is still taken out.")
_asks("resume", "Let the paused rollout of TASK go on; its step's time limit begins anew.")
_asks("promote", "Promote the challenger of TASK without the steps before it; in the bake, end it well.")
_asks("abort", "Take the challenger of TASK out, or drop the rollout that waits.")
_asks("undo", "Bring back the champion of TASK before the last rollout, also after that has ended.")
_asks("freeze", "Let nothing change for TASK, neither champion nor rollout, until it is unfrozen.")
_asks("unfreeze", "Let TASK change again; what waited goes on.")


@rollout.command()
@click.argument("task")
@click.option("--rollout", "number", type=int, help="Number of the rollout; default: the open one, else the newest.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw the evidence over time (SVG).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def explain(task: str, number: int | None, plot: Path | None, as_json: bool) -> None:
    """Show why a rollout of TASK went as it did: its steps, the numbers behind every decision, and all events.

    Every verdict is made again from the stored evidence.

    Ends with exit code 1 when one comes out otherwise than it was decided.
    """
    from flows.command.explain_terminal import show_explanation
    from flows.command.session import begin, writable_store
    from flows.progress import progress_bar
    from flows.rollouts import explain_rollout
    from recognizer.home import atomic_write
    from recognizer.overview import rollout_as_dict

    settings = begin()
    with writable_store(settings) as store, progress_bar("folding the evidence") as progress:
        explanation = explain_rollout(store, task, number, progress=progress)
    if plot is not None:
        from recognizer.report.curves import evidence_curves

        atomic_write(plot, evidence_curves(explanation).svg)
    if as_json:
        found = explanation.rollout
        plain = {"rollout": rollout_as_dict(found, found.ended_at or found.step_since), **explanation.as_dict()}
        click.echo(json.dumps({**plain, "plot": None if plot is None else str(plot)}))
    else:
        show_explanation(explanation, plot)
    if explanation.differences:
        raise click.exceptions.Exit(1)


@rollout.command()
@click.argument("task", required=False)
@click.option("--lift", metavar="DIGEST", help="Let this digest (or its beginning) out, so that it may be tried again.")
@click.option("--reason", default="", help="Why it is let out; kept in the audit trail.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def quarantine(task: str | None, lift: str | None, reason: str, as_json: bool) -> None:
    """List the digests of TASK (of every task without one) that failed in service, or let one out."""
    from dataclasses import asdict

    from flows.command.rollout_terminal import show_quarantine
    from flows.command.session import begin, writable_store
    from flows.rollouts import lift_quarantine
    from recognizer.store import quarantine as quarantined

    settings = begin()
    with writable_store(settings) as store:
        if lift is not None:
            lift_quarantine(settings, store, lift, reason)
        found = quarantined.list(store, task)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found]))
    else:
        show_quarantine(found)


def _show_standing(store: Store, task: str, as_json: bool) -> None:
    """The new state, after a change."""
    from flows.command.rollout_terminal import show_task
    from recognizer.overview import read_overview

    overview = read_overview(store, task)
    if as_json:
        click.echo(json.dumps(overview.tasks[0].as_dict(overview.now)))
    else:
        show_task(overview)
