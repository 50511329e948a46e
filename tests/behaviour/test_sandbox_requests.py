"""What a candidate is asked in the sandbox: recorded requests, or training cases, and never the frozen test set."""

import io

import numpy as np
import pytest

from flows.sandbox import requests
from flows.sandbox.requests import LEAST_RATE, LEAST_RECORDED, find_requests, offline_answers, recorded_rate
from recognizer.action.evaluator import SCORES
from recognizer.errors import InputError, NotFound
from recognizer.ingest.recorded import Source
from recognizer.ingest.split import Split
from recognizer.predictions import Prediction, new_id
from recognizer.sequences import SequenceSet, SkeletonSequence
from recognizer.settings import Settings
from recognizer.snapshot import write_snapshot
from recognizer.store import open_store, predictions
from recognizer.tasks import load_predictor
from recognizer.traffic import Sent
from serving.action.body import read_window
from serving.action.window import make_window

NPY = "application/x-npy"
NOW = 1_800_000_000.0
CLASSES = ("standing", "walking")


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def sequences(name, at):
    """Four sequences that stand at one place, by which their set is known."""
    keypoints, seen = np.full((1, 10, 17, 2), at, np.float32), np.ones((1, 10, 17), np.float32)
    return SequenceSet(
        CLASSES,
        tuple(
            SkeletonSequence(f"{name}-{i}", keypoints + i, seen, i % 2, f"{name} person {i}", (480, 640))
            for i in range(4)
        ),
    )


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("snapshot") / "one"
    parts = [sequences(name, at) for name, at in (("train", 100), ("validation", 200), ("test", 300))]
    write_snapshot(Split(*parts), folder, task="action", source=Source("made", ""))
    return folder


def log_answers(settings, count, *, kept, at=NOW - 10, task="action"):
    """Answers of which so many kept their input."""
    settings.home.prepare()
    rows = []
    for number in range(count):
        name = f"{task}/2026-01-01/{number}.npz" if number < kept else None
        rows.append(Prediction(new_id(at), task, at, None, "champion", None, 1, "d", "x", 0.5, inputs=name))
        if name is not None:
            path = settings.home.inputs / name
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, keypoints=np.full((1, 5, 17, 2), 400, np.float32), visibility=np.ones((1, 5, 17)))
    with open_store(settings.database_url) as store:
        predictions.append(store, rows)


@pytest.mark.parametrize(
    ("kept", "recorded", "source", "places"),
    [
        (None, False, "4 cases, training set (no prediction log yet)", {100, 101, 102, 103}),
        (0, False, "4 cases, training set (no prediction log yet)", {100, 101, 102, 103}),
        (3, False, "4 cases, training set (only 3 recorded inputs)", {100, 101, 102, 103}),
        (LEAST_RECORDED, True, f"{LEAST_RECORDED} cases, prediction log", {400}),
    ],
)
def test_recorded_requests_or_training_cases(tmp_path, snapshot, kept, recorded, source, places):
    settings = Settings(home=tmp_path / "home")
    if kept is not None:
        log_answers(settings, LEAST_RECORDED, kept=kept)
    found = find_requests(settings, "action", snapshot, now=NOW)
    assert (found.recorded, found.source, found.rate) == (recorded, source, LEAST_RATE)
    asked = [read_window(window.content, found.media_type)[0] for window in found.cases]
    assert {int(one.keypoints[0, 0, 0, 0]) for one in asked} == places
    assert settings.home.store.exists() is (kept is not None)  # who only reads makes no store


@pytest.mark.parametrize(
    ("counts", "rate"),
    [
        ([], 0.0),
        ([(NOW - 10, 30)], 30.0),
        ([(NOW - 10, 30), (NOW - 12, 80), (NOW - 20, 5)], 80.0),
        ([(NOW - 2 * 86400, 90), (NOW - 10, 7)], 7.0),
    ],
)
def test_the_rate_is_that_of_the_busiest_span(tmp_path, monkeypatch, snapshot, counts, rate):
    monkeypatch.setattr(requests, "RATE_SECONDS", 1)
    settings = Settings(home=tmp_path / "home")
    for at, count in counts:
        log_answers(settings, count, kept=0, at=at)
        log_answers(settings, 100, kept=0, at=at, task="pose")
    assert recorded_rate(settings, "action", NOW) == rate
    assert find_requests(settings, "action", snapshot, now=NOW).rate == max(LEAST_RATE, rate)


def test_offline_answers_are_those_of_the_very_bodies(small_home):
    small_home.package(1)
    predictor = load_predictor("action")(small_home.folder(1), threads=1)
    people = np.random.default_rng(0).uniform(1, 500, (3, 2, 30, 17, 3)).astype(np.float32)
    people[..., 2] = 0.7
    bodies = [Sent(npy(one), None) for one in people]
    found = offline_answers(predictor, "action", bodies, NPY)
    cases = [make_window(one) for one in people]
    alone = [predictor.predict(predictor.inputs([case])).answers[SCORES] for case in cases]
    np.testing.assert_array_equal(found[SCORES], np.concatenate(alone))
    assert (found[SCORES].shape, found[SCORES].dtype) == ((3, 3), np.float32)


@pytest.mark.parametrize(
    ("task", "body", "error"),
    [("dance", b"", NotFound), ("action", b"no array", InputError)],
)
def test_what_cannot_be_asked(small_home, task, body, error):
    small_home.package(1)
    predictor = load_predictor("action")(small_home.folder(1), threads=1)
    with pytest.raises(error):
        offline_answers(predictor, task, [Sent(body, None)], NPY)
