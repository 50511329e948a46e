"""Faults seeded one at a time into a sound night, judged by the project's own code: `make mutations`.

Writes docs/mutations.md; exits with 1 when a fault escapes, or is caught only by something else than was expected.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.mutations import unnoticed
from benchmarks.mutations.base import MATRIX, make_night
from benchmarks.mutations.matrix import FAULTS, Row, run, table
from recognizer.home import atomic_write, checkout

INTRODUCTION = """# Mutations

Faults seeded one at a time into an otherwise sound night. The project's own code judges each of them: the data
contract, the stage `evaluate`, the gates, the sandbox with the real service, packages, blessings and the store. Written
by `make mutations`, which fails when one escapes or is caught only by another gate than the one it is there for.

- The sound night has {recordings} synthetic recordings, six actions and a small network; its gates and bounds are
  those of `params.yaml`. The champion is the same network, packaged the night before.
- `budgets` and `infra` take seconds, so they are configured only for the sound night and for faults that are about
  them; for faults in service the sandbox sends 350 requests instead of 1,000.
- An *exported model* is held against the network that it was trained as. A *model trained elsewhere* is judged as
  one that `recognizer register` brings: there is no such network.
- Of what said no, the table shows the checks that are there for this fault, with their numbers, and names other gates
  that said no as well. ERROR means that it could not be measured, INCONCLUSIVE that there were too few cases.
- What is missing: left and right exchanged in *training* alone, in all frames or in every second one. The network is as
  good as the sound one: these people are filmed from every side, so it makes no difference.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], help="a group or a fault; writes no table")
    parser.add_argument("--work", type=Path, help="folder to work in, where what is done stays done")
    given = parser.parse_args()
    every = (*FAULTS, *unnoticed.FAULTS)
    chosen = [one for one in every if {one.name, one.group} & set(given.only)] if given.only else FAULTS
    if not chosen:
        parser.error(f"no such fault; groups: {', '.join(dict.fromkeys(one.group for one in every))}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="recognizer-mutations-") as folder:
        work = given.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        print("training the sound night", flush=True)
        night = make_night(work / "night")
        rows = run(night, chosen, work / "rows.json", lambda line: print(line, flush=True))
    wrong = [row for row in rows if not row.right]
    if not given.only:
        atomic_write(checkout() / "docs" / "mutations.md", _document(rows).encode())
    seconds = time.monotonic() - began
    print(f"{len(rows) - len(wrong)} of {len(rows)} as expected, in {seconds / 60:.1f} minutes")
    for row in wrong:
        print(f"  {row.verdict}: {row.name} (expected {row.expected or 'nothing'}) {', '.join(row.others)}")
    return 1 if wrong else 0


def _document(rows: Sequence[Row]) -> str:
    parts = [INTRODUCTION.format(recordings=MATRIX.recordings)]
    faults = [row for row in rows if row.expected]
    caught = sum(row.right for row in faults)
    parts.append(f"{caught} of {len(faults)} faults were caught by what is there for them.\n")
    for group in dict.fromkeys(row.group for row in rows):
        parts.append(f"## {group.capitalize()}\n\n{table(row for row in rows if row.group == group)}\n")
    told = [f"- {one.name}: {one.done}." for one in unnoticed.FAULTS]
    parts.append(
        "\n".join(["## Not caught yet\n", "Faults that are known and that no gate is there for.\n", *told, ""])
    )
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
