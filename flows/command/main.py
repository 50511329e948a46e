"""Entry point of the `recognizer` command: settings, logs, and errors turned into exit codes."""

from __future__ import annotations

import json
import sys

import click

from flows.command.data import ingest, tasks
from flows.command.models import gates, models, register
from flows.command.night import nightly, schedule
from flows.command.predictions import erase
from flows.command.serve import serve
from flows.command.stages import evaluate, export, prepare, train
from flows.command.traffic import traffic
from recognizer import __version__
from recognizer.errors import RecognizerError, StorageError


class Group(click.Group):
    """Shows the subcommands in the order of the way a model goes, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="recognizer")
def cli() -> None:
    """Keep vision models fresh: retrain every night, judge with evidence, serve the better one.

    Exit codes: 0 done, 1 a gate said no or a request failed, 2 bad usage, 3 bad input, 4 not found, 5 conflict,
    6 package not trusted, 7 disk or store, 8 plug-in, 9 training.
    """


COMMANDS = (
    ingest,
    nightly,
    schedule,
    serve,
    traffic,
    models,
    gates,
    register,
    erase,
    tasks,
    prepare,
    train,
    export,
    evaluate,
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command; an error on purpose is a message with the next step, never a traceback."""
    try:
        code = cli(prog_name="recognizer", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except RecognizerError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; nothing to say to anybody
        sys.exit(0)
    except OSError as error:
        _tell(StorageError(str(error), hint="check the file or disk named above, then run the command again"))
        sys.exit(StorageError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: RecognizerError) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps(error.as_json()))
    click.echo(f"recognizer: {error}", err=True)


if __name__ == "__main__":
    main()
