"""The frozen test set of a task, and how often candidates were held against it.

Each look at the same cases tells a little about them, and what is chosen by many looks fits them by chance. So a set is
renewed after so many candidates; docs/gates.md says how.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recognizer.errors import RecognizerError
from recognizer.gates import GateConfig
from recognizer.params import load_params
from recognizer.settings import Settings
from recognizer.snapshot import SnapshotCard
from recognizer.store import Store, snapshots, versions
from recognizer.store.clock import moment

RENEW = "ingest a file with a new held-out part: docs/gates.md, Renewing the test set"


@dataclass(frozen=True)
class HeldOut:
    """One test set and its use.

    Attributes:
        cases, people: None when no snapshot with it is known any more; people also when nobody is named.
        since: seconds since 1970, of the first candidate it judged; None when it has judged none.
        judged: candidates that it judged, those that were rejected too.
        allowed: after so many it is used up.
    """

    digest: str
    cases: int | None
    people: int | None
    since: float | None
    judged: int
    allowed: int

    @property
    def used_up(self) -> bool:
        return self.judged >= self.allowed

    @property
    def sentence(self) -> str:
        """What it is and how often it was used, in one line."""
        size = "" if self.cases is None else f": {self.cases:,} cases"
        size += f" of {self.people:,} people" if self.people else ""
        since = "" if self.since is None else f", used since {moment(self.since):%Y-%m-%d}"
        return f"test set {self.digest[:12]}{size}{since}, has judged {self.judged:,} of {self.allowed:,} candidates"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "used_up": self.used_up}


def find_held_out(settings: Settings, store: Store, task: str, digest: str) -> HeldOut:
    """How often a test set of the task was used."""
    judged = [one for one in versions.list(store, task) if one.test_digest == digest]
    cards = (SnapshotCard.model_validate(entry.card) for entry in snapshots.list(store, task))
    test = next((card.sets["test"] for card in cards if card.test_digest == digest), None)
    return HeldOut(
        digest=digest,
        cases=None if test is None else test.sequences,
        people=len(test.subjects) or None if test is not None else None,
        since=min((one.registered_at for one in judged), default=None),
        judged=len(judged),
        allowed=_allowed(settings, task),
    )


def newest_held_out(settings: Settings, store: Store, task: str) -> HeldOut | None:
    """That of the newest snapshot; None when nothing was ingested."""
    newest = snapshots.latest(store, task)
    if newest is None:
        return None
    return find_held_out(settings, store, task, SnapshotCard.model_validate(newest.card).test_digest)


def _allowed(settings: Settings, task: str) -> int:
    try:
        return GateConfig.read(load_params(settings.home.params, task)["evaluate"], task=task).refresh_after
    except RecognizerError:  # what was judged can be read whatever became of the file since; a night says what is wrong
        return int(GateConfig.model_fields["refresh_after"].default)
