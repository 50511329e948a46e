"""Become another program that has only so much memory and ends when its parent does.

    python -P flows/confined.py PARENT MEGABYTES VARIABLE PROGRAM ARGUMENT...

The limit holds for each process that the program starts, for each alone. VARIABLE is the environment variable in which
the program, and what it starts, finds its own process id.
"""

from __future__ import annotations

import os
import resource
import sys

from flows.attached import main


def confine(megabytes: int) -> None:
    """Let this process, and all that it starts, have so much memory that it can write to, and leave no core dump.

    RLIMIT_DATA counts heap, anonymous memory, thread stacks (8 MB each, used or not) and private writable mappings of
    files, such as the weights that onnxruntime maps. RLIMIT_AS would count every shared library too, and what the
    allocator only reserves. Linux alone enforces it for more than the heap. Source: Linux `getrlimit(2)`.
    """
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = megabytes * 2**20 if most == resource.RLIM_INFINITY else min(megabytes * 2**20, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    confine(int(sys.argv[2]))
    os.environ[sys.argv[3]] = str(os.getpid())  # stays the same when it becomes the program
    main(int(sys.argv[1]), sys.argv[4:])
