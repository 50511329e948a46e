"""Traffic against the real service, and against a server that does everything wrong: it counts, and never breaks."""

import asyncio
import contextlib
import io
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from http.client import HTTPConnection

import numpy as np
import pytest

from flows.command.main import main
from flows.recordings import MOST_CASES, find_recordings, logged_recordings, make_recordings
from flows.traffic import replay
from recognizer.errors import InputError, NotFound, ServiceUnreachable
from recognizer.ingest.origin import DataFile
from recognizer.predictions import Prediction, new_id
from recognizer.sequences import SequenceSet, SkeletonSequence, write_npz
from recognizer.settings import Settings
from recognizer.store import open_store, predictions
from recognizer.traffic import Arrivals, Sent, TrafficPlan, write_schedule
from serving.action.body import read_window

CLASSES = ("standing", "walking", "falling")
PATIENCE = 60
GOOD = {
    "prediction_id": "p",
    "model": {"name": "action", "version": 1, "digest": "d"},
    "arm": "champion",
    "action": "walking",
    "scores": {"standing": 0.1, "walking": 0.8, "falling": 0.1},
}
HANG, CLOSE = "hang", "close"


def http(content, status="200 OK", *headers):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Server:
    """Answers requests by a plain function: bytes are written, HANG never answers, CLOSE breaks off.

    `answer(number, path, headers, body)` is called with how many came before on any connection.
    """

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self):
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(PATIENCE)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self):
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                number, path = len(self.requests), first.split()[1]
                self.requests.append((path, headers, body))
                said = self.answer(number, path, headers, body)
                if said == HANG:
                    await asyncio.sleep(PATIENCE)
                elif said == CLOSE:
                    break
                else:
                    writer.write(said)
                    whole = b"Content-Length" in said or b"chunked" in said
                    if not whole or b"X-Half" in said:
                        break
        writer.close()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await writer.wait_closed()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def always(said):
    return lambda number, path, headers, body: said


def every(n, bad, good=GOOD):
    """Good answers, and at each n-th request something else."""
    return lambda number, path, headers, body: http(good) if (number + 1) % n else bad


def plan(url, **changes):
    windows = tuple(Sent(f"body {i}".encode(), {"truth": "walking"}) for i in range(5))
    return TrafficPlan(
        **{"url": url, "cases": windows, "rate": 500.0, "seconds": None, "requests": 140, "timeout": 30.0, **changes}
    )


def test_good_answers():
    with Server(always(http(GOOD, "200 OK", "X-Recognizer-Generation: 41"))) as server:
        seen = []
        report = replay(plan(server.url), seen.append)
    assert (report.requests, report.failed, report.unfinished) == (140, 0, 0)
    assert report.versions[1].correct == report.versions[1].judged == report.arms["champion"].answers == 140
    assert report.generations == (41,)
    assert tuple(seen) == report.answers
    assert sorted(answer.number for answer in seen) == list(range(140))
    assert {path for path, _, _ in server.requests} == {"/v1/action"}
    assert {headers["content-type"] for _, headers, _ in server.requests} == {"application/x-npy"}
    assert sorted(body for _, _, body in server.requests) == sorted([f"body {i}".encode() for i in range(5)] * 28)


BAD = {
    "status": (http({"error": "X", "what": "broke"}, "500 No"), {"status 500": 20}, "X: broke"),
    "status without JSON": (http(b"<html>", "502 No"), {"status 502": 20}, "<html>"),
    "redirect": (http(b"", "307 There", "Location: /"), {"status 307": 20}, ""),
    "breaks off": (CLOSE, {"connection": 20}, "closed"),
    "half": (
        http(GOOD)[:-10].replace(b"Content-Length", b"X-Half: 1\r\nContent-Length: 999\r\nX"),
        {"connection": 20},
        "closed",
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH", {"answer": 20}, "SSH"),
    "no JSON": (http(b'{"model":'), {"answer": 20}, "model"),
    "other JSON": (http([1, 2]), {"answer": 20}, "[1, 2]"),
    "deep JSON": (http(b"[" * 100_000), {"answer": 20}, "[["),
    "no model": (http({**GOOD, "model": "best"}), {"answer": 20}, "best"),
    "no version": (http({**GOOD, "model": {"version": "1"}}), {"answer": 20}, "version"),
    "no arm": (http({**GOOD, "arm": None}), {"answer": 20}, "arm"),
    "too long": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", {"answer": 20}, "length"),
    "nothing": (http(b""), {"answer": 20}, ""),
}


@pytest.mark.parametrize("fault", BAD)
def test_each_seventh_request_fails_and_is_counted(fault):
    said, failures, example = BAD[fault]
    with Server(every(7, said)) as server:
        report = replay(plan(server.url))
    assert dict(report.failures) == failures
    assert example in report.examples[next(iter(failures))]
    assert (report.requests, report.all.answers) == (140, 120)


FINE = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (len(json.dumps(GOOD)), json.dumps(GOOD).encode()),
    "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(GOOD).encode(),
    "closing": http(GOOD, "200 OK", "Connection: close"),
    "odd generation": http(GOOD, "200 OK", "X-Recognizer-Generation: newest"),
    "no scores": http({**GOOD, "scores": None, "prediction_id": None}),
}


