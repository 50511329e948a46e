"""What a training runs on: the CPU, a GPU, or several; and what to do when a GPU is too small."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recognizer.errors import TrainingError, UsageError
from training.precision import Precision, settled

Accelerator = Literal["auto", "cpu", "gpu"]
DRIVER = Path("/proc/driver/nvidia/version")
"""There where a GPU can be used at all; asked first, as torch takes seconds to load."""
LEAST_BATCH = 2
_OUT_OF_MEMORY = re.compile(r"out of memory|alloc_failed", re.IGNORECASE)


@dataclass(frozen=True)
class Hardware:
    """Where a training runs.

    Attributes:
        accelerator: cpu or gpu.
        devices: how many of them; 0 is all GPUs of the machine, and one process on the CPU.
    """

    accelerator: Accelerator
    devices: int = 0

    def trainer_options(self, precision: Precision) -> dict[str, Any]:
        """Arguments of Lightning's `Trainer`."""
        number = self.devices or (_gpus() if self.accelerator == "gpu" else 1)
        options: dict[str, Any] = {
            "accelerator": self.accelerator,
            "devices": number,
            "precision": "bf16-mixed" if precision == "bf16" else "32-true",
        }
        if number > 1:
            # Spawned, as the command that trains cannot be started a second time from within: it holds locks. A batch
            # without people leaves the parameters that place joints unused, and every batch those of quality.
            options |= {
                "strategy": "ddp_spawn_find_unused_parameters_true",
                "sync_batchnorm": self.accelerator == "gpu",
            }
        return options

    def next_splits(self, splits: int, batch: int) -> int:
        """Into how many parts to cut a batch that was too large in `splits` parts.

        Raises:
            TrainingError: fewer than two pictures would be left.
        """
        if batch // (2 * splits) < LEAST_BATCH:
            raise TrainingError(
                f"no memory is left for {batch // splits} pictures at once",
                where="training",
                hint="choose a smaller train.pose.size, or smaller prepare.pose.height and width",
            )
        return 2 * splits


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU had no memory left: torch has a class for its own allocator, and none for cuBLAS and cuDNN."""
    return _OUT_OF_MEMORY.search(str(error)) is not None


def settled_hardware(accelerator: Accelerator, precision: Precision, task: str) -> tuple[Accelerator, Precision]:
    """Both made concrete for this machine: a GPU where there is one, and bf16 where it is multiplied in hardware.

    Raises:
        UsageError: a GPU is asked for by name and there is none, or bf16 on a CPU that does not multiply it.
    """
    if accelerator == "auto":
        accelerator = "gpu" if _gpus() else "cpu"
    elif accelerator == "gpu" and not _gpus():
        raise UsageError(
            f"train.{task}.accelerator: gpu, but torch sees none here",
            where="params.yaml",
            hint="set it to auto or cpu; on a machine with a GPU, install torch for CUDA",
        )
    if accelerator == "cpu":
        return accelerator, settled(precision, task)
    return accelerator, "bf16" if precision == "auto" else precision


def _gpus() -> int:
    """GPUs that torch can use."""
    if not DRIVER.exists():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
