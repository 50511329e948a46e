"""Calibration: one temperature, fitted on validation, that makes scores mean what they say.

Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (2017).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from training.action.dataset import PlainBatches
from training.action.stgcn import SkeletonNetwork

LOWEST, HIGHEST = 0.2, 5.0


def logits_of(network: SkeletonNetwork, batches: PlainBatches) -> NDArray[np.float64]:
    """Logits (n, k) of a network in evaluation mode, before the temperature."""
    with torch.inference_mode():
        return np.concatenate([network(keypoints, visibility).numpy() for keypoints, visibility, _ in batches]).astype(
            np.float64
        )


def best_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature in [0.2, 5] with the lowest log loss; few or perfect answers must not push it further."""
    found = minimize_scalar(
        lambda log_temperature: log_loss(logits, labels, float(np.exp(log_temperature))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def log_loss(logits: NDArray[np.float64], labels: NDArray[np.int64], temperature: float) -> float:
    """Mean of -log(score of the right class) at a temperature."""
    scores = log_softmax(logits / temperature, axis=1)
    return -float(scores[np.arange(len(labels)), labels].mean())
