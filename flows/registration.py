"""Bring your own model: an ONNX file that was trained elsewhere is judged by the same gates and becomes a version.

There is no trained network to hold it against, so the parity gate asks of it only that a case is answered alone as it
is in a batch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from flows import foreign
from flows.candidate import measure_forms
from flows.contract import check_contract
from flows.inputs import StageInputs
from flows.lineage import find_best, find_lineage
from flows.measuring import make_test_set
from flows.packaging import Recipe, make_package, make_version, mend_champion
from flows.sandbox.candidate import try_candidate
from flows.snapshots import restore_snapshot
from flows.stages import write_measured
from recognizer.card import PackageCard
from recognizer.checks import Check, Verdict, worst
from recognizer.digest import sha256_file
from recognizer.errors import Conflict, InputError, LabelError, NotFound
from recognizer.evaluation.measured import FLOAT
from recognizer.gates import GateConfig, judge
from recognizer.golden import golden_folder
from recognizer.home import atomic_write, checkout
from recognizer.identity import code_digest
from recognizer.night import Step, night_of
from recognizer.package import MODEL, PackageStore
from recognizer.params import load_params
from recognizer.settings import Settings
from recognizer.snapshot import SnapshotCard, read_snapshot
from recognizer.store import Store, leases, rollouts, snapshots
from recognizer.store import checks as stored_checks
from recognizer.store.leases import Lease
from recognizer.store.served import read_served
from recognizer.tasks import load_evaluator, load_predictor

log = structlog.get_logger("recognizer.register")


@dataclass(frozen=True)
class RegisterRequest:
    """What somebody brings.

    Attributes:
        meta: JSON with `classes` and `preprocessing`; what it leaves out is the newest snapshot's.
        override: why to bless it although a gate says no; None: do not.
    """

    task: str
    model: Path
    meta: Path | None = None
    override: str | None = None


@dataclass(frozen=True)
class Registered:
    """What became of it; `blessed` says whether it may serve."""

    task: str
    version: int
    digest: str
    blessed: bool
    checks: tuple[Check, ...]

    def as_dict(self) -> dict[str, Any]:
        plain = {"task": self.task, "version": self.version, "digest": self.digest, "blessed": self.blessed}
        return {**plain, "checks": [check.as_dict() for check in self.checks]}


def register_model(settings: Settings, store: Store, request: RegisterRequest) -> Registered:
    """Package the file, let every gate judge it on the newest snapshot's frozen test set, and make it a version.

    The same file again is the same version, judged again.

    Raises:
        NotFound: no such task, or nothing was ingested.
        InputError: the file cannot be read, is no model of this task, or knows other classes than the data.
        Conflict: a night of the task, or another registration, is under way.
    """
    load_predictor(request.task)
    newest = snapshots.latest(store, request.task)
    if newest is None:
        raise NotFound(
            f"no data was ingested for task {request.task!r}, so there is nothing to judge the model on",
            hint=f"recognizer ingest {request.task} FILE",
        )
    with leases.keep(store, f"night/{request.task}", settings.lease_seconds) as keeper:
        return _register(settings, store, request, newest.id, keeper.lease)


def _register(settings: Settings, store: Store, request: RegisterRequest, snapshot: str, lease: Lease) -> Registered:
    task, params = request.task, load_params(settings.home.params, request.task)
    mend_champion(settings.home, store, task)  # nothing may be held against a package that somebody changed
    folder = restore_snapshot(settings.home, task, snapshot)
    facts = read_snapshot(folder)
    evaluator = load_evaluator(task)
    lineage = find_lineage(settings.home, store, task, facts.classes)
    packages = PackageStore(settings.home.packages)
    same_lineage = lineage.champion is not None and lineage.classes == facts.classes
    description = _description(request, facts, packages.card(lineage.champion) if same_lineage else None)
    gates = GateConfig.read(params["evaluate"], task=task, source=str(settings.home.params))
    inputs = StageInputs(
        params=params,
        snapshot=folder,
        parent=None,
        champion=packages.path(lineage.champion) if lineage.champion is not None else None,
        best=find_best(settings.home, store, task, facts, gates.gates.relative or {}),
        golden=golden_folder(settings.home, task),
    )
    with foreign.laid_out(request.model, description) as exported:
        predictor = load_predictor(task)(exported, threads=settings.session_threads)
        test = make_test_set(evaluator, evaluator.load(folder, "test"), gates)
        foreign.require_inputs(description["inputs"], predictor.inputs(test.items[:1]), request.model)
        forms = measure_forms(inputs, gates, test, exported, reference=None)
    measured, _ = forms[FLOAT]
    if measured.candidate is None:
        raise InputError(str(measured.problem), where=str(request.model), hint="mend the model, then register it again")
    night = night_of(datetime.now(UTC), settings.zone, settings.night_start)
    contract = check_contract(
        partial(evaluator.inspect, folder, params.need("prepare", "contract"), previous_count=None),
        docs_folder=settings.home.reports / task / f"{night}-register" / "data_docs",
    )
    model = sha256_file(request.model)
    run = settings.home.run(task, model)  # as a night leaves it, so that a damaged package can be made anew
    _keep(request.model, run / "exported" / MODEL)
    write_measured(run / "evaluated", measured)  # the model card tells of it
    card = PackageCard(
        task=task,
        **description,
        snapshot=snapshot,
        test_digest=facts.test_digest,
        identity=model,
        code=code_digest(checkout(), settings.home.params),
        seed=0,
        metrics=measured.candidate.metrics,
    )
    _require_unserved(store, task, PackageStore.digest(run / "exported" / MODEL, card))
    recipe = Recipe(
        run=run,
        card=card,
        gates=gates.by_gate(measured),
        night=night,
        who="register",
        override=request.override,
    )
    tried = None
    if gates.gates.infra is not None:
        with foreign.laid_out(request.model, description) as exported:
            rival = inputs.champion if same_lineage else None
            tried = try_candidate(
                settings, gates.gates.infra, exported=exported, card=card, champion=rival, snapshot=folder
            )
    checks = judge(gates, measured, tried, made=contract.checks)
    digest = make_package(settings.home, recipe, checks)
    atomic_write(run / "done" / night / f"{Step.PACKAGE.value}.json", json.dumps(recipe.as_notes(digest)).encode())
    stored_checks.record(store, digest, [check.as_dict() for check in checks], lease=lease)
    version = make_version(settings, store, digest, checks, night=night, override=request.override, lease=lease).version
    blessed = worst(check.verdict for check in checks) is Verdict.PASSED or request.override is not None
    log.info("registered", task=task, version=version, digest=digest, blessed=blessed, override=request.override)
    return Registered(task, version, digest, blessed, checks)


def _description(request: RegisterRequest, facts: SnapshotCard, champion: PackageCard | None) -> dict[str, Any]:
    """Classes, preprocessing, inputs and outputs, in the words of a package's card.

    What the person does not say of the preprocessing is as the champion's, else the task's default.
    """
    meta = foreign.read_meta(request.meta)
    classes = tuple(meta.get("classes", facts.classes))
    if classes != facts.classes:
        raise LabelError(
            f"the model's classes are {list(classes)}, the newest snapshot's are {list(facts.classes)}",
            where=str(request.meta),
            hint="ingest data of the model's classes first: it is judged on them",
        )
    preprocessing = meta.get("preprocessing", champion.preprocessing if champion else {})
    return {"classes": classes, "preprocessing": preprocessing, **foreign.describe(request.model)}


def _require_unserved(store: Store, task: str, digest: str) -> None:
    """Judged again, a version that serves could lose the blessing without which no worker loads it.

    Raises:
        Conflict: it is champion, or a rollout compares it in service.
    """
    champion, rollout = read_served(store).champions.get(task), rollouts.current(store, task)
    where = None
    if champion is not None and champion.digest == digest:
        where = f"it is champion version {champion.version}"
    elif rollout is not None and rollout.ended_at is None and rollout.digest == digest:
        where = f"rollout {rollout.id} compares it in service"
    if where is not None:
        raise Conflict(
            f"this model is not judged again: {where}",
            hint=f"recognizer gates {task} shows what was said of it; recognizer compare holds it against another",
        )


def _keep(model: Path, kept: Path) -> None:
    if not kept.is_file():
        atomic_write(kept, model.read_bytes())
