"""Fitting the network that finds people: a pure function of data, parameters and parent, however often it is killed.

Source of the recipe: Lu et al. 2024, "RTMO" (warm-up, average of the weights, and pictures put together of several
until shortly before the end); optimizer and learning rate are ours, see `training.muon` and `training.recipe`.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from recognizer.errors import TrainingError
from recognizer.evaluation.keypoints import evaluate_keypoints
from recognizer.scenes import Scene
from recognizer.tasks import Progress
from training.checkpoints import BEST, LAST, keep, resumable
from training.models.rtmo import Rtmo
from training.muon import Muon
from training.pose.assign import AssignParams
from training.pose.batches import Batch, Size, TrainingBatches, opencv_alone
from training.pose.find import find
from training.pose.hardware import Hardware, out_of_memory
from training.pose.loss import losses
from training.pose.params import TrainParams
from training.pose.quality import fit_quality
from training.recipe import blend, linear_decay

MONITOR = "validation_quality"
ENDS = 0.2
"""Learning rate of first and last layers, biases and gains, which AdamW moves, for one of the inner weights."""
VALIDATED = 500
"""Pictures of the validation set that are looked at after every epoch."""


@dataclass(frozen=True)
class FitData:
    """What a fit reads. `made_of` names data, parameters and parent: a checkpoint of anything else is not resumed.

    Attributes:
        size: (height, width) of the network's input.
    """

    train: Sequence[Scene]
    validation: Sequence[Scene]
    size: Size
    made_of: str


@dataclass(frozen=True)
class Fitted:
    """The averaged network of the epoch that did best on validation, and how well it places joints taught afterwards.

    Attributes:
        history: one entry per epoch: epoch, each part of the loss by name, and on validation AP and mean_oks, by the
            anchors' own scores.
        images_per_second: training speed of this process; None when nothing was left to train.
        resumed: number of epochs that an earlier, killed process had done.
        splits: parts that a batch was cut into, for a GPU that was too small for it.
    """

    network: Rtmo
    best_epoch: int
    history: tuple[dict[str, float], ...]
    images_per_second: float | None
    resumed: int
    splits: int


class PoseFit(pl.LightningModule):
    """One network in training and its moving average, which is what gets validated and kept."""

    def __init__(self, network: Rtmo, data: FitData, params: TrainParams, splits: int, progress: Progress) -> None:
        super().__init__()
        # Channels last: a third faster on a CPU.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(self.network, multi_avg_fn=partial(blend, decay=params.average), use_buffers=True)
        self.average.requires_grad_(False)
        self.data, self.params, self.splits, self.progress = data, params, splits, progress
        self.assign = AssignParams()
        self.history: list[dict[str, float]] = []
        self.resumed = 0
        self.images, self.seconds, self._started = 0, 0.0, 0.0
        self._parts: list[dict[str, float]] = []

    def train_dataloader(self) -> TrainingBatches:
        params = self.params
        return TrainingBatches(
            self.data.train,
            self.data.size,
            params.augment,
            params.batch // self.splits,
            params.seed,
            self.current_epoch,
            together=self.current_epoch < params.epochs - params.plain_epochs,
            share=(self.global_rank, self.trainer.world_size),
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        params = self.params
        inner = self.network.inner_weights()
        known = {id(weight) for weight in inner}
        optimizer = Muon(
            inner,
            [parameter for parameter in self.network.parameters() if id(parameter) not in known],
            lr=params.learning_rate,
            rest_lr=params.learning_rate * ENDS,
            weight_decay=params.weight_decay,
            exact="bf16" not in str(self.trainer.precision),
        )
        steps = params.epochs * math.ceil(len(self.train_dataloader()) / self.splits)
        factor = partial(linear_decay, steps=steps, warm_up=params.warm_up)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        self._parts = []
        self._started = time.perf_counter()

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        images, targets = batch
        dense = self.network(images.contiguous(memory_format=torch.channels_last))
        total, parts = losses(self.network, dense, targets, self.params.loss, self.assign)
        parts["loss"] = total.detach()
        # Numbers: thousands of tensors that stay would scatter what is left of the memory between them.
        values = dict(zip(parts, torch.stack(list(parts.values())).tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            raise TrainingError(
                f"the loss became {values['loss']} in epoch {self.current_epoch + 1}",
                where="training",
                hint="lower train.pose.learning_rate or set train.pose.precision to fp32, then run again",
            )
        self._parts.append(values)
        self.images += len(images)
        return total

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.average.update_parameters(self.network)

    def on_train_epoch_end(self) -> None:
        self.seconds += time.perf_counter() - self._started
        epoch, epochs = self.current_epoch + 1, self.params.epochs
        judged = self._judged()
        self.history.append({"epoch": epoch, **self._means(), **judged})
        # What the gates look at; AP alone stays 0 for long, and any epoch would be as good as the first.
        self.log(MONITOR, judged["AP"] + judged["mean_oks"], batch_size=1)
        self.progress(epoch / epochs, f"epoch {epoch}/{epochs}, validation AP {judged['AP']:.3f}")

    def _means(self) -> dict[str, float]:
        names = sorted({name for parts in self._parts for name in parts})
        # A batch without people has the score's part alone.
        found = {name: [parts[name] for parts in self._parts if name in parts] for name in names}
        return {name: sum(values) / len(values) for name, values in found.items()}

    def _judged(self) -> dict[str, float]:
        scenes = self.data.validation[:VALIDATED]
        network = self.average.module
        assert isinstance(network, Rtmo)
        found = find(network, scenes, self.data.size, self.params.people, weighed=False)
        metrics = evaluate_keypoints([scene.people for scene in scenes], found).metrics
        return {name: metrics[name] for name in ("AP", "mean_oks")}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["made_of"] = self.data.made_of
        checkpoint["history"] = [dict(entry) for entry in self.history]
        checkpoint["speed"] = (self.images, self.seconds)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = [dict(entry) for entry in checkpoint["history"]]
        self.resumed = len(self.history)


def fit(
    network: Rtmo, data: FitData, params: TrainParams, hardware: Hardware, checkpoints: Path, progress: Progress
) -> Fitted:
    """Fit `network` (its weights are where to start from); goes on from `checkpoints` when a killed run left some.

    A GPU that is too small for a batch gets it in two parts, whose gradients are added, then in four, and so on.

    Raises:
        TrainingError: the loss is no longer a number, or the GPU is too small for two pictures.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    start = {name: value.clone() for name, value in network.state_dict().items()}
    splits = 1
    while True:
        try:
            module = PoseFit(network, data, params, splits, progress)
            _train(module, hardware, checkpoints)
            break
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            splits = hardware.next_splits(splits, params.batch)
        network.load_state_dict(start)
    fitted = _fitted(module, checkpoints)
    with opencv_alone():
        fit_quality(fitted.network, data.train, data.size, params)
    return fitted


