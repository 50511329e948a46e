"""The real service: a supervisor and two workers under traffic, swapped, stopped and killed."""

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

WINDOW = np.random.default_rng(0).uniform(1, 500, (2, 30, 17, 2)).astype(np.float32)
START = "from recognizer.settings import load_settings; from serving.launch import serve; serve(load_settings())"
PATIENCE = 60


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BODIES = [
    (npy(WINDOW), {"content-type": "application/x-npy"}),
    (json.dumps({"keypoints": WINDOW[0].tolist()}).encode(), {"content-type": "application/json"}),
]


def wait_for(condition, what, seconds=PATIENCE):
    """Ask again and again; what a process does cannot be waited for otherwise."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {what} after {seconds} s")


@dataclass
class Service:
    process: subprocess.Popen
    port: int
    log: Path

    def request(self, method, path, body=None, headers=None, connection=None):
        opened = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            opened.request(method, path, body, headers or {})
            response = opened.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            if connection is None:
                opened.close()

    def ready(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.request("GET", "/ready")[0] == 200
        except OSError:
            return False

    def health_of_each(self, workers):
        """The newest health of every worker; each connection is taken by whichever worker is faster."""
        seen = {}

        def all_seen():
            health = self.request("GET", "/health")[1]
            seen[health["worker"]] = health
            return len(seen) == workers

        wait_for(all_seen, f"answer of {workers} workers, only {list(seen)}")
        return seen

    def workers(self):
        return psutil.Process(self.process.pid).children(recursive=True)


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # one that nobody waited for has ended too
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def running(small, port, folder, workers):
    environment = {
        **os.environ,
        "RECOGNIZER_HOME": str(small.home.root),
        "RECOGNIZER_PORT": str(port),
        "RECOGNIZER_WORKERS": str(workers),
        "RECOGNIZER_POLL_SECONDS": "0.05",
    }
    log = folder / f"serve-{port}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", START], env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=folder
        )
    service = Service(process, port, log)
    try:
        wait_for(service.ready, "service that is ready")
        yield service
    finally:
        workers = service.workers() if process.poll() is None else []
        process.terminate()
        process.wait(PATIENCE)
        assert not any(runs(worker) for worker in workers)


@pytest.fixture(scope="module")
def service(module_home, free_port, tmp_path_factory):
    module_home.release(1)
    with running(module_home, free_port(), tmp_path_factory.mktemp("log"), workers=2) as service:
        yield service


@pytest.fixture
def new_version(module_home):
    """The number of a version that does not exist yet: tests of this module run in any order."""
    return max(module_home.digests) + 1


def serving_everywhere(service, generation):
    return lambda: all(health["generation"] >= generation for health in service.health_of_each(2).values())


@dataclass
class Traffic:
    """Clients that keep asking until told to stop, and remember what they got."""

    service: Service
    stop: threading.Event = field(default_factory=threading.Event)
    answers: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def client(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=30)
        body, headers = BODIES[number % len(BODIES)]
        for i in range(20_000):
            if self.stop.is_set():
                break
            if i % 10 == 0:  # a new connection may reach the other worker
                connection.close()
            try:
                status, content = self.service.request("POST", "/v1/action", body, headers, connection)
            except Exception as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            (self.answers if status == 200 else self.failures).append(content)
        connection.close()

    @contextlib.contextmanager
    def flowing(self, clients=4):
        threads = [threading.Thread(target=self.client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()


def test_swaps_under_traffic_without_a_failed_request(service, module_home, new_version):
    traffic = Traffic(service)
    swaps = range(new_version, new_version + 3)
    for version in swaps:
        module_home.package(version)
        module_home.bless(version)
    with traffic.flowing():
        for version in swaps:
            wait_for(lambda: traffic.answers, "answer")
            module_home.promote(version)
            wait_for(lambda v=version: traffic.answers[-1]["model"]["version"] == v, f"answer of version {version}")
        wait_for(serving_everywhere(service, generation_of(module_home)), "swap in both workers")
        enough = len(traffic.answers) + 100
        wait_for(lambda: len(traffic.answers) >= enough, "hundred answers more")
    assert traffic.failures == []
    for answer in traffic.answers:
        version = answer["model"]["version"]
        assert answer["model"]["digest"] == module_home.digests[version]
        # the scores are those of the model that is named
        assert answer["action"] == ("standing", "walking", "falling")[version % 3]
    assert {answer["model"]["version"] for answer in traffic.answers} >= set(swaps)


def generation_of(small):
    from recognizer.store import open_store
    from recognizer.store.served import read_generation

    with open_store(small.url) as store:
        return read_generation(store)


def test_a_tampered_champion_is_refused_under_traffic(service, module_home, new_version):
    before = service.request("GET", "/health")[1]["champions"]["action"]["version"]
    module_home.package(new_version)
    module_home.bless(new_version)
    with (module_home.folder(new_version) / "model.onnx").open("ab") as file:
        file.write(b"x")
    traffic = Traffic(service)
    with traffic.flowing():
        module_home.promote(new_version)
        wait_for(serving_everywhere(service, generation_of(module_home)), "new generation in both workers")
        enough = len(traffic.answers) + 50
        wait_for(lambda: len(traffic.answers) >= enough, "fifty answers more")
    assert traffic.failures == []
    assert {answer["model"]["version"] for answer in traffic.answers} == {before}
    for health in service.health_of_each(2).values():
        assert [(p["error"], p["digest"]) for p in health["problems"]] == [
            ("PackageTampered", module_home.digests[new_version])
        ]
    assert service.log.read_text().count("champion refused") == 2
    # a good one takes its place
    module_home.release(new_version + 1)
    wait_for(serving_everywhere(service, generation_of(module_home)), "recovery in both workers")
    assert all(health["status"] == "ok" for health in service.health_of_each(2).values())


def run_script(script, *arguments, **variables):
    """What a script prints that runs in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_typed_client(service):
    script = """
import json, sys
import bentoml, numpy
window = numpy.random.default_rng(0).uniform(1, 500, (2, 30, 17, 2))
with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    answers = [
        client.action(keypoints=window.tolist()),
        client.action(window),
        client.action(keypoints=window, visibility=numpy.ones((2, 30, 17))),
    ]
    try:
        client.action(keypoints=window[:, :, :5])
    except bentoml.exceptions.BentoMLException as error:
        refusal = str(error)
    print(json.dumps({"answers": answers, "refusal": refusal, "ready": client.is_ready()}))
"""
    said = run_script(script, f"http://127.0.0.1:{service.port}")
    assert set(said["answers"][0]) == {"prediction_id", "model", "arm", "action", "confidence", "scores"}
    assert said["answers"][0]["scores"] == said["answers"][1]["scores"] == said["answers"][2]["scores"]
    assert "17 COCO joints" in said["refusal"]
    assert said["ready"]


