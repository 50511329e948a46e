"""Training identity: what changes it, and what does not."""

from dataclasses import replace

import pytest

from recognizer.identity import TrainingIdentity, code_digest

BASE = TrainingIdentity("action", "s1", "c1", {"train": {"seed": 0, "threads": 2, "precision": "fp32"}}, None)


@pytest.mark.parametrize(
    ("changed", "identity", "inputs"),
    [
        ({}, False, False),
        ({"snapshot": "s2"}, True, True),
        ({"code": "c2"}, True, True),
        ({"params": {"train": {"seed": 1, "threads": 2, "precision": "fp32"}}}, True, True),
        ({"params": {"train": {"precision": "fp32", "threads": 2, "seed": 0}}}, False, False),  # order says nothing
        ({"parent": "w1"}, True, False),  # a new champion alone is no reason to train again
    ],
)
def test_what_changes_the_identity_and_the_inputs(changed, identity, inputs):
    other = replace(BASE, **changed)
    assert (other.digest != BASE.digest) is identity
    assert (other.inputs != BASE.inputs) is inputs


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("recognizer/night.py", True),
        ("training/deep/fit.py", True),
        ("constraints.txt", True),
        ("params.yaml", True),
        ("README.md", False),
        ("serving/door.py", False),
        ("recognizer/__pycache__/night.cpython-311.pyc", False),
    ],
)
def test_code_is_what_a_model_is_made_by(tmp_path, path, counts):
    for name in ("recognizer/night.py", "training/deep/fit.py", "constraints.txt", "params.yaml"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("one")
    before = code_digest(tmp_path, tmp_path / "params.yaml")
    changed = tmp_path / path
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text("two")
    assert (code_digest(tmp_path, tmp_path / "params.yaml") != before) is counts


def test_a_moved_file_changes_the_code(tmp_path):
    for name in ("constraints.txt", "params.yaml", "recognizer/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    before = code_digest(tmp_path, tmp_path / "params.yaml")
    (tmp_path / "recognizer" / "a.py").rename(tmp_path / "recognizer" / "b.py")
    assert code_digest(tmp_path, tmp_path / "params.yaml") != before
