"""Faults of the exported model and of what is said about it: the sound network, changed after training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import onnx

from benchmarks.mutations import surgery
from benchmarks.mutations.base import Night, judged
from benchmarks.mutations.fault import Fault, Refusal, refusals_of
from recognizer.sequences import read_npz, write_npz
from recognizer.skeleton import JOINTS

GROUP = "exported model"
ELSEWHERE = "model trained elsewhere"
Surgery = Callable[[Night], onnx.ModelProto | bytes | None]


def _exported(
    name: str,
    done: str,
    gate: str,
    check: str | None,
    change: Surgery = lambda _: None,
    *,
    describe: Callable[[Night], Mapping[str, Any]] = lambda _: {},
    without: tuple[str, ...] = ("budgets", "infra"),
) -> Fault:
    """Something went wrong between the trained network and its file."""

    def judge(night: Night) -> list[Refusal]:
        exported = night.export_of(name.replace(" ", "-"), change(night), **describe(night))
        return refusals_of(judged(night, exported, trained=night.trained, without=without))

    return Fault(name, GROUP, done, gate, judge, check)


def _brought(name: str, done: str, gate: str, check: str | None, change: Surgery) -> Fault:
    """A model that somebody registers: there is no trained network to hold it against."""

    def judge(night: Night) -> list[Refusal]:
        return refusals_of(judged(night, night.export_of(name.replace(" ", "-"), change(night))))

    return Fault(name, ELSEWHERE, done, gate, judge, check)


def _preprocessing(**changes: Any) -> Callable[[Night], Mapping[str, Any]]:
    return lambda night: {"preprocessing": {**night.description["preprocessing"], **changes}}


def _golden_mislabelled(night: Night) -> list[Refusal]:
    cases = read_npz(night.golden / "cases.npz")
    first, *rest = cases.sequences
    place = night.folder / "golden-changed"
    place.mkdir(exist_ok=True)
    other = replace(first, label=(first.label + 1) % len(cases.classes))
    write_npz(place / "cases.npz", replace(cases, sequences=(other, *rest)))
    return refusals_of(judged(night, night.exported, trained=night.trained, golden=place))


def _no_golden_cases(night: Night) -> list[Refusal]:
    nothing = night.folder / "no-golden"
    nothing.mkdir(exist_ok=True)
    return refusals_of(judged(night, night.exported, trained=night.trained, golden=nothing))


FAULTS = (
    _exported(
        "batch norm in training mode",
        "every batch norm takes mean and variance of the batch it is asked",
        "parity",
        "max_abs_diff",
        lambda night: surgery.normalised_by_batch(night.model),
    ),
    _exported(
        "truncated file",
        "the second half of the ONNX file is missing",
        "absolute",
        None,
        lambda night: night.model.SerializeToString()[: night.model.ByteSize() // 2],
    ),
    _exported(
        "weights that are no numbers",
        "one weight of the last layer is NaN",
        "absolute",
        None,
        lambda night: surgery.without_weights(night.model),
    ),
    _exported(
        "wrong input scale",
        "coordinates are multiplied by 100 inside the graph",
        "parity",
        "decisions_equal",
        lambda night: surgery.scaled_inputs(night.model, 100.0),
    ),
    _exported(
        "slightly wrong input scale",
        "coordinates are multiplied by 1.001 inside the graph",
        "parity",
        "max_abs_diff",
        lambda night: surgery.scaled_inputs(night.model, 1.001),
    ),
    _exported(
        "left and right exchanged in service",
        "left and right joints change places inside the graph",
        "parity",
        "max_abs_diff",
        lambda night: surgery.exchanged_sides(night.model),
    ),
    _exported(
        "answer depends on the batch",
        "a fifth of the batch's mean logits is taken from each case's",
        "parity",
        "max_abs_diff",
        lambda night: surgery.against_batch(night.model, 0.2),
    ),
    _exported(
        "answer not twice the same",
        "random numbers of a spread of 1e-5 are added to the logits",
        "parity",
        "repeated",
        lambda night: surgery.noisy(night.model, 1e-5),
    ),
    _exported(
        "fixed batch axis",
        "the graph takes 32 cases, no more and no less",
        "absolute",
        None,
        lambda night: surgery.pinned_batch(night.model, 32),
    ),
    _exported(
        "labels off by one",
        "the columns of the scores are moved by one",
        "absolute",
        "accuracy",
        lambda night: surgery.rolled(night.model),
    ),
    _exported(
        "surer than trained",
        "logits are multiplied by 8",
        "parity",
        "max_abs_diff",
        lambda night: surgery.tempered(night.model, 8.0),
    ),
    _exported(
        "other body scale in service",
        "the package says a shoulder factor of 2.6 where it was trained with 1.3",
        "parity",
        "max_abs_diff",
        describe=_preprocessing(shoulder_factor=2.6),
    ),
    _exported(
        "other limit in service",
        "the package says that coordinates are cut at 1 body unit, it was trained with 10",
        "parity",
        "max_abs_diff",
        describe=_preprocessing(limit=1.0),
    ),
    _exported(
        "other length in service",
        "the package says windows of 30 frames",
        "absolute",
        None,
        describe=_preprocessing(frames=30),
    ),
    _exported(
        "slow",
        "multiplies matrices that change nothing, several times as long as the network takes",
        "budgets",
        "latency_p50_ms",
        lambda night: surgery.slower(night.model, 12),
        without=("infra",),
    ),
    _exported(
        "hungry for memory",
        "holds a tensor of 192 MB that changes nothing",
        "budgets",
        "peak_memory_mb",
        lambda night: surgery.hungrier(night.model, 192),
        without=("infra",),
    ),
    Fault(
        "golden case missed",
        GROUP,
        "a golden case asks for an answer that the model does not give",
        "golden",
        _golden_mislabelled,
        "cases",
    ),
    Fault("golden cases deleted", GROUP, "the folder of golden cases is empty", "golden", _no_golden_cases, "cases"),
    _brought(
        "less sure than right",
        "logits are divided by 12",
        "absolute",
        "calibration_error",
        lambda night: surgery.tempered(night.model, 1 / 12),
    ),
    _brought(
        "depends on one joint",
        "another answer when the left ear is never seen",
        "golden",
        "drop_joint",
        lambda night: surgery.wrong_without_joint(night.model, JOINTS.index("left_ear")),
    ),
    _brought(
        "one class always wrong",
        "another answer whenever it would say the third class",
        "slices",
        "class",
        lambda night: surgery.wrong_for_class(night.model, 2),
    ),
    _brought(
        "wrong for two people",
        "another answer whenever two people are seen",
        "slices",
        "people",
        lambda night: surgery.wrong_for_people(night.model, 2),
    ),
    _brought(
        "wrong in a crowd",
        "another answer whenever four people are seen, which is rare",
        "golden",
        "cases",
        lambda night: surgery.wrong_for_people(night.model, 4),
    ),
    _brought(
        "brought: answer depends on the batch",
        "a fifth of the batch's mean logits is taken from each case's",
        "parity",
        "max_abs_diff",
        lambda night: surgery.against_batch(night.model, 0.2),
    ),
)
