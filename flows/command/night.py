"""`recognizer nightly` and `recognizer schedule`."""

from __future__ import annotations

import json

import click

from flows.command.options import makes_data, require_synthetic


@click.command()
@click.argument("tasks", nargs=-1)
@makes_data("Make data with the generator of each of TASKS that has none yet, seed 0.")
@click.option("--seed", type=int, help="Train with another seed than params.yaml says.")
@click.option("--accept-new-labels", is_flag=True, help="Let a snapshot with another class list replace the champion.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value (a list when several tasks are named).")
def nightly(
    tasks: tuple[str, ...],
    synthetic: bool,
    count: int | None,
    seed: int | None,
    accept_new_labels: bool,
    as_json: bool,
) -> None:
    """Run the whole night of TASKS now: retrain, judge, and promote what passed.

    Without TASKS: of every task that has data.

    Running it again does nothing twice; a night that was killed goes on where it stopped.
    """
    from flows.command.session import begin
    from flows.ingestion import ingest_missing
    from flows.night import NightRequest, NightResult
    from flows.opening import find_tasks

    require_synthetic(synthetic, count)
    settings = begin()
    if synthetic:
        ingest_missing(settings, tasks, count)
    named = find_tasks(settings, tasks)
    from flows.command.terminal import show_night
    from flows.prefect_server import prefect_server
    from flows.standing import read_standing
    from recognizer.store import open_store

    results: list[NightResult] = []
    with prefect_server(settings, schedules=False):
        # Only now: Prefect reads its environment when it is imported, and costs seconds.
        from flows.nightly import run_nightly

        for task in named:
            result = run_nightly(settings, NightRequest(task, seed=seed, accept_new_labels=accept_new_labels))
            results.append(result)
            if not as_json:
                with open_store(settings.database_url) as store:
                    show_night(result, settings, read_standing(store, result))
    if as_json:
        values = [result.as_dict() for result in results]
        click.echo(json.dumps(values if len(values) > 1 else values[0]))
    code = max(result.exit_code for result in results)
    if code:
        raise click.exceptions.Exit(code)


@click.command()
@click.argument("tasks", nargs=-1)
@click.option("--cron", help="When nights start, as a cron line; default: every day at RECOGNIZER_NIGHT_START.")
@click.option("--time-zone", help="Zone of the cron line, such as Europe/Berlin; default: RECOGNIZER_TIME_ZONE.")
def schedule(tasks: tuple[str, ...], cron: str | None, time_zone: str | None) -> None:
    """Serve the nights of TASKS (of every task without any named) as Prefect deployments, until stopped.

    Uses the Prefect server named by PREFECT_API_URL; without one, starts its own and prints where its page is.
    """
    from flows.command.session import begin
    from flows.schedule import serve_schedule
    from recognizer.tasks import trainable_tasks

    settings = begin(time_zone=time_zone)
    serve_schedule(settings, tasks or trainable_tasks(), cron)