@pytest.mark.parametrize("way", FINE)
def test_whatever_is_right_is_no_failure(way):
    with Server(always(FINE[way])) as server:
        report = replay(plan(server.url, feedback=0.0))
    assert (report.all.answers, report.failures, report.generations) == (140, {}, ())


@pytest.mark.parametrize("connections", [1, 2, 64])
def test_nobody_waits_for_a_connection_that_nobody_opens(connections):
    """Every answer ends its connection, and all requests are in line at once."""
    with Server(always(FINE["closing"])) as server:
        report = replay(plan(server.url, rate=100_000.0, connections=connections))
    assert (report.all.answers, report.failures) == (140, {})


def test_a_request_that_hangs_is_given_up():
    with Server(every(7, HANG)) as server:
        report = replay(plan(server.url, timeout=1.0))
    assert dict(report.failures) == {"timeout": 20}
    assert all(1.0 <= answer.latency < 10 for answer in report.answers if answer.failure)
    assert report.all.answers == 120


def test_when_everything_hangs_those_in_line_are_given_up_too():
    with Server(always(HANG)) as server:
        report = replay(plan(server.url, timeout=0.5, connections=2))
    assert dict(report.failures) == {"timeout": 140}


@pytest.mark.parametrize("connections", [1, 64])
def test_a_service_that_stands_still_is_charged_with_every_request_that_was_due(connections):
    def stand_still(number, path, headers, body):
        if number == 50:
            time.sleep(1.0)  # the server's only thread
        return http(GOOD)

    with Server(stand_still) as server:
        report = replay(plan(server.url, rate=100.0, requests=200, connections=connections, arrivals=Arrivals.CONSTANT))
    due = sorted(answer.due for answer in report.answers)
    assert np.diff(due) == pytest.approx(0.01)
    assert report.failed == 0
    # one request in 10 ms for a second; a client that waits for answers would have seen one slow request
    assert sum(answer.latency > 0.3 for answer in report.answers) >= 65
    assert report.all.latency.max >= 0.9


def test_cameras_are_named_and_unequal():
    with Server(always(http(GOOD))) as server:
        report = replay(plan(server.url, cameras=4, requests=300))
    keys = [headers["x-routing-key"] for _, headers, _ in server.requests]
    assert set(keys) == {f"camera-{i}" for i in range(1, 5)}
    assert keys.count("camera-1") > 2 * keys.count("camera-4")
    assert sum(answer.camera == 0 for answer in report.answers) == keys.count("camera-1")


@pytest.mark.parametrize("arm", [None, "challenger"])
def test_requests_may_be_forced_to_an_arm(arm):
    with Server(always(http(GOOD))) as server:
        replay(plan(server.url, arm=arm, requests=10))
    assert [headers.get("x-recognizer-arm") for _, headers, _ in server.requests] == [arm] * 10


def test_what_was_answered_is_handed_out():
    def said(number, path, headers, body):
        return http({**GOOD, "body": body.decode()}) if number % 7 else http(b"", "503 No")

    seen = {}
    with Server(said) as server:
        asked = plan(server.url)
        report = replay(asked, on_content=seen.__setitem__)
    window = write_schedule(asked).case
    assert {number: content["body"] for number, content in seen.items()} == {
        answer.number: f"body {window[answer.number]}" for answer in report.answers if answer.failure is None
    }
    assert len(seen) == 120


