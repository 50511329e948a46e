"""A thread's own way to the store, which comes back by itself after the store was away."""

from __future__ import annotations

from pathlib import Path

from recognizer.errors import StoreUnavailable
from recognizer.store import Store, open_store
from recognizer.store.engine import parse_url, sqlite_file


class Link:
    """Opens the store when it is needed, and again when another file lies in its place. Used by one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._file = sqlite_file(parse_url(url))
        self._store: Store | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> Store:
        """The store.

        Raises:
            StoreUnavailable: it is gone or does not answer; the next call tries again.
        """
        identity = _identity(self._file)
        if self._store is not None and identity != self._identity:
            # Another file lies there now (a backup was put back): the open connection still sees the old one.
            self.close()
        if self._store is None:
            self._store = open_store(self._url, migrate=False)
            self._identity = identity
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


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
