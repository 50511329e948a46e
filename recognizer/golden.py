"""Golden cases: a few named inputs a model must answer right, whatever its averages say.

They lie as `.npz` files of `recognizer.sequences` in `data/golden/<task>/` of a home, or else of the checkout, where
they are in git. The label of a sequence is the answer that must hold, its name is the case's.
Source: Ribeiro, Wu, Guestrin, Singh 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList" (minimum
functionality tests).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recognizer.digest import sha256_bytes
from recognizer.errors import FormatError, InputError
from recognizer.home import Home, checkout
from recognizer.ingest.npz import read_own
from recognizer.sequences import SequenceSet, SkeletonSequence
from recognizer.snapshot import set_digest

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class GoldenCases:
    """The golden cases of one task for one model.

    Attributes:
        cases: those of classes the model knows, files in the order of their names; labels and class list are the
            model's.
        left_out: how many cases are of classes it does not know, or of made-up people and it did not learn from such.
        digest: SHA-256 over what the files say that it may be asked, cases left out too, however they are compressed.
    """

    cases: SequenceSet
    left_out: int
    digest: str


def golden_folder(home: Home, task: str) -> Path:
    """The home's own folder when it has one, an empty one too, else the checkout's; it may not exist."""
    own = home.golden(task)
    return own if own.is_dir() else Home(checkout()).golden(task)


def read_golden(folder: Path | None, classes: Sequence[str], *, synthetic: bool = False) -> GoldenCases:
    """The golden cases of a folder, matched by name to a model's class list; none where there is no folder.

    Args:
        synthetic: whether the model learned from synthetic people; only such a model is asked what lies in the
            sub-folder `synthetic`, for a recorded action may bear the name of one that was made up.

    Raises:
        FormatError: a file cannot be read, or two cases have one name; names the file.
    """
    cases: list[SkeletonSequence] = []
    origin: dict[str, str] = {}
    left_out, said = 0, ""
    for path in golden_files(folder, "*.npz"):
        found = _read(path)
        if path.parent.name == SYNTHETIC and not synthetic:
            left_out += len(found)
            continue
        said += f"{path.name}\0{set_digest(found)}\n"
        for case in found:
            if case.name in origin:
                raise FormatError(
                    f"holds case {case.name!r}, which {origin[case.name]} holds too",
                    where=str(path),
                    hint="give every golden case a name of its own",
                )
            origin[case.name] = path.name
            if found.classes[case.label] in classes:
                cases.append(replace(case, label=classes.index(found.classes[case.label])))
            else:
                left_out += 1
    return GoldenCases(SequenceSet(tuple(classes), tuple(cases)), left_out, sha256_bytes(said.encode()))


def golden_files(folder: Path | None, pattern: str) -> list[Path]:
    """The files of a folder, those of synthetic data last; none where there is no folder."""
    if folder is None:
        return []
    return [*sorted(folder.glob(pattern)), *sorted((folder / SYNTHETIC).glob(pattern))]


def _read(path: Path) -> SequenceSet:
    try:
        return read_own(path).sequences
    except InputError as error:
        where = str(path) if error.where in (None, str(path)) else f"{path}: {error.where}"
        raise FormatError(error.what, where=where, hint="put the file right, or take it away") from error
