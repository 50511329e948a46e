"""What a client of one worker process gets: answers, refusals, and how healthy it is."""

import asyncio
import io
import json
import pickle
import shutil

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from recognizer.settings import Settings
from recognizer.store import open_store
from serving.door import Door
from serving.intake import DRAIN
from serving.worker import Worker

JSON, NPY = {"content-type": "application/json"}, {"content-type": "application/x-npy"}
WINDOW = np.random.default_rng(0).uniform(1, 500, (2, 30, 17, 2)).astype(np.float32)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def as_json(array):
    return json.dumps({"keypoints": array.tolist()}).encode()


def behind(request):
    return PlainTextResponse("BentoML's own route")


class Client:
    """Speaks HTTP to an ASGI app in this process."""

    def __init__(self, app):
        self.transport = httpx.ASGITransport(app)

    def request(self, method, path, content=None, headers=None):
        async def send():
            body = chunks(content) if isinstance(content, list) else content
            async with httpx.AsyncClient(transport=self.transport, base_url="http://here") as client:
                return await client.request(method, path, content=body, headers=headers)

        return asyncio.run(send())

    def get(self, path):
        return self.request("GET", path)


async def chunks(parts):
    for part in parts:
        yield part


class Process:
    """A worker with its door, without the BentoML around it."""

    def __init__(self, small):
        self.worker = Worker(Settings(home=small.home, poll_seconds=0.01, body_limit_mb=1))
        app = Starlette(routes=[Route("/readyz", behind), Route("/v1/action", behind, methods=["POST"])])
        self.client = Client(Door(app, {"worker": self.worker}))
        self.worker.start()

    def post(self, body, headers=JSON):
        return self.client.request("POST", "/v1/action", body, headers)

    def health(self):
        return self.client.get("/health").json()


@pytest.fixture
def start(request):
    """A function that starts a worker process' inside on a home."""

    def start_on(small):
        process = Process(small)
        request.addfinalizer(process.worker.stop)
        return process

    return start_on


@pytest.fixture(scope="module")
def served(module_home):
    module_home.release(1)
    process = Process(module_home)
    yield process
    process.worker.stop()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (as_json(WINDOW), JSON),
        (as_json(WINDOW), {"content-type": "application/json; charset=utf-8"}),
        (as_json(WINDOW), {}),
        (as_json(WINDOW[0]), JSON),
        (npy(WINDOW), NPY),
        (npy(np.concatenate([WINDOW, np.ones((2, 30, 17, 1), np.float32)], axis=3)), NPY),
        (npy(WINDOW), {"content-type": "application/octet-stream"}),
        (npy(np.repeat(WINDOW, 4, axis=0)), NPY),
        (npy(WINDOW[:, :1]), NPY),
        (npy(np.repeat(WINDOW, 8, axis=1)), NPY),
    ],
)
def test_an_answer(served, module_home, body, headers):
    response = served.post(body, headers)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) == {"prediction_id", "model", "arm", "action", "confidence", "scores"}
    assert answer["model"] == {"name": "action", "version": 1, "digest": module_home.digests[1]}
    assert (answer["arm"], answer["action"]) == ("champion", "walking")
    assert set(answer["scores"]) == {"standing", "walking", "falling"}
    assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["confidence"] == max(answer["scores"].values()) == answer["scores"]["walking"]


def test_ids_differ(served):
    assert len({served.post(npy(WINDOW), NPY).json()["prediction_id"] for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (b"", JSON, 422, "FormatError"),
        (b"{", JSON, 422, "FormatError"),
        (as_json(WINDOW[:, :, :16]), JSON, 422, "InputError"),
        (as_json(np.where(WINDOW < 2, np.nan, WINDOW)), JSON, 422, "InputError"),
        (npy(WINDOW * np.nan), NPY, 422, "InputError"),
        (npy(WINDOW)[:100], NPY, 422, "FormatError"),
        (npy(WINDOW * 0), NPY, 422, "InputError"),
        (pickle.dumps(WINDOW), NPY, 422, "FormatError"),
        (pickle.dumps({"keypoints": WINDOW}), {"content-type": "application/vnd.bentoml+pickle"}, 415, None),
        (b"--x--", {"content-type": "multipart/form-data; boundary=x"}, 415, None),
        (b"keypoints=http://127.0.0.1/", {"content-type": "application/x-www-form-urlencoded"}, 415, None),
        (as_json(WINDOW), {**JSON, "content-encoding": "gzip"}, 415, "UnsupportedMedia"),
        (npy(np.ones((9, 999, 17, 2), np.float32)), NPY, 413, "TooLarge"),
        (b" " * (DRAIN + 1) * 2**20, JSON, 413, "TooLarge"),
        ([b" " * 2**19] * 4, JSON, 413, "TooLarge"),
        ([b" " * 2**19] * 40, JSON, 413, "TooLarge"),
    ],
)
def test_refusals_name_the_next_step(served, body, headers, status, error):
    response = served.post(body, headers)
    assert response.status_code == status, response.text
    content = response.json()
    assert set(content) == {"error", "what", "where", "next"}
    assert content["error"] == (error or "UnsupportedMedia")
    assert content["next"]
    assert "Traceback" not in response.text


