"""JSON files and the numbers in them, none of which is trusted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.errors import FormatError, InputError, UsageError, first_line

Floats = NDArray[np.float64]
FARTHEST = 1_000_000.0
"""Pixels from the image's corner; whatever lies farther is no measurement."""
HIGHEST_ID = 2**53
"""Ids beyond are not the same number to everybody who reads JSON."""
CORRECT = "correct it or take it out of the file"


def read_json(path: Path, hint: str) -> Any:
    if path.is_dir():
        raise FormatError("is a folder", where=str(path), hint=hint)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError("no such file", where=str(path), hint="check the path") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint="check path and rights") from error
    if not content.strip():
        raise FormatError("is empty", where=str(path), hint=hint)
    try:
        return json.loads(content)
    except (ValueError, RecursionError, MemoryError) as error:
        raise FormatError(f"is no JSON: {first_line(error)}", where=str(path), hint=hint) from error


def number_table(
    rows: Sequence[Any], width: int, what: str, where: Callable[[int], str], farthest: float = FARTHEST
) -> Floats:
    """(n, width) numbers, none of them trusted."""
    for row, values in enumerate(rows):
        if type(values) is not list or len(values) != width or not set(map(type, values)) <= {int, float}:
            count = f"{len(values)} values" if type(values) is list else shown(values)
            raise fault(f"has as `{what}` {count}, expected {width} number{'s' * (width > 1)}", where(row))
    try:
        table = np.array(rows, np.float64).reshape(len(rows), width)
    except OverflowError:  # a whole number too long for a float
        table = np.array([[float(str(value)) for value in values] for values in rows], np.float64)
    bad = ~(np.abs(table) <= farthest).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise fault(f"has as `{what}` a number that is not finite or beyond all measure", where(row))
    return table


def require_sizes(boxes: Floats, where: Callable[[int], str]) -> None:
    wrong = (boxes[:, 2:] < 0).any(axis=1)
    if wrong.any():
        raise fault("has a box of negative width or height", where(int(wrong.argmax())))


def require_id(own: object, where: str) -> None:
    if type(own) is not int or not 0 <= own <= HIGHEST_ID:
        raise fault(f"has no whole number as `id`, but {shown(own)}", where)


def fault(what: str, where: str) -> FormatError:
    return FormatError(what, where=where, hint=CORRECT)


def shown(value: object) -> str:
    """Fit for a message, whatever stands in the file."""
    return type(value).__name__ if isinstance(value, (list, dict)) else ascii(value)[:100]


def told(*counts: tuple[int, str]) -> tuple[str, ...]:
    return tuple(f"{count:,} {what}" for count, what in counts if count)
