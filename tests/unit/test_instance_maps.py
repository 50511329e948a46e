"""Where instance maps look for the joints of one person, and how likely they take a place for."""

import math

import pytest
import torch

from training.models.coordinate_classifier import Bins, V
from training.models.instance_maps import RAREST, InstanceMaps, log_likelihood
from training.models.refiner import STRIDE
from training.models.sizes import RtmoConfig

CONFIG = RtmoConfig(fine=4, joint_features=4, map_features=4)
H, W = 8, 10
NOBODY_KNOWS = (0.0,) * 21


def bins(people=1, x=NOBODY_KNOWS, y=NOBODY_KNOWS, box=(0.0, 80.0), features=None):
    """Of people whose joints have these logits over the bins between the two sides of a box, along x and along y."""
    places = torch.linspace(*box, len(x)).expand(people, -1)
    features = torch.ones(people, V, 4) if features is None else features
    along = [torch.tensor(part).expand(people, V, -1) for part in (x, y)]
    return Bins(*along, places, places, torch.full((people, V), 0.1), features)


def looking_for(channel=0, sure=20.0):
    """Maps in which every joint looks for what has this channel."""
    maps = InstanceMaps(CONFIG)
    with torch.no_grad():
        maps.keys.weight.copy_(torch.eye(4)[:, :, None, None])
        maps.queries.weight.zero_()
        maps.queries.bias.zero_()
        maps.queries.bias[channel] = sure / maps.scale
    return maps.eval()


def look(maps, fine, images, said, each=None):
    return maps(fine, torch.as_tensor(images), said, said.features, each)


def picture(*cells, channel=0):
    """Features of one image with this channel at (column, row, how much)."""
    fine = torch.zeros(1, 4, H, W)
    for column, row, much in cells:
        fine[0, channel, row, column] = much
    return fine


def sure_of(place, others=-30.0):
    """Logits of 21 bins over 0 to 80 pixels that know the place."""
    return tuple(0.0 if 4.0 * i == place else others for i in range(21))


@pytest.mark.parametrize("channel", [0, 3])
@pytest.mark.parametrize("cell", [(4, 3), (0, 0), (9, 7), (9, 0), (1, 6)])
def test_a_joint_is_found_wherever_it_is(cell, channel):
    found = look(looking_for(channel), picture((*cell, 1.0), channel=channel), [0], bins())
    expected = torch.tensor([(cell[0] + 0.5) * STRIDE, (cell[1] + 0.5) * STRIDE])
    torch.testing.assert_close(found.joints, expected.expand(1, V, 2), rtol=0, atol=0.01)
    assert (found.peak.exp() > 0.99).all()


@pytest.mark.parametrize("corner", [(0, 0), (9, 7), (4, 3)])
def test_the_peak_is_what_is_likely_around_the_likeliest_cell(corner):
    two = look(looking_for(), picture((*corner, 1.0), ((corner[0] + 5) % W, corner[1], 1.0)), [0], bins())
    torch.testing.assert_close(two.peak, torch.full((1, V), math.log(0.5)), rtol=0, atol=0.01)
    flat = look(looking_for(), picture((*corner, 1e-6)), [0], bins())
    torch.testing.assert_close(flat.peak, torch.full((1, V), math.log(9 / (W * H))), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("cells", "first"),
    [(((6, 2), (1, 5)), (6, 2)), (((1, 5), (6, 2)), (6, 2)), (((8, 3), (2, 3)), (2, 3)), (((0, 7), (9, 0)), (9, 0))],
)
def test_of_equally_likely_cells_it_is_the_first_one_row_by_row(cells, first):
    found = look(looking_for(), picture(*[(*cell, 1.0) for cell in cells]), [0], bins())
    expected = torch.tensor([(first[0] + 0.5) * STRIDE, (first[1] + 0.5) * STRIDE])
    torch.testing.assert_close(found.joints, expected.expand(1, V, 2), rtol=0, atol=0.01)


