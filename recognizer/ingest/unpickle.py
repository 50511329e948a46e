"""A pickle reader that cannot run anything: it interprets the opcodes that make plain containers and numpy arrays.

Python's own unpickler imports and calls what a file names. This one never imports or calls anything of the
file's choosing; the few numpy names below are recognised as text and turned into arrays of numbers or strings
after their sizes have been checked. Whatever else a file asks for is refused. No array is larger than the bytes
the file holds for it, and nothing recurses, so neither size nor depth of a file can bring the process down.

Source: CPython `Lib/pickletools.py` (opcodes, stack effects), numpy `ndarray.__reduce__` and `dtype.__reduce__`.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recognizer.errors import FormatError, InputError, UnsafeFile, first_line

# name in the file -> what it is to us; numpy 1 says `numpy.core`, numpy 2 `numpy._core`
KNOWN = {
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
    "collections OrderedDict": "dict",
    **{f"{module} {name}": name for module in ("builtins", "__builtin__") for name in ("set", "frozenset", "bytes")},
    **{f"{module} bytearray": "bytes" for module in ("builtins", "__builtin__")},
    **{f"numpy.{core}.multiarray _reconstruct": "reconstruct" for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray scalar": "scalar" for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": "frombuffer" for core in ("core", "_core")},
}
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
PUSH = NUMBERS | TEXTS | {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
DAMAGED = (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, MemoryError, Warning)
KINDS = "biufSU"
ORDERS: dict[str, Literal["<", ">", "=", "|"]] = {"<": "<", ">": ">", "=": "=", "|": "|"}
MARK = object()
HINT = "save plain lists, dicts and numeric numpy arrays only; do not open this file with pickle.load"


@dataclass
class _Name:
    """A name of `KNOWN` on the stack; it stands for a callable but is none."""

    role: str


@dataclass
class _Dtype:
    code: str
    order: Literal["<", ">", "=", "|"] = "="

    def numpy(self) -> np.dtype[Any]:
        kind, size = self.code[:1], self.code[1:]
        if kind not in KINDS or not kind or (size and not size.isdigit()):
            raise UnsafeFile(f"holds an array of type {self.code[:20]!r}, not of numbers", hint=HINT)
        return np.dtype(self.code).newbyteorder(self.order)


@dataclass
class _Unfilled:
    """An array that `_reconstruct` announced and whose content the next BUILD brings."""

    array: Any = None


def load_pickle(path: Path) -> Any:
    """Read a pickle of dicts, lists, tuples, sets, strings, numbers and numeric numpy arrays (protocols 0 to 5).

    Arrays are read-only views of the file's bytes; tuples, lists and arrays are not allowed as dict keys.

    Raises:
        UnsafeFile: the file asks for anything else; nothing of it has run.
        FormatError: truncated, no pickle at all, or arrays that contradict their sizes.
        InputError: the file cannot be opened.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint="check path and rights") from error
    except MemoryError as error:
        raise FormatError("is larger than the memory", where=str(path), hint="split the file") from error
    if content.startswith(b"PK\x03\x04"):
        raise FormatError(
            "is a zip archive (a torch checkpoint?), no pickle", where=str(path), hint="export it as PYSKL"
        )
    try:
        with warnings.catch_warnings():
            # no pickle is written with such an escape: the file is damaged, and its reader only warns
            warnings.filterwarnings("error", "invalid .*escape")
            return _Machine().run(content)
    except InputError as error:
        error.where = str(path)
        raise
    except DAMAGED as error:
        reason = "it refers to what it does not hold" if isinstance(error, KeyError) else first_line(error)
        raise FormatError(
            f"is truncated or no pickle: {reason}", where=str(path), hint="copy or download the file again"
        ) from error


