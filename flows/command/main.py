"""Entry point of the `recognizer` command: settings, logs, and errors turned into exit codes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from flows.command.comparison import compare
from flows.command.data import ingest, tasks
from flows.command.doctor import doctor
from flows.command.group import Group
from flows.command.models import gates, models, register
from flows.command.night import nightly, schedule
from flows.command.predictions import erase
from flows.command.rollout import rollout
from flows.command.serve import serve
from flows.command.stages import evaluate, export, prepare, train
from flows.command.traffic import traffic
from recognizer import __version__
from recognizer.errors import RecognizerError, StorageError, UsageError
from recognizer.home import refusal


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="recognizer")
def cli() -> None:
    """Keep vision models fresh: retrain every night, judge with evidence, serve the better one.

    Exit codes: 0 done, 1 a gate or check said no, or a request failed, 2 bad usage, 3 bad input, 4 not found,
    5 conflict, 6 package not trusted, 7 disk or store, 8 plug-in, 9 training.
    """


COMMANDS = (
    ingest,
    nightly,
    schedule,
    serve,
    rollout,
    traffic,
    models,
    gates,
    compare,
    register,
    erase,
    tasks,
    doctor,
    prepare,
    train,
    export,
    evaluate,
)
for command in COMMANDS:
    cli.add_command(command)


class Terminated(KeyboardInterrupt):
    """SIGTERM: the command ends as after Ctrl-C, so that nothing it has started stays behind."""


def main() -> None:
    """Run the command; an error on purpose is a message with the next step, never a traceback."""
    try:
        with _unwound_by_sigterm():
            code = cli(prog_name="recognizer", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        click.echo("stopped", err=True)
        sys.exit(128 + _stopped_by(error))
    except SystemExit as error:
        if (number := _stopped_by(error)) == 0:
            raise
        click.echo("stopped", err=True)  # Lightning makes an exit of its own of Ctrl-C
        sys.exit(128 + number)
    except click.ClickException as error:
        if "--json" in sys.argv:
            wrong = UsageError(error.format_message(), hint="`recognizer COMMAND --help` shows how it is called")
            click.echo(json.dumps(wrong.as_json()))
        error.show()
        sys.exit(2)
    except RecognizerError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; nothing to say to anybody
        sys.exit(0)
    except OSError as error:
        _tell(refusal(error))
        sys.exit(StorageError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stopped_by(error: BaseException) -> int:
    """The signal that this exception goes back to; 0 when it has another reason."""
    found, number = error, 0
    while found is not None:
        if isinstance(found, Terminated):
            return int(signal.SIGTERM)
        if isinstance(found, click.exceptions.Abort | KeyboardInterrupt):
            number = int(signal.SIGINT)
        found = found.__cause__ or found.__context__
    return number


def _tell(error: RecognizerError) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps(error.as_json()))
    click.echo(f"recognizer: {error}", err=True)


if __name__ == "__main__":
    main()
