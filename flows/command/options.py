"""Options that several subcommands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])


def describes_file(command: Command) -> Command:
    """What is said of a data file beside its path: `meta`, `subject_pattern` and `images`."""
    for option in reversed(
        (
            click.option("--meta", type=click.Path(path_type=Path), help="JSON with `classes` and `subject_of`."),
            click.option(
                "--subject-pattern", help="Regular expression whose group finds the subject in a case's name."
            ),
            click.option(
                "--images", type=click.Path(path_type=Path), help="Folder of the images that the file speaks of."
            ),
        )
    ):
        command = option(command)
    return command


def makes_data(what: str) -> Callable[[Command], Command]:
    """`synthetic` and `count`: data of the task's generator in place of a file; what: `synthetic` says of itself."""

    def add(command: Command) -> Command:
        count = click.option(
            "--count",
            type=click.IntRange(min=1),
            help="How many cases to make with --synthetic; default: what the task says.",
        )
        return click.option("--synthetic", is_flag=True, help=what)(count(command))

    return add


def require_synthetic(synthetic: bool, count: int | None) -> None:
    """Raise UsageError when somebody says how many cases to make, and none are to be made."""
    from recognizer.errors import UsageError

    if count is not None and not synthetic:
        raise UsageError("--count says how many cases to make, and none are made", hint="add --synthetic")
