"""MLflow's aliases follow the store; the store is the truth."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from flows.registry import Registry
from recognizer.errors import RecognizerError
from recognizer.settings import Settings
from recognizer.split import Mode
from recognizer.store import Store, open_store, outbox, served
from recognizer.store.rollout_changes import ROLLOUT_TOPIC

log = structlog.get_logger("recognizer.aliases")

FOLLOW_SECONDS = 60.0
"""How often aliases are brought up to date beside something that lasts."""


def mirror_aliases(settings: Settings, store: Store) -> list[str]:
    """Deliver what waits in the outbox, and put back aliases that somebody moved by hand; says which.

    MLflow being away harms nobody: what serves is in the store, and the events wait for the next call.
    """
    registry = Registry(settings)
    outbox.deliver(
        store,
        {
            served.CHAMPION_TOPIC: lambda event: registry.set_alias(event["task"], "champion", event["version"]),
            ROLLOUT_TOPIC: lambda event: registry.reconcile_aliases(event["task"], {"challenger": event["challenger"]}),
        },
    )
    moved: list[str] = []
    try:
        serves = served.read_served(store)
        for task, expected in aliases_of(serves).items():
            moved += registry.reconcile_aliases(task, expected)
    except RecognizerError as error:
        log.warning("MLflow's aliases could not be compared", error=str(error))
    for line in moved:
        log.warning("an alias was moved by hand and is put back", alias=line)
    return moved


def aliases_of(serves: served.Served) -> dict[str, dict[str, int | None]]:
    """By task the aliases as the store has them; None: should not be set."""
    found: dict[str, dict[str, int | None]] = {}
    for task, champion in serves.champions.items():
        split = serves.splits.get(task)
        challenger = None if split is None or split.mode is Mode.BAKE else split.version
        found[task] = {"champion": champion.version, "challenger": challenger}
    return found


@contextmanager
def following_aliases(settings: Settings) -> Iterator[None]:
    """Let MLflow's aliases follow the rollouts that promote or end by themselves while the block lasts."""
    over = threading.Event()

    def follow() -> None:
        while not over.wait(FOLLOW_SECONDS):
            try:
                with open_store(settings.database_url) as store:
                    mirror_aliases(settings, store)
            except Exception as error:  # what this is beside of goes on without it
                log.warning("MLflow's aliases wait", error=str(error))

    threading.Thread(target=follow, name="aliases", daemon=True).start()
    try:
        yield
    finally:
        over.set()
