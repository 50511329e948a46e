"""The schedule: the flow `nightly` served as Prefect deployments, one per task.

Prefect replays every run that was missed while the schedule was down. Nothing is lost or done twice by that: a
night is named by the present window, so the first late run does the work and the others find it done.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from flows.aliases import following_aliases
from flows.environment import prepare_environment
from flows.prefect_server import prefect_server
from recognizer.errors import UsageError
from recognizer.settings import Settings

log = structlog.get_logger("recognizer.schedule")


def serve_schedule(settings: Settings, tasks: Sequence[str], cron: str | None) -> None:
    """Serve the nights of the tasks until stopped.

    Args:
        cron: when a night starts, in the settings' time zone; default: every day at `night_start`.

    Raises:
        NotFound: no such task.
        UsageError: not a cron line.
        StorageError: the Prefect server did not start, or ended.
    """
    from recognizer.tasks import load_trainer

    for task in tasks:
        load_trainer(task)
    line = cron or "{1} {0} * * *".format(*(int(part) for part in settings.night_start.split(":")))
    prepare_environment(settings)
    settings.home.prepare()
    with prefect_server(settings, schedules=True) as page, following_aliases(settings):
        _serve(settings, tasks, line, page)


def _serve(settings: Settings, tasks: Sequence[str], line: str, page: str) -> None:
    from prefect import serve
    from prefect.deployments.runner import EntrypointType
    from prefect.schedules import Cron
    from pydantic import ValidationError

    from flows.nightly import nightly

    try:
        schedule = Cron(line, timezone=settings.time_zone)
        deployments = [
            nightly.to_deployment(
                name=task,
                schedule=schedule,
                parameters={"task": task},
                description=f"Retrains {task} every night and promotes what passes its gates.",
                concurrency_limit=1,
                entrypoint_type=EntrypointType.MODULE_PATH,  # a path would be taken from wherever this was started
            )
            for task in tasks
        ]
    except (ValidationError, ValueError) as error:
        raise UsageError(
            f"{line!r} is no cron line: {error}",
            hint="write five fields, such as --cron '0 2 * * *' for 02:00 every day",
        ) from error
    log.info("schedule", tasks=list(tasks), cron=line, time_zone=settings.time_zone, page=page)
    print(f"Nights of {', '.join(tasks)} start at {line!r} ({settings.time_zone}). Prefect's page: {page}", flush=True)
    # pause_on_shutdown=False: a restart of this process must not switch the nights off.
    serve(*deployments, pause_on_shutdown=False, print_starting_message=False, limit=1)
