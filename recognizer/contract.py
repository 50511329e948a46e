"""What a data contract looks at and expects, before anything is trained; the library that checks it is elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.checks import Direction

Table = Mapping[str, NDArray[Any]]
"""Column → values, a row of each table being one thing that can break an expectation."""


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
