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

    def need(self, stage: str, key: str) -> Any:
        """A parameter that this very code reads.

        Raises:
            UsageError: it is missing.
        """
        if key not in self.stages[stage]:
            raise UsageError(
                f"key {stage}.{self.task}.{key} is missing",
                where="params.yaml",
                hint="take it from the checkout's file",
            )
        return self.stages[stage][key]

    def share(self, stage: str, key: str) -> float:
        """A parameter that is a share of a whole.

        Raises:
            UsageError: it is missing, or no number between 0 and 1.
        """
        value = self.need(stage, key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise UsageError(
                f"key {stage}.{self.task}.{key} is {value!r}, expected a number between 0 and 1",
                where="params.yaml",
                hint="write a share such as 0.2",
            )
        return float(value)

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
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound(
            "no such file", where=str(path), hint="copy params.yaml from the checkout into the home"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(
            f"not YAML: {' '.join(str(error).split())[:300]}", where=str(path), hint="correct the file"
        ) from error
    if not isinstance(content, Mapping):
        raise UsageError("expected the keys " + ", ".join(STAGES), where=str(path), hint="correct the file")
    for stage in STAGES:
        if not isinstance(content.get(stage) or {}, Mapping):
            raise UsageError(
                f"key {stage} holds no tasks", where=str(path), hint=f"write {stage}: {{{task}: {{name: value}}}}"
            )
    stages: dict[str, Any] = {stage: (content.get(stage) or {}).get(task) for stage in STAGES}
    return StageParams(task, stages)
