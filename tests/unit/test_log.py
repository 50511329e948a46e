import io
import json
import logging

import pytest
import structlog

from recognizer.log import OURS, configure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before():
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger(OURS).level
    yield
    root.handlers, level, ours = before
    root.setLevel(level)
    logging.getLogger(OURS).setLevel(ours)
    structlog.reset_defaults()


def events(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("fmt", "stream", "expected"),
    [
        ("auto", Terminal(), "human"),
        ("auto", io.StringIO(), "json"),
        ("human", io.StringIO(), "human"),
        ("json", Terminal(), "json"),
    ],
)
def test_people_read_lines_and_programs_read_json(fmt, stream, expected):
    configure("info", fmt, stream)
    structlog.get_logger("recognizer.night").info("step", step="train")
    text = stream.getvalue()
    if expected == "json":
        event = json.loads(text)
        assert (event["event"], event["step"], event["logger"], event["level"]) == (
            "step", "train", "recognizer.night", "info",
        )  # fmt: skip
        assert event["timestamp"].endswith("Z")
    else:
        assert "step" in text
        assert "train" in text
        assert not text.startswith("{")
    assert ("\x1b[" in text) == (expected == "human" and stream.isatty())


def test_other_libraries_look_the_same():
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("other.library").warning("%s is slow", "disk", extra={"path": "/x"})
    event = events(stream)[0]
    assert (event["event"], event["level"], event["logger"], event["path"]) == (
        "disk is slow", "warning", "other.library", "/x",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("level", "ours", "theirs"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"], ["warning", "error"]),  # their progress says nothing to our user
        ("warning", ["warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_what_is_shown_of_us_and_of_other_libraries(level, ours, theirs):
    stream = io.StringIO()
    configure(level, "json", stream)
    for log in (structlog.get_logger("recognizer.ours"), logging.getLogger("theirs")):
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)(name)
    assert [event["event"] for event in events(stream)] == ours + theirs


@pytest.mark.parametrize("fmt", ["human", "json"])
def test_an_exception_is_shown_without_the_values_of_variables(fmt):
    stream = io.StringIO()
    configure("info", fmt, stream)
    password = "hunter2"
    try:
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger().exception("it broke")
    assert "ValueError: 7" in stream.getvalue()
    assert "it broke" in stream.getvalue()
    assert "hunter2" not in stream.getvalue().replace('password = "hunter2"', "")
    assert len(stream.getvalue().splitlines()) == 1 or fmt == "human"


def test_what_is_bound_to_the_context_is_in_every_line():
    stream = io.StringIO()
    configure("info", "json", stream)
    with structlog.contextvars.bound_contextvars(night="2026-11-20"):
        structlog.get_logger("recognizer.ours").info("one")
        logging.getLogger("theirs").warning("two")
    structlog.get_logger("recognizer.ours").info("three")
    assert [event.get("night") for event in events(stream)] == ["2026-11-20", "2026-11-20", None]


def test_a_later_set_up_replaces_the_first_also_for_loggers_made_before():
    first, second = io.StringIO(), io.StringIO()
    configure("info", "json", first)
    log = structlog.get_logger("recognizer.ours")
    log.info("one")
    configure("error", "json", second)
    log.info("two")
    log.error("three")
    assert [event["event"] for event in events(first)] == ["one"]
    assert [event["event"] for event in events(second)] == ["three"]


def test_stdout_stays_free(capsys):
    configure("info", "auto")
    structlog.get_logger("recognizer.ours").info("ours")
    logging.getLogger("theirs").warning("theirs")
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