def test_an_answer_survives_the_refusals(served):
    assert served.post(npy(WINDOW), NPY).status_code == 200
    assert served.worker.releases.newest.champions["action"].in_flight == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/action", 405),
        ("DELETE", "/v1/action", 405),
        ("POST", "/health", 405),
        ("GET", "/health", 200),
        ("HEAD", "/health", 200),
        ("GET", "/ready", 200),
        ("GET", "/readyz", 200),
        ("GET", "/v1/other", 404),
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("POST", "/", 405),
        ("GET", "/static_content/swagger-ui.css", 404),
        ("GET", "/assets/index.js", 404),
    ],
)
def test_addresses(served, method, path, status):
    response = served.client.request(method, path)
    assert response.status_code == status
    assert bool(response.content) == (method != "HEAD")


@pytest.mark.parametrize("query", ["draw=png", "canary=1&canary=1", "canary=perhaps"])
def test_a_query_that_means_nothing(served, query):
    response = served.client.request("POST", f"/v1/action?{query}", npy(WINDOW), NPY)
    assert (response.status_code, response.json()["error"]) == (400, "UsageError")
    assert response.json()["next"]


def test_the_front_page_names_what_there_is(served):
    content = served.client.get("/").json()
    assert content["name"] == "recognizer"
    assert {"/v1/action", "/health", "/ready"} <= set(content["paths"])


def test_health_says_what_is_served(served, module_home):
    assert served.health() == {
        "status": "ok",
        "worker": served.health()["worker"],
        "generation": 1,
        "champions": {"action": {"version": 1, "digest": module_home.digests[1], "state": "AVAILABLE"}},
        "splits": {},
        "shadow": {"done": 0, "dropped": 0, "waiting": 0},
        "retiring": 0,
        "leaks": [],
        "stuck": 0,
        "held": None,
        "problems": [],
    }


def until(condition, step):
    """Drive the reconciling by hand: no waiting for a clock."""
    for _ in range(1000):
        if condition():
            return
        step()
    raise AssertionError("it never came about")


def test_an_empty_home_is_healthy_and_not_ready(small_home, start):
    process = start(small_home)
    assert process.health()["status"] == "ok"
    ready = process.client.get("/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    response = process.post(npy(WINDOW), NPY)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["error"] == "NoChampion"
    assert "recognizer nightly action" in response.json()["next"]
    assert not process.worker.ready()


def tamper(small):
    with (small.folder(2) / "model.onnx").open("ab") as file:
        file.write(b"x")


def add_file(small):
    (small.folder(2) / "extra.py").write_text("import os")


def unsign(small):
    (small.folder(2) / "signature.json").unlink()


def other_key(small):
    for path in small.home.keys.glob("*.pub"):
        path.rename(path.with_suffix(".gone"))


def forge(small):
    blessing = json.loads((small.folder(2) / "blessing.json").read_bytes())
    blessing["verdicts"][0]["value"] = 0.99
    (small.folder(2) / "blessing.json").write_text(json.dumps(blessing))


def borrow(small):
    shutil.copy(small.folder(1) / "blessing.json", small.folder(2) / "blessing.json")


def unbless(small):
    (small.folder(2) / "blessing.json").unlink()


def remove(small):
    shutil.rmtree(small.folder(2))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (tamper, "PackageTampered"),
        (add_file, "PackageTampered"),
        (unsign, "PackageUnsigned"),
        (other_key, "PackageUnsigned"),
        (forge, "PackageUnblessed"),
        (borrow, "PackageUnblessed"),
        (unbless, "PackageUnblessed"),
        (remove, "NotFound"),
    ],
)
def test_an_untrusted_package_is_refused_and_the_champion_keeps_serving(small_home, start, damage, error):
    small_home.release(1)
    process = start(small_home)
    assert process.client.get("/ready").status_code == 200
    small_home.package(2)
    small_home.bless(2)
    folder = small_home.folder(2)
    damage(small_home)
    small_home.promote(2)
    until(lambda: process.health()["problems"], lambda: process.post(npy(WINDOW), NPY))
    health = process.health()
    assert health["status"] == "degraded"
    assert health["champions"]["action"]["version"] == 1
    problem = health["problems"][0]
    assert (problem["error"], problem["digest"]) == (error, small_home.digests[2])
    assert str(folder) in problem["where"]
    assert problem["next"]
    response = process.post(npy(WINDOW), NPY)
    assert (response.status_code, response.json()["model"]["version"]) == (200, 1)
    assert process.client.get("/ready").status_code == 200


