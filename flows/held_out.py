"""The frozen test set of a task, and how often candidates were held against it.

Each look at the same cases tells a little about them, and what is chosen by many looks fits them by chance. So a set is
renewed after so many candidates; docs/gates.md says how.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from recognizer.checks import figure
from recognizer.errors import RecognizerError
from recognizer.evaluation.paired import bound_of_equals
from recognizer.gates import GateConfig
from recognizer.params import load_params
from recognizer.settings import Settings
from recognizer.snapshot import SnapshotCard
from recognizer.store import Store, snapshots, versions
from recognizer.store.clock import moment

LARGER = "record more cases, then more subjects: docs/gates.md, Intervals"
RENEW = "ingest a file with a new held-out part: docs/gates.md, Renewing the test set"


@dataclass(frozen=True)
class HeldOut:
    """One test set and its use.

    Attributes:
        cases, people: None when no snapshot with it is known any more; people also when nobody is named.
        since: seconds since 1970, of the first candidate it judged; None when it has judged none.
        judged: candidates that it judged, those that were rejected too.
        allowed: after so many it is used up.
        margin: by which a candidate may be worse than the champion; None when nobody asks for one.
        bound: what a model equal to the champion can show: that it is no worse than by this; None as `cases`.
    """

    digest: str
    cases: int | None
    people: int | None
    since: float | None
    judged: int
    allowed: int
    margin: float | None = None
    bound: float | None = None

    @property
    def used_up(self) -> bool:
        return self.judged >= self.allowed

    @property
    def caution(self) -> str | None:
        """Why it can tell nothing about models as good as the champion; None when it can."""
        if self.margin is None or self.bound is None or self.bound >= -self.margin:
            return None
        bound, margin = figure(-self.bound), figure(self.margin)
        said = f"as far as it can tell, an equal of the champion may be worse by {bound}, which is more than {margin}"
        return f"too few cases or subjects: {said}"

    @property
    def sentence(self) -> str:
        """What it is and how often it was used, in one line."""
        size = "" if self.cases is None else f": {self.cases:,} cases"
        size += f" of {self.people:,} subjects" if self.people else ""
        since = "" if self.since is None else f", used since {moment(self.since):%Y-%m-%d}"
        return f"test set {self.digest[:12]}{size}{since}, has judged {self.judged:,} of {self.allowed:,} candidates"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "used_up": self.used_up, "caution": self.caution}


def find_held_out(settings: Settings, store: Store, task: str, digest: str) -> HeldOut:
    """How often a test set of the task was used."""
    judged = [one for one in versions.list(store, task) if one.test_digest == digest]
    cards = (SnapshotCard.model_validate(entry.card) for entry in snapshots.list(store, task))
    test = next((card.sets["test"] for card in cards if card.test_digest == digest), None)
    people = len(test.subjects) or None if test is not None else None
    allowed, margin = _configured(settings, task)
    return HeldOut(
        digest=digest,
        cases=None if test is None else test.sequences,
        people=people,
        since=min((one.registered_at for one in judged), default=None),
        judged=len(judged),
        allowed=allowed,
        margin=margin,
        bound=None if test is None else bound_of_equals(test.sequences, people),
    )


def newest_held_out(settings: Settings, store: Store, task: str) -> HeldOut | None:
    """That of the newest snapshot; None when nothing was ingested."""
    newest = snapshots.latest(store, task)
    if newest is None:
        return None
    return find_held_out(settings, store, task, SnapshotCard.model_validate(newest.card).test_digest)


def _configured(settings: Settings, task: str) -> tuple[int, float | None]:
    """How many candidates a test set may judge, and the smallest margin of a metric where higher is better."""
    try:
        config = GateConfig.read(load_params(settings.home.params, task)["evaluate"], task=task)
    except RecognizerError:  # what was judged can be read whatever became of the file since; a night says what is wrong
        return int(GateConfig.model_fields["refresh_after"].default), None
    margins = [one.margin for one in (config.gates.relative or {}).values() if one.direction == "min"]
    return config.refresh_after, min(margins, default=None)
