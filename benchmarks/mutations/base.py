"""The sound night that every fault is seeded into: small data, a small network, real folders, every gate as shipped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from flows import stages
from flows.candidate import measure_forms
from flows.contract import check_contract
from flows.inputs import Best, StageInputs
from flows.measuring import answer, make_test_set
from flows.sandbox.candidate import try_candidate
from recognizer.action.contract import inspect_tables
from recognizer.action.evaluator import SCORES, ActionEvaluator
from recognizer.blessing import bless
from recognizer.card import PackageCard
from recognizer.checks import Check
from recognizer.evaluation.measured import FLOAT, Measured
from recognizer.gates import GateConfig, judge
from recognizer.home import Home, atomic_folder, checkout
from recognizer.ingest.recorded import Recorded, Source
from recognizer.ingest.split import Split, cut
from recognizer.keys import Signer
from recognizer.package import PackageStore
from recognizer.params import StageParams, load_params
from recognizer.sequences import SequenceSet, write_npz
from recognizer.settings import Settings
from recognizer.snapshot import read_set, read_snapshot, write_snapshot
from recognizer.synthetic import generate
from recognizer.tables import frame_table, sequence_table
from recognizer.tasks import Predictor, load_predictor

TASK = "action"
SETS = ("train", "validation", "test")
SLOW = ("budgets", "infra")
"""Gates that take seconds; left out for faults that they are not asked about."""
GOLDEN_SEED, GOLDEN_POOL, GOLDEN_CASES = 77, 160, 2
"""Of the recordings that golden cases are chosen from: seed, how many, how many of each class."""
CROWD = 4
"""People in the golden cases that hold, whatever the rest says, how a model answers in a crowd."""


@dataclass(frozen=True)
class Size:
    """How large the sound night is: a model that keeps every bound, from as little as that takes.

    Attributes:
        recordings: generated; those of the actions in `left_out` are not used.
        frames: of a window.
        train: parameters of `train.action` that differ from the shipped ones.
        gates: gates and bounds that differ from the shipped ones; none do in the matrix.
        min_cases: of a verdict; None: as shipped.
    """

    recordings: int
    frames: int
    left_out: tuple[str, ...]
    train: Mapping[str, Any]
    gates: Mapping[str, Any] = field(default_factory=dict)
    min_cases: int | None = None


MATRIX = Size(
    recordings=720,
    frames=32,
    left_out=("standing", "running"),
    train={
        "epochs": 8,
        "batch": 16,
        "learning_rate": 0.006,
        "average": 0.97,
        "precision": "fp32",
        "network": {"channels": [24, 32, 48, 64], "strides": [1, 2, 2, 1]},
    },
)


@dataclass(frozen=True)
class Night:
    """A night whose candidate passes every gate, and what it takes to judge a changed one.

    The champion is the same network, packaged the night before: the candidate neither gains nor loses.

    Attributes:
        folder: everything lies here; nothing outside is written.
        params: the shipped parameters but for `Size`.
    """

    folder: Path
    params: StageParams

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshot"

    @property
    def prepared(self) -> Path:
        return self.folder / "prepared"

    @property
    def trained(self) -> Path | None:
        """The network that was exported; None where a model was brought instead of trained."""
        folder = self.folder / "trained"
        return folder if folder.is_dir() else None

    @property
    def exported(self) -> Path:
        return self.folder / "exported"

    @property
    def golden(self) -> Path:
        return self.folder / "golden"

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home)

    @property
    def packages(self) -> PackageStore:
        return PackageStore(self.home.packages)

    @cached_property
    def signer(self) -> Signer:
        return Signer.open(self.home.keys)

    @cached_property
    def sets(self) -> dict[str, SequenceSet]:
        return {name: read_set(self.snapshot, name) for name in SETS}

    @property
    def classes(self) -> tuple[str, ...]:
        return self.sets["test"].classes

    @cached_property
    def model(self) -> onnx.ModelProto:
        return onnx.load(self.exported / "model.onnx")

    @cached_property
    def description(self) -> dict[str, Any]:
        return json.loads((self.exported / "model.json").read_text())

    @cached_property
    def champion(self) -> Path:
        return self.packages.path(self.package(self.exported / "model.onnx", seed=1))

    @cached_property
    def contract(self) -> tuple[Check, ...]:
        return self.contract_of(self.sets)

    @cached_property
    def predictor(self) -> Predictor:
        return load_predictor(TASK)(self.exported, threads=1)

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(n, k) of the sound candidate on the test set."""
        return answer(self.predictor, self.sets["test"].sequences)[SCORES]

    def config(self, *without: str, **changes: Any) -> GateConfig:
        """The configured gates but for some; `infra={"requests": 200}` changes bounds of one."""
        return GateConfig.read(self.params_without(*without, **changes)["evaluate"], task="action")

    def params_without(self, *gates: str, **changes: Any) -> StageParams:
        section = json.loads(json.dumps(self.params["evaluate"]))
        for gate in gates:
            section["gates"].pop(gate, None)
        for gate, bounds in changes.items():
            section["gates"][gate] = {**section["gates"].get(gate, {}), **bounds}
        return StageParams(TASK, {**self.params.stages, "evaluate": section})

    def contract_of(self, sets: Mapping[str, SequenceSet]) -> tuple[Check, ...]:
        """The data contract of these sets, after a snapshot as large as the sound one."""
        limits, before = self.params.need("prepare", "contract"), sum(map(len, self.sets.values()))
        inspect = partial(inspect_tables, sequence_table(sets), frame_table(sets), limits, before)
        return check_contract(inspect, docs_folder=self.folder / "data_docs").checks

    def card(self, **changes: Any) -> PackageCard:
        """The candidate's card, as a night writes it."""
        told = self.description
        facts = {name: told[name] for name in ("classes", "inputs", "outputs", "preprocessing")}
        test = read_snapshot(self.snapshot).test_digest
        made = {"snapshot": "0" * 64, "test_digest": test, "identity": "2" * 64, "code": "3" * 64, "seed": 0}
        return PackageCard(**{"task": TASK, **facts, **made, **changes})

    def package(self, model: Path, **card: Any) -> str:
        """A signed package; returns its digest."""
        return self.packages.build(model, self.card(**card), self.signer)

    def resnapshot(self, name: str, changes: Mapping[str, SequenceSet]) -> Path:
        """The snapshot with other sets, as ingesting them would write it."""
        place = self.folder / "snapshots" / name
        place.parent.mkdir(exist_ok=True)
        sets = {**self.sets, **changes}
        write_snapshot(Split(**sets), place, task=TASK, source=Source(name, ""))
        return place

    def export_of(self, name: str, model: onnx.ModelProto | bytes | None = None, **description: Any) -> Path:
        """A folder as the stage `export` leaves it, with another model or other words about it."""
        place = self.folder / "exports" / name
        shutil.copytree(self.exported, place, dirs_exist_ok=True)
        if model is not None:
            content = model if isinstance(model, bytes) else model.SerializeToString(deterministic=True)
            (place / "model.onnx").write_bytes(content)
        (place / "model.json").write_text(json.dumps({**self.description, **description}))
        return place


