"""What a person is told to type next, after each kind of night."""

import pytest

from flows.command.terminal import next_commands
from flows.night import NightResult
from flows.standing import Standing
from recognizer.home import Home
from recognizer.night import Outcome
from recognizer.settings import Settings


def result(outcome, version):
    return NightResult("action", "2026-11-16", outcome, "why", version, "d" * 64, "s" * 32, {}, (), None)


@pytest.mark.parametrize(
    ("night", "standing", "says", "silent"),
    [
        (result(Outcome.PROMOTED, 1), Standing(1, True), ["version 1 answers", "--accept-new-labels"], []),
        (result(Outcome.PROMOTED, 1), Standing(1, False), ["version 1 answers"], ["--accept-new-labels", "your own"]),
        (result(Outcome.PROMOTED, 1), Standing(3, True), ["version 3 answers"], ["version 1"]),
        (result(Outcome.RELEASED, 2), Standing(1, True), ["rollout status action", "version 2"], ["answers on"]),
        (result(Outcome.RELEASED, 2), Standing(2, True), ["version 2 answers"], ["rollout status"]),
        (result(Outcome.UNCHANGED, 3), Standing(3, False), ["version 3 answers"], ["--accept-new-labels"]),
        (result(Outcome.REJECTED, 2), Standing(1, True), ["gates action", "better or more data"], ["answers on"]),
        (result(Outcome.UNCHANGED, None), Standing(None, True), ["gates action"], ["answers on"]),
    ],
)
def test_what_to_type_next(tmp_path, night, standing, says, silent):
    text = "\n".join(" ".join(row) for row in next_commands(night, Settings(home=Home(tmp_path)), standing))
    assert all(part in text for part in says), text
    assert not any(part in text for part in silent), text
