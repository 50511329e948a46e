"""Render `--help` of every command as Markdown: `python -m flows.command.reference docs/cli.md`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flows.command.main import cli

WIDTH = 100


def render() -> str:
    """The whole reference, the same on every terminal."""
    parts = [
        "# The command",
        "",
        "Written by `make docs` from `--help`; a test compares. Every reading command prints one JSON value with",
        "`--json`; logs go to stderr.",
        "",
    ]
    top = top_context()
    parts.append(f"## recognizer\n\n```\n{cli.get_help(top)}\n```\n")
    for name in cli.list_commands(top):
        parts += _sections(f"recognizer {name}", cli.commands[name], top)
    return "\n".join(parts)


def top_context() -> click.Context:
    """The context that every subcommand runs in; click takes the names of the help option from it."""
    return click.Context(cli, info_name="recognizer", terminal_width=WIDTH, **cli.context_settings)


def _sections(title: str, command: click.Command, parent: click.Context) -> list[str]:
    """The command, then the commands below it."""
    name = title.rpartition(" ")[2]
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    parts = [f"## {title}\n\n```\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            parts += _sections(f"{title} {below}", command.commands[below], context)
    return parts


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render())
