"""What the data contract expects of skeleton sequences, with words for the outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.action.limits import ContractLimits
from recognizer.contract import Expectation, Rule, Table, between, volume
from recognizer.snapshot import SETS


def _rule(expectation: Expectation, broken: str, limit: float, **more: Any) -> Rule:
    return Rule(expectation, broken, limit, **{"rows": "sequences", "names": "name", **more})


def make_rules(bounds: ContractLimits, previous_count: int | None) -> dict[str, list[Rule]]:
    """The rules by table: `sequences`, `frames`, `classes`.

    Args:
        previous_count: sequences of the snapshot before; None when there is none to compare with.
    """
    frames, people, visibility, margin = bounds.frames, bounds.people, bounds.visibility, bounds.coordinates.margin
    sequences = [
        _rule(
            between("known_classes", "sets_with_class", 1, None, 0.0, "Every class stands in train, too."),
            "have a class that train does not have",
            0.0,
        ),
        _rule(
            between(
                "frames",
                "frames",
                frames.min,
                frames.max,
                frames.allowed,
                f"Sequences have {frames.min:,} to {frames.max:,} frames.",
            ),
            f"have fewer than {frames.min:,} or more than {frames.max:,} frames",
            frames.allowed,
        ),
        _rule(
            between(
                "people",
                "people",
                people.min,
                people.max,
                people.allowed,
                f"Sequences show {people.min:,} to {people.max:,} people.",
            ),
            f"show fewer than {people.min:,} or more than {people.max:,} people",
            people.allowed,
        ),
        _rule(
            between(
                "visibility",
                "visible_share",
                visibility.min,
                1.0,
                visibility.allowed,
                f"Sequences show at least {visibility.min:.0%} of their joints.",
            ),
            f"show less than {visibility.min:.0%} of their joints",
            visibility.allowed,
        ),
        _rule(
            Expectation(
                "duplicates",
                "ExpectColumnValuesToBeUnique",
                {"column": "content_hash", "mostly": 1 - bounds.duplicates.allowed},
                "A movement is recorded once.",
            ),
            "are the same movement as another",
            bounds.duplicates.allowed,
        ),
        _rule(
            between("shared_recordings", "sets_with_content", 1, 1, 0.0, "No movement stands in two sets."),
            "are the same movement as one in another set",
            0.0,
        ),
        _rule(
            between(
                "alike_recordings",
                "nearest_elsewhere",
                bounds.alike.distance,
                None,
                bounds.alike.allowed,
                "No movement of one set is nearly one of another.",
            ),
            f"move as one in another set does, by less than {bounds.alike.distance:g} of a body's spread",
            bounds.alike.allowed,
        ),
        _rule(
            between("shared_subjects", "sets_with_subject", 1, 1, 0.0, "No person stands in two sets."),
            "show a person who stands in another set too",
            0.0,
            names="subject",
        ),
    ]
    sequences += volume(previous_count, bounds.volume, "sequences")
    seen = [
        _rule(
            between(
                "coordinates",
                "outside",
                None,
                margin,
                bounds.coordinates.allowed,
                f"Joints lie at most {margin:g} image sizes outside the image.",
            ),
            f"have a joint further outside the image than {margin:g} of its size",
            bounds.coordinates.allowed,
            rows="rows (person and frame)",
        ),
        _rule(
            between("scores", "score_mean", 0.0, 1.0, 0.0, "Scores lie in 0 to 1."),
            "have a mean score outside 0 to 1",
            0.0,
            rows="rows (person and frame)",
        ),
    ]
    return {"sequences": sequences, "frames": seen, "classes": _class_rules(bounds)}


def _class_rules(bounds: ContractLimits) -> list[Rule]:
    def fewer(part: str, least: int) -> Callable[[Table], NDArray[np.bool_]]:
        return lambda table: np.asarray(table[part] < least)

    cases = [
        _rule(
            Expectation(
                f"cases_{part}",
                "ExpectColumnMinToBeBetween",
                {"column": part, "min_value": least},
                f"Every class has at least {least:,} cases in {part}.",
            ),
            f"cases of the smallest class in {part}; at least {least:,} are expected",
            float(least),
            rows="classes",
            names="class_name",
            direction="min",
            offenders=fewer(part, least),
        )
        for part, least in ((part, getattr(bounds.cases, part)) for part in SETS)
    ]
    balance = _rule(
        Expectation(
            "balance",
            "ExpectColumnMaxToBeBetween",
            {"column": "imbalance", "max_value": bounds.imbalance},
            f"In train, no class has more than {bounds.imbalance:g} times the cases of another.",
        ),
        f"times the cases of the smallest class has the largest in train; {bounds.imbalance:g} is the limit",
        bounds.imbalance,
        rows="classes",
        names="class_name",
        offenders=lambda table: np.asarray(table["imbalance"] > bounds.imbalance),
    )
    return [*cases, balance]
