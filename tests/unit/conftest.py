"""Candidates as the gates see them, made of few numbers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recognizer.evaluation import Evaluation, Parity, evaluate_classification
from recognizer.evaluation.behaviour import Invariance
from recognizer.evaluation.footprint import Footprint
from recognizer.evaluation.measured import Costs, Golden, Measured, Rival
from recognizer.evaluation.paired import PairedDifference
from recognizer.evaluation.sandbox import SandboxRun, ShadowRun
from recognizer.evaluation.significance import McNemar

CLASSES = ("walking", "running", "falling", "waving")
CHAMPION = "c" * 64
EQUAL = Parity(max_abs_diff=1e-6, decisions_equal=1.0, n=100)


def make_evaluation(accuracy=0.95, *, n=100, classes=CLASSES, people=5, **metrics) -> Evaluation:
    """An evaluation of n cases, as many of each class, with the metrics put in by hand; None takes one away."""
    labels = np.arange(n) % len(classes)
    slices = {"class": [classes[label] for label in labels], "length": ["10 to 20 frames"] * n}
    who = [f"p{i % people}" for i in range(n)]
    made = evaluate_classification(np.eye(len(classes))[labels], labels, classes, who, slices)
    put = {**made.metrics, "accuracy": accuracy, "calibration_error": 0.02, **metrics}
    return replace(made, metrics={name: value for name, value in put.items() if value is not None})


def make_difference(value=0.0, *, spread=0.01, p_worse=1.0, n=100, clusters=20) -> PairedDifference:
    return PairedDifference(value, value - spread, value + spread, p_worse, n, clusters)


def make_rival(evaluation=None, *, digest=CHAMPION, version=3, differences=None, slices=None) -> Rival:
    return Rival(
        digest=digest,
        version=version,
        evaluation=evaluation if evaluation is not None else make_evaluation(),
        differences={"accuracy": make_difference()} if differences is None else differences,
        slices=slices or {},
        answers=McNemar(3, 3, 1.0),
        disagreement=0.06,
    )


def make_measured(candidate=None, *, champion=None, best=None, **more) -> Measured:
    """A candidate that is good in every respect, the first of its lineage unless a champion is given.

    Args:
        best: the best version by accuracy, as a rival; None where there is none.
    """
    rivals = {one.digest: one for one in (champion, best) if one is not None}
    known = champion.evaluation.classes if champion is not None else None
    return Measured(
        **{
            "classes": CLASSES,
            "candidate": candidate if candidate is not None else make_evaluation(),
            "rivals": rivals,
            "champion": None if champion is None else champion.digest,
            "champion_classes": known,
            "best": {"accuracy": None if best is None else best.digest, "log_loss": None},
            "parity": {**dict.fromkeys(("1", "8", "32"), EQUAL), "again": Parity(0.0, 1.0, 100)},
            "golden": Golden((), 32, "0" * 64),
            "invariances": tuple(
                Invariance(name, 1.0, 0.01, 0.0, 100) for name in ("shift", "scale", "thin", "mirror", "drop_joint")
            ),
            "costs": Costs(make_footprint(), None),
            **more,
        }
    )


def make_footprint(*, latency=10.0, load=50.0, memory=30.0) -> Footprint:
    return Footprint((latency,) * 20, (load,) * 5, memory, 1)


def make_run(**changes) -> SandboxRun:
    """A run in the sandbox without fault."""
    good = {
        "requests": 1000,
        "compared": 1000,
        "agreed": 1000,
        "max_difference": 1e-6,
        "rate": 50.0,
        "p50_ms": 12.0,
        "p95_ms": 30.0,
        "ready_seconds": 4.0,
        "shadow": ShadowRun(200, 200, 190, 0),
    }
    return SandboxRun("training set", False, 2048, **{**good, **changes})


@pytest.fixture(scope="session")
def make() -> Callable[..., object]:
    """What makes any of these: `make.evaluation(0.93)`, `make.rival(...)`, `make.measured(...)`."""

    class Made:
        evaluation = staticmethod(make_evaluation)
        difference = staticmethod(make_difference)
        rival = staticmethod(make_rival)
        measured = staticmethod(make_measured)
        footprint = staticmethod(make_footprint)
        run = staticmethod(make_run)

    return Made  # type: ignore[return-value]
