"""What the stages of one task start from: data, weights, and the models to compare with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recognizer.digest import sha256_file
from recognizer.errors import NotFound
from recognizer.home import Home
from recognizer.package import MANIFEST
from recognizer.params import StageParams, load_params

BEST = "best.json"


@dataclass(frozen=True)
class Best:
    """The best version by a metric that was ever blessed on a test set.

    Attributes:
        package: its folder; None when it is gone or damaged, and cannot be made anew.
    """

    digest: str
    version: int
    package: Path | None


@dataclass(frozen=True)
class StageInputs:
    """What the stages of one task start from.

    Attributes:
        snapshot: folder of the snapshot.
        parent: weights file to start from; None for a fresh start.
        champion: package folder of the champion to compare with; None when there is none.
        best: metric of the relative gate → best version on this test set; None where there is none.
        golden: folder of the golden cases; None when there is none.
    """

    params: StageParams
    snapshot: Path
    parent: Path | None
    champion: Path | None
    best: Mapping[str, Best | None] = field(default_factory=dict)
    golden: Path | None = None

    @property
    def task(self) -> str:
        return self.params.task


def pinned_inputs(home: Home, task: str) -> StageInputs:
    """The inputs that the last ingest or night pinned for the DVC stages.

    Raises:
        NotFound: nothing was pinned yet.
    """
    folder = home.pinned(task)
    if not (folder / "snapshot").is_dir():
        raise NotFound(
            "nothing to work on: no data was ingested", where=str(folder), hint=f"recognizer ingest {task} FILE"
        )
    weights = sorted((folder / "parent").glob("*.pt"))
    champion, best = folder / "champion", folder / "best"
    named = json.loads((best / BEST).read_text()) if (best / BEST).is_file() else {}
    return StageInputs(
        params=load_params(home.params, task),
        snapshot=folder / "snapshot",
        parent=weights[0] if weights else None,
        champion=champion if (champion / "model.onnx").is_file() else None,
        best={metric: one and Best(**one, package=_pinned(best / one["digest"])) for metric, one in named.items()},
        golden=folder / "golden",
    )


def _pinned(package: Path) -> Path | None:
    return package if package.is_dir() else None


def package_classes(package: Path) -> tuple[str, ...]:
    """The ordered class list of a package."""
    return tuple(json.loads((package / "package.json").read_text())["classes"])


def described_classes(exported: Path) -> tuple[str, ...]:
    """The ordered class list that goes with a model that is in no package yet."""
    return tuple(json.loads((exported / "model.json").read_text())["classes"])


def package_digest(package: Path) -> str:
    """The digest that a package's manifest gives it."""
    return sha256_file(package / MANIFEST)
