"""What a candidate is asked in the sandbox, and what it has to answer: recorded requests, its own offline scores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.measuring import ask
from flows.recordings import logged_recordings, make_recordings
from recognizer.answers import Answers, joined
from recognizer.errors import NoStore, NotFound
from recognizer.settings import Settings
from recognizer.store import open_store, predictions
from recognizer.tasks import Predictor, load_evaluator
from recognizer.traffic import Sent
from serving.endpoint import load_endpoint

LEAST_RECORDED = 100
"""With fewer recorded inputs, training cases are sent instead: a few requests again and again show little."""
LEAST_RATE = 50.0
"""Requests a second, however little was recorded."""
MOST_DIFFERENT = 200
"""Requests that differ; they are sent again and again: each has to be answered offline as well."""
RECENT_SECONDS = 24 * 3600.0
RATE_SECONDS = 3600
"""The recorded rate is that of the busiest hour of the last day."""


@dataclass(frozen=True)
class Requests:
    """What is sent.

    Attributes:
        cases: the bodies, of which each may be sent several times.
        source: where they came from, in words.
        recorded: whether they are recorded traffic; else they are training cases.
        rate: requests a second: the recorded rate, `LEAST_RATE` at least.
        media_type: of the bodies.
    """

    cases: tuple[Sent, ...]
    source: str
    recorded: bool
    rate: float
    media_type: str


def find_requests(settings: Settings, task: str, snapshot: Path, *, now: float | None = None) -> Requests:
    """The newest recorded requests of a task; without enough of them, cases it was trained on.

    The frozen test set is never read: what is sent here is kept in logs, and the test set is for the gates alone.
    The log keeps all inputs that were unsure or the challenger's and a sample of the rest, so hard ones are frequent.

    Args:
        snapshot: folder of the candidate's snapshot.
        now: seconds since 1970; default: the clock's.

    Raises:
        InputError: no training case can be sent.
        NotFound, FormatError: the snapshot is not there, or damaged.
        StorageError: the store cannot be read.
    """
    rate = max(LEAST_RATE, recorded_rate(settings, task, time.time() if now is None else now))
    try:
        logged = logged_recordings(settings, task, most=MOST_DIFFERENT)
    except (NotFound, NoStore):  # nothing was ever served here
        logged = None
    if logged is not None and len(logged.cases) >= LEAST_RECORDED:
        return Requests(logged.cases, logged.source, True, rate, logged.media_type)
    found = "no prediction log yet" if logged is None else f"only {len(logged.cases)} recorded inputs"
    cases = load_evaluator(task).load(snapshot, "train")
    training = make_recordings(task, cases, f"training set ({found})", most=MOST_DIFFERENT)
    return Requests(training.cases, training.source, False, rate, training.media_type)


def recorded_rate(settings: Settings, task: str, now: float) -> float:
    """Answers a second in the busiest hour of the day before `now`; 0 of none.

    Raises:
        StorageError: the store cannot be read.
    """
    try:
        store = open_store(settings.database_url, make=False)
    except NoStore:
        return 0.0
    with store:
        return predictions.busiest(store, task, since=now - RECENT_SECONDS, seconds=RATE_SECONDS) / RATE_SECONDS


def offline_answers(predictor: Predictor, task: str, cases: Sequence[Sent], media_type: str) -> Answers:
    """What a model has to answer to n requests, each case alone, as the service asks it.

    The bodies are read by the service's own reader, so that the model gets the very arrays that it gets in service.

    Raises:
        NotFound: the service has no address for this task.
        InputError: a body that the service would refuse.
        PluginError: the model failed.
    """
    endpoint = load_endpoint(task)
    asked = (endpoint.read(case.content, media_type, {}).case for case in cases)
    return joined([ask(predictor, predictor.inputs([case])) for case in asked])
