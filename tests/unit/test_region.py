"""What is seen in a person's box, and where it is looked at."""

import pytest
import torch

from training.models.coordinate_classifier import V
from training.models.region import REACH, Region, grid_of
from training.models.sizes import RtmoConfig

CONFIG = RtmoConfig(fine=2, region=(2, 3), region_features=2, region_inner=4, joint_features=1)
H, W = 12, 20


def ramp():
    """(2, 2, H, W): what is seen is the place in pixels, x and y; in the second image 1000 more."""
    x, y = (torch.arange(W) + 0.5) * 8, (torch.arange(H) + 0.5) * 8
    one = torch.stack([x[None].expand(H, W), y[:, None].expand(H, W)])
    return torch.stack([one, one + 1000])


def showing(channel, config=CONFIG):
    """A region whose answer for each joint is one of the numbers that are seen, place by place."""
    region = Region(config).eval()
    with torch.no_grad():
        for part in region.parameters():
            part.zero_()
        region.project.weight.copy_(torch.eye(2)[:, :, None, None])
        region.norm.weight.fill_((1 + region.norm.eps) ** 0.5)
        region.seen.weight[0, channel] = 1
        region.more.weight[:, 0] = 1
    return region


def said(region, boxes, images=(0,), anchors=(80.0, 48.0)):
    n = len(boxes)
    vectors = torch.zeros(n, CONFIG.vector)
    table = region.table(ramp())
    return region(table, (H, W), torch.tensor(images), torch.tensor(boxes), torch.tensor([anchors] * n), vectors)


@pytest.mark.parametrize(
    ("place", "share"),  # of the box's sides, from its middle
    [(0, (-1 / 3, -0.25)), (1, (0, -0.25)), (2, (1 / 3, -0.25)), (3, (-1 / 3, 0.25)), (5, (1 / 3, 0.25))],
)
@pytest.mark.parametrize("box", [(40.0, 16.0, 80.0, 72.0), (30.0, 40.0, 130.0, 56.0)])
def test_places_fill_the_box_row_by_row(place, share, box):
    for axis in (0, 1):
        found = said(showing(2 * place + axis), [box])
        assert found.shape == (1, V, 1)
        middle, side = (box[axis] + box[axis + 2]) / 2, box[axis + 2] - box[axis]
        torch.testing.assert_close(found, torch.full((1, V, 1), middle + side * share[axis] * REACH))


def test_each_person_is_seen_in_their_own_image():
    first, second = said(showing(0), [(40.0, 16.0, 80.0, 72.0)] * 2, images=(0, 1))
    torch.testing.assert_close(second, first + 1000)


def test_it_begins_as_nothing_more():
    assert (said(Region(CONFIG).eval(), [(40.0, 16.0, 80.0, 72.0)]) == 0).all()


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, -1.25), (1, -1.0), (2, 0.0), (3, 0.75), (4, 40.0), (5, 56.0)],  # corners from the anchor in 32 pixels; sides
)
def test_it_knows_where_the_box_lies_and_how_large_it_is(number, expected):
    region = showing(0)
    with torch.no_grad():
        region.seen.weight.zero_()
        region.lies.weight[0, number] = 1
        region.norm.bias[0] = 10  # so that no number is below 0
    found = said(region, [(40.0, 16.0, 80.0, 72.0)])[0, 0, 0].item() - 10
    assert found == pytest.approx(torch.tensor(expected).log().item() - 4 if number > 3 else expected, abs=1e-4)


@pytest.mark.parametrize("box", [(50.0, 50.0, 50.0, 50.0), (-900.0, -900.0, 4000.0, 4000.0)])
def test_boxes_of_an_untrained_network_are_no_trouble(box):
    assert torch.isfinite(said(showing(0), [box])).all()


def test_the_grid_is_as_wide_as_columns_and_as_high_as_rows():
    grid = grid_of(4, 2)
    assert grid.shape == (8, 2)
    assert grid[:, 0].abs().max() == pytest.approx(0.25 * REACH)
    assert grid[:, 1].abs().max() == pytest.approx(0.375 * REACH)


def test_one_person_alone_can_be_learned_from():
    region = Region(CONFIG).train()
    torch.nn.init.ones_(region.more.weight)
    said(region, [(40.0, 16.0, 80.0, 72.0)]).sum().backward()
    assert all(torch.isfinite(part.grad).all() for part in region.parameters())
