"""The network that finds people: sizes, shapes, decoding, and the graph that is deployed."""

import math
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from recognizer.images import ImageSpec
from training.models.coordinate_classifier import Bins, CoordinateClassifier, V, normed
from training.models.hybrid_encoder import Branched, place_encoding
from training.models.instance_maps import log_likelihood
from training.models.refiner import looked_up
from training.models.rtmo import Anchors, Finder, Rtmo, _decoded, anchors_of, merged
from training.models.sizes import SIZES, RtmoConfig
from training.pose.export import INPUT, OUTPUTS, to_onnx
from training.pose.params import ExportParams
from training.pose.weights import Weights

TINY = RtmoConfig(
    width=0.125,
    hidden=16,
    fine=16,
    inner=8,
    feedforward=16,
    attention_heads=2,
    stride_groups=1,
    pose_width=16,
    joint_features=8,
    encoding=8,
    bins=(12, 16),
    joint_expansion=1,
    refine=2,
    region=(2, 3),
    region_features=3,
    region_inner=6,
    map_features=6,
    refine_features=4,
)
FULL = replace(  # everything the reference has, small
    TINY,
    stem=6,
    blocks=(1, 1, 1, 1),
    kernels=(1, 3),
    pyramid=True,
    activation="silu",
    branches=True,
    head_groups=2,
    refine=0,
)
IDENTITY = [TINY, FULL, replace(TINY, attention_heads=0, joint_expansion=0)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()  # several threads that wait for each other cost more than these networks
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(config=TINY, seed=0):
    torch.manual_seed(seed)
    net = Rtmo(config)
    for name, part in net.named_parameters():  # an untrained network says nearly the same everywhere
        if any(end in name for end in ("moves", ".score.", "quality.answer", "region.more", "second_look.more")):
            torch.nn.init.normal_(part, std=0.5)
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.1, 0.5)
    return net


def images(n=2, h=128, w=192, seed=1):
    return torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "millions", "share"),
    [
        ("micro", 3.2005, 0.005),
        ("t", 6.83, 0.01),  # not published; counted from the published configuration
        ("s", 9.9, 0.05),
        ("m", 22.6, 0.05),
        ("l", 44.8, 0.05),
    ],
)
def test_sizes_have_the_reference_number_of_parameters(name, millions, share):
    with torch.device("meta"):
        net = Rtmo(SIZES[name])
    count = sum(p.numel() for p in net.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=share)


def test_first_and_last_layers_are_no_inner_ones():
    net = network()
    inner = {id(weight) for weight in net.inner_weights()}
    outside = {name for name, p in net.named_parameters() if p.ndim > 1 and id(p) not in inner}
    heads = {f"heads.{level}.{end}.weight" for level in (0, 1) for end in ("score", "answers", "proxies")}
    vectors = {f"classifier.attention.{name}" for name in ("scale", "offset", "names")}
    moves = {f"refiner.moves.{step}.weight" for step in (0, 1)}
    quality = {f"quality.{layer}.weight" for layer in ("joint", "person", "answer")}
    assert outside == {"backbone.stem.0.weight", "heat.weight", *moves, *heads, *vectors, *quality}
    assert len(inner) == len(net.inner_weights())


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": 18},
        {"attention_heads": 3},
        {"encoding": 7},
        {"bins": (1, 8)},
        {"width": 0.0},
        {"pose_convolutions": 0},
        {"blocks": (0, 0, -1, 0)},
        {"refine": -1},
        {"map_features": 0},
        {"kernels": ()},
        {"kernels": (1, 2)},
        {"region": (3, 0)},
        {"region_features": 0},
        {"region_inner": 0},
        {"refine_features": 0},
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must"):
        replace(TINY, **wrong)


@pytest.mark.parametrize("config", IDENTITY)
def test_what_anchors_say(config):
    net = network(config)
    dense = net(images())
    a = 8 * 12 + 4 * 6
    assert dense.scores.shape == (2, a)
    assert dense.boxes.shape == (2, a, 4)
    assert dense.visibility.shape == (2, a, V)
    assert dense.vectors.shape == (2, a, config.vector)
    assert dense.proxies.shape == (2, a, V, 2)
    assert dense.fine.shape == (2, config.fine, 16, 24)
    assert (dense.boxes[..., 2:] > dense.boxes[..., :2]).all()
    placed = net.place(dense, torch.tensor([0, 1, 1]), torch.tensor([3, 0, 119]))
    assert [guess.shape for guess in placed.guesses] == [(3, V, 2)] * max(1, config.refine)
    assert len(placed.looks) == (2 if config.refine else 0)


