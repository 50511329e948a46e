"""What a data contract looks at and expects, before anything is trained; the library that checks it is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from recognizer.checks import Direction
from recognizer.errors import UsageError

Table = Mapping[str, NDArray[Any]]
"""Column → values, a row of each table being one thing that can break an expectation."""


class Limits(BaseModel):
    """A part of section `prepare.<task>.contract` of params.yaml; `allowed` is the share that may break a limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, section: Mapping[str, Any]) -> Self:
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


@dataclass(frozen=True)
class Expectation:
    """One expectation about a table.

    Attributes:
        kind: class of `great_expectations.expectations`.
        options: its arguments.
        says: one line for Data Docs.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    says: str


@dataclass(frozen=True)
class Rule:
    """An expectation about rows or about a whole column, and how its outcome is told.

    Attributes:
        broken: what is said of the rows that break it, such as "have fewer than 5 frames".
        rows: what a row is.
        limit: for rows, the share of them that may break it; else the bound of the observed value.
        names: column that names an offending row.
        offenders: for whole columns, which rows of the table are at fault.
    """

    expectation: Expectation
    broken: str
    limit: float
    rows: str
    names: str
    direction: Direction = "max"
    offenders: Callable[[Table], NDArray[np.bool_]] | None = None


@dataclass(frozen=True)
class Inspection:
    """A snapshot as the contract sees it.

    Attributes:
        tables: by name, in the order of Data Docs.
        index: table → columns that name a row.
        rules: table → what is expected of it.
        count: cases in all sets; `cases` says what they are, in the plural.
        first: whether there is no snapshot before with which the count could be compared.
    """

    tables: Mapping[str, Table]
    index: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, Sequence[Rule]]
    count: int
    cases: str
    first: bool


def between(name: str, column: str, low: float | None, high: float | None, allowed: float, says: str) -> Expectation:
    """Values of a column lie between two bounds, themselves included, but for a share of its rows."""
    options = {"column": column, "min_value": low, "max_value": high, "mostly": 1 - allowed}
    return Expectation(name, "ExpectColumnValuesToBeBetween", options, says)


def volume(previous_count: int | None, share: float, cases: str) -> list[Rule]:
    """That there are not many fewer rows than in the snapshot before; nothing where there is none."""
    if previous_count is None:
        return []
    least = ceil(share * previous_count)
    expectation = Expectation(
        "volume", "ExpectTableRowCountToBeBetween", {"min_value": least}, f"There are at least {least:,} {cases}."
    )
    broken = f"{cases}; at least {least:,} are expected after {previous_count:,} in the snapshot before"
    return [Rule(expectation, broken, float(least), cases, "name", "min")]


def sets_with(values: NDArray[Any], part: NDArray[Any], sets: Sequence[str]) -> NDArray[np.int64]:
    """(n,) in how many sets each row's value stands; part: (n,) the set of each row."""
    _, inverse = np.unique(values, return_inverse=True)
    return np.asarray(sum(np.isin(inverse, inverse[part == one]).astype(np.int64) for one in sets), np.int64)
