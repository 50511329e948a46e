"""Two versions side by side: which is first, what differs, and what cannot be compared."""

import io
import json
import pickle

import numpy as np
import pytest
from rich.console import Console

from flows import comparison
from flows.command.comparison import show_comparison
from flows.comparison import ComparisonRequest, compare_versions
from recognizer.errors import LabelError, NotFound, PackageTampered, UsageError
from recognizer.evaluation.footprint import Footprint
from recognizer.ingest.origin import DataFile
from recognizer.store import checks as stored_checks
from recognizer.store import open_store, versions

LABELS = (0,) * 12 + (1,) * 20 + (2,) * 8
"""Version 1 answers always class 1, version 2 always class 2, version 4 as version 1."""


@pytest.fixture
def data(tmp_path):
    """A data file of five people, and its meta file."""
    random = np.random.default_rng(0)
    annotations = [
        {
            "frame_dir": f"p{place % 5}_{place}", "label": label, "total_frames": 20, "img_shape": (100, 100),
            "keypoint": random.uniform(20, 80, (1, 20, 17, 2)).astype(np.float32),
            "keypoint_score": np.ones((1, 20, 17), np.float32),
        }
        for place, label in enumerate(LABELS)
    ]  # fmt: skip
    path, meta = tmp_path / "data.pkl", tmp_path / "meta.json"
    path.write_bytes(pickle.dumps({"annotations": annotations}))
    meta.write_text(json.dumps({"classes": ["standing", "walking", "falling"], "subject_pattern": "^(p[0-9])"}))
    return path, meta


@pytest.fixture
def home(small_home):
    for version in (1, 2, 4):
        small_home.package(version)
    small_home.package(5, classes=("standing", "walking", "lying"))
    with open_store(small_home.url) as store:
        for version, digest in small_home.digests.items():
            record(store, version, digest)
    return small_home


def record(store, version, digest):
    versions.record(
        store, task="action", version=version, digest=digest, snapshot="0" * 64, test_digest="1" * 64,
        verdict="PASSED", metrics={},
    )  # fmt: skip


@pytest.fixture
def compared(home, data):
    """A function that compares two versions on the file, without costs unless told otherwise."""
    from recognizer.settings import Settings

    def compare(first, second, **more):
        request = ComparisonRequest("action", first, second, DataFile(*data), **{"costs": False, **more})
        with open_store(home.url) as store:
            return compare_versions(Settings(home=home.home), store, request)

    return compare


def shown(found):
    console = Console(file=io.StringIO(), width=80)
    show_comparison(console, found)
    return console.file.getvalue()


def test_every_difference_is_the_first_less_the_second(compared):
    found = compared("1", "2")
    assert (found.n, found.people, found.first.version, found.second.version) == (40, 5, 1, 2)
    assert found.first.evaluation.metrics["accuracy"] == 0.5
    assert found.second.evaluation.metrics["accuracy"] == 0.2
    accuracy = found.differences["accuracy"]
    assert accuracy.value == pytest.approx(0.3)
    assert accuracy.low < accuracy.value < accuracy.high
    assert (found.answers.only_first, found.answers.only_second, found.disagreement) == (20, 8, 1.0)
    assert {name: one.value for name, one in found.slices["class"].items()} == {
        "standing": 0.0,
        "walking": 1.0,
        "falling": -1.0,
    }
    turned = compared("2", "1")
    assert turned.differences["accuracy"].value == pytest.approx(-0.3)
    assert (turned.answers.only_first, turned.answers.only_second) == (8, 20)


def test_models_that_answer_alike_do_not_differ(compared):
    found = compared("1", "4")
    assert found.differences["accuracy"].value == 0.0
    assert (found.answers.only_first, found.answers.only_second, found.disagreement) == (0, 0, 0.0)
    assert "unsure" in shown(found)


def test_the_same_answers_differ_nowhere(home, compared):
    """Another seed, so another package, of the same file: no metric has any spread."""
    again = home.packages.build(
        home.home.root / "model-1.onnx",
        home.packages.card(home.digests[1]).model_copy(update={"seed": 99}),
        home.signer,
    )
    with open_store(home.url) as store:
        record(store, 6, again)
    found = compared("1", "6")
    assert (found.differences["accuracy"].value, found.disagreement) == (0.0, 0.0)
    assert "log_loss" not in found.differences
    json.dumps(found.as_dict(), allow_nan=False)
    assert "log loss" in shown(found)


def test_a_person_sees_which_is_which(home, compared, monkeypatch):
    footprints = (Footprint((10.0,), (30.0,), 12.0, 1), Footprint((20.0,), (30.0,), 12.0, 1))
    monkeypatch.setattr(comparison, "measure_footprints", lambda *_arguments, **_options: footprints)
    check = {
        "gate": "absolute", "name": "accuracy", "value": 0.2, "threshold": 0.9, "direction": "min", "baseline": None,
        "n": 40, "verdict": "FAILED", "reason": "too low", "interval": None,
    }  # fmt: skip
    with open_store(home.url) as store:
        stored_checks.record(store, home.digests[2], [check])
    found = compared("2", home.digests[1][:12], costs=True)
    text = shown(found)
    assert "version 2 less version 1" in text
    assert "data.pkl" in text.replace("\n", "")
    assert "2 less 1" in text
    assert "Cases on which only one is right: version 2 on 8, version 1 on 20" in " ".join(text.split())
    assert "class: walking" in text
    assert "0.50" in text  # ratio of the times
    assert text.splitlines()[-1].split() == ["absolute", "FAILED", "-"]
    assert max(map(len, text.splitlines())) <= 80
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["differences_are"] == "first less second"
    assert (plain["first"]["version"], plain["first"]["gates"]) == (2, {"absolute": "FAILED"})
    assert plain["second"]["costs"]["metrics"]["latency_p50_ms"] == 20.0
    assert plain["differences"]["accuracy"]["value"] == pytest.approx(-0.3)


@pytest.mark.parametrize(
    ("first", "second", "error", "says"),
    [
        ("1", "9", NotFound, "has no version 9"),
        ("0" * 12, "1", NotFound, "0 versions"),
        ("1", "1", UsageError, "both are version 1"),
        ("1", "5", LabelError, "version 1 knows the classes .*'falling'.*, version 5 .*'lying'"),
    ],
)
def test_what_cannot_be_compared(compared, first, second, error, says):
    with pytest.raises(error, match=says) as caught:
        compared(first, second)
    assert caught.value.hint


def test_a_tampered_package_is_not_asked(home, compared):
    (home.folder(2) / "model.onnx").write_bytes(b"other weights")
    with pytest.raises(PackageTampered):
        compared("1", "2")