def _train(module: PoseFit, hardware: Hardware, checkpoints: Path) -> None:
    trainer = pl.Trainer(
        max_epochs=module.params.epochs,
        **hardware.trainer_options(module.params.precision),
        accumulate_grad_batches=module.splits,
        gradient_clip_val=module.params.largest_gradient,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
        default_root_dir=checkpoints,
        callbacks=[keep(checkpoints, BEST, MONITOR, "max"), keep(checkpoints, LAST, None)],
    )
    with warnings.catch_warnings():
        # Lightning 2.6 asks torch 2.13 a question in a way that torch has deprecated.
        warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
        resume = resumable(checkpoints / LAST, module.data.made_of)
        with opencv_alone():
            trainer.fit(module, ckpt_path=resume, weights_only=True)


def _fitted(module: PoseFit, checkpoints: Path) -> Fitted:
    """Read from the checkpoints: several processes may have trained, and this one is none of them."""
    last, best = (torch.load(checkpoints / name, weights_only=True, map_location="cpu") for name in (LAST, BEST))
    network, kept = module.network.cpu(), "average.module."
    network.load_state_dict(
        {name.removeprefix(kept): value for name, value in best["state_dict"].items() if name.startswith(kept)}
    )
    images, seconds = last["speed"]
    return Fitted(
        network=network.eval(),
        best_epoch=len(best["history"]),
        history=tuple(last["history"]),
        images_per_second=images / seconds if seconds > 0 else None,
        resumed=module.resumed,
        splits=module.splits,
    )
