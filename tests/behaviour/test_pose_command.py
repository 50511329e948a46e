"""The command for a task whose cases are labelled images: what it ingests, and what predictions of others are worth."""

import json
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from recognizer.evaluation.keypoints import COCO_METRICS
from recognizer.home import Home, checkout
from recognizer.pose.snapshot import read_scenes
from recognizer.skeleton import JOINTS

SHARED = Path(os.environ.get("RECOGNIZER_SHARED_DATA") or checkout().parent / "shared" / "data")
GOLDEN = SHARED / "pose_oks_eval" / "keypoints"
PUBLISHED = (0.504884, 0.722772, 0.633663, 0.466337, 0.750495, 0.518182, 0.727273, 0.636364, 0.466667, 0.75)
IMAGES = 10


def somebody(id, *, image_id=None, **changes):
    """One person of 30 x 40 pixels at a place of its own."""
    keypoints = np.stack([10 + np.arange(17) % 5 * 7.0, 10 + np.arange(17) * 2.0, np.full(17, 2.0)], axis=1)
    return {
        "id": id, "image_id": image_id or id, "category_id": 1, "keypoints": keypoints.ravel().tolist(),
        "num_keypoints": 17, "bbox": [10, 10, 30, 40], "area": 600.0, "iscrowd": 0, **changes,
    }  # fmt: skip


def result(id, **changes):
    return {"image_id": id, "category_id": 1, "keypoints": somebody(id)["keypoints"], "score": 0.9, **changes}


def labels(**changes):
    images = [{"id": id, "file_name": f"{id}.png", "height": 70, "width": 90} for id in range(1, IMAGES + 1)]
    person = {"id": 1, "name": "person", "keypoints": list(JOINTS)}
    return {"images": images, "annotations": [somebody(id) for id in range(1, IMAGES + 1)], "categories": [person],
            **changes}  # fmt: skip


@pytest.fixture
def labelled(tmp_path):
    """A COCO file, and the folder of its images."""
    (tmp_path / "images").mkdir()
    for id in range(1, IMAGES + 1):
        picture = np.random.default_rng(id).integers(0, 255, (70, 90, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{id}.png"), picture)
    (tmp_path / "labels.json").write_text(json.dumps(labels()))
    return tmp_path / "labels.json", tmp_path / "images"


@pytest.fixture
def with_params(tmp_path):
    """A home whose params.yaml says of the task what ingesting needs, and nothing else."""
    content = yaml.safe_load((checkout() / "params.yaml").read_text())
    for stage in content.values():
        stage["pose"] = {"validation_share": 0.2}
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "params.yaml").write_text(yaml.safe_dump(content))
    return Home(tmp_path / "home")


def test_labelled_images_are_ingested(recognizer, with_params, labelled):
    path, folder = labelled
    ended, out, err = recognizer("ingest", "pose", path, "--images", folder, "--json")
    made = json.loads(out)
    assert ended == 0, err
    assert made["new"]
    assert sum(part["sequences"] for part in made["card"]["sets"].values()) == IMAGES
    assert made["card"]["source"]["name"] == "labels.json"
    scenes = read_scenes(with_params.snapshots("pose") / made["snapshot"], "train")
    assert (folder / scenes[0].name).read_bytes() == scenes[0].image
    ended, out, err = recognizer("ingest", "pose", path, "--images", folder)
    said = " ".join(out.split())
    assert "(the same as before)" in said
    assert "one camera or one video" in said
    assert "recognizer nightly pose" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "damage", "code", "says"),
    [
        ([], None, 2, "--images DIR"),
        (["--images", "nowhere"], None, 2, "no such folder of images"),
        (["--meta", "meta.json", "--images", "images"], None, 2, "leave --meta"),
        (["--images", "images"], lambda folder: (folder / "3.png").unlink(), 3, "1 of 10 images are not there: 3.png"),
        (["--images", "images"], lambda folder: (folder / "3.png").write_bytes(b"x"), 3, "3.png"),
    ],
)
def test_images_that_cannot_be_ingested(
    recognizer, with_params, labelled, tmp_path, monkeypatch, more, damage, code, says
):
    monkeypatch.chdir(tmp_path)
    if damage is not None:
        damage(labelled[1])
    ended, _, err = recognizer("ingest", "pose", labelled[0], *more)
    assert ended == code, err
    assert says in err
    assert "Next: " in err
    assert "Traceback" not in err
    raw = with_params.data / "raw" / "pose"
    assert not raw.exists() or list(raw.iterdir()) == []


