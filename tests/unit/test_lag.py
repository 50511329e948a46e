"""Which worker lags, and why."""

import pytest

from recognizer.lag import Wanted, lags, wanted_of
from recognizer.split import Mode, Split
from recognizer.store.served import Champion, Served
from recognizer.store.workers import Worker

WANTED = (Wanted("action", "champion", 1, "1" * 64), Wanted("action", "challenger", 2, "2" * 64))
BOTH = {"1" * 64: "AVAILABLE", "2" * 64: "AVAILABLE"}


def worker(**changes):
    words = {
        "name": "w", "started_at": 0.0, "heartbeat_at": 0.0, "generation": 7, "loaded": BOTH, "ready": True,
        "problems": (), "age": 0.3,
    }  # fmt: skip
    return Worker(**{**words, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ()),
        ({"generation": 8}, ()),
        ({"age": 5.0}, ()),
        ({"age": 7.4, "generation": 3, "loaded": {}}, ("not heard for 7 s (limit 5 s): taken for dead",)),
        ({"generation": 6}, ("answers with generation 6, 7 is wanted",)),
        ({"loaded": {"1" * 64: "AVAILABLE"}}, ("challenger of action, version 2, is not loaded yet",)),
        ({"loaded": {**BOTH, "2" * 64: "LOADING"}}, ("challenger of action, version 2, is LOADING",)),
        (
            {"loaded": {**BOTH, "2" * 64: "REFUSED"}, "problems": (
                {"task": "action", "digest": "2" * 64, "error": "PackageTampered", "what": "a file differs"},
            )},
            ("challenger of action, version 2, is REFUSED", "action: PackageTampered: a file differs"),
        ),
        ({"ready": False}, ("not ready: no request should be sent there",)),
        ({"problems": ("disk gone",)}, ("disk gone",)),
    ],
)  # fmt: skip
def test_why_a_worker_lags(changes, said):
    assert lags(worker(**changes), 7, WANTED) == said


@pytest.mark.parametrize(
    ("mode", "role"), [(Mode.LOAD, "challenger"), (Mode.CANARY, "challenger"), (Mode.BAKE, "holdback")]
)
def test_what_is_wanted(mode, role):
    champion = Champion("action", 1, "1" * 64, None, 0.0, "first")
    other = Champion("pose", 4, "4" * 64, None, 0.0, "first")
    split = Split("action", 3, mode, 2, "2" * 64, 0.05 if mode is not Mode.LOAD else 0.0, "salt")
    served = Served(7, {"pose": other, "action": champion}, {"action": split})
    assert wanted_of(served) == (
        WANTED[0], Wanted("action", role, 2, "2" * 64), Wanted("pose", "champion", 4, "4" * 64),
    )  # fmt: skip
