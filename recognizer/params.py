"""`params.yaml`: what a model is made of. Top-level keys are the DVC stages, below each stands the task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recognizer.errors import NotFound, UsageError

STAGES = ("prepare", "train", "export", "evaluate")


@dataclass(frozen=True)
class StageParams:
    """The parameters of one task, stage by stage.

    Raises:
        UsageError: a stage is missing or is not a mapping.
    """

    task: str
    stages: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        for stage in STAGES:
            if not isinstance(self.stages.get(stage), Mapping):
                raise UsageError(
                    f"key {stage}.{self.task} is missing or holds no `name: value` lines",
                    where="params.yaml",
                    hint=f"write the parameters of task {self.task} under {stage}:",
                )

    def __getitem__(self, stage: str) -> Mapping[str, Any]:
        return self.stages[stage]

    def with_train(self, **changes: Any) -> StageParams:
        """The same parameters with some of `train` replaced, for one night."""
        return StageParams(self.task, {**self.stages, "train": {**self.stages["train"], **changes}})


def load_params(path: Path, task: str) -> StageParams:
    """Read the task's parameters.

    Raises:
        NotFound: there is no such file.
        UsageError: not YAML, or a stage is missing.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise NotFound(
            "no such file", where=str(path), hint="copy params.yaml from the checkout into the home"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"not YAML: {error}", where=str(path), hint="correct the file") from error
    if not isinstance(content, Mapping):
        raise UsageError("expected the keys " + ", ".join(STAGES), where=str(path), hint="correct the file")
    stages: dict[str, Any] = {stage: (content.get(stage) or {}).get(task) for stage in STAGES}
    return StageParams(task, stages)
