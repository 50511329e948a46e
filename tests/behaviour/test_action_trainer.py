"""The action trainer from snapshot to ONNX, on clips of a few bytes: it learns, repeats itself, and survives a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from recognizer.action.evaluator import SCORES, ActionEvaluator
from recognizer.errors import FormatError, LabelError, SplitError, TrainingError
from recognizer.evaluation import measure_parity
from recognizer.ingest.recorded import Source
from recognizer.ingest.split import Split
from recognizer.sequences import SequenceSet, SkeletonSequence, write_npz
from recognizer.skeleton import JOINTS
from recognizer.snapshot import write_snapshot
from recognizer.tasks import Trainer
from recognizer.windows import WindowSpec, to_windows
from serving.action.predictor import ActionPredictor
from training.action.trainer import ActionTrainer
from training.precision import MULTIPLIES, cpu_flags

CLASSES = ("low", "middle", "high")
PREPARE = {"frames": 16, "people": 4}
TRAIN: dict[str, Any] = {
    "threads": 1,
    "precision": "fp32",
    "epochs": 12,
    "batch": 16,
    "learning_rate": 0.03,
    "average": 0.5,
    "network": {"channels": [8, 8], "strides": [2, 2], "kernel": 3, "dropout": 0.1},
    "augment": {"crop": 0.5, "rotation": 10, "noise": 0.01, "blink": 0.05, "hide": 0.2},
    "warm_start": {"epochs": 0.5, "learning_rate": 0.5},
}
SOURCE = Source("clips", "0" * 64)
RUN = """
import json, os, signal, sys
from pathlib import Path
from training.action.trainer import ActionTrainer
folder, params, dies_in = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
def progress(share, line):
    if line.startswith(f"epoch {dies_in}/"):
        os.kill(os.getpid(), signal.SIGKILL)
ActionTrainer().train(folder / "prepared", folder / "trained", params, parent=None, progress=progress)
ActionTrainer().export(folder / "trained", folder / "exported", {}, prepared=folder / "prepared")
"""


def clips(count: int, start: int, classes: tuple[str, ...] = CLASSES) -> SequenceSet:
    """People (1 to 3) who hold their arms low, in the middle or high."""
    made = []
    for index in range(start, start + count):
        random = np.random.default_rng(index)
        label, people, frames = index % 3, int(random.integers(1, 4)), int(random.integers(1, 30))
        points = random.normal(0, 2, (people, frames, len(JOINTS), 2))
        points[..., [5, 11], :] += 20 * np.array([[1, -1], [1, 1]])
        points[..., [6, 12], :] -= 20 * np.array([[1, 1], [1, -1]])
        points[..., [7, 8, 9, 10], 1] += 40 - 40 * label
        shifted = (points + 200).astype(np.float32)
        visibility = np.ones(shifted.shape[:3], np.float32)
        made.append(SkeletonSequence(f"c{index}", shifted, visibility, label, f"p{index // 10}", (480, 640)))
    return SequenceSet(classes, tuple(made))


def snapshot(folder: Path, **changes: SequenceSet) -> Path:
    sets = {"train": clips(60, 0), "validation": clips(18, 100), "test": clips(18, 200), **changes}
    write_snapshot(Split(**sets), folder, task="action", source=SOURCE)
    return folder


def quiet(_share: float, _line: str) -> None:
    """No progress shown."""


def train(prepared: Path, trained: Path, parent: Path | None = None, **changes: Any) -> dict[str, Any]:
    trained.mkdir(parents=True, exist_ok=True)
    ActionTrainer().train(prepared, trained, {**TRAIN, **changes}, parent=parent, progress=quiet)
    return json.loads((trained / "training.json").read_text())


def in_another_process(folder: Path, dies_in: int) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", RUN, str(folder), json.dumps(TRAIN), str(dies_in)]
    return subprocess.run(command, check=False, capture_output=True, timeout=200)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `snapshot`, `prepared`, `trained` and `exported`."""
    folder = tmp_path_factory.mktemp("action")
    snapshot(folder / "snapshot")
    ActionTrainer().prepare(folder / "snapshot", folder / "prepared", PREPARE)
    train(folder / "prepared", folder / "trained")
    ActionTrainer().export(folder / "trained", folder / "exported", {}, prepared=folder / "prepared")
    return folder


