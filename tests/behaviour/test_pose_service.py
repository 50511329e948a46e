"""The real service with a real network that finds people: pictures in, people out, feedback, traffic and a shadow."""

import contextlib
import http.client
import json
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from benchmarks.rollout import slow_shadow
from benchmarks.service import running, wait_for
from flows.command.main import main
from flows.sandbox.requests import offline_answers
from recognizer.images import ImageSpec, decode, letterbox
from recognizer.package import Tensor
from recognizer.pose.evaluator import PoseEvaluator
from recognizer.rollout.steering import Wish
from recognizer.skeleton import JOINTS
from recognizer.store import evidence, open_store, predictions, rollouts, versions
from recognizer.suppression import Candidates, Suppression, suppress
from recognizer.tasks import load_predictor
from recognizer.traffic import Sent
from serving.pose.answer import PoseEndpoint
from training.models.rtmo import Rtmo
from training.models.sizes import RtmoConfig
from training.pose.export import INPUT, OUTPUTS, to_onnx
from training.pose.params import ExportParams
from training.pose.weights import Weights

TINY = RtmoConfig(
    width=0.125, hidden=16, fine=16, inner=8, feedforward=16, attention_heads=0, stride_groups=1, pose_width=16,
    joint_features=8, encoding=8, bins=(12, 16), joint_expansion=0, refine=1, map_features=4, refine_features=4,
)  # fmt: skip
SIDE, MOST = 128, 24
CARD = {
    "task": "pose",
    "classes": ("person",),
    "inputs": (Tensor(name=INPUT, dtype="float32", shape=("batch", 3, SIDE, SIDE)),),
    "outputs": tuple(Tensor(name=name, dtype="float32", shape=("batch", MOST)) for name in OUTPUTS),
    "preprocessing": {"height": SIDE, "width": SIDE},
}
MANY = 0.5
"""Threshold: an untrained network finds several people at random."""
BODY_LIMIT_MB = 1
ANY = "application/octet-stream"


def network():
    """A network that never learned; the same each time, and not nearly the same everywhere."""
    torch.manual_seed(0)
    net = Rtmo(TINY)
    for name, part in net.named_parameters():
        if "moves" in name or ".score." in name:
            torch.nn.init.normal_(part, std=0.5)
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.1, 0.5)
    for part in (net.region, net.second_look):
        torch.nn.init.normal_(part.more.weight, std=0.5)
    return net.eval()


def half_as_many(model):
    """Threshold above which half of those people are."""
    image, placement = letterbox(decode(picture()), (SIDE, SIDE))
    answers = onnxruntime.InferenceSession(model).run(list(OUTPUTS), {INPUT: image[None]})
    found = suppress(Candidates(*(answer[0] for answer in answers)), placement, Suppression(score=MANY))
    return float(np.median(found.scores))


def picture(kind=".jpg", shape=(90, 160), seed=0):
    noise = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), np.uint8)
    return cv2.imencode(kind, cv2.resize(noise, shape[::-1]))[1].tobytes()


def bomb():
    """A PNG of 100 bytes that says it has 2.5 gigapixels."""
    content, side = picture(".png"), struct.pack(">I", 50_000)
    header = b"IHDR" + side + side + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:100]