def make_night(folder: Path, size: Size = MATRIX, brought: Path | None = None) -> Night:
    """Generate, cut, train, export and lay out golden cases; what is there already stays.

    Args:
        brought: folder of a model that takes the place of the trained one.

    Raises:
        RecognizerError: what a stage refuses.
    """
    night = Night(folder, _params(size))
    if not (night.snapshot / "snapshot.json").is_file():
        recorded = _recorded(size.recordings, 1, size.left_out)
        write_snapshot(cut(recorded), night.snapshot, task=TASK, source=recorded.source)
    inputs = StageInputs(night.params, night.snapshot, None, None)
    if brought is not None:
        shutil.copytree(brought, night.exported, dirs_exist_ok=True)
    elif not night.exported.is_dir():
        trained = folder / "trained"
        stages.prepare(inputs, night.prepared)
        stages.train(inputs, night.prepared, trained, lambda _share, _line: None)
        stages.export(inputs, night.prepared, trained, night.exported)
    if not night.golden.is_dir():
        _choose_golden(night, size)
    night.home.prepare()
    return night


def judged(
    night: Night,
    exported: Path,
    *,
    trained: Path | None = None,
    config: Mapping[str, Any] | None = None,
    without: Sequence[str] = SLOW,
    card: PackageCard | None = None,
    **other: Any,
) -> tuple[Check, ...]:
    """Every check of a candidate, by the project's own functions.

    Args:
        trained: folder of the network it was exported from; without one it is judged as one that somebody brought.
        config: bounds of gates that differ.
        without: gates that are not configured.
        card: of the candidate in the sandbox.
        other: as `inputs_of`.
    """
    inputs = inputs_of(night, night.params_without(*without, **(config or {})), **other)
    gates = GateConfig.read(inputs.params["evaluate"], task="action")
    measured, tried = measured_by(night, inputs, exported, trained), None
    if gates.gates.infra is not None and measured.candidate is not None:
        tried = try_candidate(
            night.settings,
            gates.gates.infra,
            exported=exported,
            card=card or night.card(),
            champion=inputs.champion,
            snapshot=inputs.snapshot,
        )
    return judge(gates, measured, tried, made=night.contract)