def test_an_untrusted_first_champion_answers_503(small_home, start):
    small_home.package(1)
    small_home.promote(1)
    process = start(small_home)
    response = process.post(npy(WINDOW), NPY)
    assert (response.status_code, response.json()["error"]) == (503, "NoChampion")
    assert "never blessed" in response.json()["what"]
    assert process.client.get("/ready").status_code == 503
    assert process.client.get("/health").status_code == 200


def test_a_new_process_serves_the_champion_before_a_damaged_one(small_home, start):
    small_home.release(1)
    small_home.release(2)
    tamper(small_home)
    process = start(small_home)
    assert process.post(npy(WINDOW), NPY).json()["model"]["version"] == 1
    assert process.client.get("/ready").status_code == 200
    assert process.health()["problems"][0]["digest"] == small_home.digests[2]


def test_a_repaired_package_comes_into_service(small_home, start):
    small_home.release(1)
    process = start(small_home)
    small_home.package(2)
    small_home.promote(2)
    until(lambda: process.health()["problems"], lambda: process.post(npy(WINDOW), NPY))
    small_home.bless(2)
    until(lambda: not process.health()["problems"], lambda: process.worker._stopping.wait(0.05))
    assert process.post(npy(WINDOW), NPY).json()["model"]["version"] == 2


def test_an_empty_store_takes_no_champion_out(small_home, start, tmp_path):
    small_home.release(1)
    process = start(small_home)
    away = tmp_path / "away"
    away.mkdir()
    for file in small_home.home.root.glob("recognizer.db*"):
        file.rename(away / file.name)
    open_store(f"sqlite:///{small_home.home.store}").close()
    until(lambda: "put the store back" in str(process.health()), lambda: process.post(npy(WINDOW), NPY))
    assert process.health()["status"] == "degraded"
    assert process.health()["champions"]["action"]["version"] == 1
    assert process.post(npy(WINDOW), NPY).status_code == 200
    assert process.client.get("/ready").status_code == 200
    for file in small_home.home.root.glob("recognizer.db*"):
        file.unlink()
    for file in away.iterdir():
        file.rename(small_home.home.root / file.name)
    small_home.release(2)
    until(lambda: process.health()["generation"] == 2, lambda: process.post(npy(WINDOW), NPY))
    assert process.health()["status"] == "ok"


def test_store_gone_goes_on_and_catches_up(small_home, start, tmp_path):
    small_home.release(1)
    process = start(small_home)
    away = tmp_path / "away"
    away.mkdir()
    files = list(small_home.home.root.glob("recognizer.db*"))
    for file in files:
        file.rename(away / file.name)
    until(lambda: process.health()["problems"], lambda: process.post(npy(WINDOW), NPY))
    problem = process.health()["problems"][0]
    assert (problem["error"], problem["task"]) == ("StoreUnavailable", None)
    assert process.post(npy(WINDOW), NPY).status_code == 200
    assert process.client.get("/ready").status_code == 200
    for file in files:
        (away / file.name).rename(file)
    small_home.release(2)
    until(lambda: process.health()["generation"] == 2, lambda: process.post(npy(WINDOW), NPY))
    assert process.health()["status"] == "ok"
    assert process.post(npy(WINDOW), NPY).json()["model"]["version"] == 2
