"""Versions and aliases with the real MLflow on SQLite: exactly once, whatever is killed."""

import ast
import contextlib
import itertools
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import flows.registry
from flows.registry import Registry
from recognizer.errors import NotFound, StoreUnavailable
from recognizer.home import Home
from recognizer.keys import Signer
from recognizer.package import PackageCard, PackageStore
from recognizer.settings import Settings

fork = multiprocessing.get_context("fork")

STRIDE = 7
"""How many statements later each kill comes than the one before."""


def settings_of(root):
    return Settings(home=Home(root))


def _answer(pipe, work, arguments):
    pipe.send(work(*arguments))


def forked(work, *arguments):
    """Call in a process of its own, so that no open database crosses a fork; returns (answer or None, exit code)."""
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_answer, args=(sender, work, arguments))
    child.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        answer = None
    child.join()
    return answer, child.exitcode


@pytest.fixture(scope="module")
def fresh_database(tmp_path_factory):
    """MLflow's empty database, made once: its migrations take seconds."""
    root = tmp_path_factory.mktemp("mlflow")
    assert Registry(settings_of(root)).alias("action", "champion") is None
    return root / "mlruns"


@pytest.fixture(scope="module")
def warm(tmp_path_factory, fresh_database, packages):
    """All that MLflow loads on its first registration is in this process before any fork."""
    root = tmp_path_factory.mktemp("warm")
    shutil.copytree(fresh_database, root / "mlruns")
    register(Registry(settings_of(root)), packages[0])


@pytest.fixture
def home(tmp_path, fresh_database):
    root = tmp_path / "home"
    shutil.copytree(fresh_database, root / "mlruns")
    return root


