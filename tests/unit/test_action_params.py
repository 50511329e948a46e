"""The action task's sections of params.yaml are checked before anything is computed."""

from __future__ import annotations

from typing import Any

import pytest

from recognizer.errors import UsageError
from recognizer.home import checkout
from recognizer.params import load_params
from training.action.params import ExportParams, PrepareParams, TrainParams
from training.action.trainer import ActionTrainer
from training.params import read_section


def test_the_project_s_own_parameters_are_valid_and_complete() -> None:
    params = load_params(checkout() / "params.yaml", "action")
    for kind, stage in ((PrepareParams, "prepare"), (TrainParams, "train"), (ExportParams, "export")):
        content = dict(params[stage])
        left_out = set(kind.model_fields) - set(content) - {"contract"}
        assert not left_out, f"{stage}: every parameter is written down"
        read_section(kind, content, stage, "action")


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"epoch": 3}, "train.action.epoch"),
        ({"epochs": 0}, "train.action.epochs"),
        ({"epochs": "many"}, "train.action.epochs"),
        ({"precision": "fp8"}, "train.action.precision"),
        ({"augment": {"flip": 1.5}}, "train.action.augment.flip"),
        ({"augment": {"mixup": 1}}, "train.action.augment.mixup"),
        ({"network": {"channels": [8], "strides": [1, 2]}}, "train.action.network"),
        ({"network": {"channels": [], "strides": []}}, "train.action.network"),
        ({"network": {"kernel": 4}}, "train.action.network"),
    ],
)
def test_a_wrong_parameter_is_named(content: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError, match=key) as caught:
        read_section(TrainParams, content, "train", "action")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fpu avx512f amx_bf16 amx_tile", "bf16"), ("fpu avx512_bf16", "bf16"), ("fpu avx512f", "fp32")],
)
def test_auto_precision_is_settled_by_the_cpu(monkeypatch: pytest.MonkeyPatch, flags: str, precision: str) -> None:
    monkeypatch.setattr("training.precision.cpu_flags", lambda: frozenset(flags.split()))
    resolved = ActionTrainer().resolve({"precision": "auto"})
    assert resolved["precision"] == precision
    assert ActionTrainer().resolve(resolved) == resolved


@pytest.mark.parametrize(("flags", "named"), [("amx_bf16", "fp32"), ("avx512_bf16", "bf16"), ("avx2", "fp32")])
def test_a_named_precision_stays(monkeypatch: pytest.MonkeyPatch, flags: str, named: str) -> None:
    monkeypatch.setattr("training.precision.cpu_flags", lambda: frozenset(flags.split()))
    assert ActionTrainer().resolve({"precision": named})["precision"] == named


def test_bf16_is_refused_where_it_would_be_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.precision.cpu_flags", lambda: frozenset({"avx512f"}))
    with pytest.raises(UsageError, match="AMX") as caught:
        ActionTrainer().resolve({"precision": "bf16"})
    assert "auto" in str(caught.value.hint)


def test_a_warm_start_shortens_the_training() -> None:
    warm = TrainParams(epochs=20, learning_rate=0.004, warm_start={"epochs": 0.25, "learning_rate": 0.5}).warmed()
    assert (warm.epochs, warm.learning_rate) == (5, 0.002)
    assert TrainParams(epochs=1, warm_start={"epochs": 0.1}).warmed().epochs == 1
