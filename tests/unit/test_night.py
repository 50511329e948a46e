"""The night's pure core, as tables."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from recognizer.checks import Check, Verdict
from recognizer.night import SUCCESSES, Earlier, Outcome, Start, decide_start, judge_night, night_of

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "zone", "start", "night"),
    [
        ("2026-11-20T02:00:00+01:00", BERLIN, "02:00", "2026-11-20"),  # the window starts
        ("2026-11-20T01:59:59+01:00", BERLIN, "02:00", "2026-11-19"),  # still the night before
        ("2026-11-20T14:00:00+01:00", BERLIN, "02:00", "2026-11-20"),  # by hand in the afternoon
        ("2026-11-20T23:30:00+00:00", BERLIN, "00:15", "2026-11-21"),  # the local date counts, not UTC's
        ("2026-11-20T22:10:00+01:00", BERLIN, "22:00", "2026-11-20"),  # a window over midnight ...
        ("2026-11-21T05:00:00+01:00", BERLIN, "22:00", "2026-11-20"),  # ... has one name
        ("2026-03-29T03:10:00+02:00", BERLIN, "02:30", "2026-03-29"),  # 02:30 does not exist on this day
        ("2026-10-25T02:10:00+01:00", BERLIN, "02:00", "2026-10-25"),  # 02:10 exists twice
        ("2026-01-01T00:30:00+00:00", ZoneInfo("UTC"), "02:00", "2025-12-31"),
    ],
)
def test_a_night_is_named_by_the_local_date_its_window_starts_on(now, zone, start, night):
    assert night_of(datetime.fromisoformat(now), zone, start) == night


def earlier(outcome):
    return Earlier("2026-11-20", outcome, 3)


@pytest.mark.parametrize(
    ("same_night", "same_inputs", "start"),
    [
        (None, None, Start.BEGIN),
        (None, earlier(Outcome.PROMOTED), Start.UNCHANGED),
        (None, earlier(Outcome.REJECTED), Start.UNCHANGED),
        (earlier(None), None, Start.RESUME),  # it was killed
        (earlier(Outcome.FAILED), None, Start.RESUME),  # it broke
        (earlier(None), earlier(Outcome.PROMOTED), Start.RESUME),
        (earlier(Outcome.PROMOTED), earlier(Outcome.PROMOTED), Start.RETURN),
        (earlier(Outcome.REJECTED), None, Start.RETURN),
        (earlier(Outcome.UNCHANGED), earlier(Outcome.PROMOTED), Start.RETURN),
        (earlier(Outcome.RELEASED), None, Start.RETURN),
    ],
)
def test_how_a_night_starts(same_night, same_inputs, start):
    assert decide_start(same_night, same_inputs) is start


def check(verdict, gate="absolute", name="accuracy"):
    return Check(gate, name, 0.9, 0.9, "min", None, 100, verdict, f"{name} is {verdict.lower()} by 0.9 on 100 cases")


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([Verdict.PASSED, Verdict.PASSED], Outcome.PROMOTED),
        ([Verdict.PASSED, Verdict.FAILED], Outcome.REJECTED),
        ([Verdict.PASSED, Verdict.INCONCLUSIVE], Outcome.REJECTED),
        ([Verdict.PASSED, Verdict.ERROR], Outcome.REJECTED),
        ([], Outcome.REJECTED),
    ],
)
def test_only_passed_checks_promote(verdicts, outcome):
    assert judge_night(tuple(check(verdict) for verdict in verdicts))[0] is outcome


def test_a_refusal_names_every_check_that_said_no_with_its_numbers():
    checks = (check(Verdict.PASSED), check(Verdict.FAILED, name="macro_f1"), check(Verdict.ERROR, "parity", "gap"))
    _, reason = judge_night(checks)
    assert reason.startswith("2 of 3 checks said no")
    assert "absolute/macro_f1 FAILED: macro_f1 is failed by 0.9 on 100 cases" in reason
    assert "parity/gap ERROR" in reason


def test_what_counts_as_success():
    assert {Outcome.PROMOTED, Outcome.RELEASED, Outcome.UNCHANGED} == SUCCESSES
