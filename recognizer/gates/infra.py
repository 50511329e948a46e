"""The real service in a sandbox: it loads the package, answers recorded requests, and shadows the champion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from recognizer.checks import Check, Verdict, figure, in_decimals
from recognizer.evaluation.measured import Measured
from recognizer.evaluation.sandbox import SandboxRun
from recognizer.gates.config import GateConfig, InfraGate

GATE = "infra"
ASKED = 0.95
"""Share of the requests that have to reach the candidate: the rest found its threads busy, which is the machine's."""


def infra_checks(config: GateConfig, measured: Measured, run: SandboxRun | None) -> Iterator[Check]:
    """Whether it came up, answered everything, answered the same as before, was quick, and agrees with the champion."""
    gate = config.gates.infra
    if gate is None:
        return
    if run is None:
        yield Check.unmeasured(GATE, "service", "the service was not tried in a sandbox")
        return
    if run.problem is not None:
        yield Check(GATE, "service", None, None, "min", None, run.requests, Verdict.FAILED, run.problem)
        return
    yield from _requests(gate, run)
    disagreement = measured.disagreement
    if disagreement is not None:
        yield _shadow(gate, run, disagreement)
    elif measured.champion_classes == measured.classes:
        yield Check.unmeasured(GATE, "shadow_agreement", "the champion was not evaluated on the test set")


def _requests(gate: InfraGate, run: SandboxRun) -> Iterator[Check]:
    """How the requests were answered; `requests` counts what was sent, and says where it came from."""
    n, enough = run.requests, gate.requests
    sent = f"{run.source}, {figure(run.rate)} a second" if run.rate is not None else run.source
    made = partial(Check.measured, GATE, n=n, min_cases=enough, cases="requests")
    yield Check.measured(GATE, "requests", float(n), threshold=float(enough), n=n, derivation=sent, cases="requests")
    if run.not_asked > n * (1 - ASKED):
        reason = f"of {n:,} requests {run.not_asked:,} did not reach the candidate in time: the machine was too busy"
        yield Check(GATE, "asked", float(n - run.not_asked), n * ASKED, "min", None, n, Verdict.INCONCLUSIVE, reason)
    strangers = max(run.by_another - run.not_asked, 0)
    kinds = [f"{kind} {count:,}" for kind, count in run.failed.items()]
    kinds += [f"answered by another model {strangers:,}"] if strangers else []
    lost = float(run.failures + strangers)
    yield made("failed", lost, threshold=0.0, direction="max", derivation=", ".join(kinds))
    held = partial(made, n=run.compared, min_cases=math.floor(enough * ASKED), cases="answers")
    yield held("same_answer", run.agreement, threshold=1.0)
    yield held("max_difference", run.max_difference, threshold=gate.tolerance, direction="max")
    yield made("latency_p95_ms", run.p95_ms, threshold=gate.latency_p95_ms, direction="max")


def _shadow(gate: InfraGate, run: SandboxRun, disagreement: float) -> Check:
    """Agreement with the champion, in shadow, against that on the test set."""
    threshold = max(in_decimals(1, -disagreement, -gate.shadow_margin), 0.0)
    if run.shadow is None:
        return Check.unmeasured(GATE, "shadow_agreement", "nothing was shadowed", threshold=threshold)
    return Check.measured(
        GATE,
        "shadow_agreement",
        run.shadow.agreement,
        threshold=threshold,
        n=run.shadow.compared,
        min_cases=math.ceil(run.shadow.requests / 2),
        derivation=f"on the test set {figure(1 - disagreement)} - margin {figure(gate.shadow_margin)}",
        cases="shadowed requests",
    )
