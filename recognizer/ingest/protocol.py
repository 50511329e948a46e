"""Split names as data sets write them (`train`, `xsub_val`, `test1`), and which of several protocols to take."""

from __future__ import annotations

import re
from collections.abc import Mapping

from recognizer.errors import SplitError, UsageError
from recognizer.ingest.recorded import TEST, TRAIN, VALIDATION

NAME = re.compile(r"^(?:(?P<prefix>.+)[_-])?(?P<part>train|val|validation|test)(?:[_-]?(?P<suffix>\d+))?$")
PARTS = {"train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
# Cross-subject, the one protocol of NTU RGB+D that keeps people apart, as every split here has to.
BY_SUBJECT = "xsub"


def choose_split(
    split: Mapping[str, tuple[str, ...]], protocol: str | None, *, where: str
) -> dict[str, tuple[str, ...]]:
    """The sets of one protocol, named `train`, `validation`, `test`.

    A file with one protocol needs no choice. Among several, the one without prefix and suffix is taken, then
    `xsub`, else `protocol` has to say. A held-out part called `val` without a `test` beside it is the test set.

    Raises:
        UsageError: several protocols and none chosen, or none of that name.
        SplitError: a set is named and empty.
    """
    protocols: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, sequences in split.items():
        found = NAME.match(name)
        if found is None:
            continue
        key = "".join(part for part in (found["prefix"], found["suffix"]) if part)
        protocols.setdefault(key, {})[PARTS[found["part"]]] = sequences
    names = sorted(protocols)
    if protocol is None and len(names) > 1:
        protocol = next((name for name in ("", BY_SUBJECT) if name in protocols), None)
    if protocol is None and len(names) > 1:
        raise UsageError(
            f"holds several splits: {names}", where=where, hint='choose one: "protocol": "<name>" in the --meta file'
        )
    if protocol is not None and protocol not in protocols:
        raise UsageError(f"has no split {protocol!r}; it holds {names}", where=where, hint="choose one of these")
    chosen = protocols[protocol if protocol is not None else names[0]] if names else {}
    empty = sorted(part for part, sequences in chosen.items() if not sequences)
    if empty:
        raise SplitError(
            f"its split has an empty set: {', '.join(map(repr, empty))}",
            where=where,
            hint="name sequences for it, or leave the set out of the split, so that it is cut by subject",
        )
    if TEST not in chosen and VALIDATION in chosen:
        chosen = {TEST if part == VALIDATION else part: sequences for part, sequences in chosen.items()}
    return chosen
