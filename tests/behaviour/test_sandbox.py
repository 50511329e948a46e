"""The real service in the sandbox: good, bad, broken and killed; nothing of it is left."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from flows.sandbox.home import PREFIX, furnish, sandbox_folder
from flows.sandbox.requests import Requests, offline_answers
from flows.sandbox.run import SandboxLimits, run_in_sandbox
from flows.sandbox.service import WORKER, Broken, SandboxService, settings_for
from recognizer.action.evaluator import SCORES
from recognizer.blessing import verify_blessing
from recognizer.errors import PackageUnblessed, UsageError
from recognizer.evaluation import ShadowRun
from recognizer.keys import Keyring
from recognizer.settings import Settings
from recognizer.store.processes import this_process
from recognizer.tasks import load_predictor
from recognizer.traffic import Sent
from serving.staging import sweep

NPY = "application/x-npy"
PATIENCE = 60
CHAMPION, CANDIDATE, BAD, DAMAGED = 1, 2, 3, 5
WINDOWS, WRONG = 20, 5
LIMITS = SandboxLimits(requests=60, shadows=60)


def window(number, visibility):
    keypoints = np.random.default_rng(number).uniform(1, 500, (1, 30, 17, 3)).astype(np.float32)
    keypoints[..., 2] = visibility
    file = io.BytesIO()
    np.save(file, keypoints)
    return Sent(file.getvalue(), None)


SURE = tuple(window(number, 1.0) for number in range(WINDOWS))
HALF = tuple(window(number, 1.0 if number % 2 else 0.9) for number in range(WINDOWS))


def wait_for(condition, what):
    """Ask again and again; what a process does cannot be waited for otherwise."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.02)
    return found


def scores_of(small, version, windows):
    return offline_answers(load_predictor("action")(small.folder(version), threads=1), "action", windows, NPY)


def candidate(small, version):
    return {"model": small.folder(version) / "model.onnx", "card": small.packages.card(small.digests[version])}


def try_out(small, version, windows, expected, champion=None):
    return run_in_sandbox(
        Settings(home=small.home),
        task="action",
        **candidate(small, version),
        champion=None if champion is None else small.folder(champion),
        requests=Requests(windows, "made for this test", False, 100.0, NPY),
        expected=expected,
        limits=LIMITS,
    )


def left_behind():
    mine = f"{PREFIX}{this_process()}."
    return [path for path in Path(tempfile.gettempdir()).iterdir() if path.name.startswith(mine)]


