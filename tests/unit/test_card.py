import json

import pytest
from pydantic import ValidationError

from recognizer.card import PackageCard, Tensor, parse_card
from recognizer.errors import FormatError

PLAIN = {
    "task": "action",
    "classes": ["standing", "falling"],
    "inputs": [{"name": "keypoints", "dtype": "float32", "shape": ["batch", 4, 100, 17, 2]}],
    "outputs": [{"name": "scores", "dtype": "float32", "shape": ["batch", 2]}],
    "preprocessing": {"frames": 100},
    "snapshot": "s",
    "test_digest": "t",
    "identity": "i",
    "code": "c",
    "seed": 7,
}


def test_a_card_reads_what_it_writes():
    card = PackageCard.model_validate({**PLAIN, "metrics": {"accuracy": 0.9}, "weights": "w"})
    assert parse_card(card.model_dump_json().encode(), "here") == card
    assert card.inputs == (Tensor(name="keypoints", dtype="float32", shape=("batch", 4, 100, 17, 2)),)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_metric_that_is_no_number_is_none(value):
    assert PackageCard.model_validate({**PLAIN, "metrics": {"accuracy": value}}).metrics == {"accuracy": None}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"task": ""}, "task"),
        ({"classes": []}, "classes"),
        ({"seed": "seven"}, "seed"),
        ({"format": 2}, "format"),
        ({"extra": 1}, "extra"),
        ({"metrics": 5}, "metrics"),
        ({"thresholds": {"falling": "high"}}, "thresholds.falling"),
        ({"inputs": [{"name": "keypoints"}]}, "inputs.0"),
    ],
)
def test_a_wrong_card_is_refused_by_name(change, named):
    with pytest.raises(FormatError, match=named) as caught:
        parse_card(json.dumps({**PLAIN, **change}).encode(), "here")
    assert caught.value.where == "here"
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_card_is_refused(content):
    with pytest.raises(FormatError):
        parse_card(content, "here")


def test_a_card_cannot_be_changed():
    with pytest.raises(ValidationError):
        PackageCard.model_validate(PLAIN).task = "pose"