def weights(folder: Path) -> bytes:
    return (folder / "weights.pt").read_bytes()


def test_it_is_a_trainer_and_finding_it_does_not_import_torch() -> None:
    assert isinstance(ActionTrainer(), Trainer)
    code = "import sys, training.action.trainer; sys.exit('torch' in sys.modules or 'pytorch_lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("chosen", "policy", "turns"),
    [
        ({}, "PASSIVE", "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "PASSIVE", "7"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "PASSIVE", "0"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", "30000000000"),
    ],
)
def test_threads_of_torch_spin_briefly_and_sleep_then_unless_the_user_wants_something_else(
    chosen: dict[str, str], policy: str, turns: str
) -> None:
    """Asked of OpenMP itself, which reads the environment once, when torch is loaded."""
    others = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    told = subprocess.run(
        [sys.executable, "-c", "import training.action.stgcn"],
        env={**others, "OMP_DISPLAY_ENV": "verbose", **chosen},
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    assert set(re.findall(r"OMP_WAIT_POLICY *= *'(\w+)'", told)) == {policy}
    assert set(re.findall(r"GOMP_SPINCOUNT *= *'(\w+)'", told)) == {turns}


def test_it_learns_and_says_how(done: Path) -> None:
    facts = json.loads((done / "trained" / "training.json").read_text())
    assert facts["validation"]["accuracy"] >= 0.9
    assert facts["classes"] == list(CLASSES)
    assert facts["start"] == "fresh"
    assert facts["parent"] is None
    assert 1 <= facts["best_epoch"] <= facts["epochs"] <= TRAIN["epochs"]
    assert facts["clips_per_second"] > 0
    assert (facts["precision"], facts["threads"], facts["seed"]) == ("fp32", 1, 0)
    assert 0.2 <= facts["temperature"] <= 5
    assert sorted(path.name for path in (done / "trained").iterdir()) == ["training.json", "weights.pt"]


@pytest.mark.parametrize("batch", [1, 8, 32])
def test_onnx_answers_as_torch_does(done: Path, batch: int) -> None:
    cases = clips(batch, 300).sequences
    cases[-1].visibility[:, 3:9, 4] = 0
    keypoints, visibility = to_windows(cases, WindowSpec(**PREPARE))
    session = onnxruntime.InferenceSession(done / "exported" / "model.onnx")
    scores = session.run(["scores"], {"keypoints": keypoints, "visibility": visibility})[0]
    reference = ActionTrainer().reference_answers(done / "trained", cases)[SCORES]
    assert scores.shape == reference.shape == (batch, len(CLASSES))
    np.testing.assert_allclose(scores, reference, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(scores.argmax(axis=1), reference.argmax(axis=1))
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_the_model_card_describes_the_model(done: Path) -> None:
    card = json.loads((done / "exported" / "model.json").read_text())
    session = onnxruntime.InferenceSession(done / "exported" / "model.onnx")
    for side, found in ((card["inputs"], session.get_inputs()), (card["outputs"], session.get_outputs())):
        assert [(part["name"], part["shape"]) for part in side] == [(part.name, part.shape) for part in found]
    assert (card["task"], card["classes"]) == ("action", list(CLASSES))
    assert WindowSpec.from_dict(card["preprocessing"]) == WindowSpec(**PREPARE)
    assert sorted(path.name for path in (done / "exported").iterdir()) == ["model.json", "model.onnx"]


def test_the_model_tells_nothing_about_the_machine_it_was_made_on(done: Path) -> None:
    content = (done / "exported" / "model.onnx").read_bytes()
    for trace in (str(done).encode(), str(Path(__file__).parents[2]).encode(), b".py", b"site-packages"):
        assert trace not in content


def test_int8_comes_besides_and_answers_much_the_same(done: Path, tmp_path: Path) -> None:
    ActionTrainer().export(done / "trained", tmp_path, {"int8": True}, prepared=done / "prepared")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8", "model.json", "model.onnx"]
    for name in ("model.json", "model.onnx"):
        assert (tmp_path / name).read_bytes() == (done / "exported" / name).read_bytes()
    exact, quantized = (ActionPredictor(folder, threads=1) for folder in (tmp_path, tmp_path / "int8"))
    inputs = exact.inputs(clips(45, 300).sequences)
    parity = measure_parity(ActionEvaluator().compare(exact.predict(inputs).answers, quantized.predict(inputs).answers))
    assert parity.decisions_equal >= 0.95
    assert parity.max_abs_diff


def test_a_killed_and_resumed_training_gives_the_same_bytes(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "prepared", tmp_path / "prepared")
    killed = in_another_process(tmp_path, dies_in=9)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (tmp_path / "trained" / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "trained" / "weights.pt").exists()
    resumed = in_another_process(tmp_path, dies_in=0)
    assert resumed.returncode == 0, resumed.stderr.decode()
    facts = json.loads((tmp_path / "trained" / "training.json").read_text())
    assert facts["epochs_before_resuming"] == 8
    before = json.loads((done / "trained" / "training.json").read_text())
    assert facts["history"] == before["history"]
    assert weights(tmp_path / "trained") == weights(done / "trained")
    assert (tmp_path / "exported" / "model.onnx").read_bytes() == (done / "exported" / "model.onnx").read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "of another training"])
