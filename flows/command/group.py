"""A group of subcommands."""

from __future__ import annotations

import click


class Group(click.Group):
    """Shows the subcommands in the order of the way a model goes, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)
