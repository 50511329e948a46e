"""The candidate of a night, or one that somebody brought, tried in the sandbox as the infra gate asks for it."""

from __future__ import annotations

from pathlib import Path

from flows.sandbox.requests import find_requests, offline_answers
from flows.sandbox.run import SandboxLimits, run_in_sandbox
from recognizer.card import PackageCard
from recognizer.errors import PluginError
from recognizer.evaluation.sandbox import SandboxRun
from recognizer.gates.config import InfraGate
from recognizer.settings import Settings
from recognizer.snapshot import read_snapshot
from recognizer.tasks import load_predictor


def try_candidate(
    settings: Settings, gate: InfraGate, *, exported: Path, card: PackageCard, champion: Path | None, snapshot: Path
) -> SandboxRun:
    """Let the real service answer what was recorded with a candidate, and hold that against its offline scores.

    Args:
        exported: folder with the candidate's `model.onnx`, as `load_predictor(task)` takes it.
        champion: package folder of the champion it is to shadow; None when there is none of its classes.
        snapshot: folder of the snapshot, whose training cases stand in for what was never recorded.

    Raises:
        StorageError: there is no room for the sandbox, or the store cannot be read.
    """
    requests = find_requests(settings, card.task, snapshot)
    limits = SandboxLimits(requests=gate.requests, memory_mb=int(gate.memory_mb))
    predictor = load_predictor(card.task)(exported, threads=settings.session_threads)
    try:
        expected = offline_answers(predictor, card.task, requests.cases, requests.media_type)
    except PluginError as error:  # what fails here would fail in service
        return SandboxRun(requests.source, requests.recorded, limits.memory_mb, problem=f"offline: {error.what}")
    return run_in_sandbox(
        settings,
        task=card.task,
        model=exported / "model.onnx",
        card=card,
        champion=champion,
        requests=requests,
        expected=expected,
        classes=read_snapshot(snapshot).classes,
        limits=limits,
    )
