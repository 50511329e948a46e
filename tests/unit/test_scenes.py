from collections import Counter
from itertools import islice

import cv2
import numpy as np
import pytest

from recognizer.errors import UsageError
from recognizer.scenes import HIDDEN, SEEN, UNLABELLED
from recognizer.synthetic.scenes import compose, generate_scenes, is_held_out, render, subject_of, write_scenes
from recognizer.synthetic.wardrobe import CASTS, cast_of

SIDE = 128
COUNT = 120


@pytest.fixture(scope="module")
def composed():
    """Scenes with what every pixel shows."""
    return [compose(index, 0, SIDE) for index in range(COUNT)]


@pytest.fixture(scope="module")
def everybody(composed):
    """(mask, joints, labelled, box, area) of all people."""
    return [
        (painted.owners == number, *row)
        for painted, people in composed
        for number, row in enumerate(
            zip(people.joints, people.labelled, people.boxes, people.areas, strict=True),
        )
    ]


def same(first, second):
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("joints", "labelled", "boxes", "areas", "crowd")
    )


def test_a_scene_is_the_same_whatever_is_rendered_beside_it():
    few, more = list(generate_scenes(2, seed=3, size=SIDE)), list(generate_scenes(4, seed=3, size=SIDE))
    for one, other in zip(few, more, strict=False):
        assert (one.name, one.image, one.subject) == (other.name, other.image, other.subject)
        assert same(one.people, other.people)
    image, people = render(3, 3, SIDE)
    again, same_people = render(3, 3, SIDE)
    np.testing.assert_array_equal(image, again)
    assert same(people, same_people)
    assert same(people, more[3].people)


@pytest.mark.parametrize(("index", "seed"), [(1, 0), (0, 1), (CASTS, 0)])
def test_another_index_or_seed_is_another_scene(index, seed):
    assert not np.array_equal(render(0, 0, 64)[0], render(index, seed, 64)[0])


@pytest.mark.parametrize("size", [64, (96, 160), (160, 96), (600, 420)])
def test_sizes(size):
    shape = (size, size) if isinstance(size, int) else size
    for index in range(4):
        image, people = render(index, 0, size)
        assert image.shape == (*shape, 3)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        right, bottom = (people.boxes[:, :2] + people.boxes[:, 2:]).T
        assert (right <= shape[1]).all()
        assert (bottom <= shape[0]).all()


@pytest.mark.parametrize("size", [63, (256, 10)])
def test_sizes_that_make_no_picture_are_refused(size):
    with pytest.raises(UsageError, match="scenes of"):
        render(0, 0, size)


def test_scenes_are_jpeg_files_of_what_was_rendered():
    (scene,) = generate_scenes(1, size=(SIDE, 2 * SIDE))
    image, people = render(0, 0, (SIDE, 2 * SIDE))
    decoded = cv2.imdecode(np.frombuffer(scene.image, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert scene.shape == decoded.shape[:2] == image.shape[:2]
    assert np.abs(decoded.astype(float) - image).mean() < 12
    # Red is red, and blue is blue.
    for channel in range(3):
        assert abs(decoded[..., channel].mean() - image[..., channel].mean()) < 3
    assert same(scene.people, people)


def test_scenes_come_one_by_one():
    names = [scene.name for scene in islice(generate_scenes(10**9, size=64), 3)]
    assert names == ["000000", "000001", "000002"]
    assert list(generate_scenes(0)) == []


def test_scenes_are_written_into_a_folder(tmp_path):
    write_scenes(tmp_path / "new", 2, size=64)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["000000.jpg", "000001.jpg"]


def test_every_fifth_cast_is_held_out_and_nobody_is_in_two_casts():
    subjects = [subject_of(index) for index in range(3 * CASTS)]
    assert set(Counter(subjects).values()) == {3}
    assert not set(subjects) & {subject_of(index, 1) for index in range(CASTS)}
    out = {subject for subject in subjects if is_held_out(subject)}
    assert len(out) == CASTS // 5
    people = [person for cast in range(CASTS) for person in cast_of(0, cast)]
    bodies = {person.body for person in people}
    assert len(bodies) == len(people)
    assert len({outfit for person in people for outfit in person.outfits}) == sum(len(p.outfits) for p in people)
    assert not bodies & {person.body for person in cast_of(1, 0)}


def test_areas_and_boxes_are_those_of_the_visible_pixels(everybody):
    for mask, _, _, box, area in everybody:
        rows, columns = np.nonzero(mask)
        assert area == mask.sum()
        assert box.tolist() == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_seen_joints_lie_on_their_person(everybody):
    for mask, joints, labelled, _, _ in everybody:
        columns, rows = np.floor(joints[labelled == SEEN] - 1e-4).astype(int).T
        assert mask[rows, columns].all()


def test_labelled_joints_lie_in_the_picture_and_others_are_zero(everybody):
    for _, joints, labelled, _, _ in everybody:
        inside = joints[labelled > UNLABELLED]
        assert ((inside >= 0.5) & (inside <= SIDE - 0.5)).all()
        assert not joints[labelled == UNLABELLED].any()


def test_everybody_can_be_found(composed, everybody):
    assert min(len(people) for _, people in composed) >= 1
    for painted, people in composed:
        assert people.counted.all()
        assert set(np.unique(painted.owners)) == {-1, *range(len(people))}
    clear = [(labelled == SEEN).sum() >= 5 and area >= 0.003 * SIDE * SIDE for _, _, labelled, _, area in everybody]
    # Somebody of whom less shows stays only where the scene would be empty otherwise.
    assert np.mean(clear) > 0.98
    assert min(area for *_, area in everybody) > 0


def test_how_difficult_it_is(composed, everybody):
    counts = Counter(len(people) for _, people in composed)
    assert set(counts) == {1, 2, 3, 4}
    assert counts[1] < 0.6 * COUNT
    labelled = np.stack([row[2] for row in everybody])
    assert 0.15 < (labelled == HIDDEN).sum() / (labelled > UNLABELLED).sum() < 0.45
    assert 0.2 < (labelled == UNLABELLED).any(axis=1).mean() < 0.6
    sides = np.sqrt([box[2] * box[3] for _, _, _, box, _ in everybody]) / SIDE
    assert np.quantile(sides, 0.1) < 0.25
    assert np.quantile(sides, 0.9) > 0.5


def test_pictures_differ_in_light_and_contrast():
    pictures = [render(index, 0, 64)[0].astype(float) for index in range(24)]
    means, spreads = [picture.mean() for picture in pictures], [picture.std() for picture in pictures]
    assert np.ptp(means) > 60
    assert np.ptp(spreads) > 25
    assert min(spreads) > 4
