"""Checkpoints of a training: every epoch's, so that it can be killed at any time, and the best one's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pytorch_lightning.callbacks import ModelCheckpoint

LAST, BEST = "last.ckpt", "best.ckpt"


def keep(folder: Path, name: str, monitor: str | None, mode: Literal["min", "max"] = "min") -> ModelCheckpoint:
    """One file: the best epoch by `monitor`, or the latest one (`save_last` would skip epochs that are no best).

    Args:
        mode: whether the best one is the smallest or the largest.
    """
    return ModelCheckpoint(
        folder,
        filename=name.removesuffix(".ckpt"),
        monitor=monitor,
        mode=mode,
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def resumable(last: Path, made_of: str) -> Path | None:
    """The checkpoint to go on from; None when there is none, or it is unreadable or of another training.

    Starting over is always right: it gives the same weights.
    """
    if not last.is_file():
        return None
    try:
        content = torch.load(last, weights_only=True)
    except Exception:  # torch raises many kinds for a damaged file
        return None
    return last if content.get("made_of") == made_of else None
