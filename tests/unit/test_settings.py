"""Settings: what a file or a variable may say, and what is said to whoever writes it wrongly."""

import pytest

from recognizer.errors import UsageError
from recognizer.settings import load_settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RECOGNIZER_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: [1", "is not YAML"),
        (b"\xff\xfe", "is not YAML"),
        (b"port: \x00", "is not YAML"),
        (b"2024-99-99", "is not YAML"),
        (b"1: 2", "`name: value` lines"),
        (b"- 1", "`name: value` lines"),
        (b"false", "`name: value` lines"),
        (b"home: /elsewhere", "cannot be named by a file inside it"),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_used_is_named_with_the_next_step(home, content, says):
    (home / "recognizer.yaml").write_bytes(content)
    with pytest.raises(UsageError, match=says) as caught:
        load_settings()
    assert caught.value.where == str(home / "recognizer.yaml")
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("written", "read"),
    [("22:30", "22:30"), ("'22:30'", "22:30"), ("02:00", "02:00"), ("9:05", "09:05"), ("0:00", "00:00")],
)
def test_a_time_of_day_needs_no_quotes(home, written, read):
    (home / "recognizer.yaml").write_text(f"night_start: {written}\n")
    assert load_settings().night_start == read


@pytest.mark.parametrize("written", ["2400", "24:00", "-5", "true", "22:30:10", "[1]"])
def test_no_time_of_day(home, written):
    (home / "recognizer.yaml").write_text(f"night_start: {written}\n")
    with pytest.raises(UsageError, match=r"night_start: .* is no time of day; write HH:MM") as caught:
        load_settings()
    assert "RECOGNIZER_NIGHT_START" in caught.value.hint


def test_an_empty_variable_is_as_if_it_were_not_set(tmp_path, monkeypatch):
    monkeypatch.setattr("recognizer.settings.default_home", lambda: tmp_path)
    (tmp_path / "recognizer.yaml").write_text("port: 4321\n")
    for name in ("HOME", "PORT", "STORE_URL"):
        monkeypatch.setenv(f"RECOGNIZER_{name}", "")
    settings = load_settings()
    assert (settings.home.root, settings.port) == (tmp_path, 4321)
    assert settings.database_url == f"sqlite:///{tmp_path}/recognizer.db"


def test_a_home_that_is_a_file_is_told_so(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RECOGNIZER_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="is a file") as caught:
        load_settings()
    assert "RECOGNIZER_HOME" in caught.value.hint
