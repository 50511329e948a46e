"""The model card: what it says of a package, and when it is written."""

import json

import numpy as np
import onnx
import pytest

from flows.packaging import Recipe, make_package
from recognizer.blessing import verify_blessing
from recognizer.checks import Check, Verdict
from recognizer.evaluation import evaluate_classification
from recognizer.evaluation.measured import Measured, Rival
from recognizer.evaluation.paired import PairedDifference
from recognizer.evaluation.record import ClassMeasure, Evaluation, SliceMeasure
from recognizer.evaluation.significance import McNemar
from recognizer.keys import Keyring
from recognizer.package import PackageCard
from recognizer.report import ModelCardFacts, TrainingFacts, render_model_card
from recognizer.snapshot import SnapshotCard

HOSTILE = "<script>alert(1)</script> | `b` 走路"
CLASSES = ("standing", "walking", HOSTILE)
GATES = {"absolute": {"accuracy": {"min": 0.9}}}
PASSED = Check.measured("absolute", "accuracy", 0.95, threshold=0.9, n=100, interval=(0.91, 0.98))
FAILED = Check.measured("absolute", "accuracy", 0.85, threshold=0.9, n=100)


def card(**more):
    return PackageCard(
        **{
            "task": "action",
            "classes": CLASSES,
            "inputs": ({"name": "keypoints", "dtype": "float32", "shape": ("batch", 100, 17, 2)},),
            "outputs": (),
            "preprocessing": {},
            "snapshot": "5" * 32,
            "test_digest": "7" * 64,
            "identity": "1" * 64,
            "code": "c" * 64,
            "seed": 3,
            "metrics": {"accuracy": 0.95, "macro_f1": None},
            **more,
        }
    )


def evaluation():
    labels = np.repeat([0, 1, 2], [8, 8, 4])
    subjects = [f"{HOSTILE} {place % 3}" for place in range(20)]
    return evaluate_classification(np.eye(3)[labels], labels, CLASSES, subjects)


def measured(**more):
    return Measured(CLASSES, evaluation(), **more)


def snapshot(name="recordings.pkl", sha256="1" * 64, **more):
    one = {"shard": "x.npz", "sha256": "0" * 64, "sequences": 20, "frames": 9, "subjects": ("P0", "P1"),
           "per_class": dict.fromkeys(CLASSES, 3)}  # fmt: skip
    source = {"name": name, "sha256": sha256}
    return SnapshotCard(
        **{"format": 1, "task": "action", "classes": CLASSES, "source": source, "test_digest": "7" * 64, "warnings": (),
           "sets": dict.fromkeys(("train", "validation", "test"), one), **more}
    )  # fmt: skip


def facts(**more):
    return ModelCardFacts(**{"digest": "d" * 64, "card": card(), "checks": (PASSED,), **more})


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (facts(), "**Not blessed: it may not serve.** Its worst verdict is PASSED"),
        (facts(checks=(FAILED,)), "FAILED absolute/accuracy: accuracy 0.850 < 0.900"),
        (facts(), "| absolute | accuracy | 0.950 | 0.910 to 0.980 | ≥ 0.900 | - | 100 | PASSED |"),
        (facts(), "What was measured of it is not at hand"),
        (facts(), "| keypoints | float32 | batch x 100 x 17 x 2 |"),
        (facts(), "| macro F1 | - |"),
        (facts(), "none: from scratch"),
        (facts(card=card(parent="77" * 32)), "77" * 32),
        (facts(training=TrainingFacts.from_dict({"epochs": 16})), "| epochs | 16 |"),
        (facts(key="abcd"), "| signed by key | abcd |"),
        (facts(snapshot=snapshot()), "| test | 20 | 2 |"),
        (facts(snapshot=snapshot()), "The test set names 2 subjects, fewer than 10"),
        (facts(snapshot=snapshot(sha256="")), "people whom a generator made"),
        (facts(snapshot=snapshot(warnings=("nobody is named",))), "- nobody is named"),
        (facts(measured=measured()), "By subject, worst first"),
        (facts(measured=measured()), "does not tell people, length, visibility"),
        (facts(measured=measured()), "By subject, fewer than 8 test cases show"),
        (facts(measured=measured()), "It was compared with no champion"),
        (facts(measured=measured()), "No golden case of its classes was asked"),
    ],
)
def test_what_it_says(of, says):
    assert says in render_model_card(of)


