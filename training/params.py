"""What the sections of every task in `params.yaml` share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recognizer.errors import UsageError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Chosen = TypeVar("Chosen", bound=BaseModel)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WarmStartParams(Section):
    """How training differs when it starts from the champion's weights; factors on the values of a fresh start."""

    enabled: bool = True
    learning_rate: Positive = 1.0
    epochs: Positive = 1.0


class Warmed(Section):
    """A training that may start from the champion's weights."""

    epochs: int = Field(ge=1)
    learning_rate: Positive
    warm_start: WarmStartParams = WarmStartParams()

    def warmed(self) -> Self:
        """The same training for a network that already knows something."""
        return self.model_copy(
            update={
                "learning_rate": self.learning_rate * self.warm_start.learning_rate,
                "epochs": max(1, round(self.epochs * self.warm_start.epochs)),
            }
        )


def read_section(kind: type[Chosen], content: Mapping[str, Any], stage: str, task: str) -> Chosen:
    """Check one section of `params.yaml`.

    Raises:
        UsageError: an unknown name or a value out of range; names the key.
    """
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([stage, task, *map(str, first["loc"])])
        raise UsageError(f"{key}: {first['msg']}", where="params.yaml", hint="correct this parameter") from error
