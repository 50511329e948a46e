"""The stages under the real DVC; the `recognizer` command is a small stand-in that leaves what each stage leaves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.pipeline import install_stages
from flows.project import open_project
from flows.snapshots import add_snapshot, incoming, pin
from recognizer.home import Home

COMMAND = """#!/bin/sh
set -e
cd "$RECOGNIZER_HOME/data"
echo $1 >> calls
out=processed/$2
case $1 in
  prepare) mkdir -p $out/prepared; cat pinned/$2/snapshot/train.npz > $out/prepared/train.npz ;;
  train) mkdir -p $out/trained/checkpoints
    if [ -e killed ]; then rm killed; touch $out/trained/checkpoints/last; kill -9 0; fi
    if [ -e $out/trained/checkpoints/last ]; then echo resumed >> calls; fi
    rm -r $out/trained/checkpoints
    cat $out/prepared/train.npz pinned/$2/parent/*.pt > $out/trained/weights.pt ;;
  export) mkdir -p $out/exported; cp $out/trained/weights.pt $out/exported/model.onnx ;;
  evaluate) mkdir -p $out/evaluated
    echo '{"accuracy": 1}' | tee $out/evaluated/measured.json > $out/evaluated/metrics.json ;;
esac
"""

PARAMS = "prepare: {action: {a: 1}}\ntrain: {action: {a: 1}}\nexport: {action: {a: 1}}\nevaluate: {action: {a: 1}}\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    command = tmp_path / "bin" / "recognizer"
    command.parent.mkdir()
    command.write_text(COMMAND)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    made = Home(tmp_path / "home")
    made.root.mkdir()
    (made.root / "params.yaml").write_text(PARAMS)
    pin_data(made, b"data", b"weights")
    install_stages(made)
    return made


def pin_data(home, data, weights):
    with incoming(home, "action") as folder:
        (folder / "train.npz").write_bytes(data)
        snapshot = add_snapshot(home, "action", folder)
    parent = home.root / "w.pt"
    parent.write_bytes(weights)
    pin(home, "action", snapshot=snapshot, parent=parent, champion=None)


def repro(home):
    """Run `dvc repro` as a person does, in a process group of its own; returns what was called, and the exit code."""
    calls = home.data / "calls"
    calls.write_text("")
    done = subprocess.run(
        ["dvc", "repro"], cwd=home.root, capture_output=True, text=True, check=False, start_new_session=True
    )
    return calls.read_text().split(), done


def test_runs_what_has_changed_and_nothing_else(home):
    assert repro(home)[0] == ["prepare", "train", "export", "evaluate"]
    assert repro(home)[0] == []
    (home.root / "params.yaml").write_text(PARAMS.replace("export: {action: {a: 1", "export: {action: {a: 2"))
    assert repro(home)[0] == ["export"]  # the same model comes out
    pin_data(home, b"data", b"other weights")
    assert repro(home)[0] == ["train", "export", "evaluate"]
    pin_data(home, b"more data", b"other weights")
    assert repro(home)[0] == ["prepare", "train", "export", "evaluate"]
    with open_project(home) as project:
        assert project.status() == {}
        assert [stage.name for stage in project.index.stages if stage.cmd] == [
            f"{name}@action" for name in ("prepare", "train", "export", "evaluate")
        ]
    # what was made before comes back from DVC's cache, but for a folder that is kept for its checkpoints
    pin_data(home, b"data", b"weights")
    assert repro(home)[0] == ["train"]
    assert (home.processed("action") / "trained" / "weights.pt").read_bytes() == b"dataweights"


def test_a_killed_training_finds_its_checkpoints(home):
    (home.data / "killed").touch()
    calls, done = repro(home)
    assert calls == ["prepare", "train"]
    assert done.returncode == -signal.SIGKILL
    calls, done = repro(home)
    assert calls == ["train", "resumed", "export", "evaluate"]
    assert done.returncode == 0, done.stderr
