"""The most memory that a process has held."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from serving.growth import resident_bytes

_PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
RESET = b"5"
"""Lets the kernel count its peak from what is held now. Source: Linux `proc_pid_clear_refs(5)`."""


def peak_bytes(proc: Path) -> int:
    """The most that a process has held, as Linux counts it; 0 where nobody tells. proc: its folder in `/proc`."""
    try:
        found = _PEAK.search((proc / "status").read_bytes())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


class Peak:
    """The growth of this process at its highest, from when this was made; in a process of its own.

    Linux keeps the peak itself, so that nothing is missed. Where it may not be set back, one from before counts too
    when it was higher. Other systems: the highest of what was held at each `look`.
    """

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self._proc = proc
        with suppress(OSError):  # no Linux, or no right to: see above
            (proc / "clear_refs").write_bytes(RESET)
        self._before = self._highest = resident_bytes()

    def look(self) -> None:
        """Note what is held now."""
        self._highest = max(self._highest, peak_bytes(self._proc), resident_bytes())

    @property
    def growth(self) -> int:
        """Bytes, 0 or more."""
        self.look()
        return self._highest - self._before
