"""The data contract of skeleton sequences: three tables (sequences, frames, classes), and what is expected of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.action.limits import ContractLimits
from recognizer.action.rules import make_rules
from recognizer.contract import Inspection, Table, sets_with
from recognizer.snapshot import SETS

INDEX = {
    "sequences": ("set", "name", "subject"),
    "frames": ("set", "name", "person", "frame"),
    "classes": ("class_name",),
}


def inspect_tables(
    sequences: Table, frames: Table, limits: Mapping[str, Any], previous_count: int | None
) -> Inspection:
    """The tables of `recognizer.tables` and the rules for them.

    Args:
        limits: section `contract` of the stage `prepare`.
        previous_count: sequences of the snapshot before; None when there is none to compare with.

    Raises:
        UsageError: the limits are not usable.
    """
    return Inspection(
        tables=_tables(sequences, frames),
        index=INDEX,
        rules=make_rules(ContractLimits.read(limits), previous_count),
        count=len(sequences["name"]),
        cases="sequences",
        first=previous_count is None,
    )


def _tables(sequences: Table, frames: Table) -> dict[str, Table]:
    """The tables with the columns that expectations need beside the given ones."""
    part, labels = sequences["set"], sequences["class_name"]
    in_train = np.isin(labels, labels[part == "train"])
    sequences = {
        **sequences,
        "sets_with_class": in_train.astype(np.int64),
        "sets_with_content": sets_with(sequences["content_hash"], part, SETS),
        # nobody knows whether two unknown people are one
        "sets_with_subject": np.where(sequences["subject"] == "", np.nan, sets_with(sequences["subject"], part, SETS)),
    }
    ends = np.stack([-frames["x_min"], frames["x_max"] - 1, -frames["y_min"], frames["y_max"] - 1])
    frames = {**frames, "outside": np.where(np.isnan(ends).all(axis=0), np.nan, np.max(ends, axis=0))}
    names = np.unique(labels)
    counts: dict[str, NDArray[Any]] = {
        one: np.array([np.sum((part == one) & (labels == name)) for name in names]) for one in SETS
    }
    imbalance = counts["train"].max() / np.maximum(counts["train"], 1)
    return {
        "sequences": sequences,
        "frames": frames,
        "classes": {"class_name": names, **counts, "imbalance": imbalance},
    }
