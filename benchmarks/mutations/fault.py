"""What a fault is, and how the project's own code said no to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recognizer.checks import Check, Verdict
from recognizer.errors import RecognizerError

if TYPE_CHECKING:
    from benchmarks.mutations.base import Night


@dataclass(frozen=True)
class Refusal:
    """One "no", with the numbers it stands on.

    Attributes:
        gate: a gate, or what else stands in the way: `ingest`, `snapshot`, `package`, `blessing`, `promotion`.
        check: of the gate; of anything else the kind of its error.
    """

    gate: str
    check: str
    reason: str

    def __str__(self) -> str:
        return f"{self.gate}/{self.check}"


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with an otherwise sound night.

    Attributes:
        name: unique, in a few words.
        done: what was done, in one line.
        gate: what has to say no; None for the sound night, to which nothing may.
        judge: seeds it and lets the project's code judge it; returns every "no".
        check: which check of the gate has to say no; None where any may.
    """

    name: str
    group: str
    done: str
    gate: str | None
    judge: Callable[[Night], Sequence[Refusal]]
    check: str | None = None

    def caught_by(self, refusals: Sequence[Refusal]) -> Sequence[Refusal]:
        """The refusals that were expected, in their order."""
        return [one for one in refusals if one.gate == self.gate and self.check in (None, one.check)]


def refusals_of(checks: Iterable[Check]) -> list[Refusal]:
    """Every check that did not pass."""
    return [
        Refusal(one.gate, one.name, one.reason if one.verdict is Verdict.FAILED else f"{one.verdict}: {one.reason}")
        for one in checks
        if one.verdict is not Verdict.PASSED
    ]


def refusal_by(gate: str, act: Callable[[], object]) -> list[Refusal]:
    """What an action that may refuse says; nothing when it goes through."""
    try:
        act()
    except RecognizerError as error:
        return [Refusal(gate, type(error).__name__, error.what)]
    return []
