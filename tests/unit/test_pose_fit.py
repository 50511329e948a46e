"""Fitting the network that finds people: batches of an epoch, the average, and a GPU that is too small."""

from statistics import median

import numpy as np
import pytest
import torch

from recognizer.errors import TrainingError, UsageError
from recognizer.synthetic.scenes import generate_scenes
from training.models.rtmo import Rtmo
from training.models.sizes import RtmoConfig
from training.pose import fit as fitting
from training.pose.fit import FitData, fit
from training.pose.hardware import Hardware, out_of_memory, settled_hardware
from training.pose.params import LossParams, TrainParams
from training.recipe import reproducible

TINY = RtmoConfig(
    width=0.125,
    hidden=16,
    fine=16,
    inner=8,
    feedforward=16,
    attention_heads=2,
    stride_groups=1,
    pose_width=16,
    joint_features=8,
    encoding=8,
    bins=(12, 16),
    map_features=6,
    refine_features=4,
)
SCENES = tuple(generate_scenes(10, size=64))
CPU = Hardware("cpu")


def nothing(_share, _line):
    """No progress is shown."""


def run(folder, epochs=2, hardware=CPU, **changes):
    params = TrainParams(epochs=epochs, plain_epochs=1, batch=4, average=0.5, **{"learning_rate": 0.02, **changes})
    with reproducible(0, 1):
        return fit(Rtmo(TINY), FitData(SCENES[:6], SCENES[6:], (64, 64), "these"), params, hardware, folder, nothing)


def weights_of(fitted):
    return torch.cat([value.flatten().float() for value in fitted.network.state_dict().values()])


def test_the_same_training_gives_the_same_weights(tmp_path):
    first, second = run(tmp_path / "1"), run(tmp_path / "2")
    assert first.history == second.history
    assert torch.equal(weights_of(first), weights_of(second))
    assert [entry["epoch"] for entry in first.history] == [1, 2]
    assert {"AP", "mean_oks", "loss", "bins", "score"} <= set(first.history[0])
    assert first.images_per_second is not None
    assert (first.resumed, first.splits) == (0, 1)


def test_it_learns(tmp_path):
    history = run(tmp_path, epochs=24).history
    for part, much in (("loss", 2.0), ("bins", 0.3), ("maps", 1.0)):
        # Of six pictures, so that single epochs vary; the last one shows others.
        assert median(entry[part] for entry in history[16:-1]) < history[0][part] - much


def test_a_training_that_ended_is_not_done_again(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert second.resumed == 2
    assert second.history == first.history
    assert torch.equal(weights_of(first), weights_of(second))


def test_a_loss_that_is_no_number_ends_it(tmp_path):
    with pytest.raises(TrainingError, match="epoch 1"):
        run(tmp_path, loss=LossParams(box=float("inf")))


class Full:
    """A GPU that has memory for two pictures and no more, as torch says it."""

    def __init__(self, losses):
        self.losses, self.seen = losses, []

    def __call__(self, network, dense, *rest):
        self.seen.append(len(dense.scores))
        if len(dense.scores) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.losses(network, dense, *rest)


def test_a_gpu_that_is_too_small_gets_a_batch_in_parts(tmp_path, monkeypatch):
    full = Full(fitting.losses)
    monkeypatch.setattr(fitting, "losses", full)
    fitted = run(tmp_path)
    assert fitted.splits == 2
    assert full.seen[:4] == [4, 2, 2, 2]
    assert len(fitted.history) == 2


def test_what_is_no_lack_of_memory_is_raised(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("a kernel is missing")

    monkeypatch.setattr(fitting, "losses", broken)
    with pytest.raises(RuntimeError, match="kernel"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("splits", "batch", "expected"), [(1, 32, 2), (2, 32, 4), (8, 32, 16), (1, 4, 2), (2, 4, None), (1, 2, None)]
)
def test_parts_of_a_batch(splits, batch, expected):
    if expected is None:
        with pytest.raises(TrainingError, match=f"{batch // splits} pictures"):
            CPU.next_splits(splits, batch)
    else:
        assert CPU.next_splits(splits, batch) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_lack_of_memory(error, expected):
    assert out_of_memory(error) is expected


def test_the_hardware_of_a_machine_without_a_gpu(monkeypatch):
    monkeypatch.setattr("training.precision.cpu_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr("training.pose.hardware._gpus", lambda: 0)
    assert settled_hardware("auto", "auto", "pose") == ("cpu", "bf16")
    assert settled_hardware("cpu", "fp32", "pose") == ("cpu", "fp32")
    with pytest.raises(UsageError, match="sees none"):
        settled_hardware("gpu", "auto", "pose")
    assert CPU.trainer_options("bf16") == {"accelerator": "cpu", "devices": 1, "precision": "bf16-mixed"}


def test_the_hardware_of_a_machine_with_gpus(monkeypatch):
    monkeypatch.setattr("training.pose.hardware._gpus", lambda: 4)
    assert settled_hardware("auto", "auto", "pose") == ("gpu", "bf16")
    assert settled_hardware("auto", "fp32", "pose") == ("gpu", "fp32")
    options = Hardware("gpu").trainer_options("bf16")
    assert (options["devices"], options["sync_batchnorm"]) == (4, True)
    assert Hardware("gpu", devices=1).trainer_options("bf16")["devices"] == 1


def test_two_processes_train_one_network(tmp_path):
    """Distributed as on several GPUs, by gloo on the CPU."""
    fitted = run(tmp_path, hardware=Hardware("cpu", devices=2))
    assert [entry["epoch"] for entry in fitted.history] == [1, 2]
    assert np.isfinite(weights_of(fitted).numpy()).all()
