"""What the store wants this process to serve."""

from __future__ import annotations

from dataclasses import replace

from recognizer.store import Store, versions
from recognizer.store.served import Champion, Served, read_generation, read_served
from serving.link import Link


class Desired:
    """Reads the store, and comes back by itself after it was away. Used by one thread."""

    def __init__(self, url: str) -> None:
        self._link = Link(url)
        self._read: Store | None = None

    def newer_than(self, generation: int | None) -> Served | None:
        """What should be served, or None while the store is still at `generation`.

        Raises:
            StoreUnavailable: the store is gone or does not answer; the next call tries again.
        """
        try:
            store = self._link.open()
            # another file may be at the same number and mean something else
            if store is self._read and read_generation(store) == generation:
                return None
            served, self._read = read_served(store), store
            return served
        except BaseException:
            self.close()
            raise

    def previous(self, champion: Champion) -> Champion | None:
        """The champion before `champion`, as the version registry knows it.

        Raises:
            StoreUnavailable: as `newer_than`.
        """
        if champion.previous_digest is None:
            return None
        found = versions.by_digest(self._link.open(), champion.previous_digest)
        if found is None:
            return None
        return replace(champion, version=found.version, digest=found.digest, previous_digest=None)

    def close(self) -> None:
        self._read = None
        self._link.close()
