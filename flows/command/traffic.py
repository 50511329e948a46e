"""`recognizer traffic`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("task")
@click.option("--url", help="Address of the service; default: RECOGNIZER_HOST and RECOGNIZER_PORT, as `serve`.")
@click.option("--rate", default=50.0, show_default=True, help="Requests a second, on average.")
@click.option("--seconds", type=float, help="When to end; default: after 60 s, or with --requests.")
@click.option("--requests", type=int, help="End after so many requests, if that comes first.")
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "constant"]),
    default="poisson",
    show_default=True,
    help="Independent of each other, or evenly spaced.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Replay this data file (its held-out part, if any).")
@click.option("--meta", type=click.Path(path_type=Path), help="JSON with `classes` and `subject_of` for --data.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the images that --data speaks of.")
@click.option("--logged", is_flag=True, help="Replay what the service was asked last (inputs of the prediction log).")
@click.option("--body", metavar="FORM", help="How to send them, where the task knows several ways: npy or json.")
@click.option("--cameras", default=0, help="Share the requests unequally among so many X-Routing-Keys.")
@click.option("--feedback", default=0.0, help="Share of the answers to which the truth is sent back, where known.")
@click.option("--connections", default=64, show_default=True, help="At most so many at once.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds after which a request has failed.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of arrival times, order, cameras and feedback.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def traffic(
    task: str,
    url: str | None,
    rate: float,
    seconds: float | None,
    requests: int | None,
    arrivals: str,
    data: Path | None,
    meta: Path | None,
    images: Path | None,
    logged: bool,
    body: str | None,
    cameras: int,
    feedback: float,
    connections: int,
    timeout: float,
    seed: int,
    as_json: bool,
) -> None:
    """Send traffic of TASK to a running service, and show what became of it by arm and version.

    Replays recorded cases: of --data, or of --logged requests, else of the newest snapshot's test set, else synthetic
    ones. Late answers do not slow the requests down, and a latency counts from when its request was due.
    Ctrl-C ends it with the report of what was done.

    Ends with exit code 1 when a request failed.
    """
    from flows.command.session import begin
    from flows.command.terminal import show_traffic
    from flows.progress import progress_bar
    from flows.recordings import find_recordings, logged_recordings
    from flows.traffic import replay
    from recognizer.errors import UsageError
    from recognizer.ingest.origin import DataFile
    from recognizer.traffic import Arrivals, Tally, TrafficPlan

    settings = begin()
    if logged and data is not None:
        raise UsageError("--logged and --data are two sources", hint="give one of them")
    recordings = (
        logged_recordings(settings, task, body)
        if logged
        else find_recordings(
            settings, task, data=None if data is None else DataFile(data, meta, images=images), form=body
        )
    )
    plan = TrafficPlan(
        url=url or f"http://{'127.0.0.1' if settings.host == '0.0.0.0' else settings.host}:{settings.port}",  # noqa: S104
        cases=recordings.cases,
        task=task,
        media_type=recordings.media_type,
        rate=rate,
        seconds=seconds if seconds is not None or requests is not None else 60.0,
        requests=requests,
        arrivals=Arrivals(arrivals),
        connections=connections,
        timeout=timeout,
        cameras=cameras,
        feedback=feedback,
        seed=seed,
    )
    with progress_bar(f"{rate:g}/s to {plan.url}") as progress:
        tally = Tally(plan, progress)
        report = replay(plan, tally.add)
    if as_json:
        click.echo(json.dumps({"task": task, "url": plan.url, "source": recordings.source, **report.as_dict()}))
    else:
        show_traffic(report, f"{recordings.source}, to {plan.url}")
    if report.failed:
        raise click.exceptions.Exit(1)
