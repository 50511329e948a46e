"""The database's time: the one clock that all processes of all hosts share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Double, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement


class DatabaseNow(FunctionElement[float]):
    """Seconds since 1970 when the statement runs, with fractions."""

    inherit_cache = True
    type = Double()


@compiles(DatabaseNow, "sqlite")
def _sqlite(_element: DatabaseNow, _compiler: Any, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseNow, "postgresql")
def _postgres(_element: DatabaseNow, _compiler: Any, **_options: Any) -> str:
    # now() would stand still for the length of a transaction
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


def database_now() -> DatabaseNow:
    """The expression, for use inside a statement."""
    return DatabaseNow()


def read_clock(connection: Connection) -> float:
    """What the database's clock says now, in seconds since 1970."""
    return float(connection.execute(select(database_now())).scalar_one())


def moment(seconds: float) -> datetime:
    """A stored time as an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