def test_the_expected_place_and_its_gradient_are_exact_under_autocast():
    """In bf16, bins at 240 pixels are two thirds of a pixel wide and a pixel apart, and the gradient is noise."""
    places = torch.linspace(180, 260, 120)
    found = []
    for lower in (False, True):
        logits = (-((places - 240.3).square()) / 8).expand(1, V, -1).clone().requires_grad_()
        bins = Bins(logits, logits, places[None], places[None], torch.ones(1, V), torch.ones(1, V, 1))
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            joints = bins.joints()
        joints.sum().backward()
        found.append((joints.detach(), logits.grad))
    (exact, slope), (lowered, lowered_slope) = found
    assert float(exact[0, 0, 0]) == pytest.approx(240.3, abs=0.01)
    torch.testing.assert_close(lowered, exact)
    torch.testing.assert_close(lowered_slope, slope)


def test_bins_are_told_apart_in_fp32_under_autocast():
    net = network()
    dense = net(images())
    with torch.autocast("cpu", torch.bfloat16):
        bins = net.place(dense, torch.tensor([0, 1]), torch.tensor([3, 5])).bins
    assert bins.x.dtype == bins.y.dtype == torch.float32


@pytest.mark.parametrize("people", [1, 3])
@pytest.mark.parametrize("config", IDENTITY)
def test_every_parameter_learns_and_finitely(config, people):
    net = network(config).train()
    dense = net(images())
    at = torch.arange(people) // 2, torch.arange(people) * 7
    placed = net.place(dense, *at)
    told = (*placed.guesses, placed.bins.joints(), placed.bins.deviation, dense.boxes, dense.proxies)
    total = sum(part.abs().mean() for part in told)
    total = total + net.score(dense, *at, placed).mean()
    for look in placed.looks:
        total = total - log_likelihood(look, at[0], torch.full((people, V, 2), 60.0)).mean()
    (total + dense.scores.mean() + dense.visibility.mean() + dense.heat.mean()).backward()
    for name, part in net.named_parameters():
        assert part.grad is not None, name
        assert torch.isfinite(part.grad).all(), name
        if name.startswith(("maps", "region", "second_look")):
            assert part.grad.abs().max() > 1e-6, name


@pytest.mark.parametrize(("part", "looks"), [("region", (0, 1)), ("second_look", (1,))])
def test_what_is_seen_in_the_box_and_at_the_joints_moves_looks_and_refiner_and_no_bins(part, looks):
    net, at = network().eval(), (torch.tensor([0, 1]), torch.tensor([3, 7]))
    known = []
    net.refiner.register_forward_pre_hook(lambda _, given: known.append(given[-1]))
    with torch.inference_mode():
        dense = net(images())
        with_it = net.place(dense, *at)
        torch.nn.init.zeros_(getattr(net, part).more.weight)
        torch.nn.init.zeros_(getattr(net, part).more.bias)
        without = net.place(dense, *at)
    for said in ("x", "y", "deviation"):
        assert torch.equal(getattr(with_it.bins, said), getattr(without.bins, said))
    for place, (one, other) in enumerate(zip(with_it.looks, without.looks, strict=True)):
        moved = (one.queries - other.queries).abs().amax(dim=2)
        assert (moved > 0).all() if place in looks else (moved == 0).all()
    assert (known[0] - known[1]).abs().max() > 0.1


def test_one_person_is_no_batch_to_take_statistics_of():
    norm = torch.nn.BatchNorm1d(3).train()
    assert torch.equal(normed(norm, torch.ones(1, 3)), norm.eval()(torch.ones(1, 3)))
    two = torch.tensor([[0.0], [2.0]]).expand(2, 3)
    assert normed(norm.train(), two)[:, 0].tolist() == pytest.approx([-1, 1], abs=1e-4)

    class Counting(torch.nn.Module):  # as SyncBatchNorm does, over all processes, each of which has to ask it
        def forward(self, x):
            return x + 1

    assert torch.equal(normed(Counting().train(), torch.ones(1, 3)), torch.full((1, 3), 2.0))


def test_anchors_are_centres_of_cells_row_by_row():
    anchors = anchors_of([torch.Size((2, 3)), torch.Size((1, 2))], torch.zeros(1))
    assert anchors.centres.tolist() == [[8, 8], [24, 8], [40, 8], [8, 24], [24, 24], [40, 24], [16, 16], [48, 16]]
    assert anchors.strides.tolist() == [16.0] * 6 + [32.0] * 2


@pytest.mark.parametrize(
    ("told", "corners"),
    [
        ((0, 0, 0, 0), (32, 32, 64, 64)),
        ((0.5, -1, 0, 0), (48, 0, 80, 32)),
        ((0, 0, math.log(2), math.log(0.5)), (16, 40, 80, 56)),
    ],
)
def test_boxes_are_decoded_by_hand(told, corners):
    anchors = Anchors(torch.tensor([[48.0, 48.0]]), torch.tensor([32.0]))
    torch.testing.assert_close(_decoded(torch.tensor([[told]]).float(), anchors)[0, 0], torch.tensor(corners).float())


