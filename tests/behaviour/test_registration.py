"""What serves is not judged again: it could lose the blessing without which no worker loads it."""

import pytest

from flows.registration import _require_unserved
from recognizer.errors import Conflict
from recognizer.rollout.plan import DAY, Plan, PlannedStep, Step
from recognizer.store import open_store, rollouts, versions

SHADOW = Plan((PlannedStep(Step.SHADOW, seconds=DAY, least=DAY), PlannedStep(Step.PROMOTE)))


def test_a_version_in_service_is_not_judged_again(small_home):
    small_home.release(1)
    for number in (2, 3):
        small_home.package(number)
        small_home.bless(number)
    with open_store(small_home.url) as store:
        for number in (2, 3):
            row = {"snapshot": "0" * 64, "test_digest": "1" * 64, "verdict": "PASSED", "metrics": {}}
            versions.record(store, task="action", version=number, digest=small_home.digests[number], **row)
        rollouts.start(
            store,
            task="action",
            version=2,
            digest=small_home.digests[2],
            reason="test",
            who="test",
            strategy="shadow",
            plan=SHADOW,
            home=small_home.home,
        )
        for number, why in ((1, "it is champion version 1"), (2, "rollout 1 compares it in service")):
            with pytest.raises(Conflict, match=why):
                _require_unserved(store, "action", small_home.digests[number])
        _require_unserved(store, "action", small_home.digests[3])
