"""Scenes in one file: what is written comes back, one at a time, and damage is told."""

import pickle
import tracemalloc

import numpy as np
import pytest

from recognizer.errors import FormatError, InputError
from recognizer.pose.shards import Shard, ShardWriter
from recognizer.scenes import People, Scene


def people(n, seed=0):
    random = np.random.default_rng([n, seed])
    return People(
        random.uniform(0, 99, (n, 17, 2)).astype(np.float32),
        random.integers(0, 3, (n, 17)).astype(np.uint8),
        random.uniform(0, 50, (n, 4)).astype(np.float32),
        random.uniform(0, 999, n).astype(np.float32),
        random.random(n) < 0.5,
    )


def scene(name, n=1, image=b"an image", subject=None):
    return Scene(name, image, (10, 20), people(n), subject)


def write(path, *scenes):
    with ShardWriter(path) as writer:
        for one in scenes:
            writer.add(one)
    return path


def same(one, other):
    assert (one.name, one.image, one.shape, one.subject) == (other.name, other.image, other.shape, other.subject)
    for name in ("joints", "labelled", "boxes", "areas", "crowd"):
        np.testing.assert_array_equal(getattr(one.people, name), getattr(other.people, name))


SCENES = (scene("a", 2, b"first", "cast 1"), scene("b", 0, b""), scene("ç", 3, b"third" * 999, "cast 2"))


@pytest.mark.parametrize("scenes", [SCENES, SCENES[:1], ()], ids=["three", "one", "none"])
def test_scenes_come_back_as_they_were(tmp_path, scenes):
    shard = Shard(write(tmp_path / "x.shard", *scenes))
    assert len(shard) == len(scenes)
    assert shard.names == tuple(one.name for one in scenes)
    assert shard.subjects == tuple(one.subject for one in scenes)
    for read, written in zip(shard, scenes, strict=True):
        same(read, written)
    for copy in (pickle.loads(pickle.dumps(shard)), shard[:]):
        assert [one.name for one in copy] == list(shard.names)
    if scenes:
        same(shard[-1], scenes[-1])
    with pytest.raises(IndexError):
        shard[len(scenes)]


def test_the_same_scenes_give_the_same_bytes(tmp_path):
    first, second = (write(tmp_path / name, *SCENES).read_bytes() for name in ("a.shard", "b.shard"))
    assert first == second
    assert write(tmp_path / "c.shard", *SCENES[::-1]).read_bytes() != first


def test_memory_does_not_grow_with_the_images(tmp_path):
    content = bytes(1_000_000)
    tracemalloc.start()
    try:
        shard = Shard(write(tmp_path / "x.shard", *(scene(str(i), 1, content) for i in range(40))))
        assert sum(len(one.image) for one in shard) == 40_000_000
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8_000_000


def test_two_scenes_of_one_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="two images have this name"):
        write(tmp_path / "x.shard", scene("a"), scene("a"))


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def rewritten(**changes):
    """A change of the arrays of a shard that is otherwise whole."""

    def change(path):
        class Changed(ShardWriter):
            def _arrays(self):
                return {**super()._arrays(), **changes}

        with Changed(path) as writer:
            for one in SCENES:
                writer.add(one)

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b""), "is no shard of images"),
        (lambda path: path.write_bytes(b"text"), "is no shard of images"),
        (lambda path: path.unlink(), "is no shard of images"),
        (lambda path: cut(path, 300), "is no shard of images"),
        (rewritten(ends=np.array([5, 5])), "lengths"),
        (rewritten(ends=np.array([5, 4, 4999])), "sizes, images"),
        (rewritten(ends=np.array([5, 5, 6])), "images that do not agree"),
        (rewritten(people=np.array([1, 1, 1])), "people that do not agree"),
        (rewritten(people=np.array([-1, 3, 3])), "sizes"),
        (rewritten(names=np.array([1, 2, 3])), "types"),
        (rewritten(boxes=np.zeros((5, 3))), "people that do not agree"),
        (rewritten(names=np.array([None] * 3, object)), None),
    ],
)
def test_damage_is_told(tmp_path, damage, words):
    path = write(tmp_path / "x.shard", *SCENES)
    if words is None:
        with pytest.raises(ValueError, match="Object arrays"):  # cannot even be written
            damage(path)
        return
    damage(path)
    with pytest.raises(FormatError, match=words) as caught:
        Shard(path)
    assert caught.value.where == str(path)
    assert "dvc checkout" in caught.value.hint


def test_a_file_that_is_cut_while_it_is_read(tmp_path):
    shard = Shard(write(tmp_path / "x.shard", *SCENES))
    cut(tmp_path / "x.shard", 100)
    with pytest.raises(FormatError, match="ends before its last image"):
        shard.image(2)
