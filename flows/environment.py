"""What third parties read from the environment, set before they are imported: quiet, offline, inside the home."""

from __future__ import annotations

import os

from recognizer.settings import Settings


def prepare_environment(settings: Settings) -> None:
    """Point Prefect, MLflow, DVC and Great Expectations at the home and keep them from calling out.

    A value that the user has set stays: a real Prefect server or MLflow is used by naming it.
    """
    home = settings.home
    defaults = {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # what goes wrong is told once, by us, with the next step; Prefect would add its traceback of the same
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        # a busy machine needs longer than the default 20 s for the first start of the embedded server
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "DVC_NO_ANALYTICS": "1",
        "MPLBACKEND": "Agg",
        # matplotlib and numba-like caches must not need a home directory that can be written
        "MPLCONFIGDIR": str(home.root / "logs" / "matplotlib"),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
