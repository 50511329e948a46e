"""Runs the faults one after the other and writes what became of each."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.mutations import comparison, data, model, service, training, trust
from benchmarks.mutations.base import Night, judged
from benchmarks.mutations.fault import Fault, Refusal, refusals_of
from recognizer.home import atomic_write

MOST_REASON = 220
"""Letters of a reason in the table."""


def _sound(night: Night) -> Sequence[Refusal]:
    """Every configured gate, the sandbox with as many requests as are configured."""
    return refusals_of(judged(night, night.exported, trained=night.trained, without=()))


NONE = Fault("none", "sound", "nothing: the night that every fault is seeded into", None, _sound)
FAULTS: tuple[Fault, ...] = (
    NONE,
    *data.FAULTS,
    *training.FAULTS,
    *model.FAULTS,
    *comparison.FAULTS,
    *service.FAULTS,
    *trust.FAULTS,
)


@dataclass(frozen=True)
class Row:
    """What became of one fault.

    Attributes:
        expected: the gate, and check if one was named, that had to say no.
        caught: by which checks of it, with what reason.
        others: further checks that said no.
        problem: what broke while it was judged; None when nothing did.
    """

    name: str
    group: str
    done: str
    expected: str
    caught: tuple[tuple[str, str], ...]
    others: tuple[str, ...]
    problem: str | None
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the sound night passed, or the fault was caught by what was expected to."""
        if self.problem is not None:
            return False
        return bool(self.caught) if self.expected else not self.others

    @property
    def verdict(self) -> str:
        if self.problem is not None:
            return "broken"
        if not self.expected:
            return "refused" if self.others else "passed"
        return "caught" if self.caught else "caught elsewhere" if self.others else "ESCAPED"

    def __str__(self) -> str:
        told = [f"`{name}` {_short(reason)}" for name, reason in self.caught[:2]]
        there = self.expected.partition("/")[0]
        also = [one for one in dict.fromkeys(name.partition("/")[0] for name in self.others) if one != there]
        if not self.caught:
            told = [self.problem or ", ".join(self.others[:4])]
        said = "<br>".join(one.replace("|", "/") for one in told if one)
        return f"| {self.name} | {self.done} | {self.verdict} | {said} | {', '.join(also)} |"


def run(night: Night, faults: Sequence[Fault], done: Path, tell: Callable[[str], None]) -> list[Row]:
    """A row for each fault, in their order; rows that stand in the file `done` are not made again."""
    known = {row.name: row for row in _read(done)}
    rows = []
    for number, fault in enumerate(faults, start=1):
        if fault.name not in known:
            known[fault.name] = _judge(night, fault)
            atomic_write(done, json.dumps([asdict(row) for row in known.values()], indent=1).encode())
        row = known[fault.name]
        first = row.caught[0][0] if row.caught else row.problem or ", ".join(row.others[:3])
        tell(f"{number:2}/{len(faults)} {row.seconds:5.1f} s  {row.verdict:8} {fault.group}: {fault.name}  {first}")
        rows.append(row)
    return rows


def _judge(night: Night, fault: Fault) -> Row:
    began, refusals, problem = time.monotonic(), list[Refusal](), None
    try:
        refusals = list(fault.judge(night))
    except Exception as error:  # one fault that breaks must not hide what became of the others
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        traceback.print_exc()
    place = f"{night.folder}/"  # another one in every run, which says nothing
    refusals = [replace(one, reason=one.reason.replace(place, "")) for one in refusals]
    caught = fault.caught_by(refusals)
    return Row(
        name=fault.name,
        group=fault.group,
        done=fault.done,
        expected="" if fault.gate is None else f"{fault.gate}/{fault.check or '*'}",
        caught=tuple((str(one), one.reason) for one in caught),
        others=tuple(str(one) for one in refusals if one not in caught),
        problem=problem,
        seconds=time.monotonic() - began,
    )


def table(rows: Iterable[Row]) -> str:
    head = "| fault | what was done | | caught by, and what it said | also said no |\n|---|---|---|---|---|"
    return "\n".join([head, *map(str, rows)])


def _read(done: Path) -> list[Row]:
    if not done.is_file():
        return []
    return [
        Row(**{**one, "caught": tuple(tuple(pair) for pair in one["caught"]), "others": tuple(one["others"])})
        for one in json.loads(done.read_text())
    ]


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= MOST_REASON else f"{line[:MOST_REASON]} …"
