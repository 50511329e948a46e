"""`weights.pt`: a trained network with everything needed to build it again; tensors and plain values only."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recognizer.errors import FormatError, TrainingError
from recognizer.home import atomic_write
from recognizer.windows import WindowSpec
from training.action.params import NetworkParams
from training.action.stgcn import SkeletonNetwork


@dataclass(frozen=True)
class Weights:
    """A trained network (in evaluation mode), its ordered classes and the window it was trained on."""

    network: SkeletonNetwork
    classes: tuple[str, ...]
    shape: NetworkParams
    spec: WindowSpec

    def save(self, path: Path) -> None:
        """Write the file atomically; the same weights give the same bytes."""
        buffer = io.BytesIO()
        torch.save(
            {
                "classes": list(self.classes),
                "network": self.shape.model_dump(mode="json"),
                "preprocessing": self.spec.as_dict(),
                "state": {name: value.contiguous() for name, value in self.network.state_dict().items()},
            },
            buffer,
        )
        atomic_write(path, buffer.getvalue())


def load_weights(path: Path) -> Weights:
    """Read what `Weights.save` wrote; never runs code from the file.

    Raises:
        FormatError: no such file, or not such a file.
    """
    content = _read(path)
    try:
        network = SkeletonNetwork(len(content.classes), content.shape)
        network.load_state_dict(content.state)
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from error
    return Weights(network.eval(), content.classes, content.shape, content.spec)


@dataclass(frozen=True)
class _Content:
    """What a weights file says, before it is known whether the present code has such a network."""

    classes: tuple[str, ...]
    shape: NetworkParams
    spec: WindowSpec
    state: dict[str, torch.Tensor]


def _read(path: Path) -> _Content:
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return _Content(
            classes=tuple(str(name) for name in content["classes"]),
            shape=NetworkParams.model_validate(content["network"]),
            spec=WindowSpec.from_dict(content["preprocessing"]),
            state=dict(content["state"]),
        )
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> FormatError:
    return FormatError(
        f"cannot be read as weights: {type(error).__name__}: {str(error)[:200]}",
        where=str(path),
        hint="train again: `recognizer nightly action`",
    )


def start_from(parent: Path | None, network: SkeletonNetwork, classes: tuple[str, ...], spec: WindowSpec) -> str:
    """Warm start: copy the parent's weights into `network` when they fit; says where the network starts from.

    A parent of another architecture, by its parameters or because the code has changed since, is no start and no error.

    Raises:
        FormatError: the parent is no weights file.
        TrainingError: the parent knows other classes; its head would mean something else.
    """
    if parent is None:
        return "fresh"
    found = _read(parent)
    if found.classes != classes:
        raise TrainingError(
            f"the parent knows the classes {list(found.classes)}, the data has {list(classes)}",
            where=str(parent),
            hint="start a new lineage: train without a parent",
        )
    mine = {name: value.shape for name, value in network.state_dict().items()}
    if mine != {name: value.shape for name, value in found.state.items()} or found.spec != spec:
        return "fresh: the parent has another architecture"
    network.load_state_dict(found.state)
    network.temperature.fill_(1.0)
    return "parent"
