"""The schedule: the flow `nightly` served as Prefect deployments, one per task.

Prefect replays every run that was missed while the schedule was down. Nothing is lost or done twice by that: a
night is named by the present window, so the first late run does the work and the others find it done.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import structlog

from flows.environment import prepare_environment
from recognizer.errors import StorageError, UsageError
from recognizer.home import writing
from recognizer.settings import Settings
from recognizer.store import open_store

log = structlog.get_logger("recognizer.schedule")

SERVER_START_SECONDS = 180.0
FOLLOW_SECONDS = 60.0
"""How often MLflow's aliases are brought up to date while the schedule is served."""


def serve_schedule(settings: Settings, tasks: Sequence[str], cron: str | None) -> None:
    """Serve the nights of the tasks until stopped.

    Args:
        cron: when a night starts, in the settings' time zone; default: every day at `night_start`.

    Raises:
        NotFound: no such task.
        UsageError: not a cron line.
        StorageError: the Prefect server did not start.
    """
    from recognizer.tasks import load_trainer

    for task in tasks:
        load_trainer(task)
    line = cron or "{1} {0} * * *".format(*(int(part) for part in settings.night_start.split(":")))
    prepare_environment(settings)
    settings.home.prepare()
    with prefect_server(settings) as page, following(settings):
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


@contextmanager
def following(settings: Settings) -> Iterator[None]:
    """Let MLflow's aliases follow the rollouts that promote or end by themselves while the block lasts."""
    over = threading.Event()

    def follow() -> None:
        from flows.aliases import mirror_aliases

        while not over.wait(FOLLOW_SECONDS):
            try:
                with open_store(settings.database_url) as store:
                    mirror_aliases(settings, store)
            except Exception as error:  # the nights go on without it
                log.warning("MLflow's aliases wait", error=str(error))

    thread = threading.Thread(target=follow, name="aliases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


@contextmanager
def prefect_server(settings: Settings) -> Iterator[str]:
    """The server that PREFECT_API_URL names, or one of our own for as long as the block lasts; yields its page."""
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given.removesuffix("/api")
        return
    url = f"http://127.0.0.1:{settings.prefect_port}"
    logs = settings.home.logs / "prefect-server.log"
    with writing(logs):
        logs.parent.mkdir(parents=True, exist_ok=True)
        output = logs.open("ab")
    with output:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "prefect",
                "server",
                "start",
                "--host",
                "127.0.0.1",
                "--port",
                str(settings.prefect_port),
            ],
            stdout=output,
            stderr=output,
            env={**os.environ, "PREFECT_API_URL": f"{url}/api"},
        )
        os.environ["PREFECT_API_URL"] = f"{url}/api"
        try:
            _wait_for(server, f"{url}/api/health", str(logs))
            yield url
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(server: subprocess.Popen[bytes], health: str, logs: str) -> None:
    deadline = time.monotonic() + SERVER_START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StorageError(
                f"the Prefect server ended with code {server.returncode}",
                where=logs,
                hint="read this log; the port may be taken: set RECOGNIZER_PREFECT_PORT to another",
            )
        try:
            if httpx.get(health, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)  # polling a process that has no other way to tell
    raise StorageError(
        f"the Prefect server did not answer in {SERVER_START_SECONDS:.0f} s", where=logs, hint="read this log"
    )
