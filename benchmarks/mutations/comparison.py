"""Faults that only a comparison shows: worse than the champion or the best before, or no numbers to compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from benchmarks.mutations import surgery
from benchmarks.mutations.base import SLOW, Night, inputs_of, judged, measured_by
from benchmarks.mutations.fault import Fault, Refusal, refusals_of
from flows import measuring
from flows.inputs import Best, package_digest
from recognizer.action.evaluator import SCORES, ActionEvaluator
from recognizer.evaluation.measured import Measured, Rival
from recognizer.gates import GateConfig, judge
from recognizer.windows import WindowSpec, to_windows

GROUP = "comparison"


def worse(night: Night, share: float) -> onnx.ModelProto:
    """The sound model, wrong on this share of the test cases more; what is wrong at a small share is at a larger."""
    test = night.sets["test"]
    _, seen = to_windows(test.sequences, WindowSpec.from_dict(night.description["preprocessing"]))
    right = night.scores.argmax(axis=1) == test.labels
    drawn = np.sort(surgery.tickets(seen)[right])
    return surgery.wrong_below(night.model, float(drawn[math.ceil(share * len(test))]))


def _packaged(night: Night, share: float) -> tuple[str, Path]:
    """Digest and folder of a package of such a model."""
    exported = night.export_of(f"worse-{share:g}", worse(night, share))
    digest = night.package(exported / "model.onnx")
    return digest, night.packages.path(digest)


def _worse_than_champion(night: Night) -> list[Refusal]:
    exported = night.export_of("behind", worse(night, 0.06))
    return refusals_of(judged(night, exported))


def _ratchet(night: Night) -> list[Refusal]:
    """The champion has lost three points before, the candidate loses another one."""
    best = Best(package_digest(night.champion), 1, night.champion)
    _, champion = _packaged(night, 0.03)
    exported = night.export_of("ratchet", worse(night, 0.04))
    return refusals_of(judged(night, exported, champion=champion, best=best))


def _measured(night: Night) -> tuple[GateConfig, Measured]:
    """What is measured of the sound candidate."""
    inputs = inputs_of(night, night.params_without(*SLOW))
    return night.config(*SLOW), measured_by(night, inputs, night.exported, night.trained)


def _changed(change: Callable[[Night, GateConfig, Measured], Measured]) -> Callable[[Night], Sequence[Refusal]]:
    """The sound candidate's measurements with one thing wrong, judged."""

    def judge_it(night: Night) -> list[Refusal]:
        config, measured = _measured(night)
        return refusals_of(judge(config, change(night, config, measured), made=night.contract))

    return judge_it


def _metric(value: float | None) -> Callable[[Night, GateConfig, Measured], Measured]:
    def change(_night: Night, _config: GateConfig, measured: Measured) -> Measured:
        assert measured.candidate is not None
        metrics = {**measured.candidate.metrics, "weighted_f1": value}
        if value is None:
            del metrics["weighted_f1"]
        return replace(measured, candidate=replace(measured.candidate, metrics=metrics))

    return change


def _other_cases(night: Night, config: GateConfig, measured: Measured) -> Measured:
    """The champion's numbers are of three quarters of the test set."""
    test = night.sets["test"]
    evaluator = ActionEvaluator()
    part = measuring.make_test_set(evaluator, test.subset(range(len(test) * 3 // 4)), config)
    answers = {SCORES: night.scores[: len(part)]}
    assert measured.champion is not None
    rival: Rival = measuring.compare(evaluator, config, part, answers, answers, digest=measured.champion, version=None)
    return replace(measured, rivals={measured.champion: rival})


def _unpaired(_night: Night, _config: GateConfig, measured: Measured) -> Measured:
    assert measured.opponent is not None
    rival = replace(measured.opponent, differences={})
    return replace(measured, rivals={rival.digest: rival})


def _no_contract(night: Night) -> list[Refusal]:
    config, measured = _measured(night)
    return refusals_of(judge(config, measured))


def _no_sandbox(night: Night) -> list[Refusal]:
    _, measured = _measured(night)
    return refusals_of(judge(night.config("budgets"), measured, made=night.contract))


FAULTS = (
    Fault(
        "six points behind the champion",
        GROUP,
        "wrong on 6 % of the test cases; every absolute bound still holds",
        "relative",
        _worse_than_champion,
        "accuracy",
    ),
    Fault(
        "slow ratchet",
        GROUP,
        "one point behind a champion that was three behind the best version before",
        "relative",
        _ratchet,
        "accuracy_best",
    ),
    Fault(
        "champion judged on other cases",
        GROUP,
        "its numbers are of three quarters of the test set",
        "relative",
        _changed(_other_cases),
        "accuracy",
    ),
    Fault(
        "champion not paired",
        GROUP,
        "nobody compared it with the candidate case by case",
        "relative",
        _changed(_unpaired),
        "accuracy",
    ),
    Fault(
        "champion not measured",
        GROUP,
        "there is a champion and no numbers of it",
        "relative",
        _changed(lambda _night, _config, measured: replace(measured, rivals={})),
        "accuracy",
    ),
    Fault(
        "best version not looked for",
        GROUP,
        "nobody asked which version was the best on this test set",
        "relative",
        _changed(lambda _night, _config, measured: replace(measured, best={})),
        "accuracy_best",
    ),
    Fault("metric is no number", GROUP, "weighted_f1 is NaN", "absolute", _changed(_metric(math.nan)), "weighted_f1"),
    Fault("metric missing", GROUP, "weighted_f1 was not computed", "absolute", _changed(_metric(None)), "weighted_f1"),
    Fault(
        "parity not measured",
        GROUP,
        "nobody held the exported model against the trained one",
        "parity",
        _changed(lambda _night, _config, measured: replace(measured, parity={})),
    ),
    Fault(
        "contract not checked",
        GROUP,
        "the gate is configured, and the data were never looked at",
        "contract",
        _no_contract,
    ),
    Fault("sandbox not run", GROUP, "the gate is configured, and the service was never tried", "infra", _no_sandbox),
)
