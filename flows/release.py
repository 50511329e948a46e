"""What a blessed version meets on its way into service: the plan of its rollout, from the settings."""

from __future__ import annotations

from recognizer.home import Home
from recognizer.rollout.plan import Plan, make_plan
from recognizer.rollout.state import OPEN, Phase
from recognizer.rollout.steering import Wish
from recognizer.settings import Settings
from recognizer.store import Store, rollouts

DISAGREEMENT_MARGIN = 0.02
"""In service the two models may differ on so many more of the answers than they did on the test set."""
MOST_DISAGREEMENT = 0.99


def plan_of(settings: Settings, disagreement: float | None) -> Plan:
    """The plan of a rollout.

    Args:
        disagreement: share of the test cases that candidate and champion answer differently; None when nobody knows:
            then how often they differ in service is counted and not judged.
    """
    ceiling = None if disagreement is None else min(disagreement + DISAGREEMENT_MARGIN, MOST_DISAGREEMENT)
    return make_plan(
        settings.strategy,
        shares=settings.canary_shares,
        holdback=settings.holdback,
        bake_seconds=min(settings.bake_minutes * 60, settings.step_hours * 3600),
        seconds=settings.step_hours * 3600,
        judge={} if ceiling is None else {"disagreement": ceiling},
    )


def end_rollouts(store: Store, home: Home, task: str, *, who: str, reason: str) -> None:
    """End what is on its way or waits, with the champion of now: nothing can be compared with it any more.

    A challenger that is champion already keeps its place; any other is taken out, and not quarantined.

    Raises:
        Conflict: the task is frozen.
    """
    while (rollout := rollouts.current(store, task)) is not None and rollout.phase in OPEN | {Phase.QUEUED}:
        wish = Wish.PROMOTE if rollout.promoted else Wish.ABORT
        rollouts.request(store, task, wish, who=who, reason=reason, home=home)
