"""Found people as arrays of one size, and back."""

import numpy as np
import pytest

from recognizer.answers import chosen, joined
from recognizer.errors import InputError
from recognizer.pose.answers import MOST, stack, unstack
from recognizer.scenes import FoundPeople


def found(n, seed=0):
    random = np.random.default_rng([n, seed])
    shapes = {"joints": (n, 17, 2), "visibility": (n, 17), "boxes": (n, 4), "scores": (n,)}
    return FoundPeople(**{name: random.random(shape).astype(np.float32) for name, shape in shapes.items()})


@pytest.mark.parametrize("counts", [(), (0,), (1,), (3, 0, 2), (MOST, MOST + 5)])
def test_people_come_back_as_they_were(counts):
    people = [found(n) for n in counts]
    again = unstack(stack(people))
    assert [len(one) for one in again] == [min(n, MOST) for n in counts]
    for before, after in zip(people, again, strict=True):
        for name in ("joints", "visibility", "boxes", "scores"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name)[:MOST])


def test_answers_are_joined_and_chosen_as_arrays():
    parts = [stack([found(1), found(4)]), stack([found(2)])]
    every = unstack(chosen(joined(parts), [2, 0]))
    assert [len(one) for one in every] == [2, 1]
    with pytest.raises(InputError, match="cannot be joined"):
        joined([parts[0], {"scores": np.zeros(1)}])
    with pytest.raises(InputError, match="cannot be joined"):
        joined([])


@pytest.mark.parametrize("change", [{"boxes": np.zeros((1, MOST, 3))}, {"scores": np.zeros((2, MOST))}])
def test_what_are_no_people(change):
    with pytest.raises(InputError, match="expected"):
        unstack({**stack([found(1)]), **change})
    with pytest.raises(InputError, match="None, expected"):
        unstack({"count": np.zeros(1, np.int64)})
