"""A model that was trained elsewhere: what its ONNX file says, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

from numpy.typing import NDArray

from recognizer.card import Tensor
from recognizer.errors import FormatError, InputError
from recognizer.package import MODEL

ANY = "batch"
"""Name of an axis of any length that has none."""


def read_meta(path: Path | None) -> Mapping[str, Any]:
    """What a person says about the model: `classes` and `preprocessing`, both optional.

    Raises:
        InputError: there is no such file.
        FormatError: not JSON, or other keys.
    """
    if path is None:
        return {}
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint="name a JSON file") from error
    except ValueError as error:
        raise FormatError(f"is not JSON: {error}", where=str(path), hint="correct the file") from error
    unknown = sorted(set(content) - {"classes", "preprocessing"}) if isinstance(content, dict) else ["no object"]
    if unknown:
        raise FormatError(
            f"holds {unknown}", where=str(path), hint='write {"classes": [...], "preprocessing": {...}}; both optional'
        )
    return content  # type: ignore[no-any-return]


def describe(model: Path) -> dict[str, tuple[Tensor, ...]]:
    """The inputs and outputs of an ONNX file.

    Raises:
        InputError: there is no such file.
        FormatError: no ONNX file, or its weights lie outside it.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.external_data_helper import uses_external_data

    try:
        proto = onnx.load(model, load_external_data=False)
        outside = any(uses_external_data(tensor) for tensor in proto.graph.initializer)
        if not outside:
            onnx.checker.check_model(proto)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(model), hint="name an .onnx file") from error
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(f"is no ONNX model: {first}", where=str(model), hint="export it again") from error
    if outside:
        raise FormatError(
            "keeps its weights in another file", where=str(model), hint="export it as one file, weights inside"
        )
    return {
        "inputs": tuple(_tensor(value) for value in proto.graph.input),
        "outputs": tuple(_tensor(value) for value in proto.graph.output),
    }


@contextmanager
def laid_out(model: Path, description: Mapping[str, Any]) -> Iterator[Path]:
    """A folder as a predictor takes it, of a file that is in no package yet."""
    with TemporaryDirectory(prefix="recognizer-") as folder:
        copyfile(model, Path(folder) / MODEL)
        known = {name: description[name] for name in ("classes", "preprocessing")}
        (Path(folder) / "model.json").write_text(json.dumps(known))
        yield Path(folder)


def require_inputs(tensors: Sequence[Tensor], arrays: Mapping[str, NDArray[Any]], model: Path) -> None:
    """Make sure that a model takes what the task's predictor gives it.

    Args:
        arrays: what the predictor makes of one case; it may keep some for itself, which no model takes.

    Raises:
        FormatError: other names, types or shapes; says which are expected.
    """
    given = {tensor.name: tensor for tensor in tensors}
    fits = given.keys() <= arrays.keys() and all(
        given[name].dtype == str(array.dtype)
        and len(given[name].shape) == array.ndim
        and not isinstance(given[name].shape[0], int)  # answered one by one and in batches
        and all(isinstance(side, str) or side == length for side, length in _sides(given[name], array))
        for name, array in arrays.items()
        if name in given
    )
    if not fits:
        expected = ", ".join(f"{name} {array.dtype} [{ANY}, {_row(array)}]" for name, array in arrays.items())
        said = ", ".join(f"{tensor.name} {tensor.dtype} {list(tensor.shape)}" for tensor in tensors)
        raise FormatError(f"takes {said}; expected {expected}", where=str(model), hint="export it with these inputs")


def _sides(tensor: Tensor, array: NDArray[Any]) -> list[tuple[int | str, int]]:
    return list(zip(tensor.shape[1:], array.shape[1:], strict=True))


def _row(array: NDArray[Any]) -> str:
    return ", ".join(str(side) for side in array.shape[1:])


def _tensor(value: Any) -> Tensor:
    from onnx.helper import tensor_dtype_to_np_dtype

    kind = value.type.tensor_type
    shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param or ANY for axis in kind.shape.dim)
    return Tensor(name=value.name, dtype=str(tensor_dtype_to_np_dtype(kind.elem_type)), shape=shape)
