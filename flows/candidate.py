"""A candidate as the gates see it, short of the real service: in float and, where it was quantized, in 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from flows import measuring
from flows.inputs import StageInputs, described_classes, package_classes, package_digest
from flows.measuring import Reference
from recognizer.answers import Answers
from recognizer.errors import InputError, PluginError
from recognizer.evaluation.measured import FLOAT, FORMS, INT8, Costs, Measured, Rival
from recognizer.evaluator import TestSet
from recognizer.gates import GateConfig
from recognizer.package import MODEL
from recognizer.snapshot import read_snapshot
from recognizer.tasks import load_evaluator, load_predictor
from serving.footprint import measure_footprints

THREADS = 1
"""Of a session while a model is measured: as in service by default, and the scores are the same on every machine."""
FASTER = 1.1
"""So many times as fast as the other form an 8-bit form has to be: for less nobody takes other answers."""
CANDIDATE = "candidate"

log = structlog.get_logger("recognizer.night")

AnswersOf = dict[str, Answers]
"""Model → its answers to the test set."""


def form_folder(folder: Path, form: str) -> Path:
    """Where what belongs to one form lies: of the 8-bit form in a sub-folder."""
    return folder if form == FLOAT else folder / form


def forms(exported: Path) -> dict[str, Path]:
    """The forms of an exported model and their folders: `float`, and `int8` where it was quantized."""
    found = {form: form_folder(exported, form) for form in FORMS}
    return {form: folder for form, folder in found.items() if form == FLOAT or (folder / MODEL).is_file()}


def measure_forms(
    inputs: StageInputs, config: GateConfig, test: TestSet, exported: Path, reference: Reference | None
) -> dict[str, tuple[Measured, AnswersOf]]:
    """What the gates judge of each form of an exported model that may be chosen, and the answers it rests on.

    An 8-bit form that is not faster by `FASTER` in the same run is no choice and not looked at further.

    Args:
        exported: folder of the candidate, as `load_predictor(task)` takes it.
        reference: answers of the network it was exported from; None where there is none.
    """
    found = forms(exported)
    try:
        costs = weigh(inputs, found, test.items) if config.gates.budgets is not None else {}
    except (InputError, PluginError) as error:
        if inputs.champion is not None and str(inputs.champion) in (error.where or ""):
            raise  # the champion's fault says nothing about the candidate
        return {FLOAT: (replace(_standing(inputs, test), problem=measuring.problem_of(error)), {})}
    made = {FLOAT: measure(inputs, config, test, exported, reference, costs.get(FLOAT))}
    if INT8 in found:
        measured, answers = made[FLOAT]
        made[FLOAT] = replace(measured, quantized=_told(costs)), answers
    if INT8 in costs and (costs[INT8].faster or 0.0) >= FASTER:
        measured, answers = measure(inputs, config, test, found[INT8], reference, costs[INT8])
        made[INT8] = replace(measured, form=INT8), answers
    return made


def _told(costs: Mapping[str, Costs]) -> str:
    """What is known of the 8-bit form before anything else is measured of it."""
    if INT8 not in costs:
        return "8 bits could not be used, or were not weighed"
    return f"8 bits are {costs[INT8].faster or 0.0:.2f} times as fast; {FASTER:g} times are asked for"


def weigh(inputs: StageInputs, found: Mapping[str, Path], cases: Sequence[Any]) -> dict[str, Costs]:
    """What each form costs, and the champion, all in one run. An 8-bit form that breaks the run is left out of it.

    Raises:
        InputError, PluginError: another model failed; `where` is its folder.
    """
    champion = [inputs.champion] if inputs.champion is not None else []
    try:
        weighed = measure_footprints(inputs.task, [*found.values(), *champion], cases, threads=THREADS)
    except (InputError, PluginError) as error:
        if INT8 not in found or str(found[INT8]) not in (error.where or ""):
            raise
        log.warning("the 8-bit model cannot be used", problem=str(error))
        return weigh(inputs, {FLOAT: found[FLOAT]}, cases)
    beside = weighed[-1] if champion else None
    each = dict(zip(found, weighed, strict=False))
    return {form: Costs(one, beside, None if form == FLOAT else each[FLOAT]) for form, one in each.items()}


def measure(
    inputs: StageInputs,
    config: GateConfig,
    test: TestSet,
    model: Path,
    reference: Reference | None,
    costs: Costs | None,
) -> tuple[Measured, AnswersOf]:
    """One form of a candidate beside its rivals, on the same frozen test set.

    Args:
        model: its folder, as `load_predictor(task)` takes it.
    """
    standing, classes, evaluator = _standing(inputs, test), test.classes, load_evaluator(inputs.task)
    if (named := described_classes(model)) != classes:
        problem = f"the candidate names the classes {list(named)}, its data {list(classes)}"
        return replace(standing, problem=problem), {}
    try:
        predictor = load_predictor(inputs.task)(model, threads=THREADS)
        gate = config.gates.parity
        answers, parity = measuring.measure_batches(evaluator, predictor, test.items, reference, gate)
        candidate = test.evaluate(answers)
    except (InputError, PluginError) as error:
        return replace(standing, problem=measuring.problem_of(error)), {}
    made_by = {CANDIDATE: answers}
    rivals: dict[str, Rival] = {}
    for digest, version, package in _rivals(inputs, classes):
        theirs = measuring.answer(load_predictor(inputs.task)(package, threads=THREADS), test.items)
        made_by[digest] = theirs
        rivals[digest] = measuring.compare(evaluator, config, test, answers, theirs, digest=digest, version=version)
    made = replace(standing, candidate=candidate, rivals=rivals, parity=parity, costs=costs)
    if (golden := config.gates.golden) is not None:
        synthetic = read_snapshot(inputs.snapshot).synthetic
        made = replace(
            made,
            golden=measuring.ask_golden(evaluator, predictor, inputs.golden, classes, synthetic=synthetic),
            invariances=tuple(measuring.change_inputs(evaluator, predictor, test, answers, golden)),
        )
    return made, made_by


def _standing(inputs: StageInputs, test: TestSet) -> Measured:
    """What is known before anything is measured."""
    return Measured(
        test.classes,
        None,
        champion=None if inputs.champion is None else package_digest(inputs.champion),
        champion_classes=None if inputs.champion is None else package_classes(inputs.champion),
        best={metric: one and one.digest for metric, one in inputs.best.items()},
    )


def _rivals(inputs: StageInputs, classes: tuple[str, ...]) -> list[tuple[str, int | None, Path]]:
    """Digest, version and folder of every model that the candidate is compared with, each once."""
    found = {
        one.digest: (one.digest, one.version, one.package)
        for one in inputs.best.values()
        if one is not None and one.package is not None
    }
    if inputs.champion is not None and package_classes(inputs.champion) == classes:
        digest = package_digest(inputs.champion)
        found[digest] = (digest, found[digest][1] if digest in found else None, inputs.champion)
    return list(found.values())