def test_no_weights_give_an_infinite_box():
    anchors = Anchors(torch.tensor([[48.0, 48.0]]), torch.tensor([32.0]))
    assert torch.isfinite(_decoded(torch.full((1, 1, 4), 1e4), anchors)).all()


def test_joints_are_expected_over_the_bins():
    places = torch.tensor([[10.0, 20.0, 40.0]])
    x = torch.tensor([0.5, 0.25, 0.25]).log().expand(1, V, 3)
    y = torch.tensor([-100.0, 100.0, -100.0]).expand(1, V, 3)
    joints = Bins(x, y, places, places * 2, x, x).joints()
    torch.testing.assert_close(joints, torch.tensor([20.0, 40.0]).expand(1, V, 2))


def test_bins_cover_the_padded_box():
    classifier = CoordinateClassifier(TINY).eval()
    boxes, anchors = torch.tensor([[100.0, 40.0, 140.0, 120.0]]), torch.tensor([[128.0, 64.0]])
    bins = classifier(torch.randn(1, TINY.vector), boxes, anchors)
    assert bins.x_places[0, [0, -1]].tolist() == pytest.approx([95, 145])
    assert bins.y_places[0, [0, -1]].tolist() == pytest.approx([30, 130])
    joints = bins.joints()
    assert ((joints >= torch.tensor([95.0, 30.0])) & (joints <= torch.tensor([145.0, 130.0]))).all()
    assert ((bins.deviation >= 1e-3) & (bins.deviation <= 0.1)).all()


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ((4, 4), 0.0),  # the centre of the first cell
        ((12, 4), 1.0),
        ((8, 4), 0.5),
        ((4, 12), 4.0),
        ((8, 8), 2.5),
        ((-50, -50), 0.0),  # outside, the border goes on
        ((500, 4), 3.0),
        ((500, 500), 11.0),
    ],
)
def test_features_between_cells(place, expected):
    rows = torch.cat([torch.full((12, 1), -9.0), torch.arange(12.0)[:, None]])  # the second image of 3 x 4 cells
    found = looked_up(rows, torch.Size((3, 4)), torch.tensor([1]), torch.tensor([[place]]).float())
    assert found.item() == pytest.approx(expected)


def test_places_have_encodings_of_their_own():
    encoded = place_encoding(5, 7, 16, torch.zeros(1))
    assert encoded.shape == (35, 16)
    assert torch.cdist(encoded, encoded).add(torch.eye(35)).min() > 0.1


@pytest.mark.parametrize("config", IDENTITY)
def test_a_network_of_fewer_steps_says_the_same(config):
    net = network(config).eval()
    with torch.inference_mode():
        whole, fewer = Finder(net, 5)(images()), Finder(merged(net), 5)(images())
    for one, other in zip(whole, fewer, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_branches_become_one_convolution():
    net = network(FULL).eval()
    assert any(isinstance(part, Branched) for part in net.modules())
    assert not any(isinstance(part, Branched) for part in merged(net).modules())


@pytest.mark.parametrize("config", [TINY, FULL])
def test_the_surest_anchors_are_answered(config):
    net = network(config).eval()
    with torch.inference_mode():
        scores, boxes, joints, visibility = Finder(net, 9)(images())
        dense = net(images())
        surest, anchors = dense.scores.topk(9)
        at = torch.tensor([0] * 9 + [1] * 9), anchors.flatten()
        placed = net.place(dense, *at)
        expected = net.expected(dense, *at, placed).reshape(2, 9).sigmoid() if config.refine else None
    told = surest.sigmoid() if expected is None else (surest.sigmoid() * expected).sqrt()
    torch.testing.assert_close(scores, told)
    assert expected is None or expected.std() > 0.003
    torch.testing.assert_close(boxes[1, 0], dense.boxes[1, dense.scores[1].argmax()])
    torch.testing.assert_close(joints.flatten(0, 1), placed.guesses[-1])
    assert ((visibility >= 0) & (visibility <= 1)).all()


def test_an_image_is_found_the_same_in_any_batch():
    net = network().eval()
    with torch.inference_mode():
        together, alone = Finder(net, 5)(images(3)), Finder(net, 5)(images(3)[2:])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[2:], other, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def deployed():
    net = network().eval()
    content = to_onnx(Weights(net, "micro", ImageSpec(128, 160), people=20, threshold=0.3), ExportParams())
    return net, onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("n", "h", "w"), [(1, 128, 128), (3, 128, 128), (1, 128, 192), (3, 192, 128), (2, 256, 256)])
def test_the_deployed_graph_says_what_the_network_says(deployed, n, h, w):
    net, session = deployed
    given = images(n, h, w)
    with torch.inference_mode():
        expected = Finder(net, 20)(given)
    found = session.run(list(OUTPUTS), {INPUT: given.numpy()})
    for name, one, other in zip(OUTPUTS, found, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-3, err_msg=name)
