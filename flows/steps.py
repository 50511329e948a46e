"""The steps of a night, in order. Each does its work once; a step that ends the night returns the result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flows import stages
from flows.aliases import mirror_aliases
from flows.candidate import form_folder
from flows.lineage import weights_file
from flows.night import NightResult, NightRun, evidence_key
from flows.packaging import Recipe, make_package, make_version
from flows.progress import progress_bar
from flows.registry import Registry
from flows.release import end_rollouts, plan_of
from flows.reporting import read_training, report_night
from flows.sandbox.candidate import try_candidate
from recognizer.checks import Check, Verdict, worst
from recognizer.digest import sha256_file
from recognizer.evaluation.measured import FLOAT, FORMS, Measured
from recognizer.evaluation.sandbox import SandboxRun
from recognizer.gates import choose_form
from recognizer.home import atomic_write
from recognizer.night import Outcome, Step, judge_night
from recognizer.package import PackageCard
from recognizer.report import Finding
from recognizer.snapshot import SnapshotCard
from recognizer.store import checks as stored_checks
from recognizer.store import nights, rollouts, served, snapshots
from recognizer.tasks import load_evaluator


def check_data(run: NightRun) -> NightResult | None:
    """The data contract; a contract that is broken ends the night before any training."""

    def work() -> Mapping[str, Any]:
        from flows.contract import check_contract

        limits = run.inputs.params.need("prepare", "contract")
        evaluator, before = load_evaluator(run.row.task), _previous_count(run)
        inspect = partial(evaluator.inspect, run.inputs.snapshot, limits, before)
        contract = check_contract(inspect, docs_folder=run.report_folder / "data_docs")
        return {
            "checks": [check.as_dict() for check in contract.checks],
            "findings": [finding.as_dict() for finding in contract.findings],
        }

    notes = run.once(Step.CONTRACT, work)
    checks = _checks(notes)
    if worst(check.verdict for check in checks) is Verdict.PASSED:
        return None
    outcome, reason = judge_night(checks)
    _record(run, checks)
    report = report_night(run, outcome, reason, checks, [Finding(**finding) for finding in notes["findings"]])
    return run.end(outcome, reason, report=report)


def prepare_data(run: NightRun) -> None:
    run.once(Step.PREPARE, lambda: stages.prepare(run.inputs, run.folder / "prepared"))


def fit(run: NightRun) -> None:
    def work() -> None:
        with progress_bar(f"training {run.row.task}") as progress:
            stages.train(run.inputs, run.folder / "prepared", run.folder / "trained", progress)

    run.once(Step.TRAIN, work)


def export_model(run: NightRun) -> None:
    def work() -> None:
        stages.export(run.inputs, run.folder / "prepared", run.folder / "trained", run.folder / "exported")

    run.once(Step.EXPORT, work)


def evaluate_model(run: NightRun) -> None:
    def work() -> Mapping[str, Any]:
        stages.evaluate(run.inputs, run.folder / "trained", run.folder / "exported", run.folder / "evaluated")
        return {"rivals": run.rivals}

    run.once(Step.EVALUATE, work)


def judge_candidate(run: NightRun) -> NightResult | None:
    """Let the gates judge; a candidate that could not even be evaluated ends the night here: there is no package."""
    evaluated = run.folder / "evaluated"

    def try_out(form: str) -> SandboxRun:
        gate = run.gates.gates.infra
        assert gate is not None
        return try_candidate(
            run.settings,
            gate,
            exported=form_folder(run.folder / "exported", form),
            card=_card(run, form),
            champion=run.inputs.champion if run.has_rival else None,
            snapshot=run.inputs.snapshot,
        )

    def work() -> Mapping[str, Any]:
        forms = {form: stages.read_measured(evaluated, form) for form in FORMS if stages.has_measured(evaluated, form)}
        contract = _checks(run.notes(Step.CONTRACT) or {})
        choice = choose_form(run.gates, forms, try_out, made=contract)
        return {
            "checks": [check.as_dict() for check in choice.checks],
            "sandbox": None if choice.sandbox is None else choice.sandbox.as_dict(),
            "form": choice.form,
        }

    notes = run.once(Step.JUDGE, work)
    if run.measured().candidate is not None:
        return None
    checks = _checks(notes)
    outcome, reason = judge_night(checks)
    _record(run, checks)
    return run.end(outcome, reason, report=report_night(run, outcome, reason, checks))


def package_model(run: NightRun) -> None:
    """Build and sign the package; bless it when every gate passed."""

    def work() -> Mapping[str, Any]:
        recipe = Recipe(
            run=run.folder,
            card=_card(run, run.form),
            gates=run.gates.by_gate(run.measured()),
            night=run.row.night,
            form=run.form,
        )
        return recipe.as_notes(make_package(run.settings.home, recipe, _night_checks(run)))

    digest = run.once(Step.PACKAGE, work)["digest"]
    if run.row.digest is None:
        run.row = nights.advance(run.store, run.row.key, Step.PACKAGE.value, lease=run.lease, digest=digest)
    _record(run, _night_checks(run))


def register_version(run: NightRun) -> None:
    """Give the digest its version: in MLflow, then in the store. Exactly once, by the digest."""

    def work() -> Mapping[str, Any]:
        registered = make_version(
            run.settings,
            run.store,
            _digest(run),
            _night_checks(run),
            night=run.row.night,
            night_id=run.row.id,
            lease=run.lease,
        )
        run.row = nights.advance(
            run.store,
            run.row.key,
            Step.REGISTER.value,
            lease=run.lease,
            version=registered.version,
            mlflow_run=registered.run_id,
            metrics=_metrics(run.measured()),
        )
        return {"version": registered.version, "run_id": registered.run_id}

    run.once(Step.REGISTER, work)


def write_night_report(run: NightRun) -> None:
    """The report a person reads, also as an artifact of the MLflow run. Written before anything is promoted."""

    def work() -> None:
        checks = _night_checks(run)
        outcome, reason = judge_night(checks, rival=run.has_rival)
        report = report_night(run, outcome, reason, checks)
        run.row = nights.advance(run.store, run.row.key, Step.REPORT.value, lease=run.lease, report=report)
        if run.row.mlflow_run is not None:
            Registry(run.settings).log_report(run.row.mlflow_run, run.report_folder)

    run.once(Step.REPORT, work)


def promote_version(run: NightRun) -> NightResult:
    """Make a blessed version the champion, or start its rollout against the one that serves; end the night."""
    outcome, reason = judge_night(_night_checks(run), rival=run.has_rival)
    if outcome is not Outcome.REJECTED:
        version, digest = int((run.notes(Step.REGISTER) or {})["version"]), _digest(run)

        def release() -> Mapping[str, Any]:
            rollout = rollouts.start(
                run.store,
                task=run.row.task,
                version=version,
                digest=digest,
                expected=run.row.champion_digest,
                reason=reason,
                who=f"night {run.row.night}",
                strategy=run.settings.strategy,
                plan=plan_of(run.settings, run.measured().disagreement),
                key=f"{run.row.task}/{run.row.night}/{run.row.inputs[:16]}",
                lease=run.lease,
                home=run.settings.home,
            )
            return {"rollout": rollout.id}

        def work() -> None:
            # with other classes, to which somebody has agreed
            who, why = f"night {run.row.night}", f"version {version} knows other classes"
            end_rollouts(run.store, run.settings.home, run.row.task, who=who, reason=why)
            served.promote(
                run.store,
                task=run.row.task,
                version=version,
                digest=digest,
                expected=run.row.champion_digest,
                reason=reason,
                lease=run.lease,
            )

        notes = run.once(Step.PROMOTE, release if outcome is Outcome.RELEASED else work)
        if outcome is Outcome.RELEASED:
            reason += f"; rollout {notes['rollout']} compares it with version {run.row.champion_version} in service"
        mirror_aliases(run.settings, run.store)
    return run.end(outcome, reason)


WORK: Mapping[Step, Callable[[NightRun], NightResult | None]] = {
    Step.CONTRACT: check_data,
    Step.PREPARE: prepare_data,
    Step.TRAIN: fit,
    Step.EXPORT: export_model,
    Step.EVALUATE: evaluate_model,
    Step.JUDGE: judge_candidate,
    Step.PACKAGE: package_model,
    Step.REGISTER: register_version,
    Step.REPORT: write_night_report,
    Step.PROMOTE: promote_version,
}


def _checks(notes: Mapping[str, Any]) -> tuple[Check, ...]:
    return tuple(Check.from_dict(check) for check in notes.get("checks", ()))


def _night_checks(run: NightRun) -> tuple[Check, ...]:
    """Every check of the night: `judge` has put the contract's among its own."""
    return _checks(run.notes(Step.JUDGE) or {})


