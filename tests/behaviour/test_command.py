"""What the command says to whoever puts it wrongly: exit code, message, next step; as the real `main`."""

import json
import pickle

import numpy as np
import pytest
import yaml

from recognizer.home import checkout


def annotation(name, label, **changes):
    points = np.full((1, 20, 17, 2), 50, np.float16) + np.arange(20).reshape(1, 20, 1, 1)
    return {
        "frame_dir": name, "label": label, "total_frames": 20, "img_shape": (100, 100),
        "keypoint": points, "keypoint_score": np.ones((1, 20, 17), np.float16), **changes,
    }  # fmt: skip


def people(count=6, **changes):
    return [annotation(f"p{person}_{label}", label, **changes) for person in range(count) for label in (0, 1)]


class Hostile:
    def __reduce__(self):
        return (open, ("hostile", "w"))


def nan_points():
    points = np.ones((1, 20, 17, 2), np.float16)
    points[0, 3, 2, 1] = np.nan
    return points


BAD_FILES = {
    "truncated": (pickle.dumps({"annotations": people()})[:-200], 3, "truncated"),
    "hostile": (pickle.dumps({"annotations": [Hostile()]}), 3, "open"),
    "no pickle": (b"hello", 3, "pickle"),
    "empty": (b"", 3, "empty"),
    "joints": (people(keypoint=np.ones((1, 20, 25, 2)), keypoint_score=np.ones((1, 20, 25))), 3, "17"),
    "nan": (people(keypoint=nan_points()), 3, "NaN"),
    "negative size": (people(total_frames=-3), 3, "negative"),
    "no frames": (people(total_frames=0, keypoint=np.ones((1, 0, 17, 2)), keypoint_score=np.ones((1, 0, 17))), 3, "0"),
    "one class": ([annotation(f"p{person}", 0) for person in range(6)], 3, "class"),
    "unknown label": ([*people(), annotation("p9_x", 7)], 3, "7"),
    "leak": (
        {"split": {"train": ["p0_0", "p1_0", "p1_1"], "val": ["p0_1"]}, "annotations": people(2)}, 3, "p0",
    ),
    "empty train": ({"split": {"train": [], "val": ["p0_0"]}, "annotations": people(2)}, 3, "empty"),
    "empty val": ({"split": {"train": ["p0_0", "p0_1"], "val": []}, "annotations": people(2)}, 3, "empty"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_file_is_refused_with_the_next_step_and_leaves_nothing(recognizer, tmp_path, monkeypatch, fault):
    content, code, says = BAD_FILES[fault]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data.pkl"
    if not isinstance(content, bytes):
        content = pickle.dumps(content if isinstance(content, dict) else {"annotations": content})
    path.write_bytes(content)
    (tmp_path / "meta.json").write_text('{"classes": ["a", "b"], "subject_pattern": "^(p[0-9]+)"}')
    ended, out, err = recognizer("ingest", "action", path, "--meta", tmp_path / "meta.json", "--json")
    assert ended == code, err
    assert says in err
    assert "Next: " in err
    assert "Traceback" not in err
    assert set(json.loads(out)) == {"error", "what", "where", "next"}
    assert not (tmp_path / "hostile").exists()
    raw = tmp_path / "home" / "data" / "raw" / "action"
    assert not raw.exists() or list(raw.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["ingest", "action"], 2, "PATH or --synthetic"),
        (["ingest", "action", "no-such-file.pkl"], 2, "no such file"),
        (["ingest", "dance", "file.pkl"], 4, "use one of: action"),
        (["nightly"], 4, "recognizer ingest"),
        (["nightly", "action"], 4, "--synthetic"),
        (["nightly", "dance"], 4, "use one of: action"),
        (["nightly", "dance", "--synthetic"], 4, "use one of: action"),
        (["nightly", "--synthetic"], 2, "recognizer nightly action --synthetic"),
        (["nightly", "action", "--count", "80"], 2, "add --synthetic"),
        (["ingest", "action", "file.pkl", "--count", "80"], 2, "add --synthetic"),
        (["ingest", "action", "file.pkl", "--images", "folder"], 2, "leave --images out"),
        (["evaluate", "action", "--images", "folder"], 2, "--data FILE"),
        (["evaluate", "action", "--predictions", "p.json"], 2, "--data FILE --predictions p.json"),
        (["evaluate", "action", "--data", "x", "--predictions", "p.json"], 2, "--model VERSION --data FILE"),
        (["train", "action"], 4, "recognizer ingest action FILE"),
        (["evaluate", "action", "--model", "champion"], 4, "recognizer nightly action"),
        (["evaluate", "action", "--model", "7"], 4, "recognizer nightly action"),
        (["gates", "action"], 4, "recognizer nightly action"),
        (["gates", "action", "3"], 4, "recognizer nightly action"),
        (["compare", "action", "1", "2"], 4, "recognizer nightly action"),
        (["compare", "dance", "1", "2"], 4, "use one of: action"),
        (["compare", "action", "1", "2", "--meta", "meta.json"], 2, "--data FILE"),
        (["models", "dance"], 4, "use one of: action"),
        (["gates", "dance"], 4, "use one of: action"),
        (["evaluate", "dance", "--model", "champion"], 4, "use one of: action"),
        (["evaluate", "action"], 4, "recognizer ingest action FILE"),
        (["evaluate", "action", "--meta", "meta.json"], 2, "--data FILE"),
        (["evaluate", "action", "--subject-pattern", "^(p)"], 2, "--data FILE"),
        (["schedule", "--time-zone", "Mars/Base"], 2, "RECOGNIZER_TIME_ZONE"),
        (["serve", "--port", "70000"], 2, "RECOGNIZER_PORT"),
        (["ingest", "action", "--synthetic", "--seed", "-1"], 2, "--seed"),
        (["ingest", "action", "file.pkl", "--seed", "-1"], 2, "--seed"),
        (["traffic", "action", "--seed", "-1"], 2, "--seed"),
        (["no-such-command"], 2, "No such command"),
        (["ingest", "action", "--no-such-option"], 2, "No such option"),
    ],
)
def test_wrong_use_names_the_next_step(recognizer, tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    ended, _, err = recognizer(*arguments)
    assert ended == code, err
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [["ingest", "action", "--synthetic", "--seed", "-1"], ["models", "--no-such-option"], ["models", "dance"]],
    ids=" ".join,
)
def test_a_program_reads_the_error_as_json(recognizer, arguments):
    ended, out, _ = recognizer(*arguments, "--json")
    assert ended in (2, 4)
    assert set(json.loads(out)) == {"error", "what", "where", "next"}


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        ([1], "key prepare holds no tasks"),
        ({"action": {}}, "prepare.action.validation_share is missing"),
        ({"action": {"validation_share": "abc"}}, "prepare.action.validation_share is 'abc'"),
        ({"action": {"validation_share": 1.5}}, "between 0 and 1"),
        ({"action": {"validation_share": -1}}, "between 0 and 1"),
    ],
)
def test_bad_parameters_are_named_when_data_is_ingested(recognizer, tmp_path, prepare, says):
    content = yaml.safe_load((checkout() / "params.yaml").read_text())
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "params.yaml").write_text(yaml.safe_dump({**content, "prepare": prepare}))
    ended, _, err = recognizer("ingest", "action", "--synthetic", "--count", "80")
    assert ended == 2, err
    assert says in err
    assert "Next: " in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["gates", "action"],
        ["compare", "action", "1", "2"],
        ["evaluate", "action", "--model", "champion"],
        ["nightly", "action"],
    ],
    ids=" ".join,
)
def test_whoever_only_reads_makes_no_store(recognizer, tmp_path, arguments):
    """A running service would take the empty one for what it should follow."""
    recognizer(*arguments)
    assert not list((tmp_path / "home").glob("recognizer.db*"))
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "recognizer.db").touch()
    recognizer(*arguments)
    assert (tmp_path / "home" / "recognizer.db").stat().st_size == 0


