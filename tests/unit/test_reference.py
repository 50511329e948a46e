"""docs/cli.md is what `--help` says."""

import subprocess
import sys
import tomllib

import click

from flows.command.main import cli
from flows.command.reference import render
from recognizer.home import checkout


def test_the_reference_is_up_to_date():
    assert (checkout() / "docs" / "cli.md").read_text() == render(), "run `make docs`"


def commands(group):
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from commands(command)


def test_every_command_says_what_it_does():
    assert all(command.help and command.help.split("\n")[0].endswith(".") for command in commands(cli))


def test_help_pays_for_no_heavy_library():
    heavy = ("torch", "pytorch_lightning", "mlflow", "prefect", "great_expectations", "dvc", "bentoml", "matplotlib")
    asked = f"import sys, flows.command.main; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_package_is_named():
    root = checkout()
    named = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(root).parts)
        for name in ("flows", "recognizer", "serving", "training")
        for path in (root / name).rglob("__init__.py")
    }
    assert set(named) == found
