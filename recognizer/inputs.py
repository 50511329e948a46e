"""The kept inputs of logged predictions: files below one folder, `<task>/<day>/<prediction id>.npz`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from recognizer.home import writing
from recognizer.predictions import surplus


def delete_inputs(folder: Path, names: Iterable[str]) -> None:
    """Delete files by their names below the folder, and folders of days that are empty then; what is gone is gone."""
    with writing(folder):
        days = set()
        for name in names:
            (folder / name).unlink(missing_ok=True)
            days.add((folder / name).parent)
        for day in days:
            if day.is_dir() and not any(day.iterdir()):
                day.rmdir()


def find_surplus(folder: Path, limit: int) -> list[str]:
    """Names of the oldest inputs, whose deletion leaves at most `limit` bytes."""
    found = [(path.relative_to(folder).as_posix(), path) for path in folder.glob("*/*/*.npz")]
    # ids begin with their time, so names within a day are in order, as are days
    found.sort(key=lambda one: one[0].split("/")[1:])
    return surplus([(name, path.stat().st_size) for name, path in found], limit)
