import dataclasses

import numpy as np
import pytest

from recognizer.errors import LabelError, SplitError
from recognizer.ingest.recorded import Recorded, Source
from recognizer.ingest.split import Split, cut
from recognizer.sequences import SequenceSet, SkeletonSequence


def sequence(name, label=0, subject=None):
    return SkeletonSequence(
        name, np.ones((1, 1, 17, 2), np.float32), np.ones((1, 1, 17), np.float32), label, subject, (10, 10)
    )


def recorded(sequences, split=None, classes=("a", "b", "c"), warnings=()):
    return Recorded(SequenceSet(classes, tuple(sequences)), split or {}, Source("file", "0" * 64), warnings)


def crowd(subjects=20, each=2, classes=3):
    return [
        sequence(f"p{who}_{label}_{take}", label, f"p{who}")
        for who in range(subjects)
        for label in range(classes)
        for take in range(each)
    ]


def names(sequences):
    return [item.name for item in sequences]


def subjects(sequences):
    return set(sequences.subjects)


def test_all_sets_are_cut_by_subject_where_the_file_has_no_split():
    split = cut(recorded(crowd()))
    sets = list(split.sets().values())
    assert sum(len(part) for part in sets) == 120
    for i, left in enumerate(sets):
        for right in sets[i + 1 :]:
            assert not subjects(left) & subjects(right)
    assert len(subjects(split.test)) == 4
    assert 3 <= len(subjects(split.validation)) <= 4
    assert split.warnings == ()


def test_the_same_input_gives_the_same_sets_and_another_seed_others():
    first, again, other = cut(recorded(crowd())), cut(recorded(crowd())), cut(recorded(crowd()), seed=1)
    assert names(first.validation) == names(again.validation)
    assert names(first.test) == names(again.test)
    assert names(first.test) != names(other.test)


def test_the_files_held_out_part_is_the_test_set():
    items = crowd()
    held = tuple(item.name for item in items if item.subject in ("p3", "p7"))
    rest = tuple(item.name for item in items if item.name not in held)
    split = cut(recorded(items, {"train": rest, "test": held}))
    assert set(names(split.test)) == set(held)
    assert not subjects(split.validation) & {"p3", "p7"}
    assert 3 <= len(subjects(split.validation)) <= 4


def test_the_files_own_validation_is_kept():
    items = crowd(4)
    own = {"p0": "train", "p1": "train", "p2": "validation", "p3": "test"}
    parts: dict[str, list[str]] = {}
    for item in items:
        parts.setdefault(own[item.subject], []).append(item.name)
    split = cut(recorded(items, {part: tuple(members) for part, members in parts.items()}))
    assert subjects(split.train) == {"p0", "p1"}
    assert subjects(split.validation) == {"p2"}


def test_classes_are_balanced_as_far_as_whole_subjects_allow():
    generator = np.random.default_rng(0)
    items = [
        sequence(f"{who}_{label}_{take}", label, f"p{who}")
        for who in range(25)
        for label in range(3)
        for take in range(generator.integers(0, 9))
    ]
    total = np.bincount([item.label for item in items], minlength=3)
    split = cut(recorded(items))
    for part in (split.validation, split.test):
        share = np.bincount(part.labels, minlength=3) / total
        assert (np.abs(share - 0.18) < 0.08).all()


def test_a_rare_class_stays_in_train():
    items = [*crowd(10, classes=2), sequence("rare", 2, "p5")]
    for seed in range(5):
        split = cut(recorded(items), seed=seed)
        assert "rare" in names(split.train)
        assert "the set 'test' has no sequence of c" in split.warnings


def test_sequences_in_no_set_are_left_out_and_told():
    items = crowd(6)
    split = cut(recorded(items, {"train": tuple(item.name for item in items if item.subject != "p0")}, warnings=("w",)))
    assert split.warnings == ("w", "6 sequences stand in no set of the file's split; left out")
    assert "p0" not in subjects(split.train) | subjects(split.validation) | subjects(split.test)


def test_without_subjects_neighbours_stay_together_and_the_doubt_is_told():
    items = [dataclasses.replace(item, subject=None) for item in crowd(20)]
    split = cut(recorded(items))
    assert any("no known subject" in warning for warning in split.warnings)
    people = [{name.split("_")[0] for name in names(part)} for part in split.sets().values()]
    assert not people[0] & people[1]
    assert not people[0] & people[2]
    assert not people[1] & people[2]


def test_a_few_sequences_without_subject_are_told():
    items = [*crowd(6), sequence("nobody", 0)]
    assert any(warning.startswith("1 of 37 sequences") for warning in cut(recorded(items)).warnings)


def test_a_leaking_split_names_the_subjects():
    items = crowd(4)
    parts = {"train": tuple(names(items)[::2]), "test": tuple(names(items)[1::2])}
    with pytest.raises(SplitError, match="p0, p1, p2, p3") as caught:
        cut(recorded(items, parts))
    assert "cut by subject" in str(caught.value)


@pytest.mark.parametrize(
    ("items", "split", "error", "says"),
    [
        (crowd(1), {}, SplitError, "one subject"),
        (crowd(2), {}, SplitError, "one subject"),
        (crowd(3), {"test": tuple(names(crowd(3)))}, SplitError, "'train' is empty"),
        (crowd(5, classes=1), {}, LabelError, "only one class"),
        (crowd(5, classes=2), {}, LabelError, "'c'"),
        ([*crowd(5, classes=2), sequence("x", 2, "new")], {}, LabelError, "'c'"),
    ],
)
def test_recordings_that_cannot_be_cut(items, split, error, says):
    known = {"test": tuple(item.name for item in items if item.subject == "new")} if items[-1].subject == "new" else {}
    if known:
        known["train"] = tuple(item.name for item in items if item.subject != "new")
    with pytest.raises(error, match=says) as caught:
        cut(recorded(items, split or known))
    assert caught.value.hint


def as_set(*items):
    return SequenceSet(("a", "b"), items)


@pytest.mark.parametrize(
    ("train", "validation", "test", "says"),
    [
        (as_set(), as_set(sequence("v")), as_set(sequence("t")), "'train' is empty"),
        (as_set(sequence("x")), as_set(), as_set(sequence("t")), "'validation' is empty"),
        (as_set(sequence("x")), as_set(sequence("v")), as_set(), "'test' is empty"),
        (as_set(sequence("x")), as_set(sequence("v")), as_set(sequence("x")), "1 sequences stand"),
        (as_set(sequence("x", 0, "p")), as_set(sequence("v", 0, "p")), as_set(sequence("t")), "1 subjects stand"),
    ],
)
def test_an_invalid_split_cannot_exist(train, validation, test, says):
    with pytest.raises(SplitError, match=says):
        Split(train, validation, test)
