"""Fitting the network that finds people: a pure function of its data, parameters, seed and threads.

Source of the recipe: Lu et al. 2024, "RTMO" (AdamW, warm-up, cosine, average of the weights, and strong augmentation
that ends before training does).
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from recognizer.errors import TrainingError
from training.action.fit import blend, one_cycle
from training.models.rtmo import Rtmo
from training.pose.assign import AssignParams
from training.pose.loss import LossParams, losses
from training.pose.targets import Targets

Batch = tuple[Tensor, Targets]
"""Images (n, 3, h, w) in [0, 1], and who is in them."""

Batches = Callable[[int, bool], Iterable[Batch]]
"""From the epoch, counted from 0, and whether images may be mixed (mosaic, mixup), to the batches of that epoch.

A function of the two alone, whatever was drawn before, so that the same training can be run again.
"""


@dataclass(frozen=True)
class FitParams:
    """How the network is fitted.

    Attributes:
        warm_up: share of the steps in which the learning rate rises.
        average: decay of the moving average of the weights, which is what is kept.
        largest_gradient: norm that the gradient is cut to.
        plain_epochs: last epochs, in which images are not mixed any more.
        bf16: whether convolutions multiply in bfloat16; places and losses stay in float32.
    """

    epochs: int = 20
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    warm_up: float = 0.15
    average: float = 0.998
    largest_gradient: float = 10.0
    plain_epochs: int = 3
    bf16: bool = False
    seed: int = 0
    loss: LossParams = field(default_factory=LossParams)
    assign: AssignParams = field(default_factory=AssignParams)


class _Epoch:
    """Batches behind a face that Lightning takes for one loader; a list it takes for several."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)


class PoseFit(pl.LightningModule):
    """One network in training and its moving average, which is what is kept.

    Attributes:
        history: per epoch, the mean of each part of the loss by name.
    """

    def __init__(self, network: Rtmo, batches: Batches, steps: int, params: FitParams) -> None:
        super().__init__()
        # Channels last: a third faster on a CPU.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = partial(blend, decay=params.average)
        self.average = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        self.batches, self.steps, self.params = batches, steps, params
        self.history: list[dict[str, float]] = []
        self._parts: list[dict[str, Tensor]] = []

    def train_dataloader(self) -> _Epoch:
        mixed = self.current_epoch < self.params.epochs - self.params.plain_epochs
        return _Epoch(self.batches(self.current_epoch, mixed))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        params = self.params
        weights = [p for p in self.network.parameters() if p.ndim > 1]
        rest = [p for p in self.network.parameters() if p.ndim <= 1]  # norms and biases: nothing to shrink
        optimizer = torch.optim.AdamW(
            [{"params": weights, "weight_decay": params.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=params.learning_rate,
        )
        factor = partial(one_cycle, steps=self.steps, warm_up=params.warm_up)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        self._parts = []

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        images, targets = batch
        dense = self.network(images.contiguous(memory_format=torch.channels_last))
        total, parts = losses(self.network, dense, targets, self.params.loss, self.params.assign)
        value = float(total.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {self.current_epoch + 1}",
                where="training",
                hint="lower train.pose.learning_rate or train in fp32, then run again",
            )
        self._parts.append({**parts, "total": total.detach()})
        return total

    def on_train_batch_end(self, *_: Any) -> None:
        self.average.update_parameters(self.network)

    def on_train_epoch_end(self) -> None:
        names = sorted({name for parts in self._parts for name in parts})
        # A batch without people has the score's part alone.
        found = {name: [float(parts[name]) for parts in self._parts if name in parts] for name in names}
        self.history.append({name: sum(values) / len(values) for name, values in found.items()})


def fit(network: Rtmo, batches: Batches, steps: int, params: FitParams) -> tuple[Rtmo, list[dict[str, float]]]:
    """Fit `network` (its weights are where to start from); the average of its weights, and the loss of each epoch.

    Run it inside `training.action.fit.reproducible` for bit-identical weights.

    Args:
        network: is changed.
        batches: of an epoch.
        steps: batches in all epochs together, by which the learning rate falls.
        params: how.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    torch.manual_seed(params.seed)
    module = PoseFit(network, batches, steps, params)
    trainer = pl.Trainer(
        max_epochs=params.epochs,
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed" if params.bf16 else "32-true",
        gradient_clip_val=params.largest_gradient,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        reload_dataloaders_every_n_epochs=1,
    )
    with warnings.catch_warnings():
        # Lightning 2.6 asks torch 2.13 a question in a way that torch has deprecated.
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
        trainer.fit(module)
    network.load_state_dict(module.average.module.state_dict())
    return network.eval(), module.history
