import copyreg
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recognizer.errors import FormatError, InputError, UnsafeFile
from recognizer.ingest.unpickle import load_pickle

ARRAYS = {
    "float16": np.arange(12, dtype=np.float16).reshape(2, 3, 2),
    "float32": np.array([0.5, np.nan, np.inf], np.float32),
    "float64": np.linspace(0, 1, 7),
    "int64": np.arange(-3, 3),
    "uint8": np.arange(256, dtype=np.uint8),
    "bool": np.array([True, False]),
    "big endian": np.arange(5, dtype=">i4"),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.zeros((0, 17, 2), np.float32),
    "zero dimensions": np.array(3.5),
    "text": np.array(["a", "häuser"]),
    "bytes": np.array([b"ab", b"c"]),
    "view": np.arange(10)[::2],
}
PLAIN = {
    "nested": {
        "a": [1, 2.5, None, True, False, ("x", b"y", "")],
        "b": {1: {2: []}},
        "c": ((), (1,), (1, 2), (1, 2, 3, 4)),
    },
    "numbers": [0, 255, 256, 65536, -1, 2**31, -(2**40), 2**100, -(2**3000), 1e300, float("inf")],
    "sets": [{1, 2}, frozenset({"a"}), set()],
    "bytes": [b"", b"\x00\xff" * 200, bytearray(b"abc")],
    "text": ["", "ü" * 300, "日本", "line\nbreak"],
    "ordered": OrderedDict(a=1, b=[2]),
    "long list": list(range(5000)),
    "scalars": [np.float64(1.5), np.int32(-7), np.bool_(True), np.str_("n"), np.float16(0.5)],
}


def load(folder: Path, content: bytes):
    path = folder / "file.pkl"
    path.write_bytes(content)
    return load_pickle(path)


def refusal(path: Path, content: bytes) -> InputError | None:
    """The error that reading `content` ends in; anything but an InputError breaks the test."""
    path.write_bytes(content)
    try:
        load_pickle(path)
    except InputError as error:
        return error
    return None


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_every_protocol(tmp_path, name, protocol):
    original = ARRAYS[name]
    found = load(tmp_path, pickle.dumps({"x": original, "again": [original]}, protocol))
    np.testing.assert_array_equal(found["x"], original)
    np.testing.assert_array_equal(found["again"][0], original)
    assert found["x"].dtype == original.dtype
    assert found["x"].shape == original.shape


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", PLAIN)
def test_plain_containers_of_every_protocol(tmp_path, name, protocol):
    found = load(tmp_path, pickle.dumps(PLAIN[name], protocol))
    assert found == PLAIN[name]
    assert pickle.loads(pickle.dumps(found)) == PLAIN[name]


def test_numpy_1_and_numpy_2_names(tmp_path):
    new = pickle.dumps([np.arange(3), np.float32(2)], 2)
    assert b"numpy._core" in new
    old = new.replace(b"numpy._core", b"numpy.core")
    for content in (new, old):
        found = load(tmp_path, content)
        assert found[0].tolist() == [0, 1, 2]
        assert found[1] == 2


def test_arrays_cannot_be_written_to(tmp_path):
    found = load(tmp_path, pickle.dumps(np.arange(3)))
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.call


class Persistent(pickle.Pickler):
    def persistent_id(self, obj):
        return "outside" if isinstance(obj, bytes) else None


class Plain:
    pass


def _write(path: str) -> None:
    Path(path).write_text("run")


