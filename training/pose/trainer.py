"""The trainer of the task `pose`: the stages `prepare`, `train` and `export`.

Torch and Lightning are imported inside methods: finding this plug-in (`recognizer tasks`) must not cost seconds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recognizer.answers import Answers
from recognizer.digest import sha256_file
from recognizer.errors import FormatError, SplitError
from recognizer.evaluation.keypoints import evaluate_keypoints
from recognizer.home import atomic_write, writing
from recognizer.images import ImageSpec
from recognizer.pose.answers import stack
from recognizer.pose.shards import Shard, ShardWriter
from recognizer.pose.snapshot import PERSON, read_scenes
from recognizer.scenes import Scene
from recognizer.skeleton import JOINTS
from recognizer.snapshot import SetName
from recognizer.tasks import Params, Progress
from training.params import read_section
from training.pose.params import ExportParams, PrepareParams, TrainParams
from training.pose.shrink import shrunk
from training.pose.threshold import best_threshold
from training.records import digest_of, write_json

SETS: tuple[SetName, SetName] = ("train", "validation")
CARD = "prepared.json"


@dataclass(frozen=True)
class Prepared:
    """What `prepare` left: the two sets training may see, the network's input, and a digest over all of it."""

    train: Shard
    validation: Shard
    spec: ImageSpec
    digest: str


