"""MLflow's aliases follow the store; the store is the truth."""

from __future__ import annotations

import structlog

from flows.registry import Registry
from recognizer.errors import RecognizerError
from recognizer.settings import Settings
from recognizer.split import Mode
from recognizer.store import Store, outbox, served
from recognizer.store.rollout_changes import ROLLOUT_TOPIC

log = structlog.get_logger("recognizer.aliases")


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
        for task, champion in serves.champions.items():
            split = serves.splits.get(task)
            challenger = None if split is None or split.mode is Mode.BAKE else split.version
            moved += registry.reconcile_aliases(task, {"champion": champion.version, "challenger": challenger})
    except RecognizerError as error:
        log.warning("MLflow's aliases could not be compared", error=str(error))
    for line in moved:
        log.warning("an alias was moved by hand and is put back", alias=line)
    return moved