def test_listings_of_an_empty_home(recognizer):
    assert recognizer("models", "--json")[:2] == (0, "[]\n")
    ended, out, _ = recognizer("tasks", "--json")
    listed = json.loads(out)
    assert ended == any(entry["problem"] for entry in listed)
    assert [(entry["task"], entry["role"]) for entry in listed] == [
        (task, role) for task in ("action", "pose") for role in ("evaluator", "predictor", "trainer")
    ]


def test_a_snapshot_is_shown_and_kept(recognizer, tmp_path):
    ended, out, _ = recognizer("ingest", "action", "--synthetic", "--count", "80", "--json")
    first = json.loads(out)
    assert (ended, first["new"]) == (0, True)
    ended, out, _ = recognizer("ingest", "action", "--synthetic", "--count", "80", "--json")
    again = json.loads(out)
    assert (ended, again["new"], again["snapshot"]) == (0, False, first["snapshot"])
    ended, out, _ = recognizer("ingest", "action", "--synthetic", "--if-empty")
    assert ended == 0
    assert "has data already" in out
    ended, out, _ = recognizer("ingest", "action", "--synthetic", "--count", "80")
    assert "recognizer nightly action" in out.splitlines()[-1]
    ended, _, err = recognizer("evaluate", "action")
    assert ended == 4
    assert "`dvc repro`" in err
    assert "--model champion" in err