def inputs_of(
    night: Night,
    params: StageParams,
    *,
    snapshot: Path | None = None,
    golden: Path | None = None,
    champion: Path | None = None,
    best: Best | None = None,
) -> StageInputs:
    """What the night is judged on; by default nothing is better than the champion, which is the sound one."""
    return StageInputs(
        params,
        snapshot or night.snapshot,
        parent=None,
        champion=champion or night.champion,
        best=dict.fromkeys(params["evaluate"]["gates"]["relative"], best),
        golden=golden or night.golden,
    )


def measured_by(night: Night, inputs: StageInputs, exported: Path, trained: Path | None) -> Measured:
    """What the stage `evaluate` measures; without a trained network, what `recognizer register` does."""
    if trained is not None:
        return stages.evaluate(inputs, trained, exported, night.folder / "evaluated")
    gates = GateConfig.read(inputs.params["evaluate"], task="action")
    test = make_test_set(ActionEvaluator(), read_set(inputs.snapshot, "test"), gates)
    return measure_forms(inputs, gates, test, exported, reference=None)[FLOAT][0]


def blessed(night: Night, digest: str, checks: Iterable[Check], gates: Mapping[str, Any], **changes: Any) -> None:
    """Bless a package as a night does."""
    facts = {"who": "nightly", "night": "2026-11-20", "now": datetime(2026, 11, 20, tzinfo=UTC)}
    bless(
        night.packages.path(digest),
        **{
            "digest": digest,
            "test_digest": night.card().test_digest,
            "gates": gates,
            "checks": tuple(checks),
            "signer": night.signer,
            **facts,
            **changes,
        },
    )


def _params(size: Size) -> StageParams:
    shipped = load_params(checkout() / "params.yaml", TASK)
    train = {**shipped["train"], **size.train}
    train["network"] = {**shipped["train"]["network"], **train["network"]}
    evaluate = {**shipped["evaluate"], "gates": {**shipped["evaluate"]["gates"], **size.gates}}
    if size.min_cases is not None:
        evaluate["min_cases"] = size.min_cases
    prepare = {**shipped["prepare"], "frames": size.frames}
    return StageParams(TASK, {**shipped.stages, "prepare": prepare, "train": train, "evaluate": evaluate})


def _recorded(count: int, seed: int, left_out: Sequence[str]) -> Recorded:
    """Synthetic recordings of the actions that are not left out."""
    made = generate(count, seed=seed)
    names = tuple(name for name in made.sequences.classes if name not in left_out)
    kept = [one for one in made.sequences if made.sequences.classes[one.label] in names]
    kept = [replace(one, label=names.index(made.sequences.classes[one.label])) for one in kept]
    there = {one.name for one in kept}
    split = {part: tuple(name for name in members if name in there) for part, members in made.split.items()}
    return replace(made, sequences=SequenceSet(names, tuple(kept)), split=split)


def _choose_golden(night: Night, size: Size) -> None:
    """Of recordings that no set holds, those of each class that the sound model answers with the most certainty."""
    pool = _recorded(GOLDEN_POOL, GOLDEN_SEED, size.left_out).sequences
    scores = answer(night.predictor, pool.sequences)[SCORES]
    sure = scores[np.arange(len(pool)), pool.labels]
    best = [i for label in range(len(pool.classes)) for i in _surest(sure, pool.labels == label, GOLDEN_CASES)]
    crowded = np.array([one.people == CROWD for one in pool])
    chosen = sorted({*best, *_surest(sure, crowded, GOLDEN_CASES)})
    with atomic_folder(night.golden) as folder:
        write_npz(folder / "cases.npz", pool.subset(chosen))


def _surest(sure: NDArray[np.float32], among: NDArray[np.bool_], count: int) -> list[int]:
    return [int(i) for i in np.argsort(-np.where(among, sure, -1.0))[:count] if among[i]]