def hostile(mark: str) -> dict[str, object]:
    """Objects that leave `mark` behind when an ordinary unpickler opens them."""
    command = f"touch {mark}"
    return {
        "os.system": Calls(os.system, command),
        "builtins.eval": Calls(eval, f"open({mark!r}, 'w').close()"),
        "builtins.exec": Calls(exec, f"open({mark!r}, 'w').close()"),
        "builtins.open": Calls(open, mark, "w"),
        "write a file": Calls(Path.touch, Path(mark)),
        "numpy.save": Calls(np.save, mark, 1),
        "numpy.memmap": Calls(np.memmap, mark, "u1", "w+", 0, (4,)),
        "inside a dict": {"annotations": [{"keypoint": Calls(os.system, command)}]},
        "inside an object array": np.array([Calls(os.system, command)], dtype=object),
        "as a key": {Calls(os.system, command): 1},
        "as a scalar": Calls(np.dtype, Calls(os.system, command)),
        "state of an array": Calls(np.ndarray, (1,), state=Calls(os.system, command)),
        "getattr": Calls(getattr, "", "join"),
        "type": Calls(type, "name", (), {}),
        "a class of one's own": Plain(),
        "a function": os.getcwd,
        "copyreg": Calls(copyreg._reconstructor, object, object, None),
        "complex": 1j,
        "range": range(3),
        "path": Path("x"),
        "object dtype": np.dtype(object),
        "object array": np.array([{}, None], dtype=object),
        "structured array": np.zeros(2, [("a", "f4")]),
        "dates": np.array(["2020-01-01"], "M8[D]"),
        "bare ndarray": Calls(np.ndarray, (10**12,)),
        "masked array": np.ma.masked_array([1], [True]),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", hostile("x"))
def test_hostile_pickles_are_refused_before_anything_runs(tmp_path, name, protocol):
    mark = tmp_path / "mark"
    content = pickle.dumps(hostile(str(mark))[name], protocol)
    with pytest.raises(UnsafeFile) as caught:
        load(tmp_path, content)
    assert not mark.exists()
    assert "file.pkl" in str(caught.value)
    assert caught.value.hint


def test_the_hostile_pickles_would_have_run(tmp_path):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(hostile(str(mark))["os.system"]))
    assert mark.exists()


