"""Pictures in a model's input: what is where, and where a point of the picture ends up."""

import numpy as np
import pytest

from recognizer.errors import FormatError, InputError
from recognizer.images import FILL, ImageSpec, Placement, letterbox

SHAPES = [(480, 640), (640, 480), (1, 1), (1, 5000), (5000, 1), (3, 2), (640, 640), (1081, 1919), (7, 4001)]
SIZES = [(640, 640), (256, 320), (32, 32), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_letterbox_of_any_shape(shape, size):
    image, placement = letterbox(np.full((*shape, 3), (0, 128, 255), np.uint8), size)
    assert image.shape == (3, *size)
    assert image.dtype == np.float32
    assert (image.min(), image.max()) == (0, 1)
    left, top = placement.forward(np.zeros(2))
    right, bottom = placement.forward(np.array(shape[::-1]))
    inside = image[:, round(top) : round(bottom), round(left) : round(right)]
    assert inside.size
    np.testing.assert_array_equal(inside, np.broadcast_to(np.float32([[[0]], [[128 / 255]], [[1]]]), inside.shape))
    assert np.count_nonzero((image == FILL).all(axis=0)) == size[0] * size[1] - inside[0].size
    fills = round(bottom - top, 6) / size[0], round(right - left, 6) / size[1]
    assert max(fills) == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_there_and_back(shape, size):
    points = np.random.default_rng(0).uniform(-1, 2, (50, 17, 2)) * shape[::-1]
    for placement in (placed := Placement.of(shape, size), Placement.from_row(placed.as_row())):
        np.testing.assert_allclose(placement.back(placement.forward(points)), points, atol=1e-9)
        single = placement.forward(points).astype(np.float32)  # what a model answers
        if min(size) > 1 and max(shape) / min(shape) < 10:
            np.testing.assert_allclose(placement.back(single), points, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((480, 640), (640, 640)), ((480, 640), (256, 256)), ((900, 700), (320, 256)), ((31, 17), (640, 640))],
)
def test_a_spot_is_where_its_pixels_went(shape, size):
    """The centre of mass of a soft spot moves as `forward` says, to a tenth of a pixel."""
    centre = np.array([0.62 * shape[1], 0.37 * shape[0]])
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    spread = min(shape) / 12
    spot = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2))
    image, placement = letterbox(np.repeat((255 * spot).round().astype(np.uint8)[..., None], 3, axis=2), size)
    mass = np.where((image == FILL).all(axis=0), 0, image[0])
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    found = np.array([(x * mass).sum(), (y * mass).sum()]) / mass.sum()
    np.testing.assert_allclose(found, placement.forward(centre), atol=0.1)


def test_fine_stripes_become_grey():
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    image, _ = letterbox(stripes, (256, 256))
    np.testing.assert_allclose(image[:, 40:216], 0.5, atol=0.01)


@pytest.mark.parametrize(("shape", "kind"), [((4, 4), "u1"), ((4, 4, 4), "u1"), ((4, 4, 3), "f4"), ((0, 4, 3), "u1")])
def test_what_is_no_picture_has_no_place(shape, kind):
    with pytest.raises(InputError, match="no picture"):
        letterbox(np.zeros(shape, kind), (32, 32))


def test_the_size_travels_with_the_model():
    spec = ImageSpec(256, 320)
    assert ImageSpec.from_dict(spec.as_dict()) == spec
    assert spec.size == (256, 320)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"height": 0}, "640 x 0"),
        ({"width": 10**6}, "1000000 x 640"),
        ({"height": 64.0}, "no whole numbers"),
        ({"height": True}, "no whole numbers"),
        ({"height": "64"}, "no whole numbers"),
        ({"stride": 8}, "unknown settings"),
    ],
)
def test_sizes_that_are_none(content, says):
    with pytest.raises(FormatError, match=says):
        ImageSpec.from_dict(content)
