"""A command that is stopped, or whose Prefect server is lost, ends with all that it has started, and says why."""

import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest

from recognizer.store import nights

PATIENCE = 90.0


def wait_for(condition, what: str, seconds: float = PATIENCE):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)  # between two looks
    return found


def own(place) -> list[psutil.Process]:
    """The processes of this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RECOGNIZER_HOME") == str(place.root) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def in_a_step(place):
    with place.store() as store:
        row = nights.latest(store, "action")
    return row is not None and row.step is not None


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
    ids=["SIGTERM", "SIGINT", "SIGKILL"],
)
def test_a_night_that_is_stopped_takes_its_server_along(place, number, code):
    place.change_params(train__action__epochs=400)
    with place.start("nightly", "action") as process:
        wait_for(lambda: in_a_step(place), "the night never came to its first step")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)  # ends only when nobody holds the pipes any more
    assert process.returncode == code, err
    assert "Traceback" not in err
    wait_for(lambda: not own(place), "a process stayed behind", 5)
    with place.store() as store:
        assert nights.latest(store, "action").outcome is None


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_schedule_whose_server_dies_ends_with_an_error(place, free_port):
    with place.start("schedule", "action", RECOGNIZER_PREFECT_PORT=str(free_port)) as process:
        assert "start at" in process.stdout.readline()
        (server,) = [one for one in own(place) if "server" in one.cmdline()]
        os.kill(server.pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    assert "the Prefect server ended with code -9" in err
    assert "recognizer schedule" in err
    assert "Traceback" not in err


class Healthy(BaseHTTPRequestHandler):
    """Another home's Prefect server, as far as the question whether it is well goes."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, *_):
        pass


def test_a_schedule_joins_nobody_elses_server(place):
    with HTTPServer(("127.0.0.1", 0), Healthy) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with place.start("schedule", "action", RECOGNIZER_PREFECT_PORT=str(other.server_port)) as process:
            _, err = process.communicate(timeout=60)
        other.shutdown()
    assert process.returncode == 7, err
    assert "RECOGNIZER_PREFECT_PORT" in err
    assert "Traceback" not in err
