"""Golden cases: which folder counts, how they meet a model's classes, what is refused; and the checkout's own."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from recognizer.errors import FormatError, UsageError
from recognizer.golden import golden_folder, read_golden
from recognizer.home import Home, checkout
from recognizer.sequences import SequenceSet, SkeletonSequence, read_npz, write_npz
from recognizer.snapshot import set_digest
from recognizer.synthetic import ACTIONS
from recognizer.synthetic.golden import SCENES, TAKES, take, write_golden

AB = ("a", "b")
OWN = checkout() / "data" / "golden" / "action"


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def case(name, label=0):
    """Two frames of one person; every name moves in its own way."""
    keypoints = np.random.default_rng(list(name.encode())).uniform(1, 99, (1, 2, 17, 2)).astype(np.float32)
    return SkeletonSequence(name, keypoints, np.ones((1, 2, 17), np.float32), label, None, (100, 100))


def scene_of(name):
    (scene,) = [scene for scene in SCENES if name.endswith(f"_{scene}")]
    return scene


def write(home, file, cases, classes=AB):
    folder = home.golden("action")
    folder.mkdir(parents=True, exist_ok=True)
    write_npz(folder / file, SequenceSet(classes, tuple(cases)))
    return folder / file


def test_a_home_without_a_folder_takes_the_checkouts(home):
    assert golden_folder(home, "action") == golden_folder(Home(checkout()), "action") == OWN
    home.golden("action").mkdir(parents=True)
    assert golden_folder(home, "action") == home.golden("action")
    empty = read_golden(golden_folder(home, "action"), AB)
    assert len(empty.cases) == empty.left_out == 0
    assert empty == read_golden(golden_folder(home, "a task without golden cases"), AB)
    assert not home.golden("pose").exists()


@pytest.mark.parametrize(
    ("classes", "expected", "left_out"),
    [
        (("a", "b"), [("one", 0), ("two", 1), ("three", 1)], 0),
        (("b", "x", "a"), [("one", 2), ("two", 0), ("three", 0)], 0),
        (("b",), [("two", 0), ("three", 0)], 1),
        (("x", "y"), [], 3),
    ],
)
def test_classes_are_matched_by_name(home, classes, expected, left_out):
    write(home, "1.npz", [case("one", 0), case("two", 1)])
    write(home, "2.npz", [case("three", 0)], classes=("b", "never used"))
    made = read_golden(golden_folder(home, "action"), classes)
    assert [(item.name, item.label) for item in made.cases] == expected
    assert made.cases.classes == classes
    assert made.left_out == left_out
    np.testing.assert_array_equal(
        [item.keypoints for item in made.cases], [case(name).keypoints for name, _ in expected] or np.zeros(0)
    )


def test_cases_of_made_up_people_are_for_models_of_such_only(home):
    write(home, "1.npz", [case("one", 0)])
    recorded = read_golden(golden_folder(home, "action"), AB)
    (home.golden("action") / "synthetic").mkdir()
    write_npz(home.golden("action") / "synthetic" / "2.npz", SequenceSet(AB, (case("two", 1), case("three", 0))))
    for synthetic, names, left_out in ((False, ["one"], 2), (True, ["one", "two", "three"], 0)):
        made = read_golden(golden_folder(home, "action"), AB, synthetic=synthetic)
        assert ([one.name for one in made.cases], made.left_out) == (names, left_out)
        assert (made.digest == recorded.digest) is not synthetic


def test_the_digest_is_of_what_the_files_say(home):
    write(home, "1.npz", [case("one", 0), case("two", 1)])
    first = read_golden(golden_folder(home, "action"), AB).digest
    assert len(first) == 64
    assert read_golden(golden_folder(home, "action"), ("x",)).digest == first
    with np.load(home.golden("action") / "1.npz") as file:
        np.savez(home.golden("action") / "1.npz", **file)  # not compressed
    (home.golden("action") / "README.md").write_text("no case")
    assert read_golden(golden_folder(home, "action"), AB).digest == first
    others = (
        [case("one", 0), case("two", 0)],
        [case("one", 0)],
        [replace(case("two"), name="one"), case("two", 1)],
    )
    digests = [first]
    for cases in others:
        write(home, "1.npz", cases)
        digests.append(read_golden(golden_folder(home, "action"), AB).digest)
    write(home, "2.npz", [case("more")])
    digests.append(read_golden(golden_folder(home, "action"), AB).digest)
    assert len(set(digests)) == 5


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def no_npz(path):
    path.write_text("not a case")


def no_classes(path):
    with np.load(path) as file:
        np.savez(path, **{name: file[name] for name in file.files if name != "classes"})


def no_visibility(path):
    with np.load(path) as file:
        np.savez(path, **{**file, "visibility": file["visibility"][:1]})


def not_finite(path):
    with np.load(path) as file:
        np.savez(path, **{**file, "keypoints": file["keypoints"] * np.nan})


def unknown_label(path):
    with np.load(path) as file:
        np.savez(path, **{**file, "labels": file["labels"] + 7})


def one_name_twice(path):
    with np.load(path) as file:
        np.savez(path, **{**file, "names": np.array(["two", "two"])})


def no_cases(path):
    write_npz(path, SequenceSet(AB, ()))


@pytest.mark.parametrize(
    "damage", [cut, no_npz, no_classes, no_visibility, not_finite, unknown_label, one_name_twice, no_cases]
)
def test_a_damaged_file_is_named(home, damage):
    write(home, "1.npz", [case("zero")])
    path = write(home, "2.npz", [case("one", 0), case("two", 1)])
    damage(path)
    with pytest.raises(FormatError) as caught:
        read_golden(golden_folder(home, "action"), AB)
    assert caught.value.where.startswith(str(path))
    assert caught.value.hint


def test_one_name_in_two_files_is_refused_and_both_are_named(home):
    write(home, "1.npz", [case("one")])
    path = write(home, "2.npz", [case("two"), case("one", 1)])
    with pytest.raises(FormatError, match=r"holds case 'one', which 1\.npz holds too") as caught:
        read_golden(golden_folder(home, "action"), ("x",))
    assert caught.value.where == str(path)


def test_what_was_made_up_is_asked_of_models_of_synthetic_people_alone():
    folder = golden_folder(Home(checkout()), "action")
    assert len(read_golden(folder, tuple(ACTIONS), synthetic=False).cases) == 0


def test_the_checkouts_cases_are_few_small_and_of_every_action():
    made = read_golden(golden_folder(Home(checkout()), "action"), tuple(ACTIONS), synthetic=True)
    assert made.left_out == 0
    names = {f"{action}_{scene}" for action in ACTIONS for scene in SCENES}
    assert {item.name for item in made.cases} == names
    for item in made.cases:
        action, scene = made.cases.classes[item.label], SCENES[scene_of(item.name)]
        assert item.name == f"{action}_{scene_of(item.name)}"
        assert scene.people[0] <= item.people <= scene.people[1]
        assert not item.visibility[:, : item.frames // 3, list(scene.hidden)].any()
    assert sum(path.stat().st_size for path in (OWN / "synthetic").iterdir()) < 300_000


def test_the_checkouts_cases_can_be_made_again(tmp_path):
    write_golden(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "before")
    write_golden(tmp_path / "one")
    files = sorted(path.name for path in (OWN / "synthetic").glob("*.npz"))
    assert files == sorted(f"{action}.npz" for action in TAKES)
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "before" / name).read_bytes()
        # what they say, not their bytes: another zlib packs them otherwise
        assert set_digest(read_npz(tmp_path / "one" / name)) == set_digest(read_npz(OWN / "synthetic" / name))


def test_a_take_that_came_out_otherwise_is_not_left_out_silently(tmp_path, monkeypatch):
    monkeypatch.setitem(TAKES, "waving", {"plain": next(n for n in range(99) if take("waving", "plain", n) is None)})
    with pytest.raises(UsageError, match="of waving, plain, came out otherwise"):
        write_golden(tmp_path)


@pytest.mark.parametrize(("action", "scene"), [("flying", "plain"), ("waving", "at_night")])
def test_no_such_scene(action, scene):
    with pytest.raises(UsageError, match="no scene"):
        take(action, scene, 0)