def test_a_client_that_breaks_off_harms_nobody(service):
    for sent in (b"", b"POST", b"POST /v1/action HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n123", b"\0" * 1000):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(sent)
    body, headers = BODIES[0]
    assert service.request("POST", "/v1/action", body, headers)[0] == 200
    assert "Traceback" not in service.log.read_text()


def test_a_client_that_sends_far_too_much_reads_why_it_was_refused(service):
    status, content = service.request("POST", "/v1/action", bytes(100 * 2**20), {"content-type": "application/x-npy"})
    assert (status, content["error"]) == (413, "TooLarge")
    assert "RECOGNIZER_BODY_LIMIT_MB" in content["next"]


def test_a_body_that_never_comes_is_answered(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        connection.sendall(b"POST /v1/action HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n123")
        answer = b""
        while part := connection.recv(65536):  # ends only when the service closes the connection
            answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"TooSlow" in answer


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/static_content/swagger-ui-bundle.js", 404), ("/static_content/", 404)]
)
def test_no_page_loads_anything_from_elsewhere(service, path, status):
    found, content = service.request("GET", path)
    assert found == status
    assert "//" not in json.dumps(content)


@pytest.mark.parametrize("path", ["/v1/action", "/v1/action/", "/v1//action", "//v1/action", "/V1/action", "/action"])
@pytest.mark.parametrize("media_type", ["application/vnd.bentoml+pickle", "multipart/form-data; boundary=x"])
def test_no_way_around_the_door(service, path, media_type):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", path, b"cos\nabort\n(tR.", {"content-type": media_type})
        response = connection.getresponse()
        assert response.status in (307, 404, 415)
        if response.status == 307:  # to the door
            assert response.headers["location"].endswith("/v1/action")


def test_the_schema_names_the_types(service):
    routes = service.request("GET", "/schema.json")[1]["routes"]
    known = {route["route"]: route for route in routes}
    assert {path: route["input"]["required"] for path, route in known.items()} == {
        "/v1/action": ["keypoints"],
        "/v1/pose": ["image"],
    }
    assert set(known["/v1/action"]["output"]["properties"]) >= {"prediction_id", "model", "scores"}
    assert set(known["/v1/pose"]["output"]["properties"]) >= {"prediction_id", "model", "people"}


def test_a_second_service_on_the_port_is_told_so(service, module_home):
    environment = {**os.environ, "RECOGNIZER_HOME": str(module_home.home.root), "RECOGNIZER_PORT": str(service.port)}
    second = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=False)
    assert "listens on this port already" in second.stderr
    assert "RECOGNIZER_PORT" in second.stderr


@pytest.mark.parametrize("way", [signal.SIGINT, signal.SIGKILL])
def test_stopping_leaves_no_process_behind(small_home, free_port, tmp_path, way):
    small_home.release(1)
    with running(small_home, free_port(), tmp_path, workers=2) as service:
        workers = service.workers()
        assert len(workers) == 2
        service.process.send_signal(way)
        status = service.process.wait(PATIENCE)
        wait_for(lambda: not any(runs(worker) for worker in workers), "end of the workers")
        assert status == (-signal.SIGKILL if way == signal.SIGKILL else 0)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", service.port))
    assert "Traceback" not in service.log.read_text()


def test_a_serving_process_needs_no_training_and_no_registry(module_home, service):
    script = """
import json, sys
import numpy as np
import serving.service
from recognizer.settings import load_settings
from serving.action.answer import answer
from serving.action.window import make_window
from serving.worker import Worker
worker = Worker(load_settings())
worker.start()
answer(worker.router, make_window(np.ones((1, 5, 17, 2))))
worker.stop()
heavy = "torch lightning pytorch_lightning mlflow prefect dvc great_expectations sklearn matplotlib alembic".split()
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    assert run_script(script, RECOGNIZER_HOME=str(module_home.home.root)) == []
