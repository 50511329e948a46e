"""What the store wants this process to serve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recognizer.errors import StoreUnavailable
from recognizer.store import Store, open_store, versions
from recognizer.store.engine import parse_url, sqlite_file
from recognizer.store.served import Champion, Served, read_generation, read_served


class Desired:
    """Reads the store, and comes back by itself after it was away. Used by one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._file = sqlite_file(parse_url(url))
        self._store: Store | None = None
        self._identity: tuple[int, int] | None = None

    def newer_than(self, generation: int | None) -> Served | None:
        """What should be served, or None while the store is still at `generation`.

        Raises:
            StoreUnavailable: the store is gone or does not answer; the next call tries again.
        """
        try:
            store = self._open()
            if read_generation(store) == generation:
                return None
            return read_served(store)
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
        found = versions.by_digest(self._open(), champion.previous_digest)
        if found is None:
            return None
        return replace(champion, version=found.version, digest=found.digest, previous_digest=None)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _open(self) -> Store:
        identity = _identity(self._file)
        if self._store is not None and identity != self._identity:
            # Another file lies there now (a backup was put back): the open connection still sees the old one.
            self.close()
        if self._store is None:
            self._store = open_store(self._url, migrate=False)
            self._identity = identity
        return self._store


def _identity(file: Path | None) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None for a database server."""
    if file is None:
        return None
    try:
        status = file.stat()
    except OSError as error:
        raise StoreUnavailable(
            f"the store's file is gone: {error.strerror}", where=str(file), hint="put it back; nothing else is needed"
        ) from error
    return status.st_dev, status.st_ino
