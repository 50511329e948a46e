"""What to serve when the store has lost what it said before.

A store that is empty, or older than the one this process read, was taken away from it (a lost disk, a mistake), and
nobody decided that its champions should go. So they go on answering until the store has come as far again, or names
another champion of their task.
"""

from __future__ import annotations

from dataclasses import replace

from recognizer.errors import StoreUnavailable
from recognizer.store.served import Served


def keep_champions(found: Served, before: Served | None, most: int) -> tuple[Served, tuple[str, ...]]:
    """What to serve of what the store says, and the tasks whose champions it does not know any more.

    Args:
        before: what was served until now.
        most: generation up to which this process has followed.
    """
    if before is None or found.generation >= most:
        return found, ()
    lost = {task: champion for task, champion in before.champions.items() if task not in found.champions}
    if not lost:
        return found, ()
    generation = found.generation if found.champions else before.generation
    return replace(found, generation=generation, champions={**found.champions, **lost}), tuple(sorted(lost))


def lost_problem(tasks: tuple[str, ...], found: int, most: int) -> StoreUnavailable:
    """Why this process serves what the store does not name."""
    return StoreUnavailable(
        f"the store is at generation {found} and knows no champion of {', '.join(tasks)}; this process has followed it "
        f"to generation {most} and goes on with the champion of then",
        hint="put the store back, or run a night with the new one; if it is meant to be empty, restart the service",
    )
