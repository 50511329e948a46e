"""Become another program that ends when its parent does: `python flows/attached.py PARENT PROGRAM ARGUMENT...`.

A parent that is killed outright cannot stop its children, which then hold ports and pipes for ever. On Linux the
kernel does it instead; elsewhere such a child stays.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Source: Linux `prctl(2)`; kept over the exec below. It watches over the parent's thread that started this one."""


def main(parent: int, command: list[str]) -> None:
    """Never returns."""
    if sys.platform == "linux":
        # not SIGTERM: nobody would be left to insist
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died already
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
