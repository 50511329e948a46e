"""Swaps, rollouts and faults under traffic against the real service: `make bench-swap`.

Prints one table: what was measured, what must hold, whether it does; exits with 1 when a row fails. `--quick` runs a
sample of everything. Traffic is synthetic people, or the held-out windows of `--data`; models are tiny, or those of
`--model`. Every ratio is of figures of one run, so that it does not matter how fast the machine is; how busy does.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import faults, loading, peer, speed, swaps
from benchmarks.table import HEAD, Row
from flows.recordings import find_recordings
from recognizer.home import Home
from recognizer.ingest.origin import DataFile
from recognizer.settings import Settings
from recognizer.traffic import Sent

Part = Callable[[Path], Sequence[Row]]


@dataclass(frozen=True)
class Sizes:
    """How much of everything is run."""

    swaps: int = 100
    requests: int = 100_000
    loads: int = 20
    kinds: Sequence[str] = tuple(faults.KINDS)
    breakers: int = 7
    rollbacks: int = 3
    points: Sequence[str] = tuple(faults.POINTS)
    away: float = 60.0
    rates: int = 2000
    judged: int = 10_000
    peer: int = 5


QUICK = Sizes(10, 2_000, 2, ("raises",), 2, 1, ("CANARY",), 12.0, 500, 200, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sample of everything, in about four minutes")
    parser.add_argument("--data", type=Path, help="file of recorded skeletons to replay")
    parser.add_argument("--meta", type=Path, help="what the file does not say of itself")
    parser.add_argument(
        "--model", type=Path, action="append", default=[], help="folder with model.onnx and package.json; repeatable"
    )
    parser.add_argument("--only", action="append", help="a part: swaps, loading, bad, breaker, rollback, ...")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what it has started ends with it
    sizes = QUICK if given.quick else Sizes()
    with tempfile.TemporaryDirectory(prefix="bench-swap-") as folder:
        root = Path(folder)
        data = None if given.data is None else DataFile(given.data, given.meta)
        found = find_recordings(Settings(home=Home(root / "none")), "action", data=data)
        parts = _parts(sizes, found.cases, given.model)
        print(f"traffic: {found.source}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n\n{HEAD}", flush=True)
        rows = [row for name, part in parts.items() if _wanted(name, given.only) for row in _run(name, part, root)]
    failed = sum(not row.passed for row in rows)
    print(f"\n{len(rows) - failed} of {len(rows)} rows passed, load {os.getloadavg()[0]:.1f}")
    if _wanted("judge", given.only):
        print("\nthe judge:", flush=True)
        judge = [sys.executable, "-m", "benchmarks.judge", "--runs", str(sizes.judged)]
        failed += subprocess.run(judge, check=False).returncode != 0
    return int(failed > 0)


def _parts(sizes: Sizes, windows: Sequence[Sent], models: Sequence[Path]) -> dict[str, Part]:
    return {
        "process": lambda root: speed.process_rows(),
        "speed": lambda root: speed.speed_rows(root, sizes.rates),
        "swaps": lambda root: swaps.swap_rows(root, models, windows, sizes.swaps, sizes.requests),
        "loading": lambda root: loading.loading_rows(root, models, windows, sizes.loads),
        "bad": lambda root: faults.bad_rows(root, sizes.kinds),
        "breaker": lambda root: faults.breaker_rows(root, sizes.breakers),
        "rollback": lambda root: faults.rollback_rows(root, sizes.rollbacks),
        "kill": lambda root: faults.kill_rows(root, models, windows, sizes.points),
        "store": lambda root: [faults.store_row(root, models, windows, sizes.away)],
        "peer": lambda root: peer.peer_rows(root, models, windows, sizes.peer),
    }


def _run(name: str, part: Part, root: Path) -> Sequence[Row]:
    """The rows of a part, printed as soon as they are there; a part that breaks off is a row that failed."""
    began = time.monotonic()
    home = root / name
    home.mkdir()
    try:
        rows = part(home)
    except Exception as error:
        rows = [Row(name, f"broke off: {type(error).__name__}: {error}", "a figure", False)]
    for row in rows:
        print(row, flush=True)
    print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows


def _wanted(name: str, only: Sequence[str] | None) -> bool:
    return not only or name in only


if __name__ == "__main__":
    sys.exit(main())
