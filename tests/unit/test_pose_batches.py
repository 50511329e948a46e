"""Batches of an epoch: every picture once, the same again for the same seed and epoch, and shared by processes."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from recognizer.errors import UsageError
from recognizer.scenes import FoundPeople, People, Scene
from recognizer.synthetic.scenes import generate_scenes
from training.params import read_section
from training.pose.batches import TrainingBatches, ahead
from training.pose.params import AugmentParams, PrepareParams, TrainParams
from training.pose.threshold import FALLBACK, best_threshold

SCENES = tuple(generate_scenes(7, size=64))
PLAIN = AugmentParams(flip=0.0)
BUSY = AugmentParams(flip=0.5, scale=(0.8, 1.2), mosaic=0.5, mixup=0.5)


def batches(augment=PLAIN, seed=0, epoch=0, **others):
    return TrainingBatches(SCENES, (64, 64), augment, 3, seed, epoch, **others)


def images(made):
    return [images for images, _ in made]


def test_every_picture_once():
    made = list(batches())
    assert [len(one) for one, _ in made] == [3, 3, 1]
    assert len(batches()) == 3
    assert made[0][0].shape == (3, 3, 64, 64)
    assert float(made[0][0].max()) <= 1
    everyone = sum(int(targets.counted.sum()) for _, targets in made)
    assert everyone == sum(int(scene.people.counted.sum()) for scene in SCENES)


@pytest.mark.parametrize("augment", [PLAIN, BUSY])
def test_a_pure_function_of_seed_and_epoch(augment):
    one, other = images(batches(augment, 1, 2)), images(batches(augment, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], images(batches(augment, 1, 3))[0])
    assert not torch.equal(one[0], images(batches(augment, 2, 2))[0])


def test_pictures_are_put_together_until_they_are_not():
    alone = images(batches(BUSY, together=False))
    assert not torch.equal(alone[0], images(batches(BUSY, together=True))[0])
    for one, other in zip(
        alone, images(batches(AugmentParams(flip=0.5, scale=(0.8, 1.2)), together=False)), strict=True
    ):
        assert torch.equal(one, other)


def test_processes_share_an_epoch():
    """As many batches for each, together all of them; the first one stands in where one is missing."""
    whole = images(batches())
    shares = [images(batches(share=(process, 2))) for process in range(2)]
    assert [len(one) for one in shares] == [2, 2]
    assert torch.equal(shares[0][0], whole[0])
    assert torch.equal(shares[1][0], whole[1])
    assert torch.equal(shares[0][1], whole[2])
    assert torch.equal(shares[1][1], whole[0])


def test_an_error_of_a_job_is_raised_where_it_is_waited_for():
    def broken():
        raise OSError("the disk is gone")

    made = ahead([lambda: "first", broken, lambda: "third"])
    assert next(made) == "first"
    with pytest.raises(OSError, match="disk"):
        list(made)


def test_pictures_are_put_together_of_two_and_of_four():
    alone = Scene("one", SCENES[0].image, SCENES[0].shape, PEOPLE)
    batches = TrainingBatches((alone,) * 12, (64, 64), AugmentParams(flip=0.0, mosaic=1.0), 3, 0, 0)
    counts = torch.cat([targets.counted.sum(dim=1) for _, targets in batches])
    assert set(counts.tolist()) == {2, 4}


class Counted(tuple):
    """Scenes that note which of them are asked for."""

    def __new__(cls, scenes):
        made = super().__new__(cls, scenes)
        made.asked = []
        return made

    def __getitem__(self, place):
        self.asked.append(place)
        return super().__getitem__(place)


@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_pictures_put_together_are_decoded_once(mixup):
    scenes = Counted(SCENES)
    list(TrainingBatches(scenes, (64, 64), AugmentParams(mosaic=1.0, mixup=mixup), 3, 0, 0))
    assert sorted(scenes.asked) == list(range(len(SCENES)))


def test_pictures_that_are_held_are_not_decoded_again(monkeypatch):
    """Beyond the first ones, which are put together with the last ones of the epoch."""
    monkeypatch.setattr("training.pose.batches.HELD", 10 * 3 * (1.5 * 64) ** 2)
    scenes = Counted(SCENES * 30)
    list(TrainingBatches(scenes, (64, 64), AugmentParams(mosaic=1.0), 3, 0, 0))
    assert len(scenes) <= len(scenes.asked) <= len(scenes) + 15


def test_no_more_pictures_are_held_than_fit(monkeypatch):
    """Memory does not grow with the data: the last two stay decoded, and mosaics are made of three at most."""
    monkeypatch.setattr("training.pose.batches.HELD", 2 * 3 * (1.5 * 64) ** 2)
    scenes = Counted(SCENES)
    batches = TrainingBatches(scenes, (64, 64), AugmentParams(mosaic=1.0), 1, 0, 0)
    order = np.random.default_rng((0, 0)).permutation(len(SCENES)).tolist()
    seen = 0
    for position, _ in enumerate(batches):
        near = {order[(position - back) % len(order)] for back in range(4)}  # one more is read ahead
        assert {*scenes.asked[seen:]} <= near | {order[(position + 1) % len(order)]}
        seen = len(scenes.asked)
    assert seen > len(SCENES)


def test_the_thread_that_reads_pictures_starts_no_others():
    """OpenMP lets a network's threads spin only while there are no more of all threads than cores."""
    code = """
import os
from recognizer.synthetic.scenes import generate_scenes
from training.pose.batches import TrainingBatches, opencv_alone
from training.pose.params import AugmentParams
import torch

scenes = tuple(generate_scenes(4))
batches = TrainingBatches(scenes, (256, 256), AugmentParams(mosaic=1.0, colour=0.1), 4, 0, 0)
torch.set_num_threads(2)
with opencv_alone():
    torch.ones(1 << 20).exp()
    before = len(os.listdir("/proc/self/task"))
    print([len(os.listdir("/proc/self/task")) - before for _ in batches])
"""
    many = {name: value for name, value in os.environ.items() if name != "OMP_THREAD_LIMIT"}
    told = subprocess.run([sys.executable, "-c", code], env=many, check=True, capture_output=True, text=True).stdout
    assert told.strip() == "[1]"


