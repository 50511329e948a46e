"""Fitting the network with Lightning: a pure function of data, parameters and parent, however often it is killed."""

from __future__ import annotations

import logging
import math
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from recognizer.errors import TrainingError
from recognizer.sequences import SequenceSet
from recognizer.tasks import Progress
from recognizer.windows import WindowSpec
from training.action.calibration import best_temperature, log_loss
from training.action.dataset import Batch, PlainBatches, TrainingBatches
from training.action.params import TrainParams
from training.action.stgcn import SkeletonNetwork
from training.checkpoints import BEST, LAST, keep, resumable
from training.recipe import blend, one_cycle

MONITOR = "validation_log_loss"


@dataclass(frozen=True)
class FitData:
    """What a fit reads. `made_of` names data, parameters and parent: a checkpoint of anything else is not resumed."""

    train: SequenceSet
    validation: SequenceSet
    spec: WindowSpec
    made_of: str


@dataclass(frozen=True)
class Fitted:
    """The averaged network of the epoch that did best on validation.

    Attributes:
        history: one entry per epoch: epoch, train_loss, validation_log_loss (calibrated), validation_accuracy.
        clips_per_second: training speed of this process; None when nothing was left to train.
        resumed: number of epochs that an earlier, killed process had done.
    """

    network: SkeletonNetwork
    best_epoch: int
    history: tuple[dict[str, float], ...]
    clips_per_second: float | None
    resumed: int


class ActionFit(pl.LightningModule):
    """One network in training and its moving average, which is what gets validated and kept."""

    def __init__(self, network: SkeletonNetwork, data: FitData, params: TrainParams, progress: Progress) -> None:
        super().__init__()
        self.network = network
        average = partial(blend, decay=params.average)
        self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
        self.data = data
        self.params = params
        self.progress = progress
        self._validation = PlainBatches(data.validation, data.spec, params.batch)
        self.history: list[dict[str, float]] = []
        self.resumed = 0
        self.clips, self.seconds, self._started = 0, 0.0, 0.0
        self._losses: list[float] = []
        self._logits: list[Tensor] = []

    def train_dataloader(self) -> TrainingBatches:
        params = self.params
        return TrainingBatches(
            self.data.train, self.data.spec, params.augment, params.batch, params.seed, self.current_epoch
        )

    def val_dataloader(self) -> PlainBatches:
        return self._validation

    def configure_optimizers(self) -> dict[str, Any]:
        params = self.params
        decayed = [p for name, p in self.network.named_parameters() if p.ndim > 1 and not name.endswith("edges")]
        chosen = {id(p) for p in decayed}
        rest = [p for p in self.network.parameters() if id(p) not in chosen]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": params.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=params.learning_rate,
        )
        steps = params.epochs * len(self.train_dataloader())
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(one_cycle, steps=steps, warm_up=params.warm_up))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        # Dropout's randomness is a function of the epoch, so that a resumed run draws what it would have drawn.
        torch.manual_seed(self.params.seed * 1_000_003 + self.current_epoch + 1)
        self._losses = []
        self._started = time.perf_counter()

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        keypoints, visibility, labels = batch
        logits = self.network(keypoints, visibility)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.params.label_smoothing)
        value = float(loss.detach())
        self._refuse_unless_finite(value)
        self._losses.append(value)
        self.clips += len(labels)
        return loss

    def _refuse_unless_finite(self, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {self.current_epoch + 1}",
                where="training",
                hint="lower train.action.learning_rate or set train.action.precision to fp32, then run again",
            )

    def on_train_batch_end(self, *_: Any) -> None:
        self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        self.seconds += time.perf_counter() - self._started
        self._logits = []

    def validation_step(self, batch: Batch, _index: int) -> None:
        self._logits.append(self.average(*batch[:2]).double())

    def on_validation_epoch_end(self) -> None:
        # Log loss at the best temperature: what is deployed is calibrated, and a young network must not win by doubt.
        logits, labels = torch.cat(self._logits).numpy(), self.data.validation.labels
        self._refuse_unless_finite(float(logits.sum()))
        entry = {
            "epoch": self.current_epoch + 1,
            "train_loss": sum(self._losses) / max(len(self._losses), 1),
            MONITOR: log_loss(logits, labels, best_temperature(logits, labels)),
            "validation_accuracy": float((logits.argmax(axis=1) == labels).mean()),
        }
        self.history.append(entry)
        self.log(MONITOR, entry[MONITOR], batch_size=len(labels))
        done = f"epoch {self.current_epoch + 1}/{self.params.epochs}"
        self.progress(
            (self.current_epoch + 1) / self.params.epochs,
            f"{done}, validation accuracy {entry['validation_accuracy']:.3f}",
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["made_of"] = self.data.made_of
        checkpoint["history"] = [dict(entry) for entry in self.history]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = [dict(entry) for entry in checkpoint["history"]]
        self.resumed = len(self.history)


def fit(network: SkeletonNetwork, data: FitData, params: TrainParams, checkpoints: Path, progress: Progress) -> Fitted:
    """Fit `network` (its weights are where to start from); goes on from `checkpoints` when a killed run left some.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    module = ActionFit(network, data, params, progress)
    resume = resumable(checkpoints / LAST, data.made_of)
    trainer = pl.Trainer(
        max_epochs=params.epochs,
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed" if params.precision == "bf16" else "32-true",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        default_root_dir=checkpoints,
        callbacks=[
            EarlyStopping(MONITOR, patience=params.patience, check_on_train_epoch_end=True),
            keep(checkpoints, BEST, MONITOR),
            keep(checkpoints, LAST, None),
        ],
    )
    with warnings.catch_warnings():
        # Lightning 2.6 asks torch 2.13 a question in a way that torch has deprecated.
        warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty")
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
        trainer.fit(module, ckpt_path=resume, weights_only=True)
    best = torch.load(checkpoints / BEST, weights_only=True)
    kept = "average.module."
    network.load_state_dict(
        {name.removeprefix(kept): value for name, value in best["state_dict"].items() if name.startswith(kept)}
    )
    return Fitted(
        network=network.eval(),
        best_epoch=len(best["history"]),
        history=tuple(module.history),
        clips_per_second=module.clips / module.seconds if module.seconds > 0 else None,
        resumed=module.resumed,
    )
