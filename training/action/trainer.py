"""The trainer of the task `action`: the stages `prepare`, `train` and `export`.

Torch and Lightning are imported inside methods: finding this plug-in (`recognizer tasks`) must not cost seconds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from recognizer.action.evaluator import SCORES
from recognizer.answers import Answers
from recognizer.digest import sha256_file
from recognizer.errors import FormatError, LabelError, SplitError
from recognizer.evaluation import evaluate_classification
from recognizer.home import atomic_write, writing
from recognizer.sequences import SequenceSet, read_npz, write_npz
from recognizer.skeleton import JOINTS
from recognizer.tasks import Params, Progress
from recognizer.windows import WindowSpec, to_windows
from training.action.params import ExportParams, PrepareParams, TrainParams
from training.params import read_section
from training.precision import settled
from training.records import digest_of, write_json

REFERENCE_BATCH = 32
"""Cases at once: bounds memory."""


@dataclass(frozen=True)
class Prepared:
    """What `prepare` left: the two sets training may see, the window, and a digest over all of it."""

    train: SequenceSet
    validation: SequenceSet
    spec: WindowSpec
    digest: str


class ActionTrainer:
    task = "action"

    def resolve(self, params: Params) -> Params:
        """See `recognizer.tasks.Trainer`: settles `precision` by the CPU's flags and fills in every default.

        Raises:
            UsageError: bf16 is asked for by name and this CPU does not multiply it.
        """
        chosen = read_section(TrainParams, params, "train", self.task)
        chosen = chosen.model_copy(update={"precision": settled(chosen.precision, self.task)})
        return chosen.model_dump(mode="json")

    def prepare(self, snapshot: Path, destination: Path, params: Params) -> None:
        """Write `train.npz`, `validation.npz` and `prepared.json`; clips in which nobody is ever seen are left out.

        Raises:
            SplitError: a set is empty, or all of its clips were left out.
            LabelError: the two sets have different class lists, or fewer than two classes.
        """
        from recognizer.snapshot import read_set

        chosen = read_section(PrepareParams, params, "prepare", self.task)
        card: dict[str, Any] = {"preprocessing": WindowSpec(chosen.frames, chosen.people).as_dict(), "left_out": {}}
        sets = {name: read_set(snapshot, name) for name in ("train", "validation")}
        if sets["train"].classes != sets["validation"].classes or len(sets["train"].classes) < 2:
            raise LabelError(
                f"classes {sets['train'].classes} to learn and {sets['validation'].classes} to validate",
                where=str(snapshot),
                hint="ingest data with one class list of at least two classes",
            )
        destination.mkdir(parents=True, exist_ok=True)
        for name, found in sets.items():
            kept = [i for i, clip in enumerate(found) if clip.visibility.any()]
            if not kept:
                raise SplitError(
                    f"set {name!r} has {len(found)} clips and people are seen in none of them",
                    where=str(snapshot),
                    hint="ingest recordings with visible people for every set",
                )
            card["left_out"][name] = [clip.name for clip in found if not clip.visibility.any()]
            with writing(destination):
                write_npz(destination / f"{name}.npz", found.subset(kept))
        write_json(destination / "prepared.json", card)

    def train(
        self, prepared: Path, destination: Path, params: Params, *, parent: Path | None, progress: Progress
    ) -> None:
        """Fit and calibrate; leaves `weights.pt` (see training/action/weights.py) and `training.json`.

        Checkpoints of every epoch lie in `destination/checkpoints` until the weights are written.

        Raises:
            FormatError: `prepared` or the parent cannot be read.
            TrainingError: the loss diverged, or the parent knows other classes.
        """
        from training.action.calibration import best_temperature, logits_of
        from training.action.dataset import PlainBatches
        from training.action.fit import FitData, fit
        from training.action.stgcn import SkeletonNetwork
        from training.action.weights import Weights, start_from
        from training.recipe import reproducible

        data = read_prepared(prepared)
        chosen = read_section(TrainParams, self.resolve(params), "train", self.task)
        if not chosen.warm_start.enabled:
            parent = None
        checkpoints = destination / "checkpoints"
        with reproducible(chosen.seed, chosen.threads), writing(destination):
            network = SkeletonNetwork(len(data.train.classes), chosen.network)
            start = start_from(parent, network, data.train.classes, data.spec)
            ancestor = sha256_file(parent) if parent is not None and start == "parent" else None
            if ancestor is not None:
                chosen = chosen.warmed()
            made_of = digest_of([data.digest, ancestor, chosen.model_dump(mode="json")])
            checkpoints.mkdir(parents=True, exist_ok=True)
            fitted = fit(
                network, FitData(data.train, data.validation, data.spec, made_of), chosen, checkpoints, progress
            )
            logits = logits_of(network, PlainBatches(data.validation, data.spec, chosen.batch))
            temperature = best_temperature(logits, data.validation.labels)
            network.temperature.fill_(temperature)
        Weights(network, data.train.classes, chosen.network, data.spec).save(destination / "weights.pt")
        scores = softmax(logits / temperature, axis=1)
        judged = evaluate_classification(scores, data.validation.labels, data.train.classes, data.validation.subjects)
        write_json(
            destination / "training.json",
            {
                "classes": list(data.train.classes),
                "clips": {"train": len(data.train), "validation": len(data.validation)},
                "start": start,
                "parent": ancestor,
                "epochs": len(fitted.history),
                "best_epoch": fitted.best_epoch,
                "epochs_before_resuming": fitted.resumed,
                "clips_per_second": fitted.clips_per_second,
                "precision": chosen.precision,
                "threads": chosen.threads,
                "seed": chosen.seed,
                "temperature": temperature,
                "validation": judged.metrics,
                "history": list(fitted.history),
                "params": chosen.model_dump(mode="json"),
            },
        )
        shutil.rmtree(checkpoints, ignore_errors=True)

    def export(self, trained: Path, destination: Path, params: Params, *, prepared: Path) -> None:
        """Write `model.onnx` and `model.json`; the same weights give the same bytes.

        With `int8` also a sub-folder `int8` with both files of the 8-bit form, of the same inputs and outputs,
        calibrated on windows of `validation`.

        Raises:
            FormatError: `weights.pt` or, with `int8`, `prepared` cannot be read.
        """
        from training.action.export import INPUTS, OUTPUT, to_onnx
        from training.action.weights import load_weights

        chosen = read_section(ExportParams, params, "export", self.task)
        weights = load_weights(trained / "weights.pt")
        # before the export, which takes seconds
        validation = read_prepared(prepared).validation if chosen.int8 else None
        content = to_onnx(weights.network, weights.spec, chosen)
        models = {destination: content}
        if validation is not None:
            from training.action.quantize import calibration_indices, quantize

            clips = validation.subset(calibration_indices(len(validation)))
            windows = dict(zip(INPUTS, to_windows(clips, weights.spec), strict=True))
            models[destination / "int8"] = quantize(content, windows)
        window = ["batch", weights.spec.people, weights.spec.frames, len(JOINTS)]
        description = {
            "task": self.task,
            "classes": list(weights.classes),
            "inputs": [
                {"name": INPUTS[0], "dtype": "float32", "shape": [*window, 2]},
                {"name": INPUTS[1], "dtype": "float32", "shape": window},
            ],
            "outputs": [{"name": OUTPUT, "dtype": "float32", "shape": ["batch", len(weights.classes)]}],
            "preprocessing": weights.spec.as_dict(),
            "largest_batch": chosen.largest_batch,
        }
        for folder, model in models.items():
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write(folder / "model.onnx", model)
            write_json(folder / "model.json", description)

    def reference_answers(self, trained: Path, cases: Sequence[Any]) -> Answers:
        """`scores` (n, k) by the trained network in torch, in single precision, on windows as it was trained.

        Raises:
            FormatError: `weights.pt` cannot be read.
        """
        import torch

        from training.action.stgcn import Scorer
        from training.action.weights import load_weights

        weights = load_weights(trained / "weights.pt")
        scorer = Scorer(weights.network)
        parts = (cases[start : start + REFERENCE_BATCH] for start in range(0, len(cases), REFERENCE_BATCH))
        with torch.inference_mode():
            windows = (map(torch.from_numpy, to_windows(part, weights.spec)) for part in parts)
            return {SCORES: np.concatenate([scorer(*window).numpy() for window in windows])}


def read_prepared(folder: Path) -> Prepared:
    """Read what `prepare` left.

    Raises:
        FormatError: a file is missing or damaged.
    """
    files = [folder / name for name in ("prepared.json", "train.npz", "validation.npz")]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FormatError(f"lacks {missing}", where=str(folder), hint="run the stage `prepare` again")
    card = json.loads(files[0].read_text())
    return Prepared(
        train=read_npz(files[1]),
        validation=read_npz(files[2]),
        spec=WindowSpec.from_dict(card["preprocessing"]),
        digest=digest_of([sha256_file(file) for file in files]),
    )
