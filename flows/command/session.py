"""What every subcommand starts with: settings, logs, environment and, where it is needed, the open store."""

from __future__ import annotations

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
