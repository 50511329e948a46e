"""What may follow what in the row of a night. Pure tables; `nights` looks in them before it writes."""

from __future__ import annotations

from collections.abc import Mapping

from recognizer.errors import Conflict
from recognizer.night import Outcome, Step

_ORDER = tuple(Step)

NEXT_STEPS: Mapping[Step | None, frozenset[Step]] = {
    # An attempt enters its night at any step: what an earlier attempt finished is not done again.
    None: frozenset(_ORDER),
    # Forward only; the same step again is a retry.
    **{step: frozenset(_ORDER[place:]) for place, step in enumerate(_ORDER)},
}

NEXT_OUTCOMES: Mapping[Outcome | None, frozenset[Outcome | None]] = {
    # The night is on its way.
    None: frozenset(Outcome) | {None},
    # It broke, which says nothing about a model: the next call of the night tries again.
    Outcome.FAILED: frozenset({None, Outcome.FAILED}),
    # It has had its last word; the same word again is a retry of the last step.
    Outcome.PROMOTED: frozenset({Outcome.PROMOTED}),
    Outcome.RELEASED: frozenset({Outcome.RELEASED}),
    Outcome.REJECTED: frozenset({Outcome.REJECTED}),
    Outcome.UNCHANGED: frozenset({Outcome.UNCHANGED}),
}

JUDGED = frozenset({Outcome.PROMOTED, Outcome.RELEASED, Outcome.REJECTED})
"""Outcomes that say something about a model: the same inputs need no second judgement."""


def require_step(now: Step | None, wanted: Step, where: str) -> None:
    """Raise Conflict unless `wanted` may follow `now`."""
    if wanted not in NEXT_STEPS[now]:
        raise Conflict(
            f"cannot go back from step {now} to {wanted}", where=where, hint="run the night again: it goes on by itself"
        )


def require_outcome(now: Outcome | None, wanted: Outcome | None, where: str) -> None:
    """Raise Conflict unless `wanted` may follow `now`; None stands for a night that is open."""
    if wanted not in NEXT_OUTCOMES[now]:
        raise Conflict(
            f"the night has ended as {now}, it cannot become {wanted or 'open'} any more",
            where=where,
            hint="the next night, or other data or parameters, make a new row",
        )