class PoseTrainer:
    task = "pose"

    def resolve(self, params: Params) -> Params:
        """See `recognizer.tasks.Trainer`: settles `accelerator` and `precision` by the machine, and fills in defaults.

        Raises:
            UsageError: what is asked for by name is not here: a GPU, or bf16 on a CPU that does not multiply it.
        """
        from training.pose.hardware import settled_hardware

        chosen = read_section(TrainParams, params, "train", self.task)
        accelerator, precision = settled_hardware(chosen.accelerator, chosen.precision, self.task)
        chosen = chosen.model_copy(update={"accelerator": accelerator, "precision": precision})
        return chosen.model_dump(mode="json")

    def prepare(self, snapshot: Path, destination: Path, params: Params) -> None:
        """Write `train.shard`, `validation.shard` and `prepared.json`.

        Pictures to learn from that are much larger than the network's input are made smaller, as training would do
        each time it looks at them; those of validation stay as they are, for a model has to answer such ones.

        Raises:
            SplitError: nobody is to be found in a set.
        """
        chosen = read_section(PrepareParams, params, "prepare", self.task)
        spec = ImageSpec(chosen.height, chosen.width)
        destination.mkdir(parents=True, exist_ok=True)
        for name in SETS:
            scenes = read_scenes(snapshot, name)
            if not any(scenes.people(place).counted.any() for place in range(len(scenes))):
                raise SplitError(
                    f"set {name!r} has {len(scenes)} images and nobody with a labelled joint in them",
                    where=str(snapshot),
                    hint="ingest images with labelled people for every set",
                )
            with writing(destination), ShardWriter(destination / f"{name}.shard") as writer:
                for scene in scenes:
                    writer.add(shrunk(scene, spec.size) if name == "train" else scene)
        write_json(destination / CARD, {"preprocessing": spec.as_dict()})

    def train(
        self, prepared: Path, destination: Path, params: Params, *, parent: Path | None, progress: Progress
    ) -> None:
        """Fit; leaves `weights.pt` (see training/pose/weights.py) and `training.json`.

        Checkpoints of every epoch lie in `destination/checkpoints` until the weights are written.

        Raises:
            FormatError: `prepared` or the parent cannot be read.
            TrainingError: the loss diverged, or no memory is left.
        """
        from training.models.rtmo import Rtmo
        from training.models.sizes import SIZES
        from training.pose.find import find
        from training.pose.fit import FitData, fit
        from training.pose.hardware import Hardware
        from training.pose.weights import Weights, start_from
        from training.recipe import reproducible

        data = read_prepared(prepared)
        chosen = read_section(TrainParams, self.resolve(params), "train", self.task)
        if not chosen.warm_start.enabled:
            parent = None
        checkpoints = destination / "checkpoints"
        hardware = Hardware(chosen.accelerator, chosen.devices)
        with reproducible(chosen.seed, chosen.threads), writing(destination):
            network = Rtmo(SIZES[chosen.size])
            start = start_from(parent, network, chosen.size)
            ancestor = sha256_file(parent) if parent is not None and start == "parent" else None
            if ancestor is not None:
                chosen = chosen.warmed()
            made_of = digest_of([data.digest, ancestor, chosen.model_dump(mode="json")])
            checkpoints.mkdir(parents=True, exist_ok=True)
            fitted = fit(
                network,
                FitData(data.train, data.validation, data.spec.size, made_of),
                chosen,
                hardware,
                checkpoints,
                progress,
            )
            found = find(fitted.network, data.validation, data.spec.size, chosen.people)
        truth = [data.validation.people(place) for place in range(len(data.validation))]
        threshold = best_threshold(truth, found)
        Weights(fitted.network, chosen.size, data.spec, chosen.people, threshold).save(destination / "weights.pt")
        write_json(
            destination / "training.json",
            {
                "classes": [PERSON],
                "images": {"train": len(data.train), "validation": len(data.validation)},
                "start": start,
                "parent": ancestor,
                "epochs": len(fitted.history),
                "best_epoch": fitted.best_epoch,
                "epochs_before_resuming": fitted.resumed,
                "images_per_second": fitted.images_per_second,
                "accelerator": chosen.accelerator,
                "batch_parts": fitted.splits,
                "precision": chosen.precision,
                "threads": chosen.threads,
                "seed": chosen.seed,
                "threshold": threshold,
                "validation": dict(evaluate_keypoints(truth, found).metrics),
                "history": list(fitted.history),
                "params": chosen.model_dump(mode="json"),
            },
        )
        shutil.rmtree(checkpoints, ignore_errors=True)

    def export(self, trained: Path, destination: Path, params: Params, *, prepared: Path) -> None:
        """Write `model.onnx` and `model.json`; the same weights give the same bytes.

        Raises:
            FormatError: `weights.pt` cannot be read.
        """
        from training.pose.export import INPUT, OUTPUTS, to_onnx
        from training.pose.weights import load_weights

        chosen = read_section(ExportParams, params, "export", self.task)
        weights = load_weights(trained / "weights.pt")
        content = to_onnx(weights, chosen)
        shapes: dict[str, list[Any]] = {
            "scores": [],
            "boxes": [4],
            "joints": [len(JOINTS), 2],
            "visibility": [len(JOINTS)],
        }
        destination.mkdir(parents=True, exist_ok=True)
        atomic_write(destination / "model.onnx", content)
        write_json(
            destination / "model.json",
            {
                "task": self.task,
                "classes": [PERSON],
                "inputs": [{"name": INPUT, "dtype": "float32", "shape": ["batch", 3, *weights.spec.size]}],
                "outputs": [
                    {"name": name, "dtype": "float32", "shape": ["batch", weights.people, *shapes[name]]}
                    for name in OUTPUTS
                ],
                "preprocessing": weights.spec.as_dict(),
                "thresholds": {PERSON: weights.threshold},
                "largest_batch": chosen.largest_batch,
            },
        )

    def reference_answers(self, trained: Path, cases: Sequence[Scene]) -> Answers:
        """Everybody found in n scenes by the trained network in torch, in single precision.

        Raises:
            FormatError: `weights.pt` cannot be read.
        """
        from training.pose.find import find
        from training.pose.weights import load_weights

        weights = load_weights(trained / "weights.pt")
        return stack(find(weights.network, cases, weights.spec.size, weights.people), weights.threshold)


def read_prepared(folder: Path) -> Prepared:
    """Read what `prepare` left.

    Raises:
        FormatError: a file is missing or damaged.
    """
    files = [folder / CARD, *(folder / f"{name}.shard" for name in SETS)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FormatError(f"lacks {missing}", where=str(folder), hint="run the stage `prepare` again")
    card = json.loads(files[0].read_text())
    return Prepared(
        train=Shard(files[1]),
        validation=Shard(files[2]),
        spec=ImageSpec.from_dict(card["preprocessing"]),
        digest=digest_of([sha256_file(file) for file in files]),
    )
