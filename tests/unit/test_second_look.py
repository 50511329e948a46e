"""What is seen where joints were found."""

import pytest
import torch

from tests.unit.test_region import H, W, ramp
from training.models.coordinate_classifier import V
from training.models.refiner import rows_of
from training.models.second_look import SecondLook
from training.models.sizes import RtmoConfig

CONFIG = RtmoConfig(region_features=2, region_inner=4, joint_features=1)
BOX = (40.0, 16.0, 80.0, 96.0)


def showing(seen=None, lies=None):
    """A second look whose answer for each joint is one of the numbers that are seen, or of those that say where."""
    look = SecondLook(CONFIG).eval()
    with torch.no_grad():
        for part in look.parameters():
            part.zero_()
        look.norm.weight.fill_((1 + look.norm.eps) ** 0.5)
        look.norm.bias[0] = 10  # so that no number is below 0
        for layer, number in ((look.seen, seen), (look.lies, lies)):
            if number is not None:
                layer.weight[0, number] = 1
        look.more.weight[:, 0] = 1
        look.more.bias.fill_(-10)
    return look


def joints(people=1):
    """Of everybody the same: joint by joint four pixels to the right and two down."""
    steps = torch.arange(V, dtype=torch.float32)[:, None]
    return (torch.tensor([44.0, 20.0]) + steps * torch.tensor([4.0, 2.0])).expand(people, V, 2)


def said(look, box=BOX, images=(0,), places=None):
    n = len(images)
    places = joints(n) if places is None else places
    boxes, vectors = torch.tensor([box] * n), torch.zeros(n, CONFIG.vector)
    return look(rows_of(ramp()), (H, W), torch.tensor(images), boxes, places, vectors)


@pytest.mark.parametrize("joint", [0, 5, V - 1])
def test_it_sees_what_is_at_each_joint(joint):
    for axis in (0, 1):
        found = said(showing(seen=2 * joint + axis))
        assert found.shape == (1, V, 1)
        torch.testing.assert_close(found, joints()[0, joint, axis].expand(1, V, 1))


@pytest.mark.parametrize(("joint", "share"), [(0, (-0.4, -0.45)), (4, (0.0, -0.35)), (14, (1.0, -0.1))])
def test_it_knows_where_joints_lie_in_the_box(joint, share):
    for axis in (0, 1):
        found = said(showing(lies=2 * joint + axis))
        torch.testing.assert_close(found, torch.full((1, V, 1), share[axis]), rtol=0, atol=1e-5)


def test_each_person_is_seen_in_their_own_image():
    first, second = said(showing(seen=0), images=(0, 1))
    torch.testing.assert_close(second, first + 1000)


def test_it_begins_as_nothing_more():
    assert (said(SecondLook(CONFIG).eval()) == 0).all()


def test_a_box_without_size_is_no_trouble():
    assert torch.isfinite(said(showing(lies=0), box=(50.0, 50.0, 50.0, 50.0))).all()


def test_it_knows_what_the_anchor_says():
    look = showing()
    with torch.no_grad():
        look.known.weight[0, 3] = 1
    vectors = torch.zeros(1, CONFIG.vector)
    vectors[0, 3] = 2.5
    found = look(rows_of(ramp()), (H, W), torch.tensor([0]), torch.tensor([BOX]), joints(), vectors)
    torch.testing.assert_close(found, torch.full((1, V, 1), 2.5), rtol=0, atol=1e-4)


@pytest.mark.parametrize("people", [1, 3])
def test_where_joints_were_found_is_not_what_it_teaches(people):
    torch.manual_seed(0)
    look = SecondLook(CONFIG).train()
    torch.nn.init.normal_(look.more.weight)
    places = (torch.rand(people, V, 2) * 90).requires_grad_()
    vectors = torch.randn(people, CONFIG.vector, requires_grad=True)
    images, boxes = torch.zeros(people, dtype=torch.long), torch.tensor([BOX] * people)
    look(rows_of(ramp()), (H, W), images, boxes, places, vectors).square().sum().backward()
    assert places.grad is None
    assert torch.isfinite(vectors.grad).all()
    for name, part in look.named_parameters():
        assert torch.isfinite(part.grad).all(), name
        assert part.grad.abs().max() > 0, name