def _record(run: NightRun, checks: tuple[Check, ...]) -> None:
    rows = [check.as_dict() for check in checks]
    stored_checks.record(run.store, evidence_key(run.row), rows, lease=run.lease)


def _digest(run: NightRun) -> str:
    return str((run.notes(Step.PACKAGE) or {})["digest"])


def _previous_count(run: NightRun) -> int | None:
    """How many sequences the snapshot before this one had; None for the first of its class list."""
    for entry in snapshots.list(run.store, run.row.task):  # the newest first
        card = SnapshotCard.model_validate(entry.card)
        if entry.id != run.row.snapshot and card.classes == run.card.classes:
            return sum(part.sequences for part in card.sets.values())
    return None


def _keep_weights(run: NightRun) -> str:
    """Keep the torch weights under their digest, for the nights that start from this version."""
    source = run.folder / "trained" / "weights.pt"
    digest = sha256_file(source)
    kept = weights_file(run.settings.home, digest)
    if not kept.is_file():
        atomic_write(kept, source.read_bytes())
    return digest


def _card(run: NightRun, form: str) -> PackageCard:
    model = json.loads((run.folder / "exported" / "model.json").read_text())
    training = read_training(run)
    return PackageCard(
        task=run.row.task,
        classes=model["classes"],
        inputs=model["inputs"],
        outputs=model["outputs"],
        preprocessing=model["preprocessing"],
        thresholds=model.get("thresholds", {}),
        snapshot=run.row.snapshot,
        test_digest=run.card.test_digest,
        identity=run.identity.digest,
        code=run.identity.code,
        parent=run.row.parent,
        weights=_keep_weights(run),
        seed=run.row.seed,
        precision=training["precision"] if form == FLOAT else form,
        threads=training.get("threads"),
        metrics=_metrics(stages.read_measured(run.folder / "evaluated", form)),
    )


def _metrics(measured: Measured) -> Mapping[str, float]:
    return {} if measured.candidate is None else measured.candidate.metrics
