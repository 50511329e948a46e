"""Decide about rollouts: one process at a time, whoever holds the lease. Evidence in, one action out, persisted.

There is nothing to do after that: what should be served has changed in the store, and every worker converges.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from recognizer.errors import Conflict, RecognizerError
from recognizer.home import Home
from recognizer.judge import late
from recognizer.predictions import Retention
from recognizer.rollout.action import Wait
from recognizer.rollout.ledger import Ledger, in_step
from recognizer.rollout.next_action import next_action
from recognizer.rollout.state import Judgement, Phase, Rollout
from recognizer.store import Store, audit, evidence, feedback, leases, rollouts, tallies, versions, workers
from recognizer.store.leases import Lease
from recognizer.store.observation import observe
from recognizer.store.processes import is_alive, this_process
from recognizer.store.rollouts import LEASE
from recognizer.tasks import wrong_in_tests
from serving.link import Link
from serving.losses import Graveyard
from serving.periodic import Periodic
from serving.tidy import Tidy

STEP_SECONDS = 0.1
"""How often the leader decides."""
SLOW_SECONDS = 1.0
"""How often it looks at what changes slowly: workers that died, late feedback on a champion that bakes no more."""
RENEW_SECONDS = 1.0
LEASE_SECONDS = 5.0
"""For how long the lease outlives a leader that nobody can see to be dead."""
KEEP_BATCHES = 200
"""After so many batches the tally is kept in the store: what a new leader has to fold again is a second's work."""
FORGET_SECONDS = 86_400.0
"""Workers that were silent for longer are listed no more."""