def test_scenes_are_made_and_kept(recognizer, with_params):
    ended, out, err = recognizer("ingest", "pose", "--synthetic", "--count", "40", "--json")
    assert ended == 0, err
    made = json.loads(out)
    assert {name: part["sequences"] for name, part in made["card"]["sets"].items()} == {
        "train": 26, "validation": 6, "test": 8,
    }  # fmt: skip
    ended, out, _ = recognizer("ingest", "pose", "--synthetic", "--if-empty", "--json")
    assert (ended, json.loads(out)["snapshot"]) == (0, made["snapshot"])
    ended, _, err = recognizer("ingest", "pose", "--synthetic", "--count", "39")
    assert (ended, "ask for at least 40" in err) == (2, True)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no published COCO result at {GOLDEN}; set RECOGNIZER_SHARED_DATA")
def test_the_ten_published_numbers(recognizer, tmp_path):
    ended, out, err = recognizer(
        "evaluate", "pose", "--data", GOLDEN / "gt_dataset.json", "--predictions", GOLDEN / "dt_dataset.json", "--json"
    )  # fmt: skip
    assert ended == 0, err
    told = json.loads(out)
    assert [told["metrics"][name] for name in COCO_METRICS] == pytest.approx(PUBLISHED, abs=1e-6)
    assert {"oks_above_50", "mean_oks", "pck", "matched_oks"} <= set(told["metrics"])
    assert (told["task"], told["n"], told["confusion"]) == ("pose", 11, [])
    assert not (tmp_path / "home" / "recognizer.db").exists()


def evaluate(recognizer, labelled, results, *more):
    path = labelled[0].with_name("results.json")
    path.write_text(results if isinstance(results, str) else json.dumps(results))
    return recognizer("evaluate", "pose", "--data", labelled[0], "--predictions", path, *more)


def test_predictions_need_no_image_and_no_model(recognizer, labelled):
    results = [result(id) for id in range(1, 9)] + [result(9, category_id=2), result(10, score=7.5)]
    ended, out, err = evaluate(recognizer, labelled, results, "--json")
    assert ended == 0, err
    told = json.loads(out)
    assert told["metrics"]["oks_above_50"] == told["per_class"]["person"]["recall"] == 0.9
    assert told["warnings"] == [
        "1 results of other categories were left out", "153 confidences of joints outside [0, 1] were cut",
    ]  # fmt: skip
    assert told["reliability"] == []  # a score beyond 1 is no probability
    ended, out, _ = evaluate(recognizer, labelled, results)
    assert ended == 0
    assert "on 10 cases" in out
    assert all(name in out for name in ("AP50", "mean OKS", "PCK", "no joint hidden", "1 person", "small"))
    assert "Note: 1 results of other categories were left out" in out


BAD_RESULTS = {
    "of another image": ([result(1), result(77)], 3, "is of image 77, which labels.json does not list"),
    "of another category": ([result(1, category_id=3)], 3, "holds no result of category 1, which is 'person'"),
    "NaN": ([result(1, keypoints=[math.nan] * 51)], 3, "not finite"),
    "a score that is none": ([result(1, score=math.inf)], 3, "not finite"),
    "empty list": ([], 3, "holds no result"),
    "empty file": ("", 3, "is empty"),
    "no JSON": ("{", 3, "is no JSON"),
    "labels": (labels(), 3, "JSON of another layout"),
    "25 joints": ([result(1, keypoints=[1.0] * 75)], 3, "has 75 keypoint numbers"),
}


@pytest.mark.parametrize("fault", BAD_RESULTS)
def test_predictions_that_cannot_be_judged(recognizer, labelled, fault):
    results, code, says = BAD_RESULTS[fault]
    ended, out, err = evaluate(recognizer, labelled, results, "--json")
    assert ended == code, err
    assert says in err
    assert "Next: " in err
    assert "Traceback" not in err
    assert set(json.loads(out)) == {"error", "what", "where", "next"}


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--predictions", "none.json"], 2, "none.json: no such file"),
        (["--predictions", "none.json", "--model", "3"], 2, "need no model"),
        (["--predictions", "none.json", "--meta", "m.json"], 2, "leave --meta"),
    ],
)
def test_predictions_that_are_asked_for_wrongly(recognizer, labelled, tmp_path, monkeypatch, more, code, says):
    monkeypatch.chdir(tmp_path)
    ended, _, err = recognizer("evaluate", "pose", "--data", labelled[0], *more)
    assert ended == code, err
    assert says in err
    assert "Next: " in err