def form(*files, name=b"name=image; filename=a.jpg"):
    parts = [b"--edge\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (name, file) for file in files]
    return b"".join(parts) + b"--edge--\r\n"


FORM = "multipart/form-data; boundary=edge"


class Served:
    """The service with its home."""

    def __init__(self, small, service):
        self.small = small
        self.service = service

    def post(self, path, body, media_type, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", path, body, {"content-type": media_type, **headers})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def ask(self, body, media_type=ANY, **headers):
        status, _, content = self.post("/v1/pose", body, media_type, **headers)
        assert status == 200, content
        return json.loads(content)

    def tell(self, **told):
        status, _, content = self.post("/v1/feedback", json.dumps(told), "application/json")
        return status, json.loads(content)


@pytest.fixture(scope="module")
def served(module_home):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    exported = to_onnx(
        Weights(network(), "micro", ImageSpec(SIDE, SIDE), people=MOST, threshold=0.3), ExportParams(any_size=False)
    )
    model = onnx.load_model_from_string(exported)
    torch.set_num_threads(before)
    for version, threshold in ((1, MANY), (2, half_as_many(exported))):
        module_home.package(version, model, thresholds={"person": threshold}, **CARD)
        module_home.bless(version)
    module_home.promote(1)
    settings = {"body_limit_mb": BODY_LIMIT_MB, "shadow_duty": 1, "input_share": 1, "poll_seconds": 0.05}
    with running(module_home.home.root, 1, **settings) as service:
        yield Served(module_home, service)


@pytest.mark.parametrize(
    ("body", "media_type", "shape"),
    [
        (picture(".jpg"), "image/jpeg", (90, 160)),
        (picture(".png"), "image/png", (90, 160)),
        (picture(".png"), "image/jpeg", (90, 160)),
        (picture(".jpg", (1080, 1920)), ANY, (1080, 1920)),
        (picture(".png", (3, 2)), ANY, (3, 2)),
        (form(picture(".jpg")), FORM, (90, 160)),
        (form(picture(".png")), 'Multipart/Form-Data; boundary="edge"', (90, 160)),
    ],
    ids=["jpeg", "png", "wrong name", "large", "small", "form", "quoted boundary"],
)
def test_pictures_in_and_people_out(served, body, media_type, shape):
    answer = served.ask(body, media_type)
    assert set(answer) == {"prediction_id", "model", "arm", "people"}
    assert answer["model"] == {"name": "pose", "version": 1, "digest": served.small.digests[1]}
    assert len(answer["people"]) > 1
    assert PoseEndpoint().heard(answer, ("person",)).consistent
    for person in answer["people"]:
        x, y, width, height = person["box"]
        assert 0 <= x <= x + width <= shape[1] + 0.1
        assert 0 <= y <= y + height <= shape[0] + 0.1
        assert set(person["joints"]) == set(JOINTS)
        assert all(0 <= seen <= 1 for _, _, seen in person["joints"].values())


def test_the_answer_is_the_model_s_whatever_the_way(served):
    predictor = load_predictor("pose")(served.small.folder(1), threads=1)
    content = picture(".jpg", (480, 640), seed=3)
    expected = offline_answers(predictor, "pose", [Sent(content, None)], ANY)
    for body, media_type in ((content, "image/jpeg"), (form(content), FORM)):
        heard = PoseEndpoint().heard(served.ask(body, media_type), ("person",))
        found = PoseEvaluator().compare(heard.answers, expected)
        assert found.same.all()
        assert found.farthest < 0.01


def test_the_picture_with_its_people(served):
    status, headers, content = served.post("/v1/pose?draw=png", picture(".jpg"), "image/jpeg")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert decode(content).shape == (90, 160, 3)
    assert (headers["x-recognizer-model"], headers["x-recognizer-version"]) == ("pose", "1")
    assert (headers["x-recognizer-arm"], headers["x-recognizer-digest"]) == ("champion", served.small.digests[1])
    assert headers["x-recognizer-generation"].isdigit()
    assert served.tell(prediction_id=headers["x-recognizer-prediction-id"], people=[])[0] == 200


@pytest.mark.parametrize(
    ("body", "media_type", "query", "status", "error"),
    [
        (bomb(), "image/png", "", 413, "TooLarge"),
        (form(bomb()), FORM, "", 413, "TooLarge"),
        (bytes(BODY_LIMIT_MB * 2**20 + 1), "image/jpeg", "", 413, "TooLarge"),
        (b"hello", "text/plain", "", 415, "UnsupportedMedia"),
        (b"hello", "image/jpeg", "", 415, "UnsupportedMedia"),
        (form(b"hello"), FORM, "", 415, "UnsupportedMedia"),
        (b'{"image": "http://127.0.0.1/"}', "application/json", "", 415, "UnsupportedMedia"),
        (picture()[:400], "image/jpeg", "", 422, None),
        (b"", "image/jpeg", "", None, None),
        (form(picture())[:-20], FORM, "", 422, "FormatError"),
        (form(picture(), picture()), FORM, "", 422, "FormatError"),
        (form(picture(), name=b"name=image"), FORM, "", 422, "FormatError"),
        (form(picture()), "multipart/form-data", "", 422, "FormatError"),
        (form(picture()), "multipart/form-data; boundary=other", "", 422, "FormatError"),
        (picture(), "image/jpeg", "?draw=gif", 400, "UsageError"),
        (picture(), "image/jpeg", "?draw=png&draw=png", 400, "UsageError"),
        (picture(), "image/jpeg", "?paint=png", 400, "UsageError"),
    ],
    ids=range(17),
)
def test_refusals_name_the_next_step(served, body, media_type, query, status, error):
    found, _, content = served.post(f"/v1/pose{query}", body, media_type)
    said = json.loads(content)
    assert found == status if status else 400 <= found < 500
    assert set(said) == {"error", "what", "where", "next"}
    assert said["next"]
    assert error in (None, said["error"])
    assert "frames" not in said["next"]


def test_two_at_once(served):
    asked = [picture(".jpg", shape, seed) for seed, shape in enumerate([(90, 160), (160, 90)] * 4)]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(served.ask, asked))
    alone = [served.ask(body) for body in asked]
    assert [one["people"] for one in answers] == [one["people"] for one in alone]
    assert len({one["prediction_id"] for one in answers}) == len(asked)


def corrected(answer, **change):
    """The answered people, as feedback tells of them."""
    return [
        {"joints": {name: [x + change.get("right", 0), y] for name, (x, y, _) in person["joints"].items()}, "area": 900}
        for person in answer["people"]
    ]


def test_feedback_with_corrected_joints(served):
    first, second, third = (served.ask(picture(seed=seed)) for seed in range(3))
    status, said = served.tell(prediction_id=first["prediction_id"], people=corrected(first))
    assert (status, said["correct"], said["new"]) == (200, True, True)
    assert served.tell(prediction_id=first["prediction_id"], people=corrected(first))[1]["new"] is False
    assert served.tell(prediction_id=first["prediction_id"], people=[])[0] == 409
    assert (
        served.tell(prediction_id=second["prediction_id"], people=corrected(second, right=100))[1]["correct"] is False
    )
    id = third["prediction_id"]
    for people in (None, {}, [{}], [{"joints": {"tail": [1, 2]}}], [{"joints": {"nose": ["a", 2]}}]):
        status, said = served.tell(prediction_id=id, people=people)
        assert (status, said["error"]) == (422, "FormatError")
    assert served.tell(prediction_id=id, people=corrected(third)[1:])[1]["correct"] is False


def test_feedback_on_how_many_there_are(served):
    answer = served.ask(picture())
    status, said = served.tell(prediction_id=answer["prediction_id"], truth=f"{len(answer['people'])} people")
    assert (status, said["correct"]) == (200, True)


def test_the_typed_client(served, tmp_path):
    (tmp_path / "a.jpg").write_bytes(picture(seed=5))
    script = """
import json, sys
from pathlib import Path
import bentoml
with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    print(json.dumps(client.pose(image=Path(sys.argv[2]))))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, served.service.url, tmp_path / "a.jpg"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["people"] == served.ask(picture(seed=5))["people"]


@pytest.fixture
def recognizer(served, monkeypatch, capsys):
    """Runs the command in this process; returns exit code, stdout and stderr."""
    monkeypatch.setenv("RECOGNIZER_HOME", str(served.small.home.root))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["recognizer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def labelled(tmp_path):
    """A COCO file of four images, each with one person where the network finds none, and their folder."""
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for id in range(1, 5):
        (tmp_path / "images" / f"{id}.jpg").write_bytes(picture(seed=id))
        images.append({"id": id, "file_name": f"{id}.jpg", "height": 90, "width": 160})
        annotations.append({"id": id, "image_id": id, "category_id": 1, "keypoints": [20, 30, 2] * 17,
                            "num_keypoints": 17, "bbox": [10, 10, 30, 40], "area": 600.0, "iscrowd": 0})  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(JOINTS)}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return "--data", tmp_path / "labels.json", "--images", tmp_path / "images"


def test_traffic_of_labelled_images_and_of_the_log(served, recognizer, labelled):
    arguments = ("traffic", "pose", "--url", served.service.url, "--rate", 100, "--json")
    code, out, err = recognizer(*arguments, "--requests", 12, "--feedback", 1, *labelled)
    said = json.loads(out)
    assert code == 0, err
    assert (said["failed"], said["source"]) == (0, "4 cases, file labels.json")
    assert (said["all"]["judged"], said["all"]["correct"]) == (12, 0)
    assert said["feedback"]["accepted"] == 12
    wait_for(lambda: logged(served, with_inputs=True), "input in the log")
    code, out, err = recognizer(*arguments, "--requests", 3, "--logged")
    assert code == 0, err
    assert json.loads(out)["source"].endswith("cases, prediction log")
    code, _, err = recognizer(*arguments, *labelled, "--body", "npy")
    assert (code, "picture" in err) == (2, True)
    code, _, err = recognizer(*arguments, *labelled[:2])
    assert (code, "--images" in err) == (2, True)


def logged(served, **more):
    with open_store(served.small.url) as store:
        return predictions.list(store, "pose", **more)


def test_a_shadow_is_compared_person_by_person(served):
    """Version 2 is the same network, and answers fewer of the people that it finds."""
    with open_store(served.small.url) as store:
        versions.record(
            store, task="pose", version=2, digest=served.small.digests[2], snapshot="0" * 64, test_digest="1" * 64,
            verdict="PASSED", metrics={},
        )  # fmt: skip
        rollout = rollouts.start(
            store, task="pose", version=2, digest=served.small.digests[2], reason="test", who="test",
            plan=slow_shadow(), home=served.small.home,
        )  # fmt: skip
        try:
            wait_for(lambda: served.service.get("/health")[1]["splits"], "challenger in shadow")
            by_new = served.ask(picture(), **{"x-recognizer-arm": "challenger"})
            by_old = served.ask(picture())
            assert (by_new["model"]["version"], by_old["model"]["version"]) == (2, 1)
            assert 0 < len(by_new["people"]) < len(by_old["people"])

            def compared():
                served.ask(picture())
                batches = [one.batch for one in evidence.of(store, rollout.id)]
                found = sum(one.compared for one in batches), sum(one.disagreed for one in batches)
                return found[0] >= 5 and found

            count, disagreed = wait_for(compared, "evidence of the shadow")
            assert disagreed == count
        finally:
            rollouts.request(store, "pose", Wish.ABORT, who="test", home=served.small.home)
    wait_for(lambda: by_new["prediction_id"] in {one.id for one in logged(served, with_inputs=True)}, "logged answer")
    kept = {one.id: one for one in logged(served)}
    noted = kept[by_new["prediction_id"]]
    told = len(by_new["people"])
    assert (noted.arm, noted.label, len(noted.answer)) == ("challenger", f"{told} people", told)
