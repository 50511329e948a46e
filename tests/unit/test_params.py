"""params.yaml: read, checked, overridden for one night."""

import pytest
import yaml

from recognizer.errors import NotFound, UsageError
from recognizer.home import checkout
from recognizer.params import STAGES, StageParams, load_params

GOOD = {stage: {"action": {"seed": 0}} for stage in STAGES}


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, NotFound, "copy params.yaml"),
        ("[1, 2", UsageError, "not YAML"),
        ("just text", UsageError, "expected the keys"),
        (yaml.safe_dump({**GOOD, "train": {"pose": {}}}), UsageError, "train.action"),
        (yaml.safe_dump({**GOOD, "export": None}), UsageError, "export.action"),
        (yaml.safe_dump({**GOOD, "evaluate": {"action": 3}}), UsageError, "evaluate.action"),
        (yaml.safe_dump({**GOOD, "prepare": [1]}), UsageError, "key prepare holds no tasks"),
        (yaml.safe_dump({**GOOD, "prepare": "all"}), UsageError, "key prepare holds no tasks"),
    ],
)
def test_faults_name_the_key_and_the_next_step(tmp_path, content, error, says):
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=says):
        load_params(path, "action")


@pytest.mark.parametrize("value", ["abc", 1.5, -1, 0, 1, True, None, [0.2], float("nan")])
def test_a_share_is_a_number_between_0_and_1(value):
    params = StageParams("action", {**{stage: {} for stage in STAGES}, "prepare": {"validation_share": value}})
    with pytest.raises(UsageError, match=r"prepare\.action\.validation_share is .*between 0 and 1"):
        params.share("prepare", "validation_share")


def test_a_missing_parameter_is_named():
    params = StageParams("action", {stage: {} for stage in STAGES})
    with pytest.raises(UsageError, match=r"prepare\.action\.contract is missing"):
        params.need("prepare", "contract")


def test_changes_for_one_night_leave_the_rest(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "train": {"action": {"seed": 0, "epochs": 3}}}))
    params = load_params(path, "action")
    assert params.with_train(seed=7)["train"] == {"seed": 7, "epochs": 3}
    assert params["train"] == {"seed": 0, "epochs": 3}


def test_the_checkouts_own_file_is_good():
    assert set(load_params(checkout() / "params.yaml", "action").stages) == set(STAGES)
