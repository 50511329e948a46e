"""The DVC stages one by one: `recognizer prepare|train|export|evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flows.command.options import describes_file


@click.command()
@click.argument("task")
def prepare(task: str) -> None:
    """DVC stage: turn the pinned snapshot of TASK into what `train` reads."""
    from flows import stages
    from flows.command.session import begin
    from flows.inputs import pinned_inputs

    home = begin().home
    stages.prepare(pinned_inputs(home, task), home.processed(task) / "prepared")


@click.command()
@click.argument("task")
def train(task: str) -> None:
    """DVC stage: fit TASK on what `prepare` made; a killed training goes on from its checkpoint."""
    from flows import stages
    from flows.command.session import begin
    from flows.inputs import pinned_inputs
    from flows.progress import progress_bar

    home = begin().home
    processed = home.processed(task)
    with progress_bar(f"training {task}") as progress:
        stages.train(pinned_inputs(home, task), processed / "prepared", processed / "trained", progress)


@click.command()
@click.argument("task")
def export(task: str) -> None:
    """DVC stage: write the trained TASK model as one ONNX file."""
    from flows import stages
    from flows.command.session import begin
    from flows.inputs import pinned_inputs

    home = begin().home
    processed = home.processed(task)
    stages.export(pinned_inputs(home, task), processed / "prepared", processed / "trained", processed / "exported")


@click.command()
@click.argument("task")
@click.option("--model", help="Judge this version instead: `champion`, a version number, or a digest.")
@click.option("--data", type=click.Path(path_type=Path), help="Judge on this data file instead of the frozen test set.")
@describes_file
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    help="Judge this file of predictions for --data instead of a model, such as COCO results.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def evaluate(
    task: str,
    model: str | None,
    data: Path | None,
    meta: Path | None,
    subject_pattern: str | None,
    images: Path | None,
    predictions: Path | None,
    as_json: bool,
) -> None:
    """Judge any version of TASK on any data file.

    With --predictions, judge what some model left in a file. Without --model and --data this is the DVC stage:
    candidate against champion on the frozen test set.
    """
    from flows import stages
    from flows.command.session import begin, existing_store, require_data
    from flows.command.terminal import show_evaluation
    from flows.evaluation import evaluate_predictions, evaluate_version
    from flows.inputs import pinned_inputs
    from recognizer.errors import NotFound, PluginError, UsageError
    from recognizer.tasks import require_task

    settings = begin()
    require_task(task)
    file = require_data(data, meta, subject_pattern, images, f"evaluate {task}")
    if predictions is not None:
        if model is not None or file is None:
            raise UsageError(
                "--predictions are of a data file, and need no model",
                hint=f"recognizer evaluate {task} --data FILE --predictions {predictions}",
            )
        answer = evaluate_predictions(task, file, predictions)
    elif model is None and file is None:
        processed, inputs = settings.home.processed(task), pinned_inputs(settings.home, task)
        if not (processed / "exported" / "model.onnx").is_file():
            raise NotFound(
                "the DVC stages have made no model yet",
                where=str(processed),
                hint=f"`dvc repro` in {settings.home.root} makes one; for a registered version: "
                f"recognizer evaluate {task} --model champion",
            )
        measured = stages.evaluate(
            inputs,
            processed / "trained",
            processed / "exported",
            processed / "evaluated",
        )
        if measured.candidate is None:
            raise PluginError(
                str(measured.problem),
                where=str(processed / "exported"),
                hint=f"train it again: recognizer train {task}",
            )
        answer = {"task": task, **measured.candidate.as_dict()}
    else:
        with existing_store(settings, task) as store:
            answer = evaluate_version(settings, store, task, model or "champion", file)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        show_evaluation(answer)
