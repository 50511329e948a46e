"""Pictures as training sees them: joints and boxes go where the pixels under them go."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from recognizer.images import FILL, decode
from recognizer.scenes import HIDDEN, SEEN, UNLABELLED, People, Scene
from recognizer.skeleton import JOINTS, LEFT, RIGHT
from training.pose.augment import augmented, mixed, mosaic, scaled, together
from training.pose.params import AugmentParams
from training.pose.shrink import shrunk

SIZE = (96, 128)
STILL = AugmentParams(flip=0.0)
SPOTS = {0: (60, 30), 5: (40, 60), 6: (90, 64)}
"""Joint → x, y of a bright disc in the picture of `somebody`."""


def people_at(spots, box=(20, 20, 90, 60), labelled=SEEN, area=2000.0):
    joints = np.zeros((1, len(JOINTS), 2), np.float32)
    known = np.zeros((1, len(JOINTS)), np.uint8)
    for joint, place in spots.items():
        joints[0, joint], known[0, joint] = place, labelled
    return People(joints, known, np.array([box], np.float32), np.array([area], np.float32), np.zeros(1, bool))


def somebody(shape=SIZE):
    """A dark picture with a disc of another colour at each joint, and its person."""
    image = np.full((*shape, 3), 20, np.uint8)
    factor = np.array([shape[1] / SIZE[1], shape[0] / SIZE[0]])
    colours = {0: (255, 0, 0), 5: (0, 255, 0), 6: (0, 0, 255)}
    spots = {joint: tuple(np.array(place) * factor) for joint, place in SPOTS.items()}
    for joint, (x, y) in spots.items():
        centre = (round((x - 0.5) * 16), round((y - 0.5) * 16))
        cv2.circle(image, centre, round(5 * factor[0] * 16), colours[joint], cv2.FILLED, cv2.LINE_AA, 4)
    box = np.array([20, 20, 90, 60]) * np.tile(factor, 2)
    return image, people_at(spots, box, area=2000.0 * factor.prod())


def disc(image, channel):
    """Middle (x, y) of the disc of one colour."""
    others = [other for other in range(3) if other != channel]
    weight = np.clip(image[..., channel].astype(float) - image[..., others].max(axis=2) - 20, 0, None)
    rows, columns = np.indices(weight.shape)
    return np.array([(weight * (columns + 0.5)).sum(), (weight * (rows + 0.5)).sum()]) / weight.sum()


def random(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"scale": (0.6, 0.9)},
        {"scale": (1.1, 1.2)},
        {"rotation": 30},
        {"shift": 0.1},
        {"rotation": 20, "scale": (0.7, 1.0), "shift": 0.05},
    ],
)
def test_joints_go_where_their_pixels_go(change, seed):
    image, people = augmented(*somebody(), SIZE, replace_params(STILL, **change), random(seed))
    assert image.shape == (*SIZE, 3)
    for channel, joint in enumerate(SPOTS):
        if people.labelled[0, joint] and (np.abs(people.joints[0, joint] - SIZE[::-1]) > 8).all():
            np.testing.assert_allclose(people.joints[0, joint], disc(image, channel), atol=0.35)


def replace_params(params, **change):
    return AugmentParams.model_validate({**params.model_dump(), **change})


def test_a_mirror_swaps_left_and_right():
    image, people = augmented(*somebody(), SIZE, replace_params(STILL, flip=1.0), random())
    for channel, joint in ((0, 0), (1, 6), (2, 5)):
        np.testing.assert_allclose(people.joints[0, joint], disc(image, channel), atol=0.3)
    assert people.boxes[0].tolist() == [18, 20, 90, 60]
    assert not people.labelled[0, [*LEFT[3:], *RIGHT[3:]]].any()


@pytest.mark.parametrize("shape", [(96, 128), (192, 256), (480, 640), (48, 64), (480, 320)])
def test_a_picture_of_any_size_fills_the_input(shape):
    image, people = augmented(*somebody(shape), SIZE, STILL, random())
    for channel, joint in enumerate(SPOTS):
        np.testing.assert_allclose(people.joints[0, joint], disc(image, channel), atol=0.5)
    if shape == (480, 320):  # grey beside it
        assert (image[:, 0] == round(float(FILL) * 255)).all()


def test_who_is_cut_loses_area_and_joints():
    inside = people_at({0: (100, 40), 5: (20, 40)}, box=(10, 20, 100, 40), labelled=HIDDEN)
    image, people = augmented(np.zeros((96, 128, 3), np.uint8), inside, (64, 64), STILL, random())
    assert people.areas[0] == pytest.approx(2000 / 4)
    _, cut = augmented(image, people, (64, 64), replace_params(STILL, scale=(2.0, 2.0)), random())
    assert cut.labelled[0, [0, 5]].tolist() == [UNLABELLED, UNLABELLED]
    assert cut.boxes[0, 0] == 0
    assert cut.boxes[0, 2] == 64
    assert cut.areas[0] == pytest.approx(2000 * 64 / 100, rel=0.01)


def test_who_is_gone_is_nobody():
    far = people_at({0: (4, 4)}, box=(0, 0, 8, 8))
    _, people = augmented(np.zeros((64, 64, 3), np.uint8), far, (64, 64), replace_params(STILL, scale=(3, 3)), random())
    assert len(people) == 0


def test_colours_change_and_places_do_not():
    image, people = somebody()
    made, there = augmented(image, people, SIZE, replace_params(STILL, colour=0.3), random(1))
    assert not np.array_equal(made, image)
    np.testing.assert_array_equal(there.joints, people.joints)


def test_the_same_generator_gives_the_same_picture():
    params = AugmentParams(rotation=10, scale=(0.8, 1.2), shift=0.1, colour=0.1)
    one, other = (augmented(*somebody(), SIZE, params, random(5)) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1].joints, other[1].joints)
    assert not np.array_equal(one[0], augmented(*somebody(), SIZE, params, random(6))[0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shapes", [(SIZE, (192, 256)), (SIZE, (192, 256), SIZE, (96, 64))])
def test_a_mosaic_shows_two_or_four_pictures_with_their_people(shapes, seed):
    image, people = mosaic([somebody(shape) for shape in shapes], SIZE, STILL, random(seed))
    assert image.shape == (*SIZE, 3)
    assert len(people) == len(shapes)
    assert (people.boxes[:, 2] <= SIZE[1] * 2 / 3).all()
    assert (people.labelled > 0).sum() >= 2 * len(shapes)  # of three each: who hardly fits loses the outermost
    for who in range(len(people)):
        for channel, joint in enumerate(SPOTS):
            if people.labelled[who, joint]:
                x, y = np.floor(people.joints[who, joint]).astype(int)
                spot = image[min(y, SIZE[0] - 1), min(x, SIZE[1] - 1)].astype(int)
                assert spot[channel] > 100, (seed, who, joint, spot)


@pytest.mark.parametrize("seed", range(4))
def test_two_leave_room_for_the_tall(seed):
    tall = np.zeros((*SIZE, 3), np.uint8), people_at({0: (60, 40)}, box=(50, 2, 20, 92))
    filling = replace_params(STILL, mosaic_scale=(1.0, 1.0))
    _, two = mosaic([tall, tall], SIZE, filling, random(seed))
    _, four = mosaic([tall] * 4, SIZE, filling, random(seed))
    assert two.areas.mean() > 2 * four.areas.mean() > 0


def test_a_mosaic_leaves_who_fits_at_their_size_and_takes_pictures_of_nobody():
    small = np.zeros((*SIZE, 3), np.uint8), people_at({0: (60, 40)}, box=(58, 38, 6, 6), area=30.0)
    nobody = np.zeros((*SIZE, 3), np.uint8), People.nobody()
    _, people = mosaic([small, nobody, nobody, small], SIZE, STILL, random())
    np.testing.assert_allclose(people.boxes[:, 2:], 6, rtol=1e-6)
    np.testing.assert_allclose(people.areas, 30, rtol=1e-6)
    low, high = people.boxes[0, :2], people.boxes[1, :2]
    assert (low < np.array(SIZE[::-1]) * 0.4).all()
    assert (high > np.array(SIZE[::-1]) * 0.55).all()


def test_a_mixture_is_of_both_with_the_people_of_both():
    first, second = somebody(), (np.full((*SIZE, 3), 220, np.uint8), people_at({1: (5, 5)}))
    image, people = mixed(first, second)
    assert len(people) == 2
    assert image[0, 0].tolist() == [120, 120, 120]
    assert len(together([people, people])) == 4


def test_people_of_a_larger_picture():
    people = scaled(people_at({0: (10, 20)}), 2.0, 0.5)
    assert people.joints[0, 0].tolist() == [20, 10]
    assert people.boxes[0].tolist() == [40, 10, 180, 30]
    assert people.areas[0] == pytest.approx(2000)


@pytest.mark.parametrize(("shape", "kept"), [((96, 128), True), ((144, 192), True), ((480, 640), False)])
def test_large_pictures_are_made_smaller_once(shape, kept):
    image, people = somebody(shape)
    content = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    scene = Scene("one", content, shape, people)
    small = shrunk(scene, SIZE)
    if kept:
        assert small is scene
        return
    assert small.shape == (144, 192)
    made = decode(small.image)
    assert made.shape[:2] == small.shape
    for channel, joint in enumerate(SPOTS):
        np.testing.assert_allclose(small.people.joints[0, joint], disc(made, channel), atol=0.5)
    assert small.people.areas[0] == pytest.approx(people.areas[0] * 0.09, rel=0.01)
    assert replace(small, image=b"", shape=shape, people=people) == replace(scene, image=b"")