def test_answers_by_arm_version_and_recovery():
    challenger = {**GOOD, "arm": "challenger", "model": {"version": 2}, "action": "falling"}
    recovered = {**GOOD, "recovered": True}

    def said(number, path, headers, body):
        return http([GOOD, challenger, recovered, {**GOOD, "scores": {"jumping": 1.0}}][number % 4])

    with Server(said) as server:
        report = replay(plan(server.url))
    assert {arm: part.answers for arm, part in report.arms.items()} == {"challenger": 35, "champion": 105}
    assert (report.versions[2].judged, report.versions[2].correct) == (35, 0)
    # a model that does not know the class is not called wrong
    assert (report.versions[1].judged, report.versions[1].correct) == (70, 70)
    assert report.all.recovered == 35


def doors(feedback):
    """A service whose feedback door says what `feedback` says, given how often it was asked before."""
    asked = []

    def said(number, path, headers, body):
        if path != "/v1/feedback":
            return http({**GOOD, "prediction_id": f"p{number}"})
        asked.append(json.loads(body))
        return feedback(len(asked) - 1)

    return asked, said


def test_feedback_is_sent_for_its_share():
    asked, said = doors(lambda number: http({}) if number % 2 else http({"error": "NotFound", "what": "?"}, "404 No"))
    with Server(said) as server:
        report = replay(plan(server.url, feedback=0.5, feedback_delay=0.1))
    assert report.feedback.sent == len(asked)
    assert 45 < len(asked) < 95
    assert report.feedback.accepted == len(asked) // 2
    assert dict(report.feedback.refused) == {"status 404": len(asked) - len(asked) // 2}
    assert report.feedback.door
    assert all(told["truth"] == "walking" and told["prediction_id"].startswith("p") for told in asked)
    assert len({told["prediction_id"] for told in asked}) == len(asked)
    assert report.requests == 140
    assert report.failed == 0


def test_a_service_without_that_door_is_asked_only_until_it_says_so():
    asked, said = doors(lambda number: http(b"Not Found", "404 Not Found"))
    with Server(said) as server:
        report = replay(plan(server.url, feedback=1.0, feedback_delay=0.0, rate=50.0, requests=50))
    assert not report.feedback.door
    assert len(asked) < 50
    assert (report.failed, report.requests) == (0, 50)


def test_nobody_listens(free_port):
    with pytest.raises(ServiceUnreachable, match="no service answers") as refused:
        replay(plan(f"http://127.0.0.1:{free_port()}"))
    assert "recognizer serve" in refused.value.hint


def test_a_service_that_goes_away_costs_failures_and_nothing_else():
    server = Server(always(http(GOOD)))
    seen = []

    def stop_it(answer):
        seen.append(answer)
        if len(seen) == 50:
            server.__exit__()

    with contextlib.suppress(ValueError):
        server.__enter__()
        report = replay(plan(server.url), stop_it)
    assert 50 <= report.all.answers < 140
    assert set(report.failures) == {"connection"}
    assert report.requests == 140


def test_connections_are_kept_and_replaced():
    with Server(always(http(GOOD))) as server:
        report = replay(plan(server.url, rate=60.0, seconds=6.0, requests=None))
    assert report.failed == 0
    # a few at the beginning, each of them replaced once or twice; a slow machine may need more at once
    assert 5 <= server.connections < len(server.requests) / 2


def test_it_can_be_stopped_from_another_thread():
    stop = threading.Event()
    with Server(always(http(GOOD))) as server:
        thread = threading.Thread(target=lambda: wait_until(lambda: len(server.requests) >= 10) or stop.set())
        thread.start()
        report = replay(plan(server.url, rate=20.0, requests=100_000), stop=stop)
        thread.join()
    assert 10 <= report.requests < 2000
    assert report.unfinished == 0


def test_it_runs_in_a_process_of_its_own():
    spawn = multiprocessing.get_context("spawn")
    with Server(always(http(GOOD))) as server, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        began = time.monotonic()
        report = pool.submit(replay, plan(server.url)).result(PATIENCE)
    assert report.all.answers == 140
    # its clock is this process's clock
    assert all(began < answer.due < time.monotonic() for answer in report.answers)


def sequence(name, label, visible=1.0):
    points = np.random.default_rng(len(name)).uniform(1, 500, (2, 30, 17, 2)).astype(np.float32)
    return SkeletonSequence(name, points, np.full((2, 30, 17), visible, np.float32), label, name[:2], (500, 500))


def test_recordings_are_bodies_with_their_truth():
    several = SequenceSet(CLASSES, (sequence("p2_b", 2), sequence("p1_a", 1), sequence("p1_unseen", 0, 0.0)))
    as_npy, as_json = make_recordings("action", several, "here"), make_recordings("action", several, "here", "json")
    assert [window.truth["truth"] for window in as_npy.cases] == ["walking", "falling"]  # subject after subject
    array = np.load(io.BytesIO(as_npy.cases[0].content))
    content = json.loads(as_json.cases[0].content)
    assert (array.shape, array.dtype) == ((2, 30, 17, 3), np.float32)
    assert array[..., :2] == pytest.approx(np.array(content["keypoints"]), abs=1e-3)
    assert array[..., 2] == pytest.approx(np.array(content["visibility"]))
    assert as_npy.source == "2 cases, here"
    assert (as_npy.media_type, as_json.media_type) == ("application/x-npy", "application/json")
    with pytest.raises(InputError, match="no case that can be sent"):
        make_recordings("action", several.subset([2]), "here")


def test_of_many_recordings_some_are_taken_evenly():
    many = SequenceSet(CLASSES, tuple(sequence(f"p{i:04d}", i % 3) for i in range(MOST_CASES * 2)))
    assert len(make_recordings("action", many, "here").cases) == MOST_CASES


def test_of_a_file_with_a_held_out_part_that_part_is_replayed(tmp_path):
    plain, cut = tmp_path / "plain.npz", tmp_path / "cut.npz"
    write_npz(plain, SequenceSet(CLASSES, tuple(sequence(f"p{i}", i % 3) for i in range(6))))
    with np.load(plain) as arrays:
        np.savez(cut, **arrays, split=np.array(["train"] * 4 + ["test"] * 2))
    settings = Settings(home=tmp_path / "home")
    for file, count in ((plain, 6), (cut, 2)):
        assert len(find_recordings(settings, "action", data=DataFile(file)).cases) == count


@pytest.fixture
def recognizer(small_home, monkeypatch, capsys):
    """Runs the command in this process; returns exit code, stdout and stderr."""
    monkeypatch.setenv("RECOGNIZER_HOME", str(small_home.home.root))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["recognizer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_the_command_reports_failures_and_ends_with_1(recognizer):
    with Server(every(7, http({"error": "X", "what": "broke"}, "500 No"))) as server:
        arguments = ("traffic", "action", "--url", server.url, "--requests", 70, "--rate", 500)
        code, out, _ = recognizer(*arguments, "--json")
        shown_code, shown, _ = recognizer(*arguments)
    said = json.loads(out)
    assert (code, said["failed"], said["failures"]) == (1, 10, {"status 500": 10})
    assert said["source"] == "40 cases, synthetic"
    assert shown_code == 1
    assert "10 failed, status 500: X: broke" in shown
    assert "version 1" in shown


def test_the_command_replays_the_newest_snapshot_and_tells_of_a_missing_door(recognizer, small_home):
    assert recognizer("ingest", "action", "--synthetic", "--count", "80")[0] == 0
    _, said = doors(lambda number: http(b"Not Found", "404 Not Found"))
    with Server(said) as server:
        arguments = ("--url", server.url, "--requests", 30, "--rate", 300, "--feedback", 1)
        code, out, _ = recognizer("traffic", "action", *arguments)
    assert code == 0
    assert "test set of snapshot" in out
    assert "no request failed" in out
    assert out.count("takes no feedback") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["dance"], 4, "use one of: action"),
        (["action", "--url", "localhost"], 2, "http://127.0.0.1:3000"),
        (["action", "--rate", "0"], 2, "rate"),
        (["action", "--data", "no-such-file.npz"], 2, "no such file"),
        (["action", "--url", "http://127.0.0.1:1"], 4, "recognizer serve"),
        (["action", "--body", "pickle"], 2, "pickle"),
        (["action", "--logged", "--data", "x.npz"], 2, "give one of them"),
        (["action", "--logged"], 4, "serve some requests first"),
    ],
)
def test_wrong_use_names_the_next_step(recognizer, tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    ended, _, err = recognizer("traffic", *arguments)
    assert ended == code, err
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize("form", ["npy", "json"])
def test_what_was_asked_last_is_asked_again(tmp_path, form):
    settings = Settings(home=tmp_path / "home")
    settings.home.prepare()
    people = np.random.default_rng(0).uniform(0, 400, (4, 2, 30, 17, 2)).round(3).astype(np.float32)
    seen = np.ones((4, 2, 30, 17), np.float32)
    rows = []
    for number in range(4):
        name = f"action/2026-01-01/{number}.npz" if number != 1 else None
        rows.append(Prediction(new_id(number), "action", number, None, "champion", None, 1, "d", "x", 0.5, inputs=name))
        if number not in (1, 2):  # one of which no input was kept, one whose file is gone
            path = settings.home.inputs / name
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, keypoints=people[number], visibility=seen[number])
    with open_store(settings.database_url) as store:
        predictions.append(store, rows)
    found = logged_recordings(settings, "action", form)
    assert found.source == "2 cases, prediction log"
    for window, number in zip(found.cases, (0, 3), strict=True):
        asked, _ = read_window(window.content, found.media_type)
        assert window.truth is None
        np.testing.assert_allclose(asked.keypoints, people[number], atol=1e-3)
        np.testing.assert_array_equal(asked.visibility, seen[number])
    with pytest.raises(NotFound, match="no inputs of task 'pose'"):
        logged_recordings(settings, "pose")