HAND_MADE = {
    "INST": b"(S'touch mark'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch mark'\no.",
    "NEWOBJ": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "NEWOBJ_EX": b"\x80\x04cnumpy\nndarray\n)}\x92.",
    "PERSID": b"Pname\n.",
    "EXT1": b"\x80\x02\x82\x01.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "state of a name": b"\x80\x02cnumpy\ndtype\n}b.",
    "state of a dict": b"\x80\x02}}b.",
    "state of a list": b"\x80\x02]}b.",
    "calling a list": b"\x80\x02])R.",
    "calling text": b"\x80\x02X\x01\x00\x00\x00a)R.",
    "other codec": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.fill\x93.",
    "name made of numbers": b"\x80\x04K\x01K\x02\x93.",
    "name with a space": b"\x80\x04\x8c\x05numpy\x8c\x08 ndarray\x93.",
    "frombuffer of objects": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(C\x08\0\0\0\0\0\0\0\0"
    b"cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85RK\x01\x85X\x01\x00\x00\x00CtR.",
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_operations_plain_data_does_not_need(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafeFile):
        load(tmp_path, HAND_MADE[name])
    assert not (tmp_path / "mark").exists()


def test_persistent_ids_are_refused(tmp_path):
    buffer = io.BytesIO()
    Persistent(buffer, 4).dump([b"content"])
    with pytest.raises(UnsafeFile, match="BINPERSID"):
        load(tmp_path, buffer.getvalue())


def _array(shape: str, dtype: str = "f4", content: bytes = b"\0" * 8) -> bytes:
    """A protocol 4 pickle of an array whose `shape` is given as pickle code."""
    kind = b"cnumpy\ndtype\n\x8c" + bytes([len(dtype)]) + dtype.encode() + b"\x85R"
    data = b"C" + bytes([len(content)]) + content
    return b"\x80\x04cnumpy.core.numeric\n_frombuffer\n(" + data + kind + shape.encode("latin-1") + b"\x8c\x01CtR."


BROKEN = {
    "empty": b"",
    "text": b"frame_dir,label\n1,2\n",
    "random": bytes(range(255, 0, -1)),
    "json": b'{"split": {}}',
    "no end": b"\x80\x04]",
    "two pickles": pickle.dumps(1) + pickle.dumps(2),
    "stack runs empty": b"\x80\x04\x85.",
    "two results": b"\x80\x04]].",
    "nothing on the stack": b"\x80\x04.",
    "no mark": b"\x80\x04]e.",
    "append to a number": b"\x80\x04K\x01K\x02a.",
    "dict without a value": b"\x80\x04}(K\x01u.",
    "list as a key": b"\x80\x04}]K\x01s.",
    "memo that is not there": b"\x80\x04h\x07.",
    "claims 8 exabytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**63 - 1) + b"abc.",
    "claims 4 gigabytes": b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b"abc.",
    "shape larger than its bytes": _array("J\x40\x42\x0f\0\x85"),
    "shape is negative": _array("J\xfe\xff\xff\xff\x85"),
    "shape is no tuple": _array("K\x02"),
    "shape is text": _array("\x8c\x012\x85"),
    "items of no bytes": _array("\x8a\x05\0\0\0\0\x10\x85", "S0", b""),
    "type that is none": _array("K\x02\x85", "f3"),
    "item of a terabyte": _array("K\0\x85", "U999999999999", b""),
    "number with a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path, name):
    with pytest.raises(FormatError) as caught:
        load(tmp_path, BROKEN[name])
    assert "file.pkl" in str(caught.value)


def test_array_template_is_right(tmp_path):
    assert load(tmp_path, _array("K\x02\x85")).tolist() == [0, 0]


def test_every_truncation_is_a_format_error(tmp_path):
    whole = pickle.dumps({"split": {"train": ["a"]}, "annotations": [{"keypoint": np.ones((1, 2, 17, 2))}]})
    for length in range(0, len(whole), 3):
        with pytest.raises(FormatError):
            load(tmp_path, whole[:length])


def test_a_zip_archive_is_named_as_such(tmp_path):
    path = tmp_path / "model.pkl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(1))
    with pytest.raises(FormatError, match="torch"):
        load_pickle(path)


BOMBS = {
    "memo index of 2**31": b"\x80\x04]r" + struct.pack("<I", 2**31) + b".",
    "nested lists": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "nested tuples as a key": b"\x80\x04}K\x01" + b"\x85" * 200_000 + b"K\x02s.",
    "nested tuples in a set": b"\x80\x04\x8f(K\x01" + b"\x85" * 200_000 + b"\x90.",
    "ten to the ten by sharing": b"\x80\x04]" + b"".join(
        b"]q" + bytes([level]) + b"(" + b"".join([b"h" + bytes([level - 1])] * 10 if level else [b"K\x01"]) + b"e"
        for level in range(10)
    ) + b"a.",
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", BOMBS)
def test_size_and_depth_bring_nothing_down(tmp_path, name):
    error = refusal(tmp_path / "file.pkl", BOMBS[name])
    assert error is None or len(str(error)) < 1000


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_end_in_an_input_error_or_a_value(tmp_path_factory, content, framed):
    content = (b"\x80\x04" + content + b".") if framed else content
    error = refusal(tmp_path_factory.getbasetemp() / "any.pkl", content)
    assert error is None or str(error).replace("\n", "").isprintable()


@settings(max_examples=150, deadline=None)
@example(17, ord("\\"), 0)  # an escape that no pickle has
@given(st.integers(0, 10**6), st.integers(0, 255), st.sampled_from([0, 2, 4, 5]))
def test_a_flipped_byte_ends_in_an_input_error_or_a_value(tmp_path_factory, place, value, protocol):
    content = bytearray(pickle.dumps({"a": [np.arange(4.0), "text", {"b": (1, 2.5, None)}]}, protocol))
    content[place % len(content)] = value
    error = refusal(tmp_path_factory.getbasetemp() / "flipped.pkl", bytes(content))
    assert error is None or error.hint


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.pkl", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            load_pickle(path)


def test_a_text_file_is_told_in_words(tmp_path):
    path = tmp_path / "text.pkl"
    path.write_text("hello")
    with pytest.raises(FormatError, match="it refers to what it does not hold"):
        load_pickle(path)
