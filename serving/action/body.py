"""Read a request body into a window, or write one: JSON or `.npy` bytes, nothing else, nothing that could run code."""

from __future__ import annotations

import io
import json
import math
import threading
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from recognizer.errors import FormatError, UnsupportedMedia, first_line
from serving.action.window import ActionWindow, make_window

JSON = "application/json"
NPY = ("application/x-npy", "application/octet-stream")
LONGEST_HEADER = 10_240
"""Bytes of the longest header: somewhat more than numpy reads."""
_READING = threading.Lock()
JSON_HINT = (
    'send {"keypoints": [people][frames][17][2], "visibility": [people][frames][17]}; visibility may be left out'
)
NPY_HINT = "send what numpy.save writes of a float array [people, frames, 17, 2 or 3]"


def read_window(body: bytes, media_type: str) -> tuple[ActionWindow, bool]:
    """The window in a request body, and whether it says `canary: true`.

    Raises:
        UnsupportedMedia: neither JSON nor npy; pickles, forms and files by URL are never read.
        FormatError: the body is not what the media type says.
        InputError: it is, and holds no usable window.
    """
    if media_type == JSON:
        return _read_json(body)
    if media_type in NPY:
        return make_window(read_npy(body)), False
    raise UnsupportedMedia(
        f"content type {media_type!r} is not read here",
        where="Content-Type",
        hint=f"send {JSON} or {NPY[0]}",
    )


def _read_json(body: bytes) -> tuple[ActionWindow, bool]:
    try:
        content = from_json(body)
    except ValueError as error:
        raise FormatError(f"is not JSON: {error}", where="body", hint=JSON_HINT) from error
    if not isinstance(content, dict) or "keypoints" not in content:
        raise FormatError('is no JSON object with "keypoints"', where="body", hint=JSON_HINT)
    unknown = sorted(set(content) - {"keypoints", "visibility", "canary"})
    if unknown:
        raise FormatError(f"has unknown fields {unknown}", where="body", hint=JSON_HINT)
    visibility, canary = content.get("visibility"), content.get("canary", False)
    if not isinstance(canary, bool):
        raise FormatError("is neither true nor false", where="canary", hint="send true, false or leave it out")
    window = make_window(
        _to_array(content["keypoints"], "keypoints"),
        None if visibility is None else _to_array(visibility, "visibility"),
    )
    return window, canary


def _to_array(nested: Any, name: str) -> NDArray[np.generic]:
    """Nested lists as an array; what is no rectangle of numbers is refused here or by `make_window`."""
    try:
        return np.asarray(nested)
    except (ValueError, OverflowError) as error:  # lists of unequal lengths, or nested too deeply
        raise FormatError("is no array of numbers of one shape", where=name, hint=JSON_HINT) from error


def read_npy(body: bytes) -> NDArray[np.generic]:
    """The array in `.npy` bytes, as a view; nothing is allocated on the word of the header.

    Raises:
        FormatError: no npy, objects (a pickle) or text inside, a shape that is absurd or does not fit the length.
    """
    header = _header_of(body)
    try:
        shape, fortran, dtype = _read_header(header)
    except (ValueError, SyntaxError, TypeError, EOFError, RecursionError, MemoryError) as error:
        raise _no_npy(f"is not .npy: {first_line(error)}") from error
    if dtype.hasobject or dtype.kind not in "fiu":
        raise _no_npy(f"holds {dtype}, expected numbers; objects are never unpickled")
    if any(type(side) is not int for side in shape):  # numpy takes True for a number here
        raise _no_npy(f"has the shape {list(shape)}, which is not one of whole numbers")
    if any(side < 0 for side in shape):
        raise _no_npy(f"has the negative shape {list(shape)}")
    if len(shape) not in (3, 4) or 0 in shape:
        raise _no_npy(f"has shape {list(shape)}")
    offset, count = len(header), math.prod(shape)
    if count * dtype.itemsize != len(body) - offset:
        raise _no_npy(
            f"says shape {list(shape)}, which takes {count * dtype.itemsize} bytes, and holds {len(body) - offset}"
        )
    return np.frombuffer(body, dtype, count, offset).reshape(shape, order="F" if fortran else "C")


def _header_of(body: bytes) -> bytes:
    """Everything before the numbers, as far as the body goes and numpy reads."""
    width = 2 if body[6:7] == b"\x01" else 4
    return body[: min(8 + width + int.from_bytes(body[8 : 8 + width], "little"), LONGEST_HEADER)]


@lru_cache(maxsize=64)  # clients send the same few shapes
def _read_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type as numpy reads them, one thread at a time.

    numpy asks `ast`, and in Python 3.11 that fails now and then when two threads do (gh-106905): one request in 20,000
    would get a "recursion depth mismatch".
    """
    file = io.BytesIO(header)
    with _READING:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version}")
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)


def write_window(keypoints: NDArray[Any], visibility: NDArray[Any], media_type: str) -> bytes:
    """The body of a request that shows a window: keypoints (M, T, 17, 2), visibility (M, T, 17).

    As npy (M, T, 17, 3) float32; as JSON to a thousandth of a pixel, about five times as long.
    """
    if media_type in NPY:
        file = io.BytesIO()
        np.save(file, np.concatenate([keypoints, visibility[..., None]], axis=3).astype(np.float32))
        return file.getvalue()
    arrays = {"keypoints": keypoints, "visibility": visibility}
    content = {name: np.round(array.astype(np.float64), 3).tolist() for name, array in arrays.items()}
    return json.dumps(content, separators=(",", ":")).encode()


def _no_npy(what: str) -> FormatError:
    return FormatError(what, where="body", hint=NPY_HINT)