@pytest.fixture
def registry(home):
    return Registry(settings_of(home))


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Three packages of small but real models: scores = softmax(mean of keypoints * weight)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    root = tmp_path_factory.mktemp("packages")
    store = PackageStore(root / "packages")
    signer = Signer.open(root / "keys")
    made = []
    for factor in (1, 2, 3):
        graph = helper.make_graph(
            [
                helper.make_node("ReduceMean", ["keypoints"], ["mean"], axes=[1, 2], keepdims=0),
                helper.make_node("MatMul", ["mean", "weight"], ["logits"]),
                helper.make_node("Softmax", ["logits"], ["scores"]),
            ],
            "net",
            [helper.make_tensor_value_info("keypoints", TensorProto.FLOAT, ["batch", 100, 17, 2])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
            [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3) * factor, "weight")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        path = root / f"{factor}.onnx"
        onnx.save(model, path)
        card = PackageCard(
            task="action",
            classes=("wave", "walk", "fall"),
            inputs=({"name": "keypoints", "dtype": "float32", "shape": ("batch", 100, 17, 2)},),
            outputs=({"name": "scores", "dtype": "float32", "shape": ("batch", 3)},),
            preprocessing={"frames": 100},
            snapshot="s" * 32,
            test_digest="t" * 64,
            identity=f"{factor}" * 64,
            code="c" * 64,
            seed=factor,
        )
        digest = store.build(path, card, signer)
        made.append((store.path(digest), card, digest))
    return made


def register(registry, package, **more):
    folder, card, digest = package
    words = {"night": "2026-11-20", "tags": {"recognizer.verdict": "PASSED"}, "metrics": {"accuracy": 0.9}, **more}
    return registry.register("action", folder, card, digest=digest, **words)


def test_a_version_leads_back_to_all_it_came_from(registry, home, packages, tmp_path, monkeypatch):
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.html").write_text("<p>good</p>")
    metrics = {"accuracy": 0.9, "f1": None, "loss": float("nan")}
    made = register(registry, packages[0], metrics=metrics, artifacts=report)
    assert made.version == 1

    from mlflow import MlflowClient

    client = MlflowClient(registry.uri, registry.uri)
    version = client.get_model_version("action", "1")
    run = client.get_run(made.run_id)
    for tags in (version.tags, run.data.tags):
        assert tags["recognizer.digest"] == packages[0][2]
        assert tags["recognizer.snapshot"] == "s" * 32
        assert tags["recognizer.code"] == "c" * 64
        assert tags["recognizer.identity"] == "1" * 64
        assert tags["recognizer.night"] == "2026-11-20"
        assert tags["recognizer.verdict"] == "PASSED"
    assert version.run_id == made.run_id
    assert run.data.metrics == {"accuracy": 0.9}
    assert run.data.params["classes"] == '["wave", "walk", "fall"]'
    assert run.info.status == "FINISHED"
    assert [entry.path for entry in client.list_artifacts(made.run_id, "report")] == ["report/report.html"]
    assert run.info.artifact_uri.startswith((home / "mlruns" / "artifacts").as_uri())
    (report / "report.md").write_text("good")
    registry.log_report(made.run_id, report)
    assert len(client.list_artifacts(made.run_id, "report")) == 2


def test_the_model_card_is_the_description_and_follows_the_last_judgement(registry, packages, tmp_path):
    folder, card, digest = packages[0]
    copy = shutil.copytree(folder, tmp_path / digest)
    from mlflow import MlflowClient

    client = MlflowClient(registry.uri, registry.uri)
    for text, said in (("# good", "# good"), ("# bad", "# bad"), ("line\n" * 2000, "line\n")):
        (copy / "model_card.md").write_text(text)
        register(registry, (copy, card, digest))
        found = client.get_model_version("action", "1").description
        assert found.startswith(said)
        assert len(found) <= 5000
    assert found.endswith("line\n\nThe rest stands in model_card.md beside the package.\n")


def test_anybody_can_load_the_champion(registry, packages, tmp_path, monkeypatch):
    register(registry, packages[0])
    register(registry, packages[1])
    registry.set_alias("action", "champion", 2)
    monkeypatch.chdir(tmp_path)

    import mlflow
    import onnxruntime

    mlflow.set_tracking_uri(registry.uri)
    try:
        model = mlflow.onnx.load_model("models:/action@champion")
        signature = mlflow.models.get_model_info("models:/action@champion").signature
        assert (tmp_path / "home" / "mlruns").is_dir()
    finally:
        mlflow.set_tracking_uri(None)
    x = np.random.default_rng(0).normal(size=(5, 100, 17, 2)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    deployed = onnxruntime.InferenceSession(packages[1][0] / "model.onnx")
    assert np.array_equal(session.run(None, {"keypoints": x})[0], deployed.run(None, {"keypoints": x})[0])
    assert model.SerializeToString() == (packages[1][0] / "model.onnx").read_bytes()
    assert [(entry.name, entry.shape) for entry in signature.inputs] == [("keypoints", (-1, 100, 17, 2))]
    assert [(entry.name, entry.shape) for entry in signature.outputs] == [("scores", (-1, 3))]
    assert not (tmp_path / "mlruns").exists()


def test_the_same_digest_is_the_same_version(registry, packages):
    first = register(registry, packages[0])
    assert register(registry, packages[1]).version == 2
    again = register(registry, packages[0], night="2026-11-21")
    assert (again.version, again.run_id) == (1, first.run_id)
    from mlflow import MlflowClient

    client = MlflowClient(registry.uri, registry.uri)
    register(registry, packages[0], tags={"recognizer.verdict": "FAILED"})  # it was judged again
    assert client.get_model_version("action", "1").tags["recognizer.verdict"] == "FAILED"
    assert client.get_run(first.run_id).data.tags["recognizer.verdict"] == "FAILED"
    listed = registry.versions("action")
    assert [(entry.version, entry.digest) for entry in listed] == [(2, packages[1][2]), (1, packages[0][2])]
    assert registry.versions("pose") == []


def test_aliases_follow_the_store(registry, packages):
    assert registry.alias("action", "champion") is None
    for package in packages:
        register(registry, package)
    assert registry.alias("action", "champion") is None
    registry.set_alias("action", "champion", 1)
    assert registry.alias("action", "champion") == 1
    expected = {"champion": 1, "challenger": None}
    assert registry.reconcile_aliases("action", expected) == []
    registry.set_alias("action", "champion", 3)  # as a person would on MLflow's page
    registry.set_alias("action", "challenger", 2)
    assert registry.reconcile_aliases("action", expected) == [
        "action@champion was version 3; it is version 1 again",
        "action@challenger was version 2; it is not set again",
    ]
    assert registry.reconcile_aliases("action", expected) == []
    assert {entry.version: entry.aliases for entry in registry.versions("action")} == {3: (), 2: (), 1: ("champion",)}
    with pytest.raises(NotFound):
        registry.set_alias("action", "champion", 9)


def test_leaves_mlflows_own_settings_alone(registry, packages, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/mlflow.db")
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    register(registry, packages[0])
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:////nowhere/mlflow.db"
    assert "MLFLOW_REGISTRY_URI" not in os.environ


def _deadly(limit):
    """The registry with a tick before each of its statements; the process is killed at the given tick, 0: never."""
    tree = ast.parse(Path(flows.registry.__file__).read_text())
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        for block in [function, *(node for node in ast.walk(function) if isinstance(node, ast.stmt))]:
            for name in ("body", "orelse", "finalbody"):
                if not hasattr(block, "ticking" + name) and getattr(block, name, None):
                    setattr(block, "ticking" + name, True)
                    tick = ast.parse("_tick()").body[0]
                    setattr(block, name, [part for one in getattr(block, name) for part in (tick, one)])
    ticks = 0

    def _tick():
        nonlocal ticks
        ticks += 1
        if ticks == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    module = ModuleType("deadly_registry")
    sys.modules[module.__name__] = module
    module._tick = _tick
    exec(compile(ast.fix_missing_locations(tree), "deadly_registry", "exec"), module.__dict__)
    return module.Registry


def _register_until(root, package, limit):
    return register(_deadly(limit)(settings_of(root)), package).version


def _listed(root):
    return [(entry.version, entry.digest) for entry in Registry(settings_of(root)).versions("action")]


@pytest.mark.usefixtures("warm")
def test_a_kill_anywhere_makes_no_second_version(home, packages):
    folder, card, _ = packages[0]
    for attempt in itertools.count(1):
        package = (folder, card, f"{attempt:064x}")
        answer, code = forked(_register_until, home, package, STRIDE * attempt)
        if code == -signal.SIGKILL:
            answer, code = forked(_register_until, home, package, 0)
            assert (answer, code) == (attempt, 0)
            continue
        assert (answer, code) == (attempt, 0)
        break  # it came to its end before that line
    assert attempt > 8, attempt
    listed, _ = forked(_listed, home)
    assert listed == [(number, f"{number:064x}") for number in range(attempt, 0, -1)]


@pytest.mark.usefixtures("warm")
def test_processes_at_once_make_the_database_and_one_version(tmp_path, packages):
    home = tmp_path / "home"
    results = fork.Queue()
    children = [fork.Process(target=_register_into, args=(home, package, results)) for package in packages[:2] * 2]
    for child in children:
        child.start()
    made = [results.get(timeout=120) for _ in children]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert sorted(set(made)) == [(1, made_by(made, 1)), (2, made_by(made, 2))]


def made_by(made, version):
    return next(digest for number, digest in made if number == version)


def _register_into(root, package, results):
    made = register(Registry(settings_of(root)), package)
    results.put((made.version, made.digest))


def test_a_database_that_is_none_says_what_to_do(tmp_path):
    home = tmp_path / "home"
    (home / "mlruns").mkdir(parents=True)
    (home / "mlruns" / "mlflow.db").write_bytes(b"no database at all, but long enough to look like one" * 100)
    with pytest.raises(StoreUnavailable, match="RECOGNIZER_MLFLOW_URI"):
        Registry(settings_of(home)).alias("action", "champion")


def test_a_server_that_is_away_is_told_within_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    away = Settings(home=Home(tmp_path), mlflow_uri=f"http://somebody:secret@127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable, match="RECOGNIZER_MLFLOW_URI") as caught:
        Registry(away).alias("action", "champion")
    assert caught.value.where == f"http://somebody:***@127.0.0.1:{port}"


def test_an_older_schema_names_the_command_that_lifts_it(registry, home):
    with contextlib.closing(sqlite3.connect(home / "mlruns" / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '0a8213491aaa'")
        database.commit()
    with pytest.raises(StoreUnavailable, match="mlflow db upgrade"):
        registry.versions("action")


def test_says_nothing_of_its_own(home, packages, tmp_path):
    script = f"""
import sys, pathlib, pickle
import flows.registry
from flows.registry import Registry
from recognizer.settings import Settings
from recognizer.home import Home
folder, card, digest = pickle.loads({pickle.dumps(packages[0])!r})
Registry(Settings(home=Home(pathlib.Path({str(home)!r})))).register(
    "action", folder, card, digest=digest, night="2026-11-20", tags={{}}, metrics={{}})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
