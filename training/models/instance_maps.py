"""Instance maps: where in the whole picture each joint of one found person is.

An anchor tells joints from one cell, and is far off where a limb goes where few go; the refiner looks only around what
it is given. So each joint of a person asks every cell at stride 8 whether it is there, and the classifier's bins say
how likely it is that far along x and along y. The idea is that of Mao et al. 2021, "FCPose": heat maps of one person
alone, by what is known of the person. Here a query looks at all cells instead of convolutions, and then once more, by
what is seen where it found something.
Axes: n images, P found people, V joints, C channels, B bins, h and w rows and columns of cells at stride 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.models.coordinate_classifier import Bins, V
from training.models.refiner import STRIDE, looked_up, rows_of
from training.models.sizes import RtmoConfig

RAREST = -8.0
"""Logarithm of the least chance of a bin, as bins may be wrong; before it is known how far to trust them."""
AROUND = 3
"""Side in cells of what is looked at around the likeliest cell."""


class Maps(NamedTuple):
    """What came of looking everywhere.

    A joint is in a cell with a chance whose logarithm is query . key + row + column - total.

    Attributes:
        joints: (P, V, 2) pixels: the middle of what is likely around the likeliest cell; without history, as which cell
            is the likeliest has none.
        peak: (P, V) logarithm of the chance that the joint is around there; without history.
        total: (P, V) logarithm of the sum over all cells.
        queries: (P, V, C) what each joint of each person asks.
        keys: (n, C, h, w) what each cell of each image answers.
        rows: (P, V, h) what the bins say along y.
        columns: (P, V, w) what the bins say along x.
    """

    joints: Tensor
    peak: Tensor
    total: Tensor
    queries: Tensor
    keys: Tensor
    rows: Tensor
    columns: Tensor


class InstanceMaps(nn.Module):
    """Looks for the joints of people among the features at stride 8."""

    def __init__(self, config: RtmoConfig) -> None:
        super().__init__()
        c = config.map_features
        # A bias of the keys would be the same for all cells of a joint, and no loss would see it.
        self.keys = nn.Conv2d(config.fine, c, 1, bias=False)
        self.queries = nn.Linear(config.joint_features, c)
        self.trust = nn.Parameter(torch.ones(V))
        self.scale = c**-0.5

    def forward(self, fine: Tensor, images: Tensor, bins: Bins, features: Tensor, each: int | None = None) -> Maps:
        """Look for the joints of P people.

        Args:
            fine: (n, fine, h, w) features; at least 3 rows and columns.
            images: (P,) which of the n images each person is in, rising.
            bins: what the classifier says of them.
            features: (P, V, joint_features) what is known of each joint.
            each: how many people each image has, where all have as many; images are taken together then, which is what
                a graph of any number of images needs, and else one after the other.

        Raises:
            ValueError: `images` does not rise, so that people would be looked for in each other's pictures.
        """
        keys = self.keys(fine)
        rows = self._told(bins.y, bins.y_places, fine.shape[2])
        columns = self._told(bins.x, bins.x_places, fine.shape[3])
        return self._look(keys, rows, columns, images, features, each)

    def again(self, maps: Maps, images: Tensor, features: Tensor, each: int | None = None) -> Maps:
        """Look for the same joints once more, by `features` (P, V, joint_features) that know more of them."""
        return self._look(maps.keys, maps.rows, maps.columns, images, features, each)

    def _look(
        self, keys: Tensor, rows: Tensor, columns: Tensor, images: Tensor, features: Tensor, each: int | None
    ) -> Maps:
        queries = self.queries(features) * self.scale
        asked = [part.flatten(0, 1) for part in (queries, rows, columns)]
        if each is not None:
            found = _found([(*[part.unflatten(0, (-1, each * V)) for part in asked], keys)])
        else:
            if (images[1:] < images[:-1]).any():
                raise ValueError(f"images must rise: {images.tolist()}")
            # The maps of one image stay in the processor's cache, those of a batch do not.
            counts = (torch.bincount(images, minlength=len(keys)) * V).tolist()
            parts = zip(*[part.split(counts) for part in asked], keys, strict=True)
            found = _found([tuple(asked_of_one[None] for asked_of_one in part) for part in parts])
        joints, peak, total = (part.reshape(-1, V, *part.shape[2:]) for part in found)
        return Maps(joints, peak, total, queries, keys, rows, columns)

    def _told(self, logits: Tensor, places: Tensor, cells: int) -> Tensor:
        """(P, V, cells) how likely it is that far along one axis, by logits (P, V, B) of bins at `places` (P, B).

        That of the bin nearest to a cell's middle, however many bins are in the cell.
        """
        with torch.no_grad():  # likelihood teaches the bins
            last = places.shape[1] - 1
            told = torch.log_softmax(logits.float(), dim=2).clamp(min=RAREST)
            middles = (torch.arange(cells, device=places.device) + 0.5) * STRIDE
            step = (places[:, -1:] - places[:, :1]).clamp(min=1e-3) / last
            nearest = ((middles - places[:, :1]) / step).round()
            outside = (nearest < 0) | (nearest > last)
            nearest = nearest.clamp(0, last).long()
            told = told.gather(2, nearest[:, None].expand(-1, V, -1)).masked_fill(outside[:, None], RAREST)
        return told * self.trust[:, None]


def log_likelihood(maps: Maps, images: Tensor, joints: Tensor) -> Tensor:
    """(P, V) logarithm of the chance that joints are at `joints` (P, V, 2) pixels of `images` (P,).

    Exact, though under autocast the total is that of products in bf16: what is too likely by a tenth teaches alike.
    Between cells it is the mean of the four nearest ones' logarithms by how near they are; outside, that of the border.
    Taken from what makes the map, as the gradient of the whole of it would cost more than all else here.
    """
    h, w = maps.keys.shape[2:]
    there = looked_up(rows_of(maps.keys), maps.keys.shape[2:], images, joints)
    said = (there.float() * maps.queries.float()).sum(dim=2)
    for axis, (along, cells) in enumerate(((maps.columns, w), (maps.rows, h))):
        place = (joints[..., axis : axis + 1] / STRIDE - 0.5).clamp(0, cells - 1)
        low = place.floor().clamp(max=cells - 2)
        first, second = along.gather(2, low.long()), along.gather(2, low.long() + 1)
        said = said + (first + (second - first) * (place - low))[..., 0]
    return said - maps.total


def _found(groups: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor, Tensor]:
    """Joints (b, Q, 2), peaks and totals (b, Q) of all groups, one after the other along Q.

    Args:
        groups: queries (b, Q, C), rows (b, Q, h), columns (b, Q, w) and keys (b, C, h, w) of Q joints in each of b
            images; Q alone may differ.
    """
    h, w = groups[0][-1].shape[2:]
    logits, best_rows, best_columns, totals = zip(*[_everywhere(*group) for group in groups], strict=True)
    total = torch.cat(totals, dim=1)
    with torch.no_grad():
        row = (torch.cat(best_rows, dim=1) - AROUND // 2).clamp(0, h - AROUND)
        column = (torch.cat(best_columns, dim=1) - AROUND // 2).clamp(0, w - AROUND)
        steps = torch.arange(AROUND, device=row.device)
        cells = ((row[..., None, None] + steps[:, None]) * w + column[..., None, None] + steps).flatten(2)
        parts = zip(logits, cells.split([one.shape[1] for one in best_rows], dim=1), strict=True)
        around = torch.cat([of_one.flatten(2).gather(2, there) for of_one, there in parts], dim=1)
        peak = torch.logsumexp(around, dim=2) - total
        share = torch.softmax(around, dim=2).unflatten(2, (AROUND, AROUND))
        x = column + 0.5 + (share.sum(dim=2) * steps).sum(dim=2)
        y = row + 0.5 + (share.sum(dim=3) * steps).sum(dim=2)
    return torch.stack([x, y], dim=2) * STRIDE, peak, total


def _everywhere(queries: Tensor, rows: Tensor, columns: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logarithms (b, Q, h, w) of how likely cells are but for the total; row and column of the likeliest cell, and the
    total (b, Q).
    """
    seen = torch.bmm(queries, keys.flatten(2)).unflatten(2, keys.shape[2:])
    logits = seen + (rows[..., :, None] + columns[..., None, :])
    with torch.no_grad():
        # The row, then the cell in it: onnxruntime takes a quarter of a millisecond to look through all cells at once.
        row = logits.amax(dim=3).argmax(dim=2)
        line = logits.gather(2, row[..., None, None].expand(-1, -1, 1, logits.shape[3]))[:, :, 0]
        column = line.argmax(dim=2)
        most = line.amax(dim=2)
    # torch.logsumexp would do, but onnxruntime takes 1.4 ms for it, and 0.4 ms for its parts.
    total = most + (logits - most[..., None, None]).flatten(2).exp().sum(dim=2).log()
    return logits, row, column, total