class Controller:
    """One thread per process; of all processes one leads.

    Args:
        clock: monotonic seconds.
    """

    def __init__(
        self, url: str, home: Home, retention: Retention, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._link = Link(url)
        self._home = home
        self._clock = clock
        self._holder = this_process()
        self._lease: Lease | None = None
        self._renewed = -RENEW_SECONDS
        self._ledger = Ledger()
        self._kept: dict[int, int] = {}  # ordinals of the newest batches in the tallies that the store keeps
        # Share of wrong answers on the test set, by digest; what a version is does not change, and asking takes 10 ms.
        self._blessed: dict[str, float | None] = {}
        self._graveyard = Graveyard(home.workers)
        self._slow_at = -SLOW_SECONDS
        self._tidy = Tidy(url, home, retention)
        self._away = False
        self._periodic = Periodic("controller", STEP_SECONDS, self.step, "deciding about rollouts failed")
        self._log = structlog.get_logger("recognizer.rollout")

    @property
    def leads(self) -> bool:
        """Whether this process decides."""
        return self._lease is not None

    def start(self) -> None:
        """Decide once before this process loads anything, then again and again.

        A model that kills every process that loads it would else leave nobody who lives long enough to take it out.
        """
        self.step()
        self._periodic.start()

    def stop(self) -> None:
        """Give the lease back, so that another process leads at once."""
        self._periodic.stop()
        with suppress(RecognizerError):  # else it ends by itself
            if self._lease is not None:
                leases.release(self._link.open(), self._lease)
        self._lease = None
        self._link.close()

    def step(self) -> None:
        """Keep the lease, and decide once about every rollout that is due; what goes wrong is written down."""
        try:
            store = self._link.open()
            if self._keep_lease(store):
                slowly = self._clock() - self._slow_at >= SLOW_SECONDS
                if slowly:
                    self._slow_at = self._clock()
                    self._graveyard.look()
                for rollout in rollouts.due(store):
                    if slowly or rollout.phase is not Phase.HEALTHY:
                        self._decide_anew(store, rollout)
                self._tidy.now_and_then()
            self._away = False
        except Conflict as error:
            self._log.info("another process decides about rollouts", what=error.what, where=error.where)
            self._lease, self._ledger = None, Ledger()
        except RecognizerError as error:
            self._link.close()
            self._lease = None  # what it cannot renew it does not hold
            if not self._away:  # one line, however often it is tried
                self._log.error("rollouts wait: the store does not answer", **error.as_json())
            self._away = True

    def _keep_lease(self, store: Store) -> bool:
        now = self._clock()
        if self._lease is not None and now - self._renewed < RENEW_SECONDS:
            return True
        if self._lease is None and now - self._renewed < RENEW_SECONDS:
            return False
        self._renewed = now
        if self._lease is not None:
            leases.renew(store, self._lease, LEASE_SECONDS)
            return True
        held = leases.held(store, LEASE)
        if held is not None and not leases.may_take(held, is_alive(held.holder) if held.holder else None):
            return False
        try:
            self._lease = leases.acquire(store, LEASE, self._holder, LEASE_SECONDS)
        except Conflict:  # another process was faster
            return False
        self._ledger = Ledger()  # nothing that was known before is believed
        workers.forget(store, FORGET_SECONDS)
        self._graveyard.forget(time.time() - FORGET_SECONDS)
        audit.write_head(store, self._home)  # the leader before may have been killed before it could
        self._log.info("decides about rollouts", epoch=self._lease.epoch)
        return True

    def _decide_anew(self, store: Store, rollout: Rollout) -> None:
        """Decide about a rollout; one that somebody else has just changed is read and decided about again next time.

        The lease stays: giving it up for that would leave nobody to decide until it has run out. If it is the lease
        that is lost, nothing was changed either, and the next renewal says so.
        """
        try:
            self._decide(store, rollout)
        except Conflict as error:
            self._log.info("decided again", what=error.what, where=error.where)

    def _decide(self, store: Store, rollout: Rollout) -> None:
        if rollout.phase is Phase.HEALTHY:
            judgement, judged, answers = self._late(store, rollout)
        else:
            judgement, judged, answers = self._judged(store, rollout)
        # the processes that it may have killed are of this host, and so is their clock
        losses = self._graveyard.losses(rollout.digest, rollout.created_at)
        observed, now = observe(store, rollout, judgement, answers=answers, losses=losses)
        action = next_action(rollout, observed, now)
        if isinstance(action, Wait):
            return
        changed = rollouts.apply(store, rollout, action, lease=self._lease, judged=judged, home=self._home)
        self._log.info(
            action.name,
            task=changed.task,
            rollout=changed.id,
            version=changed.version,
            phase=str(changed.phase),
            step=changed.step_name,
            reason=changed.reason,
        )

    def _judged(self, store: Store, rollout: Rollout) -> tuple[Judgement, int, int]:
        """The verdict on a rollout, the ordinal of the newest evidence, and the challenger's answers in its step."""
        if feedback.waits(store, rollout.id):
            feedback.count(store, rollout.id, rollout.digest, self._lease)
        if evidence.waits(store, rollout.id):
            evidence.number(store, rollout.id, self._lease)
        if not self._ledger.knows(rollout):
            self._ledger.restore(rollout, tallies.find(store, rollout.id))
            self._kept[rollout.id] = self._ledger.seen(rollout)
        verdict = self._ledger.fold(rollout, evidence.of(store, rollout.id, after=self._ledger.seen(rollout)))
        judged = self._ledger.seen(rollout)
        if judged - self._kept[rollout.id] >= KEEP_BATCHES:
            tallies.keep(store, rollout.id, judged, self._ledger.tally(rollout), self._lease)
            self._kept[rollout.id] = judged
        return in_step(rollout, verdict, judged), judged, self._ledger.answers(rollout)

    def _late(self, store: Store, rollout: Rollout) -> tuple[Judgement, int, int]:
        """The verdict on a champion that bakes no more, by what clients told since."""
        if rollout.digest not in self._blessed:
            version = versions.by_digest(store, rollout.digest)
            self._blessed[rollout.digest] = None if version is None else wrong_in_tests(rollout.task, version.metrics)
        blessed = self._blessed[rollout.digest]
        told = feedback.late(store, rollout.id, rollout.digest, after=self._ledger.heard(rollout))
        tally = self._ledger.hear(rollout, [(one.number, one.misread) for one in told], blessed)
        return late.judge(tally, blessed), tally.number, tally.given
