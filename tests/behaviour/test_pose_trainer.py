"""The pose trainer from snapshot to ONNX, on a few small rendered scenes: it repeats itself, and survives a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from recognizer.errors import FormatError, SplitError
from recognizer.evaluation import measure_parity
from recognizer.images import ImageSpec
from recognizer.ingest.recorded import Source
from recognizer.pose.answers import unstack
from recognizer.pose.evaluator import PoseEvaluator
from recognizer.pose.shards import Shard
from recognizer.pose.snapshot import write_scenes
from recognizer.scenes import People, Scene
from recognizer.synthetic.scenes import generate_scenes
from recognizer.tasks import Trainer
from serving.pose.predictor import PosePredictor
from training.pose.trainer import PoseTrainer, read_prepared
from training.pose.weights import load_weights

PREPARE = {"height": 64, "width": 96}
TRAIN = {"threads": 1, "precision": "fp32", "accelerator": "cpu", "epochs": 3, "batch": 4, "average": 0.5}
SOURCE = Source("scenes", "0" * 64)
SIZES = {"train": 8, "validation": 3, "test": 4}
RUN = """
import json, os, signal, sys
from pathlib import Path
from training.pose.trainer import PoseTrainer
folder, params, dies_in = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
def progress(share, line):
    if line.startswith(f"epoch {dies_in}/"):
        os.kill(os.getpid(), signal.SIGKILL)
PoseTrainer().train(folder / "prepared", folder / "trained", params, parent=None, progress=progress)
"""


def scenes(seed=0, size=(96, 144)):
    """(set, scene) of rendered scenes, one cast a set by name."""
    drawn = iter(generate_scenes(sum(SIZES.values()), seed=seed, size=size))
    for name, count in SIZES.items():
        for _ in range(count):
            scene = next(drawn)
            yield name, Scene(scene.name, scene.image, scene.shape, scene.people, None)


def snapshot(folder, made=None):
    write_scenes(folder, scenes() if made is None else made, task="pose", source=SOURCE)
    return folder


def quiet(_share, _line):
    """No progress shown."""


def train(prepared, trained, parent=None, **changes):
    trained.mkdir(parents=True, exist_ok=True)
    PoseTrainer().train(prepared, trained, {**TRAIN, **changes}, parent=parent, progress=quiet)
    return json.loads((trained / "training.json").read_text())


def in_another_process(folder, dies_in):
    command = [sys.executable, "-c", RUN, str(folder), json.dumps(TRAIN), str(dies_in)]
    return subprocess.run(command, check=False, capture_output=True, timeout=200, env={**os.environ})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with `snapshot`, `prepared`, `trained` and `exported`."""
    folder = tmp_path_factory.mktemp("pose")
    snapshot(folder / "snapshot")
    PoseTrainer().prepare(folder / "snapshot", folder / "prepared", PREPARE)
    train(folder / "prepared", folder / "trained")
    PoseTrainer().export(folder / "trained", folder / "exported", {}, prepared=folder / "prepared")
    return folder


def weights(folder):
    return (folder / "weights.pt").read_bytes()


def test_it_is_a_trainer_and_finding_it_does_not_import_torch():
    assert isinstance(PoseTrainer(), Trainer)
    code = "import sys, training.pose.trainer; sys.exit('torch' in sys.modules or 'pytorch_lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_says_how_it_trained(done):
    facts = json.loads((done / "trained" / "training.json").read_text())
    assert facts["images"] == {"train": 8, "validation": 3}
    assert (facts["start"], facts["parent"], facts["batch_parts"]) == ("fresh", None, 1)
    assert 1 <= facts["best_epoch"] <= facts["epochs"] == 3
    assert facts["images_per_second"] > 0
    assert (facts["accelerator"], facts["precision"], facts["threads"]) == ("cpu", "fp32", 1)
    assert {"AP", "mean_oks", "oks_above_50"} <= set(facts["validation"])
    assert 0 < facts["threshold"] < 1
    assert sorted(path.name for path in (done / "trained").iterdir()) == ["training.json", "weights.pt"]


def test_the_card_describes_the_model(done):
    card = json.loads((done / "exported" / "model.json").read_text())
    session = onnxruntime.InferenceSession(done / "exported" / "model.onnx")
    given = {part.name: part.shape for part in session.get_outputs()}
    assert {part["name"]: len(part["shape"]) for part in card["outputs"]} == {
        name: len(shape) for name, shape in given.items()
    }
    assert [part["name"] for part in card["inputs"]] == [part.name for part in session.get_inputs()]
    assert (card["task"], card["classes"]) == ("pose", ["person"])
    assert ImageSpec.from_dict(card["preprocessing"]) == ImageSpec(64, 96)
    facts = json.loads((done / "trained" / "training.json").read_text())
    assert card["thresholds"] == {"person": facts["threshold"]}


def test_the_model_tells_nothing_about_the_machine_it_was_made_on(done):
    content = (done / "exported" / "model.onnx").read_bytes()
    for trace in (str(done).encode(), str(Path(__file__).parents[2]).encode(), b'.py"', b"site-packages"):
        assert trace not in content


