"""What the log of a service that failed says about why."""

from __future__ import annotations

import json
import re
import tempfile

SHORT_OF = {
    "memory": re.compile(
        r"MemoryError|bad_alloc|[Mm]emory allocation|[Aa]llocate memory|pthread_create failed|can't start new thread"
    ),
    "room on the disk": re.compile(r"No space left on device|disk I/O error|disk is full|[Dd]isk quota exceeded"),
}
"""What a log says where something ran out: what it complains of last is often a consequence only."""


def shortage(log: str, memory_mb: int) -> str:
    """What the writer of a log ran out of, with the next step; empty where it says nothing of the kind."""
    advice = {
        "memory": f"each process may hold {memory_mb:,} MB, see gates.infra.memory_mb",
        "room on the disk": f"free some in {tempfile.gettempdir()}, or name another folder in TMPDIR",
    }
    return "".join(f"; it ran out of {what}: {advice[what]}" for what, said in SHORT_OF.items() if said.search(log))


def complaint(line: str) -> str | None:
    """What a line of the log complains of; None when it does not."""
    try:
        told = json.loads(line)
    except ValueError:
        return line if re.match(r"\w+(\.\w+)*(Error|Exception|Killed)\b", line) else None
    if not isinstance(told, dict) or told.get("level") not in ("error", "critical"):
        return None
    said = [str(told[name]) for name in ("event", "error", "what", "exception") if told.get(name)]
    return " ".join(": ".join(said).split())
