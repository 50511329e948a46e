"""The four stages as plain functions of folders; `dvc repro` and the night run the same ones."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from flows import measuring
from flows.candidate import form_folder, measure_forms
from flows.inputs import StageInputs
from recognizer.evaluation.measured import FLOAT, Measured
from recognizer.gates import GateConfig
from recognizer.home import atomic_folder, atomic_write, writing
from recognizer.tasks import Progress, load_evaluator, load_trainer

MEASURED, ANSWERS, METRICS = "measured.json", "answers.npz", "metrics.json"
TRUTH = "truth"


def prepare(inputs: StageInputs, prepared: Path) -> None:
    with atomic_folder(prepared) as folder:
        load_trainer(inputs.task).prepare(inputs.snapshot, folder, inputs.params["prepare"])


def train(inputs: StageInputs, prepared: Path, trained: Path, progress: Progress) -> None:
    """Fit into `trained`; the folder keeps checkpoints, so that a killed training goes on."""
    trainer = load_trainer(inputs.task)
    with writing(trained):
        trained.mkdir(parents=True, exist_ok=True)
    trainer.train(prepared, trained, trainer.resolve(inputs.params["train"]), parent=inputs.parent, progress=progress)


def export(inputs: StageInputs, prepared: Path, trained: Path, exported: Path) -> None:
    with atomic_folder(exported) as folder:
        load_trainer(inputs.task).export(trained, folder, inputs.params["export"], prepared=prepared)


def evaluate(inputs: StageInputs, trained: Path, exported: Path, evaluated: Path) -> Measured:
    """Measure the candidate and its rivals on the same frozen test set.

    Leaves `measured.json`, `metrics.json` and every answer in `answers.npz` (`MODEL/ARRAY`, and what is true in
    `truth/ARRAY`), and the same of an 8-bit form that may be chosen in `int8/`. Returns what was measured of the float
    form.
    """
    config = GateConfig.read(inputs.params["evaluate"], task=inputs.task)
    evaluator = load_evaluator(inputs.task)
    test = measuring.make_test_set(evaluator, evaluator.load(inputs.snapshot, "test"), config)
    reference = partial(load_trainer(inputs.task).reference_answers, trained)
    made = measure_forms(inputs, config, test, exported, reference)
    with atomic_folder(evaluated) as folder:
        for form, (measured, answers) in made.items():
            place = form_folder(folder, form)
            write_measured(place, measured)
            _write(place / METRICS, {} if measured.candidate is None else measured.candidate.metrics)
            kept = {**answers, TRUTH: test.truth}
            arrays = {f"{model}/{name}": array for model, one in kept.items() for name, array in one.items()}
            np.savez_compressed(place / ANSWERS, allow_pickle=False, **arrays)
    return made[FLOAT][0]


def write_measured(place: Path, measured: Measured) -> None:
    """What `read_measured` reads again."""
    _write(place / MEASURED, measured.as_dict())


def read_measured(evaluated: Path, form: str = FLOAT) -> Measured:
    """What `evaluate` left in its folder.

    Raises:
        FormatError: it is not what this version writes.
    """
    return Measured.from_dict(json.loads((form_folder(evaluated, form) / MEASURED).read_text()))


def has_measured(evaluated: Path, form: str = FLOAT) -> bool:
    """Whether `evaluate` has left anything of this form."""
    return (form_folder(evaluated, form) / MEASURED).is_file()


def _write(path: Path, content: object) -> None:
    atomic_write(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
