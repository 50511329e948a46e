"""The prediction log and feedback: written off the path, found again, kept as long as policy says, erased by key."""

import json
import time

import numpy as np
import pytest

from recognizer.errors import Conflict, Expired, FormatError, LabelError, NotFound, StoreUnavailable, UnsupportedMedia
from recognizer.home import Home
from recognizer.inputs import delete_inputs
from recognizer.predictions import Prediction, Retention, new_id
from recognizer.store import evidence, feedback, open_store, predictions, rollouts
from serving.endpoint import find_endpoints
from serving.feedback import JSON, FeedbackDesk
from serving.record import Recorder
from serving.release import Releases
from serving.tidy import Tidy

ENDPOINTS = dict(find_endpoints().values())
ONE, TWO = "1" * 64, "2" * 64
NOW = time.time()


def prediction(at=NOW, **changes):
    plain = {"id": new_id(at), "task": "action", "at": at, "routing_key": None, "arm": "champion", "rollout": None}
    return Prediction(**{**plain, "version": 1, "digest": ONE, "label": "walking", "confidence": 0.9, **changes})


@pytest.fixture
def store(store_url):
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def rollout(store, register_two):
    register_two(store, ONE, TWO)
    return rollouts.start(store, task="action", version=2, digest=TWO, reason="x", who="x").id


def test_an_answer_is_found_again_and_written_once(store):
    rows = [prediction(at=NOW + i, routing_key="camera-1", inputs=f"action/d/{i}.npz") for i in range(3)]
    predictions.append(store, rows[:2])
    predictions.append(store, rows)
    assert predictions.find(store, rows[1].id) == rows[1]
    assert predictions.find(store, new_id(NOW)) is None
    assert predictions.list(store, "action") == rows
    assert predictions.list(store, "action", since=NOW + 1, with_inputs=True, limit=1) == rows[1:2]
    assert predictions.list(store, "action", limit=2, newest=True) == rows[-2:]
    assert (predictions.count(store, "action"), predictions.count(store, "pose")) == (3, 0)
    predictions.append(store, [])


def test_what_a_key_left_behind_is_erased_and_nothing_else(store):
    mine, other = prediction(routing_key="camera-1", inputs="action/d/x.npz"), prediction(routing_key="camera-2")
    predictions.append(store, [mine, other])
    for one in (mine, other):
        feedback.give(store, one, "walking")
    assert predictions.erase(store, "camera-1") == (1, ["action/d/x.npz"])
    assert predictions.list(store, "action") == [other]
    assert [one.prediction for one in feedback.late(store, 0, ONE)] == [other.id]
    assert predictions.erase(store, "camera-1") == (0, [])


def test_one_truth_for_each_answer(store):
    answer = prediction()
    first, new = feedback.give(store, answer, "falling")
    assert (first.misread, new) == (True, True)
    again, new = feedback.give(store, answer, "falling")
    assert (again, new) == (first, False)
    with pytest.raises(Conflict, match="'falling' before"):
        feedback.give(store, answer, "walking")


def test_feedback_on_a_rollout_is_evidence_once(store, rollout):
    old = [prediction(rollout=rollout) for _ in range(3)]
    fresh = [prediction(rollout=rollout, version=2, digest=TWO, arm="challenger") for _ in range(2)]
    assert not feedback.waits(store, rollout)
    for one, truth in zip([*old, *fresh], ["walking", "falling", "walking", "falling", "falling"], strict=True):
        feedback.give(store, one, truth)
    feedback.give(store, prediction(), "falling")  # of no rollout
    assert feedback.waits(store, rollout)
    assert feedback.count(store, rollout, TWO, None) == 5
    assert (feedback.count(store, rollout, TWO, None), feedback.waits(store, rollout)) == (0, False)
    feedback.give(store, prediction(rollout=rollout), "walking")
    assert feedback.count(store, rollout, TWO, None) == 1
    evidence.number(store, rollout, None)
    first, second = (one.batch for one in evidence.of(store, rollout))
    assert (first.worker, first.sequence, second.sequence) == ("feedback", 1, 2)
    assert (first.champion.labelled, first.champion.bad["misread"]) == (3, 1)
    assert (first.challenger.labelled, first.challenger.bad["misread"]) == (2, 2)
    assert (second.champion.labelled, second.champion.answers) == (1, 0)


def arrays(size=4):
    return {"keypoints": np.arange(size, dtype=np.float32), "visibility": np.ones(size, np.float32)}


def recorder(store_url, folder, **retention):
    return Recorder(store_url, folder, Retention(**{"input_share": 0.0, **retention}))


