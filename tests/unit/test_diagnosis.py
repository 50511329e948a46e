"""What the doctor says to what it finds: a table of PASSED and FAILED, each fault with a next step."""

import pytest

from flows import diagnosis as d
from flows.diagnosis import Leftover
from flows.held_out import HeldOut
from recognizer.checks import Verdict
from recognizer.errors import PackageTampered

HOUR, GB = 3600.0, 1024**3
OK = {"status": "ok", "generation": 4, "problems": [], "leaks": []}
REFUSED = {"error": "PackageUnsigned", "what": "no signature"}
DEGRADED = {**OK, "status": "degraded", "problems": [REFUSED], "leaks": ["9" * 12]}
BOTH = {"champion": 3, "challenger": None}


def only(lines):
    (line,) = lines
    return line


PASSED = [
    (d.disk(3 * GB, "/home"), "3.0 GB free at /home"),
    (d.store_missing(0, "/h/recognizer.db", "dance"), "none yet at /h/recognizer.db"),
    (d.service("http://x", None, "refused", 0), "none runs at http://x"),
    (d.service("http://x", OK, None, 2), "answers at http://x, generation 4"),
    (d.controller(True, 1), "decides"),
    (d.controller(False, 0), "no rollout is on its way"),
    (only(d.trail([], 12)), "12 row(s), chained and complete"),
    (d.aliases("action", BOTH, BOTH, 0), "MLflow's are the store's: champion version 3, challenger not set"),
    (d.aliases("action", BOTH, {"champion": 3}, 2), "MLflow's are the store's"),
    (d.held_out("action", HeldOut("1d" * 32, 240, 8, 0.0, 12, 100)),
     "test set 1d1d1d1d1d1d: 240 cases of 8 subjects, used since 1970-01-01, has judged 12 of 100 candidates"),
    (d.held_out("action", HeldOut("1d" * 32, 240, None, None, 0, 100)), "240 cases, has judged 0 of 100"),
    (d.leftovers([]), "none"),
    (d.leftovers([Leftover("a", 2 * HOUR, False)]), "1 of killed processes; the next night removes them"),
    (d.leftovers([Leftover("a", 90 * HOUR, True)]), "none"),
    (only(d.libraries(["numpy>=2,<3", "nothing>=1; extra == 'dev'"], {"numpy": "2.4.0"}, ("numpy", "torch"))),
     "all 1 as required: numpy 2.4.0"),
    (only(d.libraries(["Scikit_Learn>=1"], {"scikit-learn": "1.8"}, ())), "all 1 as required"),
    (only(d.libraries(["torch>=2.13,<2.14"], {"torch": "2.13.0+cpu"}, ("torch",))), "torch 2.13.0+cpu"),
]  # fmt: skip

FAILED = [
    (d.disk(GB, "/home"), "1.0 GB free at /home, a night may want 2", "free some space"),
    (d.store_missing(2, "/h/recognizer.db", "dance"), "2 package(s) that it should know", "backup"),
    (d.service("http://x", None, "refused", 2), "2 worker(s) report to the store", "RECOGNIZER_PORT"),
    (d.service("http://x", DEGRADED, None, 2), "PackageUnsigned: no signature; leak: 999999999999", "rollout status"),
    (d.controller(False, 2), "2 rollout(s) are on their way", "recognizer serve"),
    (only(d.trail(["row 3 was changed"], 12)), "row 3 was changed", "backup"),
    (d.aliases("action", BOTH, {"champion": 2, "challenger": 3}, 4),
     "champion is version 2, the store says version 3; challenger is version 3, the store says not set; 4 event(s)",
     "recognizer models"),
    (d.held_out("action", HeldOut("1d" * 32, None, None, 0.0, 100, 100)), "100 of 100 candidates: what passes it may",
     "new held-out part"),
    (d.leftovers([Leftover("a", 30 * HOUR, False), Leftover("b", 99 * HOUR, False), Leftover("c", HOUR, False)]),
     "a and 1 more, 99 h old", "rm -r a"),
    (only(d.libraries(["numpy>=2"], {}, ())), "is not installed, required is numpy>=2", "pip install"),
    (only(d.libraries(["numpy>=2", "click>=8"], {"numpy": "1.9", "click": "8.3"}, ())), "is 1.9", "pip install"),
    (d.of_error(d.CONSISTENT, "champion of action", PackageTampered("changed", where="/p/1", hint="run the night")),
     "/p/1: changed", "run the night"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "says"), PASSED)
def test_what_is_as_it_should_be(line, says):
    assert line.passed
    assert line.verdict is Verdict.PASSED
    assert says in line.said


@pytest.mark.parametrize(("line", "says", "advice"), FAILED)
def test_every_fault_names_the_next_step(line, says, advice):
    assert not line.passed
    assert line.verdict is Verdict.FAILED
    assert says in line.said
    assert advice in line.next


def test_a_trail_that_is_broken_everywhere_is_told_of_in_few_lines():
    lines = d.trail([f"row {number} was changed" for number in range(1, 100)], 99)
    assert [line.said for line in lines][-2:] == ["row 5 was changed", "and 94 more"]


@pytest.mark.parametrize(("bound", "cautioned"), [(-0.031, True), (-0.03, False), (None, False)])
def test_a_test_set_that_cannot_tell_equals_apart_names_the_next_step(bound, cautioned):
    line = d.held_out("action", HeldOut("1d" * 32, 240, 10, 0.0, 1, 100, 0.03, bound))
    assert line.passed
    assert ("an equal of the champion may be worse by 0.031, which is more than 0.030" in line.said) is cautioned
    assert (line.next is not None and "record more cases" in line.next) is cautioned


@pytest.mark.parametrize(("judged", "advice"), [(79, None), (80, "new held-out part"), (99, "new held-out part")])
def test_a_test_set_that_is_nearly_used_up_names_the_next_step(judged, advice):
    line = d.held_out("action", HeldOut("1d" * 32, 240, 8, 0.0, judged, 100))
    assert line.passed
    assert (line.next is None) if advice is None else (advice in line.next)
