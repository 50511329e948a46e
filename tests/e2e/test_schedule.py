"""The schedule materialises a run by itself, and the run is a whole night."""

import os
import signal
import socket
import time

from recognizer.night import Outcome
from recognizer.store import nights

PATIENCE = 220.0


def test_a_schedule_runs_a_night(place):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    every_20_s = "* * * * * */20"  # Prefect reads a sixth field as seconds: nobody waits for a minute to begin
    process = place.start("schedule", "action", "--cron", every_20_s, RECOGNIZER_PREFECT_PORT=str(port))
    try:
        deadline = time.monotonic() + PATIENCE
        with place.store() as store:
            while (row := nights.latest(store, "action")) is None or row.outcome is None:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, "the schedule ran no night"
                time.sleep(0.5)  # between two looks at the store
        assert row.outcome is Outcome.PROMOTED, row.reason
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert f"http://127.0.0.1:{port}" in out
    assert "Traceback" not in err
    with socket.socket() as probe:  # the server it started has ended with it
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and is_of(pid, str(place.root))]


def is_of(pid: str, root: str) -> bool:
    """Whether a process that still runs was started for this home."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"RECOGNIZER_HOME={root}".encode() in file.read().split(b"\0")
    except OSError:
        return False