def test_a_home_without_data_gets_no_store(tmp_path):
    home = tmp_path / "home"
    assert find_recordings(Settings(home=home), "action").source.endswith("cases, synthetic")
    assert not home.exists()


def test_ctrl_c_prints_what_was_done(tmp_path):
    with Server(always(http(GOOD))) as server:
        command = [sys.executable, "-m", "flows.command.main", "traffic", "action", "--url", server.url]
        process = subprocess.Popen(
            [*command, "--rate", "100", "--seconds", "600", "--json"],
            env={**os.environ, "RECOGNIZER_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: len(server.requests) >= 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    said = json.loads(out)
    assert process.returncode == 0, err
    assert 20 <= said["requests"] < said["planned"]
    assert (said["failed"], said["unfinished"]) == (0, 0)
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def service(module_home, free_port, tmp_path_factory):
    """The real service with two workers and version 1; yields its URL."""
    module_home.release(1)
    port = free_port()
    environment = {
        **os.environ,
        "RECOGNIZER_HOME": str(module_home.home.root),
        "RECOGNIZER_PORT": str(port),
        "RECOGNIZER_WORKERS": "2",
        "RECOGNIZER_POLL_SECONDS": "0.05",
    }
    log = tmp_path_factory.mktemp("log") / "serve.log"
    start = "from recognizer.settings import load_settings; from serving.launch import serve; serve(load_settings())"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-c", start], env=environment, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + PATIENCE
        while not is_ready(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def is_ready(port):
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    return False


def test_a_swap_of_the_real_service_under_traffic(service, module_home):
    """Version 1 says `walking`, which is the truth; version 2 says `falling`."""
    several = SequenceSet(CLASSES, tuple(sequence(f"p{i}", 1) for i in range(5)))
    windows = make_recordings("action", several, "here").cases
    module_home.package(2)
    module_home.bless(2)
    stop, seen = threading.Event(), []

    def swap(answer):
        seen.append(answer)
        if len(seen) == 100:
            module_home.promote(2)
        if sum(one.version == 2 for one in seen[-100:]) == 100:
            stop.set()

    report = replay(TrafficPlan(service, windows, rate=100.0, seconds=120.0, cameras=3), swap, stop)
    assert dict(report.failures) == {}
    assert set(report.versions) == {1, 2}
    assert set(report.arms) == {"champion"}
    first, second = report.versions[1], report.versions[2]
    assert first.correct == first.judged == first.answers >= 100
    assert (second.correct, second.judged) == (0, second.answers)
    assert report.all.latency.p99 < PATIENCE


@pytest.mark.parametrize("body", ["npy", "json"])
def test_the_command_against_the_real_service(service, recognizer, tmp_path, body):
    file = tmp_path / "windows.npz"
    write_npz(file, SequenceSet(CLASSES, tuple(sequence(f"p{i}", i % 3) for i in range(6))))
    code, out, err = recognizer(
        "traffic", "action", "--url", service, "--data", file, "--body", body, "--requests", 60, "--json"
    )
    said = json.loads(out)
    assert code == 0, err
    assert (said["requests"], said["failed"], said["source"]) == (60, 0, "6 cases, file windows.npz")
    assert said["all"]["judged"] == 60
    assert said["all"]["correct"] == 20  # every version is sure of one of three classes


def test_the_service_says_what_is_wrong_with_a_request(service):
    report = replay(plan(service, requests=10))
    assert dict(report.failures) == {"status 422": 10}
    assert "npy" in report.examples["status 422"]


def test_a_port_that_listens_and_never_answers():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        report = replay(plan(url, requests=20, timeout=0.5))
    assert dict(report.failures) == {"timeout": 20}
