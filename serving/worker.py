"""One serving process: its releases, the thread that reconciles them, and the threads that answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import structlog

from recognizer.predictions import Prediction
from recognizer.settings import Settings
from recognizer.store.processes import this_process
from serving.answerers import Answerers
from serving.background import BackgroundLoader
from serving.breadcrumb import Breadcrumb
from serving.breaker import BreakerLimits
from serving.controller import Controller
from serving.desired import Desired
from serving.endpoint import find_endpoints
from serving.feedback import FeedbackDesk
from serving.growth import Memory, count_kills
from serving.health import answers_all, describe
from serving.heartbeat import Heartbeat
from serving.loader import Loader
from serving.periodic import Periodic
from serving.recent import Recent
from serving.reconcile import Reconciler, Wants
from serving.record import Recorder
from serving.release import Problem, Releases
from serving.rollouts import RolloutDesk
from serving.router import Answered, Router
from serving.shadow import Shadow
from serving.trial import TrialLimits, Trials
from serving.watch import TICK_SECONDS, Watch

SUPERVISOR = "RECOGNIZER_SUPERVISOR"
"""Environment variable: process id of who starts and restarts the workers; without it the parent is meant."""
KILLS_EVERY = 20
"""Ticks of the watch after which the system is asked anew what it has killed."""
FIRST_LOAD_SECONDS = 0.01
"""How often a process that starts looks whether its first models are loaded."""


class Worker:
    """Everything a serving process holds. Made once per process; nothing runs before `start`.

    Attributes:
        name: of this process in evidence and reports; another one after a restart, and it tells whether the process
            still runs (`recognizer.store.processes`).
        crumb: what this process is at, for those who outlive it.
        releases: what is answered with.
        router: answers.
        trials: what is known of the rollouts on their way.
        answerers: where requests are answered, off the event loop.
        rollouts, rollout_thread: who answers about rollouts, and the one thread in which that is done.
        body_limit: bytes of the largest request body.
    """

    def __init__(self, settings: Settings, desired: Wants | None = None) -> None:
        """`desired` says what should be served; by default the store does, and is told what this process does."""
        self.name = this_process()
        self.crumb = Breadcrumb.at(settings.home.workers / self.name) if desired is None else Breadcrumb()
        memory = Memory(settings.challenger_memory_mb * 2**20)
        self.releases = Releases(quiesce_seconds=settings.quiesce_seconds)
        self.body_limit = settings.body_limit_mb * 1024 * 1024
        breaker = BreakerLimits(settings.breaker_failures, settings.breaker_seconds, settings.breaker_successes)
        limits = TrialLimits(settings.challenger_threads, breaker)
        self.trials = Trials(self.name, limits, crumb=self.crumb, memory=memory)
        deadline = settings.deadline_ms / 1000
        self._watch = Watch(memory)
        self._shadow = Shadow(
            settings.shadow_queue,
            deadline,
            self._watch,
            duty=settings.shadow_duty,
            busy=lambda: self.router.busy,
        )
        # as many requests at once as this process's share of the cores; the others wait in order
        turns = max(2, (os.cpu_count() or 1) // settings.workers)
        # no more requests wait for a challenger than it has threads
        self.answerers = Answerers(turns + settings.challenger_threads)
        self.router = Router(
            self.releases, self._shadow, self._watch, deadline=deadline, turns=turns, away=self.answerers.away
        )
        self.rollouts = RolloutDesk(settings)
        self.rollout_thread = ThreadPoolExecutor(1, thread_name_prefix="rollouts")
        self._desired = desired or Desired(settings.database_url)
        self._recent = Recent()
        home, threads = settings.home, settings.session_threads
        loader = Loader(home.packages, home.keys, threads=threads, watch=self._watch, recent=self._recent.of)
        self._loads = BackgroundLoader(loader, crumb=self.crumb)
        self._reconciler = Reconciler(self._desired, self._loads, self.releases, self.trials)
        self._recorder = Recorder(settings.database_url, settings.home.inputs, settings.retention)
        self._endpoints = dict(find_endpoints().values())
        self._desk = FeedbackDesk(settings.database_url, settings.retention, self.releases, self._endpoints)
        self._duties: tuple[Heartbeat, Controller] | None = None
        if desired is None:
            url = settings.database_url
            beats = Heartbeat(
                self.name, url, self.releases, self.trials, self.router, ready=self.ready, problems=self.problems
            )
            self._duties = beats, Controller(url, settings.home, settings.retention)
        self._poll_seconds = settings.poll_seconds
        self._stopping = threading.Event()
        self._reconciling = threading.Thread(target=self._reconcile, name="reconcile", daemon=True)
        # without it nothing would be given up any more
        self._watching = Periodic("watch", TICK_SECONDS, self._keep_watch, "watching failed")
        self._ticks, self._kills = 0, -1
        self._log = structlog.get_logger("recognizer.serving").bind(worker=os.getpid())
        self._joined = False

    def start(self) -> None:
        """Load what should be served now, then keep comparing.

        The first comparison is waited for: a process that takes requests before it has loaded fails them.
        """
        self._watching.start()
        if self._duties is not None:
            self._duties[1].start()
        self._reconciler.step()
        while self._reconciler.loading and self._reconciler.store_problem is None:
            time.sleep(FIRST_LOAD_SECONDS)
            self._reconciler.step()
        self._shadow.start()
        self._reconciling.start()
        if self._duties is not None:
            self._duties[0].start()
            self._recorder.start()
            self.router.observe = self._record

    def stop(self) -> None:
        """Stop comparing and answering; requests in flight are finished."""
        self._stopping.set()
        self.crumb.remove()
        if self._duties is not None:
            self._duties[1].stop()  # another process decides from now on
        self._reconciling.join()
        self._desired.close()
        self.answerers.shutdown()  # while somebody still watches over their runs
        self.rollout_thread.shutdown()
        self.rollouts.close()
        self._watch.give_up()
        self._loads.stop()
        self._shadow.stop()
        self.trials.stop()
        self._watching.stop()
        if self._duties is not None:
            self._duties[0].stop()
            self._recorder.stop()
        self._desk.close()

    def take_feedback(self, body: bytes, media_type: str) -> dict[str, object]:
        """The truth about an answer, see `FeedbackDesk`."""
        return self._desk.take(body, media_type)

    def _record(self, answered: Answered) -> None:
        self._recent.add(answered.task, answered.case)
        endpoint = self._endpoints.get(answered.task)
        if endpoint is None:
            return
        noted = endpoint.note(answered)
        lot = not (answered.forced or answered.recovered) and answered.key is None
        self._recorder.record(
            Prediction(
                id=answered.prediction_id,
                task=answered.task,
                at=time.time(),
                routing_key=answered.key,
                arm=str(answered.arm),
                rollout=answered.rollout if lot else None,
                version=answered.servable.version,
                digest=answered.servable.digest,
                label=noted.label,
                confidence=noted.confidence,
                recovered=answered.recovered,
                answer=noted.answer,
            ),
            noted.inputs,
        )

    def _reconcile(self) -> None:
        # the id is handed down: a worker that starts slowly could find its supervisor gone already
        supervisor = int(os.environ.get(SUPERVISOR, os.getppid()))
        while not self._stopping.wait(self._poll_seconds):
            self._reconciler.step()
            if os.getppid() != supervisor:
                # It was killed: do not stay behind holding its port.
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _keep_watch(self) -> None:
        self._watch.tick()
        self.trials.watch()
        if self._ticks % KILLS_EVERY == 0:
            self._kills = count_kills()
        self.crumb.beat(self._kills)
        self._ticks += 1

    def problems(self) -> list[Problem]:
        """Why this process does not serve what the store wants; empty when it does."""
        store = self._reconciler.store_problem
        release = self.releases.newest
        refused = [release.refused[task] for task in sorted(release.refused)]
        missing = [release.missing[task] for task in sorted(release.missing)]
        return ([] if store is None else [store]) + refused + missing

    def health(self) -> dict[str, object]:
        """What this process serves and what is wrong; whoever can read it talks to a process that works."""
        problems, leaks = self.problems(), self.releases.leaks
        return {
            "status": "degraded" if problems or leaks else "ok",
            "worker": os.getpid(),
            **describe(self.releases.newest),
            "shadow": self._shadow.as_dict(),
            "retiring": self.releases.retiring,
            "leaks": leaks,
            "stuck": self._watch.stuck + self.trials.stuck,
            "held": self.router.held,
            "problems": [problem.as_dict() for problem in problems],
        }

    def ready(self) -> bool:
        """Whether requests should be sent here.

        A process joins with an answer for every task that has a champion; afterwards a refused first champion of
        another task does not take it out again.
        """
        release = self.releases.newest
        self._joined = self._joined or answers_all(release)
        return self._joined and bool(release.champions)