@pytest.mark.parametrize(("right", "x"), [(0.0, 36.0), (1.0, 40.0), (0.95, None)])
def test_between_two_cells_by_how_likely_they_are(right, x):
    found = look(looking_for(), picture((4, 3, 1.0), (5, 3, right)), [0], bins())
    if x is None:  # e to the 1 less likely
        x = 36.0 + 8.0 / (1 + math.e)
    torch.testing.assert_close(found.joints[0, 0], torch.tensor([x, 28.0]), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("x", "y", "cell"), [(36.0, None, (4, 3)), (68.0, None, (8, 6)), (None, 28.0, (4, 3)), (None, 52.0, (8, 6))]
)
def test_of_two_that_look_alike_it_is_the_one_where_the_bins_are(x, y, cell):
    said = bins(x=NOBODY_KNOWS if x is None else sure_of(x), y=NOBODY_KNOWS if y is None else sure_of(y))
    found = look(looking_for(), picture((4, 3, 1.0), (8, 6, 1.0)), [0], said)
    expected = torch.tensor([(cell[0] + 0.5) * STRIDE, (cell[1] + 0.5) * STRIDE])
    torch.testing.assert_close(found.joints, expected.expand(1, V, 2), rtol=0, atol=0.02)


def test_what_can_be_seen_outweighs_bins_that_are_sure_elsewhere():
    found = look(looking_for(sure=30.0), picture((8, 6, 1.0)), [0], bins(x=sure_of(36.0), y=sure_of(28.0)))
    torch.testing.assert_close(found.joints, torch.tensor([68.0, 52.0]).expand(1, V, 2), rtol=0, atol=0.02)


def test_outside_the_bins_is_as_unlikely_as_can_be():
    found = look(looking_for(), picture(), [0], bins(box=(16.0, 40.0)))
    inside = -math.log(21)
    assert found.columns[0, 0].tolist() == pytest.approx([RAREST] * 2 + [inside] * 3 + [RAREST] * 5)
    assert found.rows[0, 0].tolist() == pytest.approx([RAREST] * 2 + [inside] * 3 + [RAREST] * 3)


def test_bins_have_a_say_as_far_as_the_joint_trusts_them():
    maps = looking_for()
    with torch.no_grad():
        maps.trust[:3] = torch.tensor([0.0, 0.5, 2.0])
    said = bins(x=sure_of(36.0, others=-2.0))
    columns = look(maps, picture(), torch.tensor([0]), said).columns[0]
    assert columns[3].std() > 0.5
    for joint, trust in enumerate((0.0, 0.5, 2.0)):
        torch.testing.assert_close(columns[joint], trust * columns[3])


@pytest.mark.parametrize("images", [[1, 0], [0, 2, 1]])
def test_images_that_do_not_rise_are_refused(images):
    with pytest.raises(ValueError, match="must rise"):
        look(InstanceMaps(CONFIG), torch.randn(3, 4, H, W), images, bins(len(images)))


def test_nobody_to_look_for():
    found = look(InstanceMaps(CONFIG), torch.randn(2, 4, H, W), torch.zeros(0, dtype=torch.long), bins(0))
    assert found.joints.shape == (0, V, 2)
    assert found.total.shape == (0, V)


def test_the_smallest_picture_and_one_that_is_higher_than_wide():
    for h, w in ((8, 8), (12, 5)):
        fine = torch.zeros(1, 4, h, w)
        fine[0, 0, h - 1, 1] = 1.0
        found = look(looking_for(), fine, [0], bins(box=(0.0, 120.0)))
        place = torch.tensor([12.0, (h - 0.5) * STRIDE])
        torch.testing.assert_close(found.joints, place.expand(1, V, 2), rtol=0, atol=0.01)


def test_a_box_without_width_is_no_error():
    found = look(looking_for(), picture((4, 3, 1.0)), [0], bins(box=(36.0, 36.0)))
    assert torch.isfinite(found.joints).all()
    assert torch.isfinite(found.total).all()


