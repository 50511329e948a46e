"""Limits of the data contract: section `prepare.<task>.contract` of params.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from recognizer.contract import Limits

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Coordinates(Limits):
    margin: Annotated[float, Field(ge=0)]
    allowed: Share


class Visibility(Limits):
    min: Share
    allowed: Share


class Span(Limits):
    min: Count
    max: Count
    allowed: Share


class Duplicates(Limits):
    allowed: Share


class Alike(Limits):
    distance: Annotated[float, Field(ge=0)]
    allowed: Share


class Cases(Limits):
    train: Count
    validation: Count
    test: Count


class ContractLimits(Limits):
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
