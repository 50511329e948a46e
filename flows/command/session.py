"""What every subcommand starts with: settings, logs, environment and, where it is needed, the open store."""

from __future__ import annotations

from pathlib import Path

from recognizer.errors import NoStore, NotFound, UsageError
from recognizer.ingest.origin import DataFile
from recognizer.settings import Settings, load_settings
from recognizer.store import Store, open_store


def begin(**overrides: object) -> Settings:
    """Read the settings, set up logs, and keep third parties inside the home; options given as None are left out."""
    from flows.environment import prepare_environment
    from recognizer.log import configure

    settings = load_settings(**{name: value for name, value in overrides.items() if value is not None})
    configure(settings.log_level, settings.log_format)
    prepare_environment(settings)
    return settings


def writable_store(settings: Settings) -> Store:
    """The store, made or migrated when it has to be."""
    settings.home.prepare()
    return open_store(settings.database_url)


def require_data(
    data: Path | None, meta: Path | None, subject_pattern: str | None, images: Path | None, command: str
) -> DataFile | None:
    """The data file that was named, if any; command: to name one, without `recognizer`.

    Raises:
        UsageError: something is said about a file, and none is named.
    """
    if data is not None:
        return DataFile(data, meta, subject_pattern, images)
    if meta is not None or subject_pattern is not None or images is not None:
        raise UsageError(
            "--meta, --subject-pattern and --images say something about a data file, and none was named",
            hint=f"recognizer {command} --data FILE",
        )
    return None


def find_store(settings: Settings) -> Store | None:
    """The store, migrated when it is older; None when there is none.

    A command that only reads makes none: a running service would take the empty one for what it should follow.
    """
    try:
        return open_store(settings.database_url, make=False)
    except NoStore:
        return None


def existing_store(settings: Settings, task: str) -> Store:
    """The store that has to be there already.

    Raises:
        NotFound: there is none.
    """
    store = find_store(settings)
    if store is None:
        raise NotFound(
            "there is no store, so there are no versions",
            where=str(settings.home.root),
            hint=f"put the store back if it was lost; else recognizer nightly {task}",
        )
    return store
