"""Training identity: what has to be equal for two trainings to give bit-identical weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

CODE_FOLDERS = ("recognizer", "training")


@dataclass(frozen=True)
class TrainingIdentity:
    """Everything a training depends on; `params` is resolved: nothing in it still says `auto`.

    Attributes:
        code: digest of the code, `params.yaml` and `constraints.txt`.
        parent: digest of the weights to start from, None for a fresh start.
    """

    task: str
    snapshot: str
    code: str
    params: Mapping[str, Mapping[str, Any]]
    parent: str | None

    @cached_property
    def digest(self) -> str:
        return _digest(asdict(self))

    @cached_property
    def inputs(self) -> str:
        """The identity less the parent: it changes when somebody gave new data, code or parameters.

        A night whose model was promoted becomes the parent of the next; that alone is no reason to train again.
        """
        return _digest({**asdict(self), "parent": None})


def code_digest(root: Path, params: Path) -> str:
    """Hash the code a model is made by: no git needed, so it is the same in a container.

    Args:
        root: the checkout.
        params: the `params.yaml` in force (the home may have its own).
    """
    total = hashlib.sha256()
    files = [path for folder in CODE_FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    for name, path in [(str(path.relative_to(root)), path) for path in files] + [
        ("params.yaml", params),
        ("constraints.txt", root / "constraints.txt"),
    ]:
        total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
