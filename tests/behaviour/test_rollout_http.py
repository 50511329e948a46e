"""Rollouts over HTTP, at the real service: read by anybody, steered from this machine or with the token."""

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from recognizer.store import audit, open_store, rollouts, versions

START = "from recognizer.settings import load_settings; from serving.launch import serve; serve(load_settings())"
TOKEN = "a-token-of-16-ch"
PATIENCE = 60


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {what} after {PATIENCE} s")


class Client:
    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
            connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null"), response.headers
        finally:
            connection.close()

    def ready(self):
        try:
            return self.ask("GET", "/ready")[0] == 200
        except OSError:
            return False


@contextmanager
def running(home, port, log, **environment):
    words = {"RECOGNIZER_HOME": str(home.home.root), "RECOGNIZER_PORT": str(port), "RECOGNIZER_POLL_SECONDS": "0.05"}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", START], env={**os.environ, **words, **environment}, stdout=file, stderr=file
        )
    try:
        client = Client(port)
        wait_for(lambda: client.ready() or process.poll() is not None, "service")
        assert process.poll() is None, log.read_text()
        yield client
    finally:
        process.terminate()
        process.wait(PATIENCE)
    assert TOKEN not in log.read_text()


@pytest.fixture(scope="module")
def home(module_home):
    module_home.release(1)
    module_home.package(2)
    module_home.bless(2)
    with open_store(module_home.url) as store:
        versions.record(
            store, task="action", version=2, digest=module_home.digests[2], snapshot="0" * 64,
            test_digest="1" * 64, verdict="PASSED", metrics={},
        )  # fmt: skip
    return module_home


def test_a_rollout_is_read_and_steered(home, free_port, tmp_path):
    with running(home, free_port(), tmp_path / "log") as client, open_store(home.url) as store:
        rollouts.start(
            store, task="action", version=2, digest=home.digests[2], reason="try", who="test", home=home.home
        )
        told = wait_for(
            lambda: (seen := client.ask("GET", "/v1/rollouts")[1])["tasks"][0]["rollout"]["step"] == "SHADOW" and seen,
            "challenger that every worker has loaded",
        )
        assert told["controller"]["holder"]
        assert [(worker["lives"], worker["ready"]) for worker in told["workers"]] == [(True, True)]
        wait_for(lambda: client.ask("GET", "/v1/rollouts/action")[1]["workers"][0]["lags"] == [], "worker in step")
        for word, phase in [("pause", "PAUSED"), ("resume", "PROGRESSING"), ("freeze", "PROGRESSING")]:
            status, told, _ = client.ask("POST", f"/v1/rollouts/action/{word}", {"reason": "look"})
            assert (status, told["rollout"]["phase"]) == (200, phase)
        assert told["freeze"]["reason"] == "look"
        status, told, _ = client.ask("POST", "/v1/rollouts/action/abort")
        assert (status, told["error"]) == (409, "Conflict")
        assert "unfreeze" in told["next"]
        assert client.ask("POST", "/v1/rollouts/action/unfreeze")[1]["freeze"] is None
        status, told, _ = client.ask("POST", "/v1/rollouts/action/abort", {"reason": "enough"})
        assert (status, told["rollout"]["phase"]) == (200, "ABORTED")
        assert told["rollout"]["reason"] == "abort by http 127.0.0.1: enough"
        for method, path, body, headers, code in [
            ("GET", "/v1/rollouts/dance", None, {}, 404),
            ("GET", "/v1/rollouts/action/abort", None, {}, 405),
            ("POST", "/v1/rollouts/action", None, {}, 405),
            ("DELETE", "/v1/rollouts/action/abort", None, {}, 405),
            ("POST", "/v1/rollouts/action/destroy", None, {}, 404),
            ("POST", "/v1/rollouts/action/pause/now", None, {}, 404),
            ("POST", "/v1/rollouts/action/resume", None, {}, 409),
            ("POST", "/v1/rollouts/action/pause", b"nonsense", {}, 422),
            ("POST", "/v1/rollouts/action/pause", b"x" * 20_000, {}, 413),
            ("POST", "/v1/rollouts/action/pause", b"a=b", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
            ("POST", "/v1/rollouts/action/freeze", None, {"Origin": "http://evil.example"}, 403),
            ("POST", "/v1/rollouts/action/freeze", None, {"X_Forwarded_For": "10.0.0.7"}, 403),
        ]:
            status, told, _ = client.ask(method, path, body, **headers)
            assert (status, bool(told["next"])) == (code, True), (method, path, told)
        assert audit.verify_audit(store, home.home) == []


def test_with_a_token_nobody_steers_without_it(home, free_port, tmp_path):
    with running(home, free_port(), tmp_path / "log", RECOGNIZER_ADMIN_TOKEN=TOKEN) as client:
        assert client.ask("GET", "/v1/rollouts/action")[0] == 200
        status, told, headers = client.ask("POST", "/v1/rollouts/action/freeze")
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert client.ask("POST", "/v1/rollouts/action/freeze", Authorization="Bearer no")[0] == 401
        status, told, _ = client.ask("POST", "/v1/rollouts/action/freeze", Authorization=f"Bearer {TOKEN}")
        assert (status, told["freeze"]["who"]) == (200, "http 127.0.0.1")
        assert client.ask("POST", "/v1/rollouts/action/unfreeze", Authorization=f"Bearer {TOKEN}")[0] == 200
