"""The four stages as plain functions of folders; `dvc repro` and the night run the same ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recognizer.errors import NotFound
from recognizer.evaluation import Evaluation, Parity, evaluate_classification, measure_parity
from recognizer.home import Home, atomic_folder, atomic_write, writing
from recognizer.params import StageParams, load_params
from recognizer.sequences import SequenceSet
from recognizer.snapshot import read_set
from recognizer.tasks import Predictor, Progress, load_predictor, load_trainer

BATCH = 32
"""Cases per call while evaluating: bounds memory without changing a score."""


@dataclass(frozen=True)
class StageInputs:
    """What the stages of one task start from.

    Attributes:
        snapshot: folder of the snapshot.
        parent: weights file to start from; None for a fresh start.
        champion: package folder of the champion to compare with; None when there is none.
    """

    params: StageParams
    snapshot: Path
    parent: Path | None
    champion: Path | None

    @property
    def task(self) -> str:
        return self.params.task


@dataclass(frozen=True)
class Measured:
    """What the stage `evaluate` found out; the gates judge it.

    Attributes:
        champion: None when there is none, or when it knows other classes.
        champion_classes: the champion's class list; None when there is no champion.
        disagreement: share of the test cases that the two answer differently; None without a champion to compare with.
    """

    candidate: Evaluation
    champion: Evaluation | None
    champion_classes: tuple[str, ...] | None
    parity: Parity
    disagreement: float | None = None


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
    champion = folder / "champion"
    return StageInputs(
        params=load_params(home.params, task),
        snapshot=folder / "snapshot",
        parent=weights[0] if weights else None,
        champion=champion if (champion / "model.onnx").is_file() else None,
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
    """Measure candidate and champion on the same frozen test set; leaves `measured.json` and `metrics.json`."""
    test = read_set(inputs.snapshot, "test")
    predictor = load_predictor(inputs.task)(exported, threads=1)
    candidate, scores = score(predictor, test)
    trainer = load_trainer(inputs.task)
    reference = np.concatenate([trainer.reference_scores(trained, arrays) for arrays in _batches(predictor, test)])
    champion, classes, disagreement = None, None, None
    if inputs.champion is not None:
        classes = package_classes(inputs.champion)
        if classes == test.classes:
            champion, others = score(load_predictor(inputs.task)(inputs.champion, threads=1), test)
            disagreement = float((scores.argmax(axis=1) != others.argmax(axis=1)).mean())
    measured = Measured(candidate, champion, classes, measure_parity(reference, scores), disagreement)
    with atomic_folder(evaluated) as folder:
        _write(folder / "measured.json", _as_dict(measured))
        _write(folder / "metrics.json", candidate.metrics)
    return measured


def score(predictor: Predictor, test: SequenceSet) -> tuple[Evaluation, np.ndarray]:
    """Let a model answer a set; returns its evaluation and its scores (n, k)."""
    scores = np.concatenate([predictor.predict(arrays).scores for arrays in _batches(predictor, test)])
    return evaluate_classification(scores, test.labels, test.classes, test.subjects), scores


def read_measured(evaluated: Path) -> Measured:
    """What `evaluate` left in its folder."""
    content = json.loads((evaluated / "measured.json").read_text())
    champion, classes = content["champion"], content["champion_classes"]
    return Measured(
        Evaluation.from_dict(content["candidate"]),
        Evaluation.from_dict(champion) if champion else None,
        tuple(classes) if classes is not None else None,
        Parity(**content["parity"]),
        content.get("disagreement"),
    )


def package_classes(package: Path) -> tuple[str, ...]:
    """The ordered class list of a package."""
    return tuple(json.loads((package / "package.json").read_text())["classes"])


def _batches(predictor: Predictor, test: SequenceSet) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(test), BATCH):
        yield dict(predictor.inputs(test.sequences[start : start + BATCH]))


def _as_dict(measured: Measured) -> dict[str, object]:
    return {
        "candidate": measured.candidate.as_dict(),
        "champion": measured.champion.as_dict() if measured.champion else None,
        "champion_classes": measured.champion_classes,
        "parity": asdict(measured.parity),
        "disagreement": measured.disagreement,
    }


def _write(path: Path, content: object) -> None:
    atomic_write(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