def found(scores, shift):
    """Two people: the first where somebody is, the second far away."""
    joints = np.stack([PEOPLE.joints[0] + shift, PEOPLE.joints[0] + 500]).astype(np.float32)
    boxes = np.repeat(PEOPLE.boxes, 2, axis=0)
    return FoundPeople(joints, np.ones((2, 17), np.float32), boxes, np.array(scores, np.float32))


PEOPLE = People(
    np.random.default_rng(0).uniform(0, 60, (1, 17, 2)).astype(np.float32),
    np.full((1, 17), 2, np.uint8),
    np.array([[0, 0, 60, 60]], np.float32),
    np.array([2000], np.float32),
    np.zeros(1, bool),
)


@pytest.mark.parametrize(
    ("scores", "shift", "low", "high"),
    [((0.8, 0.4), 0, 0.41, 0.8), ((0.3, 0.1), 0, 0.11, 0.3), ((0.8, 0.4), 500, FALLBACK, FALLBACK)],
)
def test_the_threshold_between_the_right_and_the_wrong(scores, shift, low, high):
    assert low <= best_threshold([PEOPLE] * 3, [found(scores, shift)] * 3) <= high


@pytest.mark.parametrize(
    ("kind", "content", "stage", "message"),
    [
        (PrepareParams, {"height": 250}, "prepare", "prepare.pose.height"),
        (PrepareParams, {"hieght": 256}, "prepare", "prepare.pose.hieght"),
        (TrainParams, {"size": "xl"}, "train", "no size 'xl': use one of micro, t, s, m, l"),
        (TrainParams, {"augment": {"scale": [1.2, 0.8]}}, "train", "give from and to"),
        (TrainParams, {"augment": {"mosaic_scale": [1.1, 0.7]}}, "train", "give from and to"),
        (TrainParams, {"accelerator": "tpu"}, "train", "train.pose.accelerator"),
        (TrainParams, {"loss": {"oks": 0}}, "train", "train.pose.loss.oks"),
        (TrainParams, {"people": 0}, "train", "train.pose.people"),
    ],
)
def test_parameters_that_mean_nothing_name_their_key(kind, content, stage, message):
    with pytest.raises(UsageError) as caught:
        read_section(kind, content, stage, "pose")
    assert message in str(caught.value)