def test_images_together_or_one_after_the_other_are_the_same():
    torch.manual_seed(0)
    maps, fine = InstanceMaps(CONFIG), torch.randn(3, 4, H, W)
    said = bins(6, features=torch.randn(6, V, 4))
    images = torch.tensor([0, 0, 1, 1, 2, 2])
    for one, other in zip(look(maps, fine, images, said), look(maps, fine, images, said, each=2), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("each", [None, 2])
def test_a_second_look_is_one_in_the_same_pictures_by_other_features(each):
    torch.manual_seed(0)
    maps, fine, images = InstanceMaps(CONFIG), torch.randn(2, 4, H, W), torch.tensor([0, 0, 1, 1])
    one, other = (bins(4, x=sure_of(36.0, -2.0), features=torch.randn(4, V, 4)) for _ in range(2))
    found = maps.again(look(maps, fine, images, one), images, other.features, each)
    for again, anew in zip(found, look(maps, fine, images, other), strict=True):
        torch.testing.assert_close(again, anew)


def test_images_without_anybody_are_left_out():
    torch.manual_seed(0)
    maps, fine = InstanceMaps(CONFIG), torch.randn(4, 4, H, W)
    features = torch.randn(3, V, 4)
    found = look(maps, fine, torch.tensor([1, 1, 3]), bins(3, features=features))
    alone = look(maps, fine[3:], torch.tensor([0]), bins(features=features[2:]))
    torch.testing.assert_close(found.joints[2:], alone.joints)
    torch.testing.assert_close(found.total[2:], alone.total)


@pytest.mark.parametrize(
    ("place", "cells"),
    [
        ((36.0, 28.0), {(4, 3): 1.0}),
        ((40.0, 28.0), {(4, 3): 0.5, (5, 3): 0.5}),
        ((38.0, 34.0), {(4, 3): 0.1875, (5, 3): 0.0625, (4, 4): 0.5625, (5, 4): 0.1875}),
        ((0.0, 0.0), {(0, 0): 1.0}),
        ((80.0, 64.0), {(9, 7): 1.0}),
        ((500.0, -3.0), {(9, 0): 1.0}),
    ],
)
def test_likelihood_is_that_of_the_nearest_cells(place, cells):
    torch.manual_seed(0)
    maps, images = InstanceMaps(CONFIG), torch.tensor([1])
    fine = torch.randn(2, 4, H, W)
    said = bins(x=tuple(torch.randn(21).tolist()), y=tuple(torch.randn(21).tolist()), features=torch.randn(1, V, 4))
    found = look(maps, fine, images, said)
    seen = torch.einsum("pvc,chw->pvhw", found.queries, found.keys[1])
    whole = torch.log_softmax((seen + found.rows[..., :, None] + found.columns[..., None, :]).flatten(2), dim=2)
    expected = sum(share * whole.unflatten(2, (H, W))[:, :, row, column] for (column, row), share in cells.items())
    torch.testing.assert_close(log_likelihood(found, images, torch.tensor(place).expand(1, V, 2)), expected)


def test_likelihood_teaches_queries_keys_and_how_far_to_trust_bins_but_not_the_bins():
    torch.manual_seed(0)
    maps, images = InstanceMaps(CONFIG), torch.tensor([0, 0])
    logits = torch.randn(2, V, 21, requires_grad=True)
    said = bins(2, features=torch.randn(2, V, 4))._replace(x=logits, y=logits)
    found = look(maps, torch.randn(1, 4, H, W), images, said)
    log_likelihood(found, images, torch.full((2, V, 2), 30.0)).sum().backward()
    for name, part in maps.named_parameters():
        assert part.grad is not None, name
        assert part.grad.abs().max() > 1e-6, name
    assert logits.grad is None
    assert not found.joints.requires_grad


def test_under_autocast_what_bins_say_stays_exact():
    maps = looking_for()
    fine, said = picture((4, 3, 1.0)), bins(x=sure_of(36.0), y=sure_of(28.0))
    with torch.autocast("cpu", torch.bfloat16):
        lower = look(maps, fine, torch.tensor([0]), said)
    exact = look(maps, fine, torch.tensor([0]), said)
    assert lower.total.dtype == lower.rows.dtype == torch.float32
    torch.testing.assert_close(lower.joints, exact.joints)
    torch.testing.assert_close(lower.total, exact.total, rtol=0.01, atol=0.05)
