import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.digest import canonical_json, is_digest, sha256_bytes, sha256_file, sha256_tree
from recognizer.errors import FormatError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aß€\n"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


def test_file_and_bytes_have_one_digest(tmp_path):
    content = bytes(range(256)) * 9000  # more than one piece
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == sha256_bytes(content) == hashlib.sha256(content).hexdigest()


def test_a_tree_is_its_names_and_contents(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b/two").write_text("2")
    (tmp_path / "one").write_text("1")
    before = sha256_tree(tmp_path)
    assert before == sha256_tree(tmp_path, [tmp_path / "one", tmp_path / "b/two"])
    assert before == sha256_tree(tmp_path, [tmp_path / "b/two", tmp_path / "one"])
    (tmp_path / "b/two").rename(tmp_path / "two")
    moved = sha256_tree(tmp_path)
    (tmp_path / "two").write_text("3")
    assert len({before, moved, sha256_tree(tmp_path), sha256_tree(tmp_path, [])}) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0123456789abcdef" * 4, True),
        ("0" * 63, False),
        ("0" * 65, False),
        ("A" * 64, False),
        ("../" + "0" * 61, False),
        ("0" * 64 + "\n", False),
        ("", False),
    ],
)
def test_what_looks_like_a_digest(text, expected):
    assert is_digest(text) is expected


@given(JSON)
def test_canonical_json_is_one_text_of_a_value(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_does_not_depend_on_order():
    assert (
        canonical_json({"b": (1, 2), "a": "ß"})
        == canonical_json({"a": "ß", "b": [1, 2]})
        == b'{"a":"\xc3\x9f","b":[1,2]}'
    )


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}, {"a": b""}, {"a": "\ud800"}])
def test_what_has_no_json_form_is_refused(value):
    with pytest.raises(FormatError, match="no JSON form"):
        canonical_json(value)
