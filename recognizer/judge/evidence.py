"""What the two models of a rollout did, counted in batches: what every verdict in service is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SIGNALS = ("error", "invalid", "slow", "misread")
"""Kinds of bad events: the model raised, it answered nonsense, it took too long, it was wrong (told later)."""


@dataclass(frozen=True)
class ArmCounts:
    """One model's answers in a batch.

    Attributes:
        answers: requests it was asked to answer, each routed to it by lot; what was routed by a sticky key stands
            in `paired` alone.
        bad: how many of them were bad, by signal; a signal that is left out had none. Beside the signals it may count
            `late`: answers above the absolute limit.
        labelled: answers, from any time, of which the truth was told in this batch: what `misread` is counted among.
    """

    answers: int = 0
    bad: Mapping[str, int] = field(default_factory=dict)
    labelled: int = 0


@dataclass(frozen=True)
class PairCounts:
    """Requests that both models answered.

    Attributes:
        pairs: how many there were.
        challenger_only, champion_only: how many were bad for that model alone.
    """

    pairs: int = 0
    challenger_only: int = 0
    champion_only: int = 0


@dataclass(frozen=True)
class Batch:
    """What one worker counted between two flushes.

    `challenger` is the new model and `champion` the old one, also after the promotion.

    Attributes:
        worker: name of the worker.
        sequence: number of the batch in its worker, from 1 and without gaps unless one was lost.
        share: chance with which a request of this batch, routed by lot, was the challenger's; None where nobody
            knows. A worker whose share changes (a step, a breaker, a lease that ran out) begins a new batch.
        paired: by signal.
        compared: requests on which the answers of both were compared.
        disagreed: on how many of them the answers differed.
    """

    worker: str
    sequence: int
    champion: ArmCounts = ArmCounts()
    challenger: ArmCounts = ArmCounts()
    share: float | None = None
    paired: Mapping[str, PairCounts] = field(default_factory=dict)
    compared: int = 0
    disagreed: int = 0
