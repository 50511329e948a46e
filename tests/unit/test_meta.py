import json

import pytest

from recognizer.errors import FormatError, InputError, LabelError, SplitError, UsageError
from recognizer.ingest.meta import Meta, read_meta
from recognizer.ingest.protocol import choose_split


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, Meta()),
        ({"classes": ["a", "b"]}, Meta(classes=("a", "b"))),
        ({"subject_of": {"s1": "7", "s2": 8, "s3": ""}}, Meta(subject_of={"s1": "7", "s2": "8"})),
        ({"subject_pattern": "(.)", "protocol": "xsub"}, Meta(subject_pattern="(.)", protocol="xsub")),
        ({"classes": None, "subject_of": None, "licence": "any", "year": 2020}, Meta()),
    ],
)
def test_what_a_meta_file_may_say(tmp_path, content, expected):
    path = tmp_path / "meta.json"
    path.write_text(json.dumps(content))
    assert read_meta(path) == expected


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ("", FormatError, "no JSON"),
        ("{", FormatError, "no JSON"),
        ("\udcff", FormatError, "no JSON"),
        ("[" * 100_000, FormatError, "no JSON"),
        ("[]", FormatError, "no JSON object"),
        ('{"classes": "boxing"}', FormatError, "classes"),
        ('{"classes": [1]}', FormatError, "classes"),
        ('{"classes": []}', LabelError, "class names"),
        ('{"classes": ["a", "a"]}', LabelError, "repeat"),
        ('{"subject_of": ["a"]}', FormatError, "subject_of"),
        ('{"subject_of": {"a": [1]}}', FormatError, "subject_of"),
        ('{"subject_pattern": 3}', FormatError, "subject_pattern"),
        (r'{"classes": ["a", "\ud800"]}', FormatError, r"class '\\ud800' cannot be used"),
        ('{"classes": ["a", ""]}', FormatError, "class '' cannot be used"),
        ('{"classes": ["a", "  "]}', FormatError, "cannot be used as a name"),
        (r'{"classes": ["a", "b\u001b[2J"]}', FormatError, "cannot be used as a name"),
        (f'{{"classes": ["a", "{"b" * 201}"]}}', FormatError, "1 to 200 characters"),
        (r'{"subject_of": {"s1": "\ud800"}}', FormatError, "`subject_of` .* cannot be used"),
        (r'{"subject_of": {"\udfff": "p1"}}', FormatError, "`subject_of` .* cannot be used"),
        ('{"subject_pattern": "("}', UsageError, "regular expression"),
        ('{"subject_pattern": "p"}', UsageError, "group"),
        ('{"protocol": ["xsub"]}', FormatError, "protocol"),
    ],
)
def test_meta_files_that_cannot_be_used(tmp_path, content, error, says):
    path = tmp_path / "meta.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(error, match=says) as caught:
        read_meta(path)
    assert caught.value.hint


def test_missing_meta_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_meta(tmp_path / "meta.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_meta(tmp_path)


@pytest.mark.parametrize(
    ("meta", "name", "subject"),
    [
        (Meta(), "S001C002P003R002A013", "P003"),
        (Meta(), "p3_boxing", None),
        (Meta(subject_of={"x": "1"}), "x", "1"),
        (Meta(subject_pattern="^p([0-9]+)_"), "p3_boxing", "3"),
        (Meta(subject_pattern="(a|b)-(?P<subject>[0-9]+)"), "a-5", "5"),
        (Meta(subject_pattern="^p([0-9]+)_"), "q3", None),
    ],
)
def test_who_is_seen(meta, name, subject):
    assert meta.subject(name) == subject


def test_an_empty_person_is_refused():
    with pytest.raises(UsageError, match="finds an empty person in the name 'p3_boxing'") as caught:
        Meta(subject_pattern="()").subject("p3_boxing")
    assert "one group" in caught.value.hint


A, B, C = ("a",), ("b",), ("c",)


@pytest.mark.parametrize(
    ("split", "protocol", "chosen"),
    [
        ({}, None, {}),
        ({"train": A, "val": B}, None, {"train": A, "test": B}),
        ({"train": A, "test": B}, None, {"train": A, "test": B}),
        ({"train": A, "val": B, "test": C}, None, {"train": A, "validation": B, "test": C}),
        ({"train": A}, None, {"train": A}),
        ({"xsub_train": A, "xsub_val": B}, None, {"train": A, "test": B}),
        ({"xsub_train": A, "xsub_val": B, "xview_train": B, "xview_val": A}, None, {"train": A, "test": B}),
        ({"xsub_train": A, "xsub_val": B, "xview_train": B, "xview_val": A}, "xview", {"train": B, "test": A}),
        ({"train": A, "val": B, "old_train": B, "old_val": A}, None, {"train": A, "test": B}),
        ({"train1": A, "test1": B, "train2": B, "test2": A}, "2", {"train": B, "test": A}),
        ({"train": A, "val": B, "extra": C}, None, {"train": A, "test": B}),
    ],
)
def test_which_split_is_taken(split, protocol, chosen):
    assert choose_split(split, protocol, where="file") == chosen


@pytest.mark.parametrize("split", [{"train": (), "val": B}, {"train": A, "val": ()}, {"train": (), "val": ()}])
def test_a_set_that_is_named_has_somebody_in_it(split):
    with pytest.raises(SplitError, match="empty set") as caught:
        choose_split(split, None, where="file")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("split", "protocol", "says"),
    [
        ({"train1": A, "test1": B, "train2": B, "test2": A}, None, r"\['1', '2'\]"),
        ({"xview_train": A, "xset_train": B}, None, "several splits"),
        ({"train": A}, "xsub", "no split 'xsub'"),
        ({}, "xsub", "no split 'xsub'"),
    ],
)
def test_splits_that_need_a_choice(split, protocol, says):
    with pytest.raises(UsageError, match=says) as caught:
        choose_split(split, protocol, where="file")
    assert caught.value.hint