def test_a_checkpoint_that_cannot_be_used_is_not(done: Path, tmp_path: Path, damage: str) -> None:
    checkpoints = tmp_path / "trained" / "checkpoints"
    checkpoints.mkdir(parents=True)
    if damage == "truncated":
        (checkpoints / "last.ckpt").write_bytes(b"PK\x03\x04 and no more")
    else:
        import torch

        torch.save({"made_of": "something else", "state_dict": {}}, checkpoints / "last.ckpt")
    facts = train(done / "prepared", tmp_path / "trained")
    assert facts["epochs_before_resuming"] == 0
    assert weights(tmp_path / "trained") == weights(done / "trained")


def test_nothing_in_training_reads_the_test_set(done: Path, tmp_path: Path) -> None:
    test = clips(18, 200)
    relabelled = SequenceSet(CLASSES, tuple(replace(clip, label=(clip.label + 1) % 3) for clip in test))
    folder = snapshot(tmp_path / "snapshot", test=relabelled)
    ActionTrainer().prepare(folder, tmp_path / "prepared", PREPARE)
    (folder / "test.npz").unlink()
    ActionTrainer().prepare(folder, tmp_path / "without", PREPARE)
    for name in ("train.npz", "validation.npz", "prepared.json"):
        expected = (done / "prepared" / name).read_bytes()
        assert (tmp_path / "prepared" / name).read_bytes() == expected
        assert (tmp_path / "without" / name).read_bytes() == expected
    train(tmp_path / "prepared", tmp_path / "trained")
    assert weights(tmp_path / "trained") == weights(done / "trained")


def test_two_threads_give_the_same_bytes_each_time(done: Path, tmp_path: Path) -> None:
    for name in ("once", "again"):
        train(done / "prepared", tmp_path / name, threads=2, epochs=4)
    assert weights(tmp_path / "once") == weights(tmp_path / "again")


def test_another_seed_gives_other_weights(done: Path, tmp_path: Path) -> None:
    train(done / "prepared", tmp_path / "trained", seed=1, epochs=1)
    assert weights(tmp_path / "trained") != weights(done / "trained")


@pytest.mark.skipif(not MULTIPLIES & cpu_flags(), reason="this CPU does not multiply bf16: it is refused")
def test_bf16_learns_too_and_is_deployed_in_single_precision(done: Path, tmp_path: Path) -> None:
    facts = train(done / "prepared", tmp_path / "trained", precision="bf16")
    assert facts["precision"] == "bf16"
    assert facts["validation"]["accuracy"] >= 0.9


def test_a_warm_start_goes_on_from_the_parent(done: Path, tmp_path: Path) -> None:
    parent = done / "trained" / "weights.pt"
    facts = train(done / "prepared", tmp_path / "warm", parent)
    fresh = json.loads((done / "trained" / "training.json").read_text())
    assert facts["start"] == "parent"
    assert len(facts["parent"]) == 64
    assert facts["epochs"] <= 6
    assert facts["history"][0]["validation_log_loss"] < fresh["history"][0]["validation_log_loss"]
    off = train(done / "prepared", tmp_path / "off", parent, warm_start={"enabled": False})
    assert (off["start"], off["parent"]) == ("fresh", None)
    assert weights(tmp_path / "off") == weights(done / "trained")


