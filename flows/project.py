"""The home as a DVC project without git, and DVC's errors in our words.

DVC never looks at a `.git` beside it. All it writes lies in `.dvc/`, `.dvcignore`, `dvc.lock` and `data/`, which git
ignores in a checkout.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recognizer.errors import RecognizerError, StorageError, UsageError
from recognizer.home import Home, atomic_write, writing

if TYPE_CHECKING:
    from dvc.repo import Repo

# `site_cache_dir`: DVC's notes on file hashes would else lie in /var/tmp, shared by all users of the machine.
CONFIG = """\
[core]
    no_scm = true
    analytics = false
    check_update = false
    site_cache_dir = {site}
"""

# Where DVC need not look for stage files; above all not in a checkout's virtual environment.
IGNORED = """\
/.venv
/.git
/.*_cache
/mlruns
/packages
/weights
/runs
/keys
/reports
/logs
/prefect
/bentoml
/tests
/benchmarks
"""

LOGGERS = ("dvc", "dvc_data", "dvc_objects")


@contextmanager
def open_project(home: Home) -> Iterator[Repo]:
    """The home's DVC project, made on first use; two processes may do so at once.

    DVC's own lock is waited for: a `dvc` command may be running in the home.

    Raises:
        UsageError: the home holds somebody's DVC project that is tied to git.
        DiskFull, ReadOnlyHome, StorageError: what DVC could not do inside the block.
    """
    with writing(home.root):
        _initialise(home)
    import_quietly()
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    troubles = _Troubles()
    logging.getLogger("dvc_data").addHandler(troubles)
    try:
        with writing(home.root):
            try:
                with Repo(str(home.root), _wait_for_lock=True) as project:
                    yield project
            except RecognizerError:
                raise
            except Exception as error:
                if troubles.first is not None:
                    raise troubles.first from error
                if not isinstance(error, DvcException | sqlite3.Error):
                    raise
                raise StorageError(
                    f"DVC: {error}", where=str(home.root), hint="`dvc status` in this folder shows more"
                ) from error
    finally:
        logging.getLogger("dvc_data").removeHandler(troubles)


class _Troubles(logging.Handler):
    """Keeps the first error of the operating system that DVC only logs: a failed copy to the cache is one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first: OSError | None = None

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OSError) and self.first is None:
            self.first = error


def _initialise(home: Home) -> None:
    """Write what makes a folder a DVC project. `Repo.init`, killed half-way, would leave one tied to git."""
    config = home.root / ".dvc" / "config"
    site = home.root / ".dvc" / "site"
    content = config.read_text() if config.is_file() else ""
    wanted = re.sub(r"(?m)(?<=site_cache_dir = ).*", lambda _: str(site), content)  # the home may have been moved
    if not content:
        wanted = CONFIG.format(site=site)
    elif "no_scm = true" not in content.lower():
        raise UsageError(
            "this folder holds a DVC project that is tied to git",
            where=str(config),
            hint="set RECOGNIZER_HOME to another folder, or run `dvc config core.no_scm true` in this one",
        )
    if wanted != content:
        atomic_write(config, wanted.encode())
    ignored = home.root / ".dvcignore"
    if not ignored.exists():
        atomic_write(ignored, IGNORED.encode())


def import_quietly() -> None:
    """Import DVC without its side effects: handlers that print to stdout, and colorama's wrapping of it."""
    if "dvc" in sys.modules:
        return
    import colorama
    import dvc  # noqa: F401

    colorama.deinit()
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()  # records reach our own logging instead
        logger.setLevel(logging.WARNING)