class _Machine:
    """The pickle machine's stack and memo, without its power to import and call."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        for opcode, argument, position in pickletools.genops(content):
            if opcode.name == "STOP":
                if position is not None and position + 1 != len(content):
                    raise ValueError(f"{len(content) - position - 1} bytes follow its end")
                (result,) = self.stack
                return result
            self._step(opcode.name, argument)
        raise ValueError("it has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in PUSH:
            stack.append(argument)
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[len(self.memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            found = self.memo[argument]
            filled = isinstance(found, _Unfilled) and found.array is not None
            stack.append(found.array if filled else found)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name == "MARK":
            stack.append(MARK)
        elif name in SHORT_TUPLES:
            stack[-SHORT_TUPLES[name] :] = [self._checked(tuple(stack[-SHORT_TUPLES[name] :]), SHORT_TUPLES[name])]
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._name(argument)
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_call(called, arguments))
        elif name == "BUILD":
            self._build(stack.pop())
        elif name not in ("PROTO", "FRAME") and not self._collect(name):
            raise UnsafeFile(f"uses the pickle operation {name}, which plain data does not need", hint=HINT)

    def _checked(self, values: tuple[Any, ...], count: int) -> tuple[Any, ...]:
        if len(values) != count or any(value is MARK for value in values):
            raise ValueError("its stack ran empty")
        return values

    def _collect(self, name: str) -> bool:
        """Operations that fill containers; False when `name` is none of them."""
        stack = self.stack
        if name in ("APPEND", "SETITEM"):
            count = 1 if name == "APPEND" else 2
            items = [*self._checked(tuple(stack[-count:]), count)]
            del stack[-count:]
        elif name == "DUP":
            stack.append(stack[-1])
            return True
        elif name == "POP":
            stack.pop()
            return True
        elif name in ("APPENDS", "SETITEMS", "ADDITEMS", "LIST", "TUPLE", "DICT", "FROZENSET", "POP_MARK"):
            items = self._to_mark()
        else:
            return False
        if name in ("APPEND", "APPENDS"):
            _expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            _expect(stack[-1], dict).update(_pairs(items))
        elif name == "ADDITEMS":
            _expect(stack[-1], set).update(_key(item) for item in items)
        elif name != "POP_MARK":
            stack.append(_made(name, items))
        return True

    def _to_mark(self) -> list[Any]:
        stack, place = self.stack, len(self.stack) - 1
        while stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise ValueError("its stack has no mark")
        items = stack[place + 1 :]
        del stack[place:]
        return items

    def _name(self, argument: str | None) -> None:
        if argument is None:
            member, module = self.stack.pop(), self.stack.pop()
            argument = f"{module if isinstance(module, str) else '?'} {member if isinstance(member, str) else '?'}"
        if argument not in KNOWN:
            shown = argument[:100].replace(" ", ".")
            raise UnsafeFile(f"asks for {shown!r}, which is neither an array nor a plain container", hint=HINT)
        self.stack.append(_Name(KNOWN[argument]))

    def _build(self, state: Any) -> None:
        top = self.stack[-1]
        if isinstance(top, _Dtype) and isinstance(state, tuple) and len(state) >= 5:
            if any(part is not None for part in state[2:5]):
                raise UnsafeFile("holds an array with named fields, not of numbers", hint=HINT)
            top.order = ORDERS[state[1]]
        elif isinstance(top, _Unfilled) and top.array is None and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, content = state
            top.array = self.stack[-1] = _array(content, dtype, shape, "F" if fortran is True else "C")
        else:
            raise UnsafeFile(f"sets the inner state of a {type(top).__name__}", hint=HINT)


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__} on its stack")
    return value


def _key(value: Any) -> Hashable:
    # Only flat keys: hashing a tuple nested a million deep overruns the C stack.
    if not isinstance(value, (str, int, float, bytes, type(None), np.generic)):
        raise ValueError(f"a {type(value).__name__} is used as a key")
    return value


def _made(name: str, items: list[Any]) -> Any:
    if name == "DICT":
        return _pairs(items)
    if name == "FROZENSET":
        return frozenset(_key(item) for item in items)
    return items if name == "LIST" else tuple(items)


def _pairs(items: list[Any]) -> dict[Hashable, Any]:
    if len(items) % 2:
        raise ValueError("a dict lacks a value")
    return {_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _call(called: Any, arguments: Any) -> Any:
    """What calling the name would have given; nothing but the cases written here can happen."""
    role = called.role if isinstance(called, _Name) else type(called).__name__
    result: Any
    match role, arguments:
        case "dtype", (str() as code, *_):
            result = _Dtype(code)
            result.numpy()  # refused here, before its state or content is looked at
        case "reconstruct", (_Name(role="ndarray"), tuple(), _):
            result = _Unfilled()
        case "scalar", (dtype, content):
            result = _array(content, dtype, (), "C")[()]
        case "frombuffer", (content, dtype, shape, order):
            result = _array(content, dtype, shape, "F" if order == "F" else "C")
        case "encode", (str() as text, "latin1" | "latin-1"):
            result = text.encode("latin-1")
        case "dict", ():
            result = {}
        case "bytes", ():
            result = b""
        case "bytes", (bytes() as content,):
            result = content
        case "set", (list() as items,):
            result = {_key(item) for item in items}
        case "frozenset", (list() as items,):
            result = frozenset(_key(item) for item in items)
        case _:
            raise UnsafeFile(f"calls {role} in a way that plain data does not need", hint=HINT)
    return result


def _array(content: Any, dtype: Any, shape: Any, order: str) -> Any:
    """An array over the file's own bytes; its size has to be exactly theirs."""
    if not isinstance(dtype, _Dtype):
        raise ValueError("an array has no type")
    kind = dtype.numpy()
    if isinstance(content, str):  # Python 2 wrote bytes as text
        content = content.encode("latin-1")
    if not isinstance(content, (bytes, bytearray)):
        raise UnsafeFile("holds an array of objects, not of numbers", hint=HINT)
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array has no proper shape")
    # An item of no bytes ("S0") would let a shape promise any number of items.
    if kind.itemsize == 0 or math.prod(shape) * kind.itemsize != len(content):
        raise ValueError(f"an array of shape {shape} does not fit its {len(content)} bytes"[:200])
    if not len(content):
        return np.zeros(shape, kind)
    return np.frombuffer(bytes(content), kind).reshape(shape, order="F" if order == "F" else "C")