def test_a_parent_of_another_architecture_is_left_aside_and_that_is_said(done: Path, tmp_path: Path) -> None:
    parent = done / "trained" / "weights.pt"
    facts = train(done / "prepared", tmp_path / "a", parent, network={"channels": [8, 12], "strides": [2, 2]}, epochs=1)
    assert facts["start"] == "fresh: the parent has another architecture"
    assert facts["parent"] is None


def test_a_parent_of_other_classes_is_refused(done: Path, tmp_path: Path) -> None:
    others = ("down", "between", "up")
    sets = {name: clips(12, start, others) for name, start in (("train", 0), ("validation", 100), ("test", 200))}
    ActionTrainer().prepare(snapshot(tmp_path / "snapshot", **sets), tmp_path / "prepared", PREPARE)
    with pytest.raises(TrainingError, match="parent knows the classes"):
        train(tmp_path / "prepared", tmp_path / "trained", done / "trained" / "weights.pt")


def test_a_loss_that_is_no_number_ends_the_training(done: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf)") as caught:
        train(done / "prepared", tmp_path / "trained", learning_rate=1e30)
    assert "learning_rate" in str(caught.value.hint)
    assert not (tmp_path / "trained" / "weights.pt").exists()


@pytest.mark.parametrize("damaged", ["parent", "prepared", "weights", "windows to calibrate with"])
def test_what_cannot_be_read_is_named(done: Path, tmp_path: Path, damaged: str) -> None:
    foreign = tmp_path / "weights.pt"
    foreign.write_bytes(b"no weights")
    read = {
        "parent": lambda: train(done / "prepared", tmp_path / "trained", foreign),
        "prepared": lambda: train(tmp_path / "nothing", tmp_path / "trained"),
        "weights": lambda: ActionTrainer().export(tmp_path, tmp_path / "exported", {}, prepared=tmp_path),
        "windows to calibrate with": lambda: ActionTrainer().export(
            done / "trained", tmp_path / "exported", {"int8": True}, prepared=tmp_path / "nothing"
        ),
    }[damaged]
    with pytest.raises(FormatError) as caught:
        read()
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def unseen(clip: SkeletonSequence) -> SkeletonSequence:
    return replace(clip, visibility=np.zeros_like(clip.visibility))


def test_clips_in_which_nobody_is_seen_are_left_out(tmp_path: Path) -> None:
    good = clips(9, 0)
    mixed = SequenceSet(CLASSES, (unseen(good.sequences[0]), *good.sequences[1:]))
    ActionTrainer().prepare(snapshot(tmp_path / "snapshot", train=mixed), tmp_path / "prepared", PREPARE)
    card = json.loads((tmp_path / "prepared" / "prepared.json").read_text())
    assert card["left_out"] == {"train": ["c0"], "validation": []}


@pytest.mark.parametrize(("name", "error"), [("empty", SplitError), ("unseen", SplitError), ("classes", LabelError)])
def test_sets_that_cannot_be_learned_from_are_refused(tmp_path: Path, name: str, error: type[Exception]) -> None:
    folder = snapshot(tmp_path / "snapshot")
    good = clips(6, 0)
    shard = {
        "empty": SequenceSet(CLASSES, ()),
        "unseen": SequenceSet(CLASSES, tuple(unseen(clip) for clip in good)),
        "classes": clips(6, 0, ("a", "b", "c")),
    }[name]
    card = json.loads((folder / "snapshot.json").read_text())
    write_npz(folder / "validation.npz", shard)
    card["sets"]["validation"]["sha256"] = _sha256(folder / "validation.npz")
    (folder / "snapshot.json").write_text(json.dumps(card))
    with pytest.raises(error) as caught:
        ActionTrainer().prepare(folder, tmp_path / "prepared", PREPARE)
    assert caught.value.hint  # type: ignore[attr-defined]


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
