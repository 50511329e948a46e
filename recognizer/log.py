"""Logs: one line per event on stderr, ours and those of other libraries alike. Called by entry points only."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

OURS = "recognizer"
"""Our loggers are named below this one. Of other libraries only warnings are shown."""


def configure(level: str = "info", fmt: str = "auto", stream: TextIO | None = None) -> None:
    """Set up logging for this process; calling it again replaces the set-up.

    Args:
        level: debug, info, warning or error.
        fmt: `human`, `json`, or `auto`: human on a terminal, JSON elsewhere.
        stream: default: stderr, so that stdout holds what was asked for and nothing else.
    """
    target = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ExtraAdder(),
    ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(target, fmt)],
        )
    )
    if level != "debug":
        # on the handler, because some libraries give their loggers a level of their own
        handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith(OURS))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel({"debug": "DEBUG", "error": "ERROR"}.get(level, "WARNING"))
    logging.getLogger(OURS).setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # a logger made at the top of a module must follow a later set-up
        cache_logger_on_first_use=False,
    )


def _renderers(stream: TextIO, fmt: str) -> list[Processor]:
    terminal = stream.isatty()
    if fmt == "human" or (fmt == "auto" and terminal):
        return [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            # plain: rich ones print local variables, which may hold what must not be in a log
            structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback),
        ]
    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("event"),
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
