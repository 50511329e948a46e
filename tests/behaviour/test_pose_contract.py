"""The data contract of labelled images with the real Great Expectations."""

from functools import partial

import numpy as np
import pytest

from flows.contract import check_contract
from recognizer.checks import Verdict
from recognizer.errors import UsageError
from recognizer.pose.contract import image_table, inspect_scenes, person_table
from recognizer.pose.shards import Shard, ShardWriter
from recognizer.scenes import People, Scene

LIMITS = {
    "side": {"min": 64, "allowed": 0.05},
    "people": {"max": 3, "allowed": 0.0},
    "boxes": {"margin": 0.1, "allowed": 0.1},
    "joints": {"allowed": 0.5},
    "duplicates": {"allowed": 0.0},
    "images": {"train": 4, "validation": 2, "test": 2},
    "found": {"train": 4, "validation": 1, "test": 1},
    "volume": 0.5,
}


def people(n=1, *, labelled=2, box=(10, 10, 20, 40), crowd=False):
    return People(
        np.ones((n, 17, 2), np.float32),
        np.full((n, 17), labelled, np.uint8),
        np.tile(np.float32(box), (n, 1)),
        np.ones(n, np.float32),
        np.full(n, crowd),
    )


def scene(name, who=None, *, shape=(100, 80), subject=None, image=None):
    return Scene(name, image or name.encode(), shape, people() if who is None else who, subject)


def parts(**changes):
    """Sets that keep the contract, some of them exchanged."""
    sound = {
        "train": [scene(f"train {i}", subject="x") for i in range(5)],
        "validation": [scene(f"validation {i}", subject="y") for i in range(2)],
        "test": [scene("test 0", subject="z"), scene("test 1", People.nobody(), subject="z")],
    }
    return {**sound, **changes}


@pytest.fixture
def judge(tmp_path):
    def work(sets, previous=10, limits=LIMITS):
        shards = {}
        for name, scenes in sets.items():
            with ShardWriter(tmp_path / f"{name}.shard") as writer:
                for one in scenes:
                    writer.add(one)
            shards[name] = Shard(tmp_path / f"{name}.shard")
        found = check_contract(partial(inspect_scenes, shards, limits, previous), docs_folder=tmp_path / "docs")
        return {check.name: check for check in found.checks}

    return work


def test_sound_scenes_pass(judge, tmp_path):
    checks = judge(parts())
    assert {check.verdict for check in checks.values()} == {Verdict.PASSED}
    assert set(checks) == {
        "side", "people", "duplicates", "shared_images", "shared_subjects", "volume", "boxes", "joints", "images",
        "found",
    }  # fmt: skip
    assert (tmp_path / "docs" / "index.html").is_file()
    first = judge(parts(), previous=None)["volume"]
    assert (first.verdict, first.reason) == (Verdict.PASSED, "volume: 9 images; no snapshot before to compare with")


TEST = parts()["test"]


@pytest.mark.parametrize(
    ("changes", "name", "told"),
    [
        ({"test": [scene("small", shape=(200, 40)), *TEST]}, "side", "1 of 10 images have fewer than 64 pixels a side"),
        (
            {"test": [scene("many", people(4)), *TEST]},
            "people",
            "1 of 10 images show more than 3 people; none may: m",
        ),
        ({"test": [*TEST, scene("again", image=b"test 0")]}, "duplicates", "2 of 10 images are the same as another"),
        ({"test": [*TEST, scene("a", image=b"train 0")]}, "shared_images", "2 of 10 images are the same as one in an"),
        ({"test": [scene("t", subject="x"), TEST[1]]}, "shared_subjects", "show a subject that stands in another set"),
        ({"test": [scene("far", people(2, box=(70, 0, 40, 9)))]}, "boxes", "2 of 9 people have a box that reaches"),
        ({"train": [scene(str(i), people(4, labelled=0)) for i in range(5)]}, "joints", "20 of 23 people have no lab"),
        ({"train": [scene(str(i)) for i in range(3)]}, "images", "1 of 3 sets lack images; none may: train"),
        (
            {"test": [scene("c", people(crowd=True)), TEST[1]]},
            "found",
            "1 of 3 sets lack labelled people; none may: t",
        ),
    ],
)
def test_says_what_is_broken_and_where(judge, changes, name, told):
    check = judge(parts(**changes))[name]
    assert check.verdict is Verdict.FAILED
    assert told in check.reason


def test_far_fewer_images_than_before(judge):
    check = judge(parts(), previous=40)["volume"]
    assert check.verdict is Verdict.FAILED
    assert "at least 20 are expected after 40 in the snapshot before" in check.reason


def test_limits_that_are_none(judge):
    with pytest.raises(UsageError, match=r"contract\.side\.min"):
        judge(parts(), limits={**LIMITS, "side": {"min": "x", "allowed": 0}})


def test_sets_without_anybody_have_tables(tmp_path):
    with ShardWriter(tmp_path / "x.shard"):
        pass
    empty = {"train": Shard(tmp_path / "x.shard")}
    assert all(len(column) == 0 for table in (image_table(empty), person_table(empty)) for column in table.values())
