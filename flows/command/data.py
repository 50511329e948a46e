"""`recognizer ingest` and `recognizer tasks`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from flows.command.options import describes_file, makes_data, require_synthetic


@click.command()
@click.argument("task")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@describes_file
@makes_data("Make cases with the task's generator instead of reading a file.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of --synthetic, and of cutting sets by subject.",
)
@click.option("--if-empty", is_flag=True, help="Do nothing when the task has a snapshot already.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def ingest(
    task: str,
    path: Path | None,
    meta: Path | None,
    subject_pattern: str | None,
    images: Path | None,
    synthetic: bool,
    count: int | None,
    seed: int,
    if_empty: bool,
    as_json: bool,
) -> None:
    """Read a data file of TASK at PATH into a new snapshot.

    What can be read is the task's own: recorded skeletons are a PYSKL/mmaction2 pickle (.pkl) or our own .npz, whose
    held-out part (`val` or `test`) becomes the frozen test set; labelled people are COCO's or CrowdPose's JSON, with
    --images. Without a held-out part, test is cut by subject too.
    """
    from flows.command.session import begin, writable_store
    from flows.command.terminal import show_snapshot
    from flows.held_out import find_held_out
    from flows.ingestion import IngestRequest, generated, ingest_recordings
    from flows.progress import progress_bar
    from recognizer.errors import UsageError
    from recognizer.ingest.origin import DataFile

    if (path is None) == (not synthetic):
        raise UsageError(
            "give either PATH or --synthetic",
            hint=f"recognizer ingest {task} FILE, or recognizer ingest {task} --synthetic",
        )
    require_synthetic(synthetic, count)
    settings = begin()
    origin = generated(task, count) if path is None else DataFile(path, meta, subject_pattern, images)
    with writable_store(settings) as store, progress_bar(f"ingesting {task}") as progress:
        request = IngestRequest(task, origin, seed, if_empty)
        ingested = ingest_recordings(settings, store, request, progress)
        held_out = find_held_out(settings, store, task, ingested.card.test_digest)
    if as_json:
        card = ingested.card.model_dump(mode="json")
        click.echo(json.dumps({"task": task, "snapshot": ingested.snapshot, "new": ingested.new, "card": card}))
    else:
        show_snapshot(ingested, held_out)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def tasks(as_json: bool) -> None:
    """List the task plug-ins and check that each can be used."""
    from flows.command.terminal import show_tasks
    from recognizer.tasks import list_tasks

    listings = list_tasks()
    if as_json:
        click.echo(json.dumps([asdict(listing) for listing in listings]))
    else:
        show_tasks(listings)
    if any(listing.problem for listing in listings):
        raise click.exceptions.Exit(1)