def content_of(folder):
    return {(path, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def production(module_home, make_bad_model):
    """A home with a champion and some packages that nobody has blessed."""
    small = module_home
    small.release(CHAMPION)
    small.package(CANDIDATE)
    small.package(BAD)
    small.package(BAD + 1, make_bad_model("raises", [4.0 + 0.01 * BAD, 0.0, 0.0]))
    (small.home.root / "damaged.onnx").write_bytes(b"this is no model, whatever its name says")
    card = small.packages.card(small.digests[CANDIDATE]).model_copy(update={"seed": DAMAGED})
    small.digests[DAMAGED] = small.packages.build(small.home.root / "damaged.onnx", card, small.signer)
    return small


@pytest.fixture(scope="module")
def runs(production):
    """Three runs, two of them at a time, and what they left of what was there before."""
    small, before = production, content_of(production.home.root)
    expected = scores_of(small, CANDIDATE, SURE)
    partly_wrong = {SCORES: expected[SCORES].copy()}
    partly_wrong[SCORES][:WRONG] = np.roll(expected[SCORES][:WRONG], 1, axis=1)
    with ThreadPoolExecutor(2) as pool:
        compared = pool.submit(try_out, small, CANDIDATE, SURE, partly_wrong, champion=CHAMPION)
        bad = pool.submit(try_out, small, BAD + 1, HALF, scores_of(small, BAD, HALF))
        damaged = pool.submit(try_out, small, DAMAGED, SURE, expected)
        found = {"compared": compared.result(), "bad": bad.result(), "damaged": damaged.result()}
    assert content_of(small.home.root) == before
    assert not left_behind()
    assert not [one for one in psutil.Process().children(recursive=True) if WORKER in one.cmdline()]
    return found


def test_a_candidate_is_compared_with_its_offline_answers_and_with_the_champion(runs):
    run = runs["compared"]
    assert run.problem is None
    assert (run.requests, run.failures, run.by_another, run.not_asked, run.compared) == (60, 0, 0, 0, 60)
    assert run.agreed == 60 - 60 // WINDOWS * WRONG  # each window is sent equally often
    assert run.max_difference > 0.9
    assert (run.source, run.recorded) == ("made for this test", False)
    assert 50 < run.rate < 150
    assert 0 < run.p50_ms <= run.p95_ms < 5000
    assert 0 < run.ready_seconds < run.seconds
    assert 50 < run.memory_mb < run.memory_limit_mb == 2048
    # the two are sure of different classes
    assert run.shadow == ShadowRun(requests=60, compared=60, agreed=0, lost=0)


def test_a_candidate_that_raises_fails_requests_when_there_is_no_champion(runs):
    run = runs["bad"]
    assert (run.requests, dict(run.failed), run.by_another) == (60, {"status 500": 30}, 0)
    assert "PluginError: the model failed" in run.examples["status 500"]
    assert (run.compared, run.agreed) == (30, 30)
    assert run.max_difference < 1e-6
    assert (run.shadow, run.problem) == (None, None)


def test_a_candidate_that_cannot_be_loaded_says_why(runs):
    run = runs["damaged"]
    assert run.problem.startswith("FormatError: onnxruntime cannot load it")
    assert tempfile.gettempdir() not in run.problem
    assert (run.requests, run.compared, run.ready_seconds, run.shadow) == (0, 0, None, None)


def test_the_home_of_a_run_is_worth_nothing_outside(production, tmp_path):
    small, before = production, content_of(production.home.root)
    made = furnish(tmp_path / "home", "action", **candidate(small, CANDIDATE), champion=small.folder(CHAMPION))
    assert made.candidate == small.digests[CANDIDATE]
    assert made.rollout == 1
    folder = made.home.packages / made.candidate
    verify_blessing(folder, made.candidate, Keyring.open(made.home.keys))
    with pytest.raises(PackageUnblessed, match="not signed by one of the 1 trusted keys"):
        verify_blessing(folder, made.candidate, Keyring.open(small.home.keys))
    assert content_of(small.home.root) == before


def test_a_champion_that_is_the_candidate_is_not_compared_with_itself(production, tmp_path):
    small = production
    made = furnish(tmp_path / "home", "action", **candidate(small, CANDIDATE), champion=small.folder(CANDIDATE))
    assert (made.candidate, made.rollout) == (small.digests[CANDIDATE], None)


def test_scores_of_other_windows_are_refused(production):
    with pytest.raises(UsageError, match=r"holds \{'scores': 20\} answers, expected 1"):
        try_out(production, CANDIDATE, SURE[:1], scores_of(production, CANDIDATE, SURE))
    assert not left_behind()


def test_a_service_that_is_killed_is_noticed(production):
    small = production
    with sandbox_folder() as folder:
        made = furnish(folder / "home", "action", **candidate(small, CANDIDATE), champion=None)
        settings = settings_for(Settings(home=small.home), made.home, shadows=1)
        before = {one.pid for one in psutil.Process().children()}  # of other tests: multiprocessing's tracker
        service = SandboxService.start(settings, made.home, folder, memory_mb=2048)
        try:
            (supervisor,) = (one for one in psutil.Process().children() if one.pid not in before)
            service.watch()
            supervisor.kill()
            with pytest.raises(Broken, match="the service ended with code -9: it left no word"):
                wait_for(service.watch, "word of its end")
        finally:
            service.end()
    assert not left_behind()


def test_a_service_without_memory_says_so(production):
    small = production
    with sandbox_folder() as folder:
        made = furnish(folder / "home", "action", **candidate(small, CANDIDATE), champion=None)
        settings = settings_for(Settings(home=small.home), made.home, shadows=1)
        service = SandboxService.start(settings, made.home, folder, memory_mb=60)
        try:
            with pytest.raises(Broken, match=r"the service ended with code .*ran out of memory: .* hold 60 MB"):
                wait_for(service.watch, "word of its end")
        finally:
            service.end()


NIGHT = """
import sys
from pathlib import Path
import numpy as np
from flows.sandbox.requests import Requests
from flows.sandbox.run import run_in_sandbox
from recognizer.package import PackageStore
from recognizer.settings import load_settings
from recognizer.traffic import Sent
packages = PackageStore(Path(sys.argv[1]))
run_in_sandbox(
    load_settings(),
    task="action",
    model=packages.path(sys.argv[2]) / "model.onnx",
    card=packages.card(sys.argv[2]),
    champion=None,
    requests=Requests((Sent(b"", None),), "nothing", False, 50.0, "application/x-npy"),
    expected={"scores": np.zeros((1, 3), np.float32)},
)
"""


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_night_that_is_killed_takes_its_sandbox_along(production, tmp_path, kind):
    small = production
    night = subprocess.Popen(
        [sys.executable, "-c", NIGHT, str(small.home.packages), small.digests[CANDIDATE]],
        env={**os.environ, "RECOGNIZER_HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        (service,) = wait_for(psutil.Process(night.pid).children, "service")
        assert list(tmp_path.glob(f"{PREFIX}*"))
        night.send_signal(kind)
        _, said = night.communicate(timeout=PATIENCE)
        assert ("KeyboardInterrupt" in said) is (kind == signal.SIGINT), said
        service.wait(PATIENCE)
    finally:
        night.kill()
        night.communicate()
    sweep(tmp_path, PREFIX)
    assert not list(tmp_path.glob(f"{PREFIX}*"))
