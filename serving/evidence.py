"""What this process counts about the two models of one rollout, until it is flushed as a batch.

Requests with a routing key of their own are not independent of each other: they are counted in pairs only, as are
the requests of a shadow. So each request is in the counts of one arm, or in the pairs, never in both.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Set

from recognizer.evidence import SIGNALS, ArmCounts, Batch, PairCounts
from recognizer.limits import LATE


class Evidence:
    """The counts of one rollout. All methods may be called from any thread.

    Attributes:
        worker: name of this process, part of every batch.
        sequence: number of the last batch.
    """

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.sequence = 0
        self._lock = threading.Lock()
        self._total = _Counts()
        self._counts = _Counts()
        self._full: deque[_Counts] = deque()

    def count(self, bad: Set[str], *, new: bool, share: float | None = None) -> None:
        """The new or the old model was asked for a request by chance; `bad` are its bad events.

        Args:
            share: the chance with which it was the new model. Another one begins another batch: within a batch,
                every request had the same chance of being the new model's.
        """
        with self._lock:
            if self._counts.routed and share != self._counts.share:
                self._full.append(self._counts)
                self._counts = _Counts()
            self._counts.share = share
            for counts in (self._counts, self._total):
                counts.answers[new] += 1
                counts.bad[new].update(bad)

    def pair(self, new_bad: Set[str], old_bad: Set[str], *, agree: bool | None, shift: float | None = None) -> None:
        """Both were asked for the same request.

        Args:
            agree: whether they answered the same label; None when one of them answered none.
            shift: half the sum of the differences of their scores, in [0, 1]; None when they cannot be compared.
        """
        with self._lock:
            for counts in (self._counts, self._total):
                counts.pairs += 1
                counts.new_only.update(new_bad - old_bad)
                counts.old_only.update(old_bad - new_bad)
                if agree is not None:
                    counts.compared += 1
                    counts.disagreed += not agree
                if shift is not None:
                    counts.shifts += 1
                    counts.shift += shift

    def flush(self) -> Batch | None:
        """What was counted and not yet handed out, as one batch; None when there is nothing (left)."""
        with self._lock:
            if self._full:
                counts = self._full.popleft()
            elif self._counts.empty:
                return None
            else:
                counts, self._counts = self._counts, _Counts()
            self.sequence += 1
            return Batch(
                worker=self.worker,
                sequence=self.sequence,
                champion=_arm(counts, new=False),
                challenger=_arm(counts, new=True),
                paired=_paired(counts),
                compared=counts.compared,
                disagreed=counts.disagreed,
                share=counts.share,
            )

    @property
    def urgent(self) -> bool:
        """Whether a bad event waits to be flushed."""
        with self._lock:
            return any(counts.any_bad for counts in (self._counts, *self._full))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to flush."""
        with self._lock:
            return self._counts.empty and not self._full

    def as_dict(self) -> dict[str, object]:
        """Everything counted since the start of this process, for `/health`."""
        with self._lock:
            total = self._total
            return {
                "sequence": self.sequence,
                "champion": {"answers": total.answers[False], **total.bad[False]},
                "challenger": {"answers": total.answers[True], **total.bad[True]},
                "pairs": total.pairs,
                "compared": total.compared,
                "disagreed": total.disagreed,
                "mean_score_shift": round(total.shift / total.shifts, 6) if total.shifts else None,
            }


class _Counts:
    """By whether it is the new model."""

    def __init__(self) -> None:
        self.answers = {True: 0, False: 0}
        self.bad: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self.pairs = 0
        self.new_only: Counter[str] = Counter()
        self.old_only: Counter[str] = Counter()
        self.compared = 0
        self.disagreed = 0
        self.shifts = 0
        self.shift = 0.0
        self.share: float | None = None

    @property
    def routed(self) -> int:
        """Requests routed by lot."""
        return sum(self.answers.values())

    @property
    def any_bad(self) -> bool:
        return any((*self.bad.values(), self.new_only, self.old_only)) or self.disagreed > 0

    @property
    def empty(self) -> bool:
        return not self.routed and not self.pairs


def _arm(counts: _Counts, *, new: bool) -> ArmCounts:
    return ArmCounts(counts.answers[new], dict(counts.bad[new]))


def _paired(counts: _Counts) -> dict[str, PairCounts]:
    """Every signal that this process can see; misreads are told later, by feedback."""
    if not counts.pairs:
        return {}
    seen = [*(signal for signal in SIGNALS if signal != "misread"), LATE]
    return {signal: PairCounts(counts.pairs, counts.new_only[signal], counts.old_only[signal]) for signal in seen}