def test_the_card_of_a_task_that_finds_people():
    sizes = {"large": SliceMeasure(40, 0.9), "small": SliceMeasure(6, 0.35)}
    found = Evaluation(
        n=46, classes=("person",), metrics={"AP": 0.5}, per_class={"person": ClassMeasure(0.8, 0.57, 0.66, 46)},
        slices={"size": sizes}, confusion=(), reliability=(),
    )  # fmt: skip
    of = card(task="pose", classes=("person",), metrics={"AP": 0.5, "oks_above_50": 0.57})
    text = render_model_card(facts(card=of, measured=Measured(("person",), found)))
    for fact in ("17 joints", "It does not tell who", "| OKS above 50 | 0.570 |", "By size, worst first", "small (6)",
                 "does not tell hidden, people:"):  # fmt: skip
        assert fact in text, fact
    assert "score for each of" not in text
    assert "By class" not in text


def test_it_tells_how_far_it_is_from_the_champion():
    difference = PairedDifference(0.02, -0.01, 0.05, 0.001, 20, None)
    rival = Rival("c" * 64, 6, evaluation(), {"accuracy": difference}, {}, McNemar(3, 1, 0.6), 0.2)
    text = render_model_card(facts(measured=measured(rivals={"c" * 64: rival}, champion="c" * 64)))
    assert "| accuracy | champion, version 6 | +0.020 | -0.010 to +0.050 |" in text
    assert "compared with no champion" not in text


def test_names_from_the_data_stay_text():
    text = render_model_card(facts(measured=measured(), snapshot=snapshot(name=HOSTILE, warnings=(HOSTILE,))))
    assert "<script" not in text
    assert text.count("走路") >= 5
    assert "| `b`" not in text


@pytest.fixture
def recipe(small_home):
    from dataclasses import replace

    small_home.package(1)
    model = small_home.home.run("action", "2" * 64) / "exported" / "model.onnx"
    model.parent.mkdir(parents=True)
    onnx.save(onnx.load(small_home.home.root / "model-1.onnx"), model)
    made = Recipe(model.parents[1], small_home.packages.card(small_home.digests[1]), GATES, "2026-11-20")
    return lambda **more: replace(made, **more)


def test_it_lies_beside_the_package_and_follows_each_judgement(small_home, recipe):
    keyring = Keyring.open(small_home.home.keys)

    def made(checks, **more):
        digest = make_package(small_home.home, recipe(**more), checks)
        small_home.packages.verify(digest, keyring)
        path = small_home.packages.path(digest) / "model_card.md"
        return digest, path, path.read_text()

    digest, path, first = made([PASSED])
    key = verify_blessing(path.parent, digest, keyring).signature.key
    assert "**Blessed** on" in first
    assert f"| blessed by key | {key} |" in first
    before = path.stat().st_mtime_ns
    assert made([PASSED]) == (digest, path, first)
    assert path.stat().st_mtime_ns == before
    assert "**Not blessed" in made([FAILED])[2]
    overridden = made([FAILED], override="the test set is *wrong*", who="register")[2]
    assert "**Blessed by a person against its gates** (worst verdict FAILED)" in overridden
    assert r"the test set is \*wrong\*" in overridden
    assert small_home.packages.list() == [digest]


def test_what_cannot_be_read_ends_no_night(small_home, recipe):
    run = recipe().model.parent.parent
    (run / "evaluated").mkdir()
    (run / "trained").mkdir()
    (run / "trained" / "training.json").write_text(json.dumps({"epochs": 5}))
    for content in ("{", json.dumps({"format": 1})):
        (run / "evaluated" / "measured.json").write_text(content)
        digest = make_package(small_home.home, recipe(), [PASSED])
        text = (small_home.packages.path(digest) / "model_card.md").read_text()
        assert "What was measured of it is not at hand" in text
        assert "| epochs | 5 |" in text


def test_every_verdict_is_there():
    checks = tuple(Check("g", verdict.value, None, None, "min", None, 1, verdict, "why") for verdict in Verdict)
    text = render_model_card(facts(checks=checks))
    assert "worst verdict is ERROR" in text
    assert all(f"- {verdict.value} g/{verdict.value}: why" in text for verdict in Verdict if verdict.value != "PASSED")
