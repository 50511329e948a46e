"""What the README promises, command by command, and what stands after that one night.

The real thing throughout: Prefect, DVC, Great Expectations, Lightning, MLflow, BentoML.
"""

import contextlib
import hashlib
import json
import os
import pickle
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from flows.command.main import cli
from flows.command.reference import top_context
from flows.registry import Registry
from recognizer.digest import sha256_file
from recognizer.home import checkout
from recognizer.store import leases
from recognizer.synthetic import generate
from serving.action.predictor import ActionPredictor

README = (checkout() / "README.md").read_text()
PATIENCE = 60.0


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    """The README's `recognizer` lines, word by word, without their comments."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("recognizer ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder with what the README's commands read: FILE.pkl, a PYSKL pickle, and meta.json; and its test clips."""
    folder = tmp_path_factory.mktemp("recordings")
    made = generate(200)
    annotations = [
        {
            "frame_dir": item.name, "label": item.label, "total_frames": item.frames, "img_shape": item.image_shape,
            "original_shape": item.image_shape, "keypoint": item.keypoints, "keypoint_score": item.visibility,
        }
        for item in made.sequences
    ]  # fmt: skip
    rest = [name for part in ("train", "validation") for name in made.split.get(part, ())]
    split = {"train": rest, "val": list(made.split["test"])}
    (folder / "FILE.pkl").write_bytes(pickle.dumps({"split": split, "annotations": annotations}))
    subjects = {item.name: item.subject for item in made.sequences}
    meta = {"classes": made.sequences.classes, "subject_of": subjects}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder, made.part("test")


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_place):
    made = make_place(tmp_path_factory.mktemp("nights") / "home", data=False)
    made.use_all_gates()
    return made


@pytest.fixture(scope="module")
def night(place, recordings):
    """What the first night of the home said, after the README's commands that come before it."""
    for words in commands():
        if words[0] == "nightly":
            return place.json(*words)
        place.run(*words, folder=recordings[0])
    raise AssertionError("the README starts no night")


