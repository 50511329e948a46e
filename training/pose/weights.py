"""`weights.pt`: a trained network with everything needed to build it again; tensors and plain values only."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from recognizer.errors import FormatError
from recognizer.home import atomic_write
from recognizer.images import ImageSpec
from training.models.rtmo import Rtmo
from training.models.sizes import SIZES


@dataclass(frozen=True)
class Weights:
    """A trained network (in evaluation mode), the name of its size, the input it was trained on, how many candidates it
    answers for one picture, and the score from which on somebody is shown.
    """

    network: Rtmo
    size: str
    spec: ImageSpec
    people: int
    threshold: float

    def save(self, path: Path) -> None:
        """Write the file atomically; the same weights give the same bytes."""
        buffer = io.BytesIO()
        torch.save(
            {
                "size": self.size,
                "preprocessing": self.spec.as_dict(),
                "people": self.people,
                "threshold": self.threshold,
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
        network = Rtmo(SIZES[content.size])
        network.load_state_dict(content.state)
    except (KeyError, RuntimeError) as error:
        raise _unreadable(path, error) from error
    return Weights(network.eval(), content.size, content.spec, content.people, content.threshold)


class _Content(NamedTuple):
    """What a weights file says, before it is known whether the present code has such a network."""

    size: str
    spec: ImageSpec
    people: int
    threshold: float
    state: dict[str, torch.Tensor]


def _read(path: Path) -> _Content:
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        return _Content(
            size=str(content["size"]),
            spec=ImageSpec.from_dict(content["preprocessing"]),
            people=int(content["people"]),
            threshold=float(content["threshold"]),
            state=dict(content["state"]),
        )
    except Exception as error:  # torch raises many kinds for a damaged or foreign file
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> FormatError:
    return FormatError(
        f"cannot be read as weights: {type(error).__name__}: {str(error)[:200]}",
        where=str(path),
        hint="train again: `recognizer nightly pose`",
    )


def start_from(parent: Path | None, network: Rtmo, size: str) -> str:
    """Warm start: copy the parent's weights into `network` when they fit; says where the network starts from.

    Another size of input is no hindrance: the network takes any. A parent of another architecture, by its name or
    because the code has changed since, is no start and no error.

    Raises:
        FormatError: the parent is no weights file.
    """
    if parent is None:
        return "fresh"
    theirs = _read(parent)
    mine = {name: value.shape for name, value in network.state_dict().items()}
    if theirs.size != size or mine != {name: value.shape for name, value in theirs.state.items()}:
        return "fresh: the parent has another architecture"
    network.load_state_dict(theirs.state)
    return "parent"
