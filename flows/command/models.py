"""`recognizer models`, `recognizer gates` and `recognizer register`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("task", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def models(task: str | None, as_json: bool) -> None:
    """List the versions of TASK (of every task without one) with aliases and verdicts."""
    from flows.command.session import begin, find_store
    from flows.command.terminal import show_models
    from flows.standing import list_models
    from recognizer.tasks import require_task

    settings = begin()
    if task is not None:
        require_task(task)
    listing = []
    if (found := find_store(settings)) is not None:
        with found as store:
            listing = list_models(settings, store, task)
    if as_json:
        click.echo(json.dumps(listing))
    else:
        show_models(listing)


@click.command()
@click.argument("task")
@click.argument("version", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def gates(task: str, version: str | None, as_json: bool) -> None:
    """Show every check of a VERSION of TASK with its numbers; without one, of the newest night.

    Below stands the test set, and how many candidates it has judged.

    Ends with exit code 1 when a gate said no.
    """
    from flows.command.session import begin, existing_store
    from flows.command.terminal import show_gates
    from flows.standing import list_checks
    from recognizer.tasks import require_task

    settings = begin()
    require_task(task)
    with existing_store(settings, task) as store:
        listing = list_checks(settings, store, task, version)
    if as_json:
        click.echo(json.dumps(listing.as_dict()))
    else:
        show_gates(listing)
    if not listing.passed:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("task")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--meta", type=click.Path(path_type=Path), help="JSON with `classes` and `preprocessing` of the model.")
@click.option("--override", metavar="REASON", help="Bless it although a gate says no; the reason is signed and kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def register(task: str, model: Path, meta: Path | None, override: str | None, as_json: bool) -> None:
    """Make an ONNX file trained elsewhere a version of TASK.

    Every gate judges it on the newest snapshot's frozen test set, against the champion.

    Ends with exit code 1 when a gate said no and nobody overrode it.
    """
    from flows.command.session import begin, writable_store
    from flows.command.terminal import show_registered
    from flows.registration import RegisterRequest, register_model

    settings = begin()
    with writable_store(settings) as store:
        registered = register_model(settings, store, RegisterRequest(task, model, meta, override))
    if as_json:
        click.echo(json.dumps(registered.as_dict()))
    else:
        show_registered(registered)
    if not registered.blessed:
        raise click.exceptions.Exit(1)
