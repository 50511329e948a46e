"""MLflow's aliases follow the store; the store is the truth."""

from __future__ import annotations

import structlog

from flows.registry import Registry
from recognizer.errors import RecognizerError
from recognizer.settings import Settings
from recognizer.store import Store, outbox, served

log = structlog.get_logger("recognizer.aliases")


def mirror_aliases(settings: Settings, store: Store) -> list[str]:
    """Deliver what waits in the outbox, and put back aliases that somebody moved by hand; says which.

    MLflow being away harms nobody: what serves is in the store, and the events wait for the next call.
    """
    registry = Registry(settings)
    outbox.deliver(
        store, {served.CHAMPION_TOPIC: lambda event: registry.set_alias(event["task"], "champion", event["version"])}
    )
    moved: list[str] = []
    try:
        for task, champion in served.read_served(store).champions.items():
            moved += registry.reconcile_aliases(task, {"champion": champion.version})
    except RecognizerError as error:
        log.warning("MLflow's aliases could not be compared", error=str(error))
    for line in moved:
        log.warning("an alias was moved by hand and is put back", alias=line)
    return moved
