"""What the store knows about a rollout's circumstances: one moment, for one decision."""

from __future__ import annotations

from recognizer.rollout.next_action import Observed
from recognizer.rollout.state import Judgement, Rollout
from recognizer.store import quarantine, workers
from recognizer.store.clock import read_clock
from recognizer.store.database import Store
from recognizer.store.freezes import frozen_within
from recognizer.store.served import champion_within


def observe(
    store: Store, rollout: Rollout, judgement: Judgement, *, answers: int, losses: int = 0
) -> tuple[Observed, float]:
    """What `next_action` decides from, and the time by the clock that the rollout's times are of.

    Args:
        answers: of the challenger, counted since its step began.
        losses: worker processes that died of the challenger.
    """
    with store.read() as connection:
        champion = champion_within(connection, rollout.task)
        freeze = frozen_within(connection, rollout.task)
        found = quarantine.find_within(connection, rollout.digest)
        known = workers.list_within(connection)
        living = [worker for worker in known if worker.lives]
        now = read_clock(connection)
    observed = Observed(
        barrier=workers.barrier(living, rollout.digest),
        judgement=judgement,
        champion=None if champion is None else champion.digest,
        answers=answers,
        frozen=None if freeze is None else str(freeze),
        losses=losses,
        relapsed=workers.relapsed(living, rollout.id),
        heard=sum(worker.age <= workers.HEARD_SECONDS for worker in known),
        quarantined=None if found is None else found.reason,
    )
    return observed, now
