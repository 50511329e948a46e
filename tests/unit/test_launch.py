"""What the service is told at its start, and what its user is told when it cannot start."""

import json
import os
import socket

import pytest

from recognizer.errors import UsageError
from recognizer.home import Home
from recognizer.settings import Settings
from serving.launch import environment, find_address


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("0.0.0.0", "0.0.0.0")]
)
def test_a_free_address_is_given_as_a_number(host, address):
    assert find_address(host, free()) == address


@pytest.mark.parametrize(
    ("host", "says", "hint"),
    [
        ("no.such.host.invalid", "is no host", "127.0.0.1"),
        ("192.0.2.1", "cannot listen there", "RECOGNIZER_HOST"),
    ],
)
def test_a_host_that_is_not_ours(host, says, hint):
    with pytest.raises(UsageError, match=says) as caught:
        find_address(host, free())
    assert hint in caught.value.hint


def test_a_port_that_is_taken(taken):
    with pytest.raises(UsageError, match="listens on this port already") as caught:
        find_address("127.0.0.1", taken)
    assert caught.value.where == f"127.0.0.1:{taken}"
    assert "RECOGNIZER_PORT" in caught.value.hint


def test_workers_get_the_same_settings(tmp_path, monkeypatch):
    settings = Settings(home=Home(tmp_path), workers=3, poll_seconds=0.5, body_limit_mb=2, log_format="json")
    for name in [name for name in os.environ if name.startswith("RECOGNIZER_")]:
        monkeypatch.delenv(name)
    told = environment(settings)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    again = Settings()
    assert again.home == settings.home
    assert again.database_url == settings.database_url
    assert (again.workers, again.poll_seconds, again.body_limit_mb, again.log_format) == (3, 0.5, 2, "json")
    assert json.loads(told["BENTOML_CONFIG_OVERRIDES"]) == {"services": {"recognizer": {"workers": 3}}}
    assert told["BENTOML_HOME"] == str(tmp_path / "bentoml")
