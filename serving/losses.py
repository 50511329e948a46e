"""Whose fault it was that a worker process died: what the leader makes of the breadcrumbs of dead processes.

A death is blamed on a model only when a run or a load of it was in flight, and then by how the process died:

- The runtime reported a fault (a segmentation fault, an abort), or the system's count of processes killed for memory
  has grown since the process last noted it: the system killed it, and it counts as one loss.
- Else it was killed in silence (`kill -9`): by a person, most of the time. How often a model is in flight at such a
  moment is its share of the time: 1 % in a CANARY, but most of the time in a SHADOW of a slow model and in a BAKE,
  where it answers 95 %. There a single one proves nothing at any step, so `SILENT` of them at different moments count
  as one loss. Some guards of memory (systemd-oomd, earlyoom) kill in silence too; a model that makes them do it does
  it again.

So the same limit is right at each step, and `Plan.losses` is 1: what counts is already proof. In a BAKE a fault could
be somebody else's, with the new model in flight by chance; but the model before has served without one, and what a
wrong verdict costs is to be served by yesterday's model.

Processes of other hosts and of containers that are gone cannot be seen, and are no losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from recognizer.store.processes import is_alive
from serving.breadcrumb import Left, read_breadcrumb
from serving.growth import count_kills

SILENT = 3
"""Deaths without a known cause that count as one loss."""
MOMENT_SECONDS = 10.0
"""Deaths in silence that follow each other more closely are one: somebody killed several workers at once."""


@dataclass(frozen=True)
class Death:
    """The end of a worker process.

    Attributes:
        at: when it lived last, in seconds since 1970.
        digests: of the models in flight.
        cause: what the system says; None when it was killed in silence.
    """

    at: float
    digests: frozenset[str]
    cause: str | None


def count_losses(deaths: Iterable[Death], digest: str, since: float) -> int:
    """How many losses there are to a model since some moment, in seconds since 1970."""
    mine = sorted((one for one in deaths if digest in one.digests and one.at >= since), key=lambda one: one.at)
    proven = sum(one.cause is not None for one in mine)
    silent, last = 0, float("-inf")
    for one in mine:
        if one.cause is None and one.at - last > MOMENT_SECONDS:
            silent, last = silent + 1, one.at
    return proven + silent // SILENT


def death_of(left: Left, kills: int) -> Death:
    """What became of a process that is gone; `kills` is the system's count now."""
    cause = left.fault
    if cause is None and 0 <= left.kills < kills:
        cause = f"the system has killed {kills - left.kills} process(es) for memory"
    return Death(left.alive_at, frozenset(left.in_flight), cause)


class Graveyard:
    """The deaths of this host's workers, found by their breadcrumbs. Used by one thread.

    Args:
        folder: of the breadcrumbs, each named after its worker, which is named after its process.
        alive: says whether a worker's process runs; None when that cannot be seen.
    """

    def __init__(
        self,
        folder: Path,
        *,
        alive: Callable[[str], bool | None] = is_alive,
        kills: Callable[[], int] = count_kills,
    ) -> None:
        self._folder = folder
        self._alive = alive
        self._kills = kills
        self._dead: dict[str, Death] = {}
        self._log = structlog.get_logger("recognizer.rollout")

    def losses(self, digest: str, since: float) -> int:
        """See `count_losses`; of the deaths that `look` has found."""
        return count_losses(self._dead.values(), digest, since)

    def forget(self, before: float) -> None:
        """Remove what was left by processes that lived last before some moment, in seconds since 1970."""
        for path in self._files():
            left = read_breadcrumb(path) if self._alive(path.name) is not True else None
            if left is not None and left.alive_at < before:
                path.unlink(missing_ok=True)
                self._dead.pop(path.name, None)

    def look(self) -> None:
        """Find out who has died."""
        for path in self._files():
            if path.name in self._dead:
                continue
            # read after the process is known to be gone: then nothing changes any more
            left = read_breadcrumb(path) if self._alive(path.name) is False else None
            if left is not None:
                death = self._dead[path.name] = death_of(left, self._kills())
                self._log.warning(
                    "a worker died",
                    worker=path.name,
                    cause=death.cause,
                    in_flight={k[:12]: v for k, v in left.in_flight.items()},
                )

    def _files(self) -> list[Path]:
        try:
            return sorted(self._folder.iterdir())
        except OSError:  # no worker has ever started here, or the home is away
            return []
