"""The four stages as plain functions of folders; `dvc repro` and the night run the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flows import measuring
from recognizer.digest import sha256_file
from recognizer.errors import InputError, NotFound, PluginError
from recognizer.evaluation.measured import Costs, Measured, Rival
from recognizer.evaluation.record import Evaluation
from recognizer.gates import GateConfig
from recognizer.home import Home, atomic_folder, atomic_write, writing
from recognizer.package import MANIFEST
from recognizer.params import StageParams, load_params
from recognizer.sequences import SequenceSet
from recognizer.snapshot import read_set, read_snapshot
from recognizer.tasks import Predictor, Progress, load_predictor, load_trainer
from serving.footprint import measure_footprints

THREADS = 1
"""Of a session while a model is measured: as in service by default, and the scores are the same on every machine."""
MEASURED, ANSWERS, METRICS = "measured.json", "answers.npz", "metrics.json"
BEST = "best.json"

Reference = Callable[[Sequence[Any]], np.ndarray]
"""n cases → scores (n, k)."""


@dataclass(frozen=True)
class Best:
    """The best version by a metric that was ever blessed on a test set.

    Attributes:
        package: its folder.
    """

    digest: str
    version: int
    package: Path


@dataclass(frozen=True)
class StageInputs:
    """What the stages of one task start from.

    Attributes:
        snapshot: folder of the snapshot.
        parent: weights file to start from; None for a fresh start.
        champion: package folder of the champion to compare with; None when there is none.
        best: metric of the relative gate → best version on this test set; None where there is none.
        golden: folder of the golden cases; None when there is none.
    """

    params: StageParams
    snapshot: Path
    parent: Path | None
    champion: Path | None
    best: Mapping[str, Best | None] = field(default_factory=dict)
    golden: Path | None = None

    @property
    def task(self) -> str:
        return self.params.task


def pinned_inputs(home: Home, task: str) -> StageInputs:
    """The inputs that the last ingest or night pinned for the DVC stages.

    Raises:
        NotFound: nothing was pinned yet.
    """
    folder = home.pinned(task)
    if not (folder / "snapshot").is_dir():
        raise NotFound(
            "nothing to work on: no data was ingested", where=str(folder), hint=f"recognizer ingest {task} FILE"
        )
    weights = sorted((folder / "parent").glob("*.pt"))
    champion, best = folder / "champion", folder / "best"
    named = json.loads((best / BEST).read_text()) if (best / BEST).is_file() else {}
    return StageInputs(
        params=load_params(home.params, task),
        snapshot=folder / "snapshot",
        parent=weights[0] if weights else None,
        champion=champion if (champion / "model.onnx").is_file() else None,
        best={metric: one and Best(**one, package=best / one["digest"]) for metric, one in named.items()},
        golden=folder / "golden",
    )


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

    Leaves `measured.json`, `metrics.json` and every answer in `answers.npz` (labels and scores by model).
    """
    config = GateConfig.read(inputs.params["evaluate"], task=inputs.task)
    test = measuring.TestSet.of(read_set(inputs.snapshot, "test"), config)
    reference = partial(load_trainer(inputs.task).reference_scores, trained)
    measured, answers = measure(inputs, config, test, exported, reference)
    with atomic_folder(evaluated) as folder:
        _write(folder / MEASURED, measured.as_dict())
        _write(folder / METRICS, {} if measured.candidate is None else measured.candidate.metrics)
        np.savez_compressed(folder / ANSWERS, labels=test.cases.labels, **answers)
    return measured


def measure(
    inputs: StageInputs, config: GateConfig, test: measuring.TestSet, model: Path, reference: Reference | None
) -> tuple[Measured, dict[str, np.ndarray]]:
    """What the gates judge, short of the real service, and the scores (n, k) of each model by its name.

    Args:
        model: folder of the candidate, as `load_predictor(task)` takes it.
        reference: scores of the network it was exported from; None where there is none.
    """
    classes = test.cases.classes
    standing = Measured(
        classes,
        None,
        champion=None if inputs.champion is None else package_digest(inputs.champion),
        champion_classes=None if inputs.champion is None else package_classes(inputs.champion),
        best={metric: one and one.digest for metric, one in inputs.best.items()},
    )
    try:
        predictor = load_predictor(inputs.task)(model, threads=THREADS)
        scores, parity = measuring.measure_batches(predictor, test.cases.sequences, reference)
        candidate = test.evaluate(scores)
        costs = _costs(inputs, model, test.cases) if config.gates.budgets is not None else None
    except (InputError, PluginError) as error:
        return replace(standing, problem=measuring.problem_of(error)), {}
    answers = {"candidate": scores}
    rivals: dict[str, Rival] = {}
    for digest, version, package in _rivals(inputs, classes):
        answers[digest] = measuring.answer(load_predictor(inputs.task)(package, threads=THREADS), test.cases.sequences)
        rivals[digest] = measuring.compare(config, test, scores, answers[digest], digest=digest, version=version)
    made = replace(standing, candidate=candidate, rivals=rivals, parity=parity, costs=costs)
    if (golden := config.gates.golden) is not None:
        synthetic = read_snapshot(inputs.snapshot).synthetic
        made = replace(
            made,
            golden=measuring.ask_golden(predictor, inputs.golden, classes, synthetic=synthetic),
            invariances=tuple(measuring.change_inputs(predictor, test.cases, scores, golden)),
        )
    return made, answers


def _rivals(inputs: StageInputs, classes: tuple[str, ...]) -> list[tuple[str, int | None, Path]]:
    """Digest, version and folder of every model that the candidate is compared with, each once."""
    found = {one.digest: (one.digest, one.version, one.package) for one in inputs.best.values() if one is not None}
    if inputs.champion is not None and package_classes(inputs.champion) == classes:
        digest = package_digest(inputs.champion)
        found[digest] = (digest, found[digest][1] if digest in found else None, inputs.champion)
    return list(found.values())


def _costs(inputs: StageInputs, model: Path, test: SequenceSet) -> Costs:
    """Of the candidate, and of the champion in the same run."""
    champion = [inputs.champion] if inputs.champion is not None else []
    found = measure_footprints(inputs.task, [model, *champion], test.sequences, threads=THREADS)
    return Costs(found[0], found[1] if champion else None)


def score(predictor: Predictor, cases: SequenceSet, config: GateConfig) -> tuple[Evaluation, np.ndarray]:
    """Let a model answer a set; returns its evaluation and its scores (n, k)."""
    scores = measuring.answer(predictor, cases.sequences)
    return measuring.TestSet.of(cases, config).evaluate(scores), scores


def read_measured(evaluated: Path) -> Measured:
    """What `evaluate` left in its folder.

    Raises:
        FormatError: it is not what this version writes.
    """
    return Measured.from_dict(json.loads((evaluated / MEASURED).read_text()))


def package_classes(package: Path) -> tuple[str, ...]:
    """The ordered class list of a package."""
    return tuple(json.loads((package / "package.json").read_text())["classes"])


def package_digest(package: Path) -> str:
    """The digest that a package's manifest gives it."""
    return sha256_file(package / MANIFEST)


def _write(path: Path, content: object) -> None:
    atomic_write(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
