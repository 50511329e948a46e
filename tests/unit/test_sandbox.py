"""The record of a run in the sandbox, how answers are compared, and what its service says when it breaks."""

import json

import numpy as np
import pytest

from flows.sandbox.compare import Comparison
from flows.sandbox.log import complaint, shortage
from flows.sandbox.service import KEPT
from recognizer.action.evaluator import SCORES
from recognizer.errors import FormatError
from recognizer.evaluation import SandboxRun, ShadowRun
from recognizer.traffic import Sent, TrafficPlan, write_schedule
from serving.action.answer import ActionEndpoint

CLASSES = ("standing", "walking", "falling")
FULL = SandboxRun(
    source="500 cases, prediction log",
    recorded=True,
    memory_limit_mb=2048,
    requests=1000,
    failed={"status 500": 3, "timeout": 1},
    examples={"status 500": "PluginError: it raised"},
    by_another=6,
    not_asked=2,
    compared=990,
    agreed=988,
    max_difference=0.1 + 0.2,
    rate=50.02,
    p50_ms=3.1,
    p95_ms=9.7,
    ready_seconds=5.5,
    memory_mb=198.3,
    seconds=31.0,
    shadow=ShadowRun(200, 198, 190, 2),
    problem="a worker died: Fatal Python error: Aborted",
)
BARE = SandboxRun("training set", False, 512)


@pytest.mark.parametrize("run", [FULL, BARE])
def test_json_gives_the_record_back(run):
    assert SandboxRun.from_dict(json.loads(json.dumps(run.as_dict()))) == run


@pytest.mark.parametrize(
    ("run", "failures", "agreement", "shadow"), [(FULL, 4, 988 / 990, 190 / 198), (BARE, 0, None, None)]
)
def test_what_follows_from_the_counts(run, failures, agreement, shadow):
    assert run.failures == failures
    assert run.agreement == agreement
    assert (run.shadow or ShadowRun(0, 0, 0, 0)).agreement == shadow


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "of format 2, expected 1"),
        ({"format": None}, "of format None"),
        ({"novel": 1}, "has the fields"),
        ({"shadow": {"requests": 1}}, "cannot be read"),
        ({"shadow": 7}, "cannot be read"),
        ({"failed": 3}, "cannot be read"),
    ],
)
def test_what_is_no_record(change, says):
    with pytest.raises(FormatError, match=says):
        SandboxRun.from_dict({**FULL.as_dict(), **change})


@pytest.mark.parametrize("plain", [{}, [], None, "run"])
def test_what_is_no_object(plain):
    with pytest.raises(FormatError, match="a sandbox run of format"):
        SandboxRun.from_dict(plain)


def test_a_record_lacks_nothing():
    plain = FULL.as_dict()
    del plain["agreed"]
    with pytest.raises(FormatError, match="has the fields"):
        SandboxRun.from_dict(plain)


def said(scores, *, digest="mine", action=None, **more):
    best = CLASSES[int(np.argmax(scores))] if action is None else action
    return {"model": {"digest": digest}, "action": best, "scores": dict(zip(CLASSES, scores, strict=False)), **more}


@pytest.mark.parametrize(
    ("content", "by_another", "compared", "agreed", "difference"),
    [
        (said([0.2, 0.7, 0.1]), 0, 1, 1, 0.0),
        (said([0.21, 0.69, 0.1]), 0, 1, 1, 0.01),
        (said([0.7, 0.2, 0.1]), 0, 1, 0, 0.5),
        (said([0.2, 0.7, 0.1], action="falling"), 0, 1, 0, 0.0),
        (said([0.45, 0.45, 0.1], action="walking"), 0, 1, 1, 0.25),
        (said([0.45, 0.45, 0.1], action="standing"), 0, 1, 0, 0.25),
        (said([0.45, 0.45, 0.1], action="unknown"), 0, 1, 0, 0.25),
        (said([0.2, 0.7, 0.1], recovered=True), 1, 0, 0, None),
        (said([0.2, 0.7, 0.1], digest="other"), 1, 0, 0, None),
        (said([0.2, 0.8]), 0, 1, 0, None),
        (said([0.2, None, 0.1], action="walking"), 0, 1, 0, None),
        (said(["x", 0.7, 0.1], action="walking"), 0, 1, 0, None),
        ({"model": {"digest": "mine"}, "action": "walking"}, 0, 1, 0, None),
    ],
)
def test_an_answer_is_held_against_the_offline_one(content, by_another, compared, agreed, difference):
    comparison = Comparison("action", ActionEndpoint(), CLASSES, {SCORES: np.zeros((1, 3), np.float32)}, "mine")
    comparison.add(content, {SCORES: np.array([[0.2, 0.7, 0.1]], np.float32)})
    assert (comparison.by_another, comparison.compared, comparison.agreed) == (by_another, compared, agreed)
    assert comparison.max_difference == (None if difference is None else pytest.approx(difference, abs=1e-7))


def test_each_answer_is_held_against_its_own_window():
    expected = np.eye(3, dtype=np.float32)
    windows = tuple(Sent(str(i).encode(), None) for i in range(3))
    plan = TrafficPlan("http://127.0.0.1:1", windows, rate=10.0, seconds=None, requests=9)
    comparison = Comparison("action", ActionEndpoint(), CLASSES, {SCORES: expected}, "mine")
    add = comparison.of(plan)
    for number, window in enumerate(write_schedule(plan).case):
        add(number, said(expected[window]))
    assert (comparison.compared, comparison.agreed, comparison.max_difference) == (9, 9, 0.0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"level": "error", "event": "refused", "error": "FormatError", "what": "no\\n model"}',
            "refused: FormatError: no model",
        ),
        ('{"level": "critical", "event": "it died"}', "it died"),
        ('{"level": "info", "event": "published"}', None),
        ('{"level": "error"}', ""),
        ("MemoryError", "MemoryError"),
        ("OSError: [Errno 28] No space left on device", "OSError: [Errno 28] No space left on device"),
        ("  File 'service.py', line 3", None),
        ("[]", None),
    ],
)
def test_what_a_line_of_the_log_complains_of(line, says):
    assert complaint(line) == says


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("PATH", True),
        ("LC_ALL", True),
        ("OMP_NUM_THREADS", True),
        ("CUDA_VISIBLE_DEVICES", True),
        ("RECOGNIZER_HOME", False),
        ("RECOGNIZER_ADMIN_TOKEN", False),
        ("MLFLOW_TRACKING_URI", False),
        ("PREFECT_API_URL", False),
        ("PATHS", False),
    ],
)
def test_what_the_service_gets_of_our_environment(name, kept):
    assert bool(KEPT.fullmatch(name)) is kept


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("OpenBLAS error: Memory allocation still failed after 10 retries, giving up.", "; it ran out of memory: each"),
        ("Traceback\nMemoryError\n{}\nApplication startup failed", "; it ran out of memory: each process may hold 1,0"),
        ("OSError: [Errno 28] No space left on device", "; it ran out of room on the disk: free some in "),
        ("sqlite3.OperationalError: disk I/O error", "; it ran out of room on the disk: free some in "),
        ("ValueError: no such thing", ""),
    ],
)
def test_what_a_service_ran_out_of(log, says):
    found = shortage(log, 1024)
    assert found.startswith(says)
    assert bool(found) == bool(says)
