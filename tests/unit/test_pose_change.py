"""Images changed, and what is found in them brought back."""

import cv2
import numpy as np
import pytest

from recognizer.images import decode
from recognizer.pose.change import CHANGES, changed, restored
from recognizer.scenes import FoundPeople, People, Scene
from recognizer.skeleton import JOINTS

HEIGHT, WIDTH = 40, 60


def scene():
    """A dark image with one bright square of 4 pixels, from (10, 20) to (14, 24)."""
    image = np.full((HEIGHT, WIDTH, 3), 10, np.uint8)
    image[20:24, 10:14] = (250, 120, 60)
    content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    return Scene("one", content, (HEIGHT, WIDTH), People.nobody(), "x")


def finder(image):
    """One person whose box is the bright square; left joints lie at its left edge, the others at its right one."""
    bright = image[..., 0] > image[..., 0].max() / 2
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    joints = np.array([[left if "left" in name else right, top] for name in JOINTS], np.float32)
    box = np.float32([[left, top, right - left, bottom - top]])
    return FoundPeople(joints[None], np.linspace(0, 1, 17, dtype=np.float32)[None], box, np.float32([0.9]))


@pytest.mark.parametrize(
    ("name", "shape", "box"),
    [
        ("mirror", (HEIGHT, WIDTH), [46, 20, 4, 4]),
        ("dark", (HEIGHT, WIDTH), [10, 20, 4, 4]),
        ("scale", (HEIGHT // 2, WIDTH // 2), [5, 10, 2, 2]),
    ],
)
def test_what_is_found_comes_back(name, shape, box):
    one = changed(name, scene())
    assert (one.name, one.subject, one.shape) == ("one", "x", shape)
    image = decode(one.image)
    assert image.shape[:2] == shape
    found = finder(image)
    assert found.boxes.tolist() == [box]
    back = restored(name, found, (HEIGHT, WIDTH))
    np.testing.assert_allclose(back.boxes, [[10, 20, 4, 4]])
    assert back.joints[..., 0].min() == 10
    assert back.joints[..., 0].max() == 14
    assert (back.joints[..., 1] == 20).all()


def test_a_mirror_exchanges_left_and_right():
    found = finder(decode(changed("mirror", scene()).image))
    back = restored("mirror", found, (HEIGHT, WIDTH))
    left, right = JOINTS.index("left_wrist"), JOINTS.index("right_wrist")
    assert back.joints[0, left, 0] == 10  # the mirrored picture's right wrist, on its right
    assert back.visibility[0, left] == found.visibility[0, right]
    again = restored("mirror", back, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(again.joints, found.joints)


def test_dark_is_darker_and_nothing_else():
    before, after = decode(scene().image), decode(changed("dark", scene()).image)
    np.testing.assert_array_equal(after, (before * 0.6).astype(np.uint8))
    assert set(CHANGES) == {"mirror", "dark", "scale"}


def test_an_image_of_one_pixel():
    tiny = Scene("one", cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes(), (1, 1), People.nobody())
    assert changed("scale", tiny).shape == (2, 2)