def test_the_readme_names_targets_and_commands_that_exist():
    made = set(re.findall(r"^([a-z-]+):", (checkout() / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^make (\S+)", "\n".join(blocks("sh")), flags=re.MULTILINE)) == {"nightly", "test"} <= made
    assert [words[0] for words in commands()] == ["ingest", "nightly", "serve"]
    for line in re.findall(r"`recognizer ([^`]+)`", README):
        words = [word.strip("[]") for word in line.split() if word != "TASK"]
        cli.commands[words[0]].make_context(words[0], words[1:], parent=top_context(), resilient_parsing=True)


@pytest.fixture
def service(place, night):
    """The README's `recognizer serve` on a free port; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (serve,) = (words for words in commands() if words[0] == "serve")
    process = place.start(*serve, RECOGNIZER_PORT=str(port))
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the service is not ready"
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address}/ready").status_code == 200:
                    break
            time.sleep(0.1)  # between two questions
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_the_service_answers_as_the_evaluation_does(place, night, recordings, service, tmp_path, monkeypatch):
    """The README's client and the `.npy` door, on clips of people that were held out."""
    home = place.home.packages / night["digest"]
    clips = recordings[1].sequences[:10]
    expected = ActionPredictor(home, threads=1)
    scores = expected.predict(expected.inputs(clips)).answers["scores"]
    (client,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    for clip, wanted in zip(clips, scores, strict=True):
        window = np.concatenate([clip.keypoints, clip.visibility[..., None]], axis=-1)
        np.save("window.npy", window)
        posted = httpx.post(
            f"{service}/v1/action",
            content=Path("window.npy").read_bytes(),
            headers={"Content-Type": "application/x-npy"},
        )
        answer = posted.json()
        assert posted.status_code == 200, answer
        assert (answer["model"]["name"], answer["model"]["version"]) == ("action", 1)
        assert answer["model"]["digest"] == night["digest"]
        assert answer["action"] == expected.classes[wanted.argmax()]
        assert list(answer["scores"].values()) == pytest.approx(wanted.tolist(), abs=1e-5)
    script = client.replace("http://127.0.0.1:3000", service).replace("client.action(", "print(client.action(")
    script = re.sub(r"tolist\(\)\)", "tolist()))", script)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer["action"] in done.stdout


def test_it_promotes_and_says_what_a_program_needs(place, night):
    assert set(night) == {
        "task", "night", "outcome", "reason", "version", "digest", "snapshot", "metrics", "checks", "report",
    }  # fmt: skip
    assert (night["task"], night["outcome"], night["version"]) == ("action", "promoted", 1)
    gates = ["contract", "absolute", "relative", "slices", "golden", "parity", "budgets", "infra"]
    assert list(dict.fromkeys(check["gate"] for check in night["checks"])) == gates
    assert all(check["verdict"] == "PASSED" and check["reason"] for check in night["checks"])
    page = Path(night["report"]).read_text()
    assert "Confusion" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is fetched to read it
    assert os.path.exists(night["report"].replace(".html", ".md"))


def test_the_same_night_again_does_nothing_twice(place, night):
    assert place.json("nightly", "action") == night
    assert place.trainings() == 1


def test_the_version_is_listed_with_alias_and_verdict(place, night):
    (version,) = place.call("models")
    assert (version["version"], version["aliases"], version["verdict"]) == (1, ["champion"], "PASSED")
    assert version["digest"] == night["digest"]
    gates = place.call("gates", "action", "champion")
    assert gates["checks"] == night["checks"]


def test_an_evaluation_of_the_champion_finds_what_the_night_found(place, night):
    judged = place.call("evaluate", "action", "--model", "champion")
    assert (judged["task"], judged["version"], judged["digest"]) == ("action", 1, night["digest"])
    assert judged["metrics"] == night["metrics"]
    assert judged["n"] == sum(part["n"] for part in judged["slices"]["subject"].values())


def test_mlflow_loads_the_champion_and_leads_back(place, night):
    import mlflow
    import onnxruntime

    registry = Registry(place.settings)
    mlflow.set_tracking_uri(registry.uri)
    model = mlflow.onnx.load_model("models:/action@champion")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert {entry.name for entry in session.get_inputs()} == {"keypoints", "visibility"}
    version = mlflow.MlflowClient().get_model_version("action", "1")
    tags = {name.removeprefix("recognizer."): value for name, value in version.tags.items()}
    assert tags["digest"] == night["digest"]
    assert tags["snapshot"] == night["snapshot"]
    assert {"code", "night", "identity"} <= set(tags)
    report = mlflow.artifacts.list_artifacts(run_id=version.run_id, artifact_path="report")
    assert {"report/report.html", "report/report.md"} <= {entry.path for entry in report}


def test_an_alias_moved_by_hand_is_reported_and_put_back(place, night):
    registry = Registry(place.settings)
    from mlflow import MlflowClient

    MlflowClient(registry.uri).delete_registered_model_alias("action", "champion")
    assert registry.alias("action", "champion") is None
    with place.start("models", "--json") as process:
        _, err = process.communicate(timeout=60)
    assert "moved by hand" in err
    assert registry.alias("action", "champion") == 1


def test_dvc_rebuilds_the_very_model(place, night):
    environment = {**place.environment, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "export@action"],
        cwd=place.root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rebuilt = place.home.processed("action") / "exported" / "model.onnx"
    assert sha256_file(rebuilt) == sha256_file(place.home.packages / night["digest"] / "model.onnx")


def test_two_nights_at_once_are_one(place, night):
    with place.store() as store, leases.keep(store, "night/action", 60):
        with place.start("nightly", "action") as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 5
        assert "is running" in err
        assert "Next:" in err


def test_nothing_a_night_writes_shows_in_git(place, night):
    names = sorted(path.name + "/" * path.is_dir() for path in place.root.iterdir())
    listed = subprocess.run(
        ["git", "check-ignore", "--no-index", *names], cwd=checkout(), capture_output=True, text=True, check=False
    )
    versioned = {"data/", "dvc.yaml", "params.yaml"}  # of `data`, what a night writes is ignored below
    assert set(names) - set(listed.stdout.split()) <= versioned
    below = [f"data/{path.name}/" for path in (place.root / "data").iterdir()]
    listed = subprocess.run(
        ["git", "check-ignore", "--no-index", *below], cwd=checkout(), capture_output=True, text=True, check=False
    )
    assert set(listed.stdout.split()) == set(below)


@pytest.mark.parametrize("spoil", ["model.onnx", "signature.json"])
def test_a_package_that_was_tampered_with_is_not_evaluated(place, night, spoil):
    path = place.home.packages / night["digest"] / spoil
    before = path.read_bytes()
    path.write_bytes(before[:-8] + hashlib.sha256(before).digest()[:8])
    try:
        place.call("evaluate", "action", "--model", "1", code=6)
    finally:
        path.write_bytes(before)
