"""Limits of the data contract: section `prepare.<task>.contract` of params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recognizer.errors import UsageError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Limits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Coordinates(_Limits):
    margin: Annotated[float, Field(ge=0)]
    allowed: Share


class Visibility(_Limits):
    min: Share
    allowed: Share


class Span(_Limits):
    min: Count
    max: Count
    allowed: Share


class Duplicates(_Limits):
    allowed: Share


class Alike(_Limits):
    distance: Annotated[float, Field(ge=0)]
    allowed: Share


class Cases(_Limits):
    train: Count
    validation: Count
    test: Count


class ContractLimits(_Limits):
    """Section `prepare.<task>.contract` of params.yaml; `allowed` is the share of rows that may break a limit."""

    coordinates: Coordinates
    visibility: Visibility
    frames: Span
    people: Span
    duplicates: Duplicates
    alike: Alike = Alike(distance=0.05, allowed=0.01)
    cases: Cases
    imbalance: Annotated[float, Field(ge=1)]
    volume: Share

    @classmethod
    def read(cls, section: Mapping[str, Any]) -> ContractLimits:
        """The validated section.

        Raises:
            UsageError: naming every key that is missing, unknown or wrong.
        """
        try:
            return cls.model_validate(section)
        except ValidationError as error:
            faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
            raise UsageError(
                "contract." + "; contract.".join(faults),
                where="params.yaml",
                hint="correct the section contract under prepare",
            ) from error
