"""`recognizer erase`."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("routing_key")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def erase(routing_key: str, as_json: bool) -> None:
    """Delete every logged answer of ROUTING_KEY, with its inputs and the feedback on it."""
    from flows.command.session import begin, writable_store
    from recognizer.inputs import delete_inputs
    from recognizer.store import predictions

    settings = begin()
    with writable_store(settings) as store:
        count, files = predictions.erase(store, routing_key)
    delete_inputs(settings.home.inputs, files)
    if as_json:
        click.echo(json.dumps({"routing_key": routing_key, "predictions": count, "inputs": len(files)}))
    else:
        click.echo(f"{count:,} answers of {routing_key!r} were deleted, {len(files):,} of them with their inputs.")
