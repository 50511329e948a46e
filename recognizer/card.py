"""The card of a package: everything about a model that its weights do not say. Written as `package.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from recognizer.errors import FormatError

CARD_FORMAT = 1


def _finite(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: None if isinstance(one, float) and not math.isfinite(one) else one for name, one in value.items()}


Metrics = Annotated[dict[str, float | None], BeforeValidator(_finite)]
"""Numbers by name; what is not finite becomes None, which JSON can hold."""


class Tensor(BaseModel):
    """One input or output of the model.

    Attributes:
        shape: numbers, or a name for an axis of any length such as `batch`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class PackageCard(BaseModel):
    """What a package says about itself. Holds no time and no path: the same model gives the same package.

    Attributes:
        classes: ordered; part of the model's signature.
        preprocessing: what turns a case into the inputs, as `WindowSpec.as_dict`.
        thresholds: decision thresholds by class, where a task has them.
        snapshot: id of the data set.
        test_digest: digest of the frozen test set it is judged on.
        identity: digest of the training identity.
        code: digest of the code it was made by.
        weights: digest of its own torch weights, to warm-start the next training; None when they were not kept.
        parent: digest of the weights it started from; None for a fresh start.
        metrics: of the candidate on the frozen test set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = Field(default=CARD_FORMAT, ge=1, le=CARD_FORMAT)
    task: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1)
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    preprocessing: dict[str, Any]
    thresholds: dict[str, float] = Field(default_factory=dict)
    snapshot: str
    test_digest: str
    identity: str
    code: str
    weights: str | None = None
    parent: str | None = None
    seed: int
    precision: str = "fp32"
    threads: int | None = None
    metrics: Metrics = Field(default_factory=dict)


def parse_card(content: bytes, where: str) -> PackageCard:
    """Read a `package.json`.

    Raises:
        FormatError: it is none, or of a newer format.
    """
    try:
        return PackageCard.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "content"
        raise FormatError(
            f"no card of a package this version can read: {name}: {first['msg']}",
            where=where,
            hint="package the model again, or install the version of recognizer that made it",
        ) from error
