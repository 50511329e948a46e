"""The report of a night, assembled from what its steps left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flows.night import NightRun
from recognizer.checks import Check
from recognizer.evaluation.sandbox import SandboxRun
from recognizer.night import Outcome, Step
from recognizer.report import Finding, ReportFacts, TrainingFacts, write_report

NEXT_STEPS = {
    Outcome.PROMOTED: "Every worker of `recognizer serve` follows by itself; `recognizer models` lists what serves.",
    Outcome.RELEASED: "`recognizer rollout status` shows how far it is; the running service takes it on by itself.",
    Outcome.REJECTED: "What served goes on serving. Mend what the checks name, then run `recognizer nightly` again.",
}


def report_night(
    run: NightRun, outcome: Outcome, reason: str, checks: tuple[Check, ...], findings: Sequence[Finding] = ()
) -> str:
    """Write the report of the night as far as it came; returns where it lies, as seen from the home."""
    measured = run.measured() if run.notes(Step.EVALUATE) is not None else None
    training = read_training(run)
    seconds = {step.value: notes["seconds"] for step in Step if (notes := run.notes(step)) is not None}
    facts = ReportFacts(
        task=run.row.task,
        night=run.row.night,
        outcome=outcome.value,
        reason=reason,
        next_step=NEXT_STEPS.get(outcome),
        version=run.row.version,
        digest=run.row.digest,
        snapshot=run.row.snapshot,
        identity=run.identity.digest,
        code=run.identity.code,
        parent=run.row.parent,
        seed=run.row.seed,
        training=TrainingFacts.from_dict(training, seconds=seconds.get(Step.TRAIN.value)) if training else None,
        steps=seconds,
        checks=checks,
        measured=measured,
        sandbox=_sandbox(run),
        gates=run.gates,
        champion_version=run.row.champion_version,
        card=run.card,
        findings=tuple(findings),
    )
    return str(write_report(run.report_folder, facts).relative_to(run.settings.home.root))


def _sandbox(run: NightRun) -> SandboxRun | None:
    """What the real service made of the candidate; None when it was not tried."""
    plain = (run.notes(Step.JUDGE) or {}).get("sandbox")
    return None if plain is None else SandboxRun.from_dict(plain)


def read_training(run: NightRun) -> dict[str, Any]:
    """What training noted; empty when it did not come to that."""
    path = run.folder / "trained" / "training.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content