def test_answers_and_sampled_inputs_are_written_off_the_path(store, store_url, tmp_path):
    log = recorder(store_url, tmp_path / "inputs")
    sure, unsure = prediction(confidence=0.99), prediction(confidence=0.2)
    for one in (sure, unsure):
        log.record(one, arrays())
    assert predictions.count(store, "action") == 0
    log.flush()
    log.flush()
    assert predictions.find(store, sure.id) == sure
    kept = predictions.find(store, unsure.id).inputs
    with np.load(tmp_path / "inputs" / kept) as content:
        assert {name: content[name].tolist() for name in content} == {k: v.tolist() for k, v in arrays().items()}
    log.start()
    log.record(last := prediction(), arrays())
    log.stop()  # writes what waits
    assert predictions.find(store, last.id) == last
    assert log.dropped == 0


def test_while_the_store_is_away_answers_wait_and_the_oldest_are_dropped(store, store_url, tmp_path, monkeypatch):
    monkeypatch.setattr("serving.record.MOST_WAITING", 3)
    log = recorder("sqlite:///" + str(tmp_path / "away" / "recognizer.db"), tmp_path / "inputs")
    rows = [prediction(at=NOW + i) for i in range(5)]
    for one in rows:
        log.record(one, arrays())
        log.flush()
    assert log.dropped == 2
    monkeypatch.setattr(log._link, "_url", store_url)
    monkeypatch.setattr(log._link, "_file", None)
    log.flush()
    assert predictions.list(store, "action") == rows[2:]


def test_while_the_store_is_away_no_input_is_written_again_and_again(tmp_path):
    log = recorder(f"sqlite:///{tmp_path}/away/recognizer.db", tmp_path / "inputs", input_share=1.0)
    log.record(prediction(), arrays())
    for _ in range(3):
        log.flush()
    assert not (tmp_path / "inputs").exists()


def test_inputs_that_wait_are_bounded_in_memory(store, store_url, tmp_path, monkeypatch):
    monkeypatch.setattr("serving.record.MOST_INPUT_BYTES", 100)
    log = recorder(store_url, tmp_path, input_share=1.0)
    rows = [prediction(at=NOW + i) for i in range(5)]
    for one in rows:
        log.record(one, arrays(8))  # 64 bytes
    log.flush()
    assert [one.inputs is not None for one in predictions.list(store, "action")] == [True, False, False, False, False]
    log.record(prediction(at=NOW + 9), arrays(8))
    log.flush()
    assert len(predictions.list(store, "action", with_inputs=True)) == 2


@pytest.fixture
def desk(store_url):
    made = FeedbackDesk(store_url, Retention(days=7), Releases(), ENDPOINTS, clock=lambda: NOW)
    yield made
    made.close()


def told(id, truth="walking"):
    return f'{{"prediction_id": "{id}", "truth": "{truth}"}}'.encode()


def test_the_truth_is_taken_and_may_be_told_twice(store, desk):
    answer = prediction()
    predictions.append(store, [answer])
    said = {"prediction_id": answer.id, "truth": "falling", "correct": False}
    assert desk.take(told(answer.id, "falling"), JSON) == {**said, "new": True}
    assert desk.take(told(answer.id, "falling"), JSON) == {**said, "new": False}


def test_feedback_that_is_faster_than_the_log_waits_for_it(store, store_url):
    answer, asked = prediction(), []

    def clock():
        if len(asked) == 2:
            predictions.append(store, [answer])  # by another worker, meanwhile
        asked.append(1)
        return NOW

    desk = FeedbackDesk(store_url, Retention(), Releases(), ENDPOINTS, clock=clock)
    assert desk.take(told(answer.id), JSON)["correct"]
    desk.close()


@pytest.mark.parametrize(
    ("body", "media_type", "error", "status"),
    [
        (told(new_id(NOW - 60)), JSON, NotFound, 404),
        (told("nonsense"), JSON, NotFound, 404),
        (told("../../etc/passwd"), JSON, NotFound, 404),
        (told(new_id(NOW - 8 * 86400)), JSON, Expired, 410),
        (b"{", JSON, FormatError, 422),
        (b"[]", JSON, FormatError, 422),
        (b'{"prediction_id": 1, "truth": "a"}', JSON, FormatError, 422),
        (b'{"truth": "a"}', JSON, FormatError, 422),
        (told("a" * 201), JSON, FormatError, 422),
        (told("a"), "text/plain", UnsupportedMedia, 415),
    ],
    ids=range(10),
)
def test_what_is_no_feedback_is_refused(desk, body, media_type, error, status):
    with pytest.raises(error) as caught:
        desk.take(body, media_type)
    assert (type(caught.value), caught.value.http_status) == (error, status)
    assert caught.value.hint


