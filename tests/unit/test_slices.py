"""Groups of cases: of every kind, whatever the numbers are."""

import numpy as np
import pytest

from recognizer.evaluation.slices import KINDS, OTHERS, joined, sequence_slices, thirds
from recognizer.sequences import SequenceSet, SkeletonSequence


@pytest.mark.parametrize(
    ("names", "least", "expected"),
    [
        ((), 3, ()),
        (("a", "a", "b"), 2, ("a", "a", OTHERS)),
        (("a", "b", "c"), 2, (OTHERS,) * 3),
        (("a", None, "a"), 2, ("a", None, "a")),
        ((None, None), 2, (None, None)),
        (("a", "b"), 1, ("a", "b")),
    ],
)
def test_small_slices_are_one(names, least, expected):
    assert joined(names, least) == expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((), ()),
        ((7,), ("7 frames",)),
        ((5, 5, 5, 5), ("5 frames",) * 4),
        ((1, 2, 3), ("1 frames", "2 frames", "3 frames")),
        ((1, 1, 1, 9), ("1 frames",) * 3 + ("9 frames",)),
        ((10, 20, 30, 40, 50, 60), ("10 to 20 frames",) * 2 + ("30 to 40 frames",) * 2 + ("50 to 60 frames",) * 2),
        ((1000, 2000, 3000), ("1,000 frames", "2,000 frames", "3,000 frames")),
    ],
)
def test_numbers_are_cut_into_parts_named_by_their_bounds(numbers, expected):
    assert thirds(np.array(numbers, np.float64), "{} frames") == expected


def test_equal_numbers_stay_together_and_every_part_is_named_once():
    numbers = np.random.default_rng(0).integers(1, 8, 200).astype(np.float64)
    names = np.array(thirds(numbers, "{}"))
    assert all(len(set(names[numbers == number])) == 1 for number in set(numbers))
    assert 2 <= len(set(names)) <= 3


def case(name, *, people=1, frames=10, seen=1.0, subject="p", label=0):
    visibility = np.zeros((people, frames, 17), np.float32)
    visibility[:, : round(seen * frames)] = 0.9
    points = np.ones((people, frames, 17, 2), np.float32)
    return SkeletonSequence(name, points, visibility, label, subject, (100, 100))


def test_sequences_are_cut_in_every_way():
    cases = SequenceSet(
        ("walking", "falling"),
        (
            case("a", subject="anna", frames=10),
            case("b", subject="anna", frames=20, label=1, seen=0.5),
            case("c", subject=None, frames=30, people=2),
            case("d", subject="bert", frames=40, seen=0.0),
        ),
    )
    slices = sequence_slices(cases, least=2)
    assert tuple(slices) == KINDS
    assert slices["class"] == ("walking", "falling", "walking", "walking")
    assert slices["subject"] == ("anna", "anna", None, OTHERS)
    assert slices["people"] == ("1 person", "1 person", OTHERS, "1 person")
    assert slices["length"] == ("10 to 20 frames", "10 to 20 frames", "30 frames", "40 frames")
    assert slices["visibility"][3] == "0 to 50 % of the joints seen"
    assert slices["visibility"][0] == slices["visibility"][2] == "100 % of the joints seen"