def test_onnx_answers_as_torch_does(done):
    cases = PoseEvaluator().load(done / "snapshot", "test")
    predictor = PosePredictor(done / "exported", threads=1)
    answers = predictor.predict(predictor.inputs(cases)).answers
    reference = PoseTrainer().reference_answers(done / "trained", cases)
    parity = measure_parity(PoseEvaluator().compare(answers, reference))
    assert parity.decisions_equal == 1
    assert parity.max_abs_diff < 1e-4
    for one, other in zip(unstack(answers), unstack(reference), strict=True):
        assert len(one) > 0
        np.testing.assert_allclose(one.scores[:3], other.scores[:3], atol=1e-5)


def test_a_killed_and_resumed_training_gives_the_same_bytes(done, tmp_path):
    shutil.copytree(done / "prepared", tmp_path / "prepared")
    killed = in_another_process(tmp_path, dies_in=2)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (tmp_path / "trained" / "checkpoints" / "last.ckpt").is_file()
    assert not (tmp_path / "trained" / "weights.pt").exists()
    resumed = in_another_process(tmp_path, dies_in=0)
    assert resumed.returncode == 0, resumed.stderr.decode()
    facts = json.loads((tmp_path / "trained" / "training.json").read_text())
    assert facts["epochs_before_resuming"] == 1
    assert facts["history"] == json.loads((done / "trained" / "training.json").read_text())["history"]
    assert weights(tmp_path / "trained") == weights(done / "trained")


def test_two_threads_give_the_same_bytes_each_time(done, tmp_path):
    for name in ("once", "again"):
        train(done / "prepared", tmp_path / name, threads=2, epochs=1)
    assert weights(tmp_path / "once") == weights(tmp_path / "again")


def test_nothing_in_training_reads_the_test_set(done, tmp_path):
    copied = tmp_path / "snapshot"
    shutil.copytree(done / "snapshot", copied)
    (copied / "test.shard").unlink()
    PoseTrainer().prepare(copied, tmp_path / "prepared", PREPARE)
    for name in ("train.shard", "validation.shard", "prepared.json"):
        assert (tmp_path / "prepared" / name).read_bytes() == (done / "prepared" / name).read_bytes()


def test_large_pictures_are_prepared_smaller_and_validation_as_it_is(done, tmp_path):
    large = snapshot(tmp_path / "snapshot", scenes(size=(240, 360)))
    PoseTrainer().prepare(large, tmp_path / "prepared", PREPARE)
    data = read_prepared(tmp_path / "prepared")
    assert {tuple(shape) for shape in data.train.shapes.tolist()} == {(96, 144)}
    assert {tuple(shape) for shape in data.validation.shapes.tolist()} == {(240, 360)}


def test_a_warm_start_goes_on_from_the_parent(done, tmp_path):
    parent = done / "trained" / "weights.pt"
    facts = train(done / "prepared", tmp_path / "warm", parent, warm_start={"epochs": 0.34, "learning_rate": 1e-6})
    assert (facts["start"], len(facts["parent"]), facts["epochs"]) == ("parent", 64, 1)
    first, second = (
        load_weights(path).network.backbone.stem[0].weight for path in (parent, tmp_path / "warm/weights.pt")
    )
    assert float((first - second).detach().abs().max()) < 1e-5
    off = train(done / "prepared", tmp_path / "off", parent, warm_start={"enabled": False})
    assert (off["start"], off["parent"]) == ("fresh", None)
    assert weights(tmp_path / "off") == weights(done / "trained")


def test_a_parent_of_another_size_is_left_aside_and_that_is_said(done, tmp_path):
    import torch

    content = torch.load(done / "trained" / "weights.pt", weights_only=True)
    torch.save({**content, "size": "s"}, tmp_path / "other.pt")
    facts = train(done / "prepared", tmp_path / "trained", tmp_path / "other.pt", epochs=1)
    assert (facts["start"], facts["parent"]) == ("fresh: the parent has another architecture", None)


@pytest.mark.parametrize("damaged", ["parent", "prepared", "weights"])
def test_what_cannot_be_read_is_named(done, tmp_path, damaged):
    foreign = tmp_path / "weights.pt"
    foreign.write_bytes(b"no weights")
    read = {
        "parent": lambda: train(done / "prepared", tmp_path / "trained", foreign),
        "prepared": lambda: train(tmp_path / "nothing", tmp_path / "trained"),
        "weights": lambda: PoseTrainer().export(tmp_path, tmp_path / "exported", {}, prepared=tmp_path),
    }[damaged]
    with pytest.raises(FormatError) as caught:
        read()
    assert str(tmp_path) in str(caught.value)
    assert caught.value.hint


def test_a_set_in_which_nobody_is_to_be_found_is_refused(tmp_path):
    empty = [
        (name, Scene(scene.name, scene.image, scene.shape, People.nobody() if name == "validation" else scene.people))
        for name, scene in scenes()
    ]
    folder = snapshot(tmp_path / "snapshot", empty)
    with pytest.raises(SplitError, match="'validation' has 3 images and nobody"):
        PoseTrainer().prepare(folder, tmp_path / "prepared", PREPARE)


def test_prepared_data_are_read_as_they_were_written(done):
    data = read_prepared(done / "prepared")
    assert isinstance(data.train, Shard)
    assert (len(data.train), len(data.validation), data.spec) == (8, 3, ImageSpec(64, 96))