@pytest.mark.parametrize(
    "content", [{}, {"truth": ""}, {"truth": "b" * 201}, {"truth": 1}, {"truth": "b", "more": 1}, {"people": []}]
)
def test_what_is_no_truth_of_the_task_is_refused(store, desk, content):
    answer = prediction()
    predictions.append(store, [answer])
    with pytest.raises(FormatError) as caught:
        desk.take(json.dumps({"prediction_id": answer.id, **content}).encode(), JSON)
    assert caught.value.hint
    assert desk.take(told(answer.id), JSON)["new"]


def test_a_task_that_is_not_served_any_more_takes_no_truth(store, desk):
    answer = prediction(task="dance")
    predictions.append(store, [answer])
    with pytest.raises(NotFound, match="not served any more"):
        desk.take(told(answer.id), JSON)


def test_corrected_joints_are_kept_and_held_against_the_answer(store, desk):
    joints = (np.arange(34.0).reshape(1, 17, 2) * 10).tolist()
    answer = prediction(task="pose", label="1 person", answer=joints)
    predictions.append(store, [answer])
    assert predictions.find(store, answer.id) == answer
    people = [{"joints": {"nose": joints[0][0], "left_ankle": joints[0][15]}}]
    said = desk.take(json.dumps({"prediction_id": answer.id, "people": people}).encode(), JSON)
    assert said == {"prediction_id": answer.id, "people": people, "correct": True, "new": True}
    with pytest.raises(Conflict) as caught:
        desk.take(told(answer.id, "2 people"), JSON)
    assert len(str(caught.value)) < 500
    (kept,) = feedback.late(store, 0, ONE)
    assert json.loads(kept.truth) == people


def test_without_a_store_the_client_is_told_to_come_again(tmp_path):
    desk = FeedbackDesk(f"sqlite:///{tmp_path}/none.db", Retention(), Releases(), ENDPOINTS, clock=lambda: NOW)
    with pytest.raises(StoreUnavailable):
        desk.take(told(new_id(NOW)), JSON)


def test_a_class_that_the_model_does_not_know_is_refused(small_home):
    from serving.loader import Loader
    from serving.release import Release

    champion = small_home.release(1)
    releases = Releases()
    with open_store(small_home.url) as store:
        from recognizer.store.served import read_served

        wanted = read_served(store).champion("action")
        servable = Loader(small_home.home.packages, small_home.home.keys, threads=1).load(wanted)
        releases.publish(Release(1, {"action": servable}))
        answer = prediction(digest=champion)
        predictions.append(store, [answer])
    desk = FeedbackDesk(small_home.url, Retention(), releases, ENDPOINTS, clock=lambda: NOW)
    with pytest.raises(LabelError, match="no 'flying'") as caught:
        desk.take(told(answer.id, "flying"), JSON)
    assert "walking" in caught.value.hint
    assert desk.take(told(answer.id, "walking"), JSON)["correct"]
    assert servable.in_flight == 0
    desk.close()


def test_what_policy_does_not_keep_goes(store, store_url, tmp_path):
    home = Home(tmp_path / "home")
    log = Recorder(store_url, home.inputs, Retention(input_share=1.0))
    rows = [prediction(at=NOW - age * 86400) for age in (9, 3, 2, 1)]
    for one in rows:
        log.record(one, arrays(256))
    log.flush()
    size = next(home.inputs.rglob("*.npz")).stat().st_size
    tidy = Tidy(store_url, home, Retention(days=7, input_bytes=2 * size), wall_clock=lambda: NOW)
    assert tidy.tidy() == 2
    left = predictions.list(store, "action")
    assert [one.id for one in left] == [one.id for one in rows[1:]]
    assert [one.inputs is not None for one in left] == [False, True, True]
    assert {path.stem for path in home.inputs.rglob("*.npz")} == {one.id for one in rows[2:]}
    assert len(list((home.inputs / "action").iterdir())) == 2  # days that are empty go too
    assert tidy.tidy() == 0
    delete_inputs(home.inputs, ["action/gone/x.npz"])


def test_tidying_up_is_done_now_and_then(store_url, tmp_path):
    now = [0.0]
    tidy = Tidy(store_url, Home(tmp_path / "home"), Retention(), clock=lambda: now[0], wall_clock=lambda: NOW)
    tidy.now_and_then()
    assert tidy._thread is None
    now[0] = 61.0
    tidy.now_and_then()
    tidy._thread.join(30)
    assert not tidy._thread.is_alive()
