"""The data contract of labelled images: two tables (images, people), and what is expected of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from recognizer.contract import Expectation, Inspection, Limits, Rule, Table, between, sets_with, volume
from recognizer.pose.shards import Shard
from recognizer.scenes import HIDDEN, UNLABELLED
from recognizer.snapshot import SETS

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Side(Limits):
    min: Count
    allowed: Share


class Crowd(Limits):
    max: Count
    allowed: Share


class Boxes(Limits):
    margin: Annotated[float, Field(ge=0)]
    allowed: Share


class Allowed(Limits):
    allowed: Share


class Least(Limits):
    train: Count
    validation: Count
    test: Count


class SceneLimits(Limits):
    """Section `prepare.pose.contract` of params.yaml.

    Attributes:
        side: pixels of an image's shorter side.
        people: in one image.
        boxes: how far a box may reach out of its image, as a share of the image's size.
        joints: shares of people without any labelled joint.
        duplicates: of images, in one set; in two sets none may be.
        images, found: images, and people with labelled joints, in every set.
        volume: share of the images of the snapshot before.
    """

    side: Side
    people: Crowd
    boxes: Boxes
    joints: Allowed
    duplicates: Allowed
    images: Least
    found: Least
    volume: Share


def inspect_scenes(sets: Mapping[str, Shard], limits: Mapping[str, Any], previous_count: int | None) -> Inspection:
    """The tables of three sets, and the rules for them; images are read one at a time.

    Raises:
        UsageError: the limits are not usable.
    """
    bounds = SceneLimits.read(limits)
    tables = {"images": image_table(sets), "people": person_table(sets), "sets": set_table(sets, bounds)}
    return Inspection(
        tables=tables,
        index={"images": ("set", "name", "subject"), "people": ("set", "name", "person"), "sets": ("set",)},
        rules={
            "images": [*_image_rules(bounds), *volume(previous_count, bounds.volume, "images")],
            "people": _person_rules(bounds),
            "sets": _set_rules(),
        },
        count=len(tables["images"]["name"]),
        cases="images",
        first=previous_count is None,
    )


def image_table(sets: Mapping[str, Shard]) -> Table:
    """One row an image: set, name, subject ("" where unknown), people, side (pixels of the shorter one), content_hash,
    sets_with_content, and sets_with_subject (NaN where unknown).
    """
    rows = [(part, shard, place) for part, shard in sets.items() for place in range(len(shard))]
    part = _text(name for name, _, _ in rows)
    subjects = _text(shard.subjects[place] or "" for _, shard, place in rows)
    content = _text(hashlib.sha256(shard.image(place)).hexdigest() for _, shard, place in rows)
    return {
        "set": part,
        "name": _text(shard.names[place] for _, shard, place in rows),
        "subject": subjects,
        "people": np.array([len(shard.people(place)) for _, shard, place in rows], np.int64),
        "side": np.array([shard.shapes[place].min() for _, shard, place in rows], np.int64),
        "content_hash": content,
        "sets_with_content": sets_with(content, part, SETS),
        "sets_with_subject": np.where(subjects == "", np.nan, sets_with(subjects, part, SETS)),
    }


def person_table(sets: Mapping[str, Shard]) -> Table:
    """One row a labelled person who is no crowd: set, name (of the image), person (its place), joints (labelled),
    hidden (of them), outside (how far its box reaches out, as a share of the image's side).
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("set", "name", "person", "joints", "hidden", "outside")}
    for part, shard in sets.items():
        for place in range(len(shard)):
            people, (height, width) = shard.people(place), shard.shapes[place].tolist()
            kept = np.flatnonzero(~people.crowd)
            x, y, w, h = people.boxes[kept].astype(np.float64).T
            labelled = people.labelled[kept]
            columns["set"] += [part] * len(kept)
            columns["name"] += [shard.names[place]] * len(kept)
            columns["person"] += kept.tolist()
            columns["joints"] += (labelled > UNLABELLED).sum(axis=1).tolist()
            columns["hidden"] += (labelled == HIDDEN).sum(axis=1).tolist()
            reach = np.max([-x / width, -y / height, (x + w) / width - 1, (y + h) / height - 1], axis=0)
            columns["outside"] += reach.tolist()
    types = {"set": np.str_, "name": np.str_, "outside": np.float64}
    return {name: np.array(values, types.get(name, np.int64)) for name, values in columns.items()}


def set_table(sets: Mapping[str, Shard], bounds: SceneLimits) -> Table:
    """One row a set: set, images, found (people who have to be found), and of both how many more than it needs."""
    images = np.array([len(shard) for shard in sets.values()], np.int64)
    found = np.array(
        [sum(int(shard.people(place).counted.sum()) for place in range(len(shard))) for shard in sets.values()],
        np.int64,
    )
    return {
        "set": _text(sets),
        "images": images,
        "found": found,
        "images_spare": images - np.array([getattr(bounds.images, name) for name in sets], np.int64),
        "found_spare": found - np.array([getattr(bounds.found, name) for name in sets], np.int64),
    }


def _image_rules(bounds: SceneLimits) -> list[Rule]:
    side, people, copies = bounds.side, bounds.people, bounds.duplicates.allowed
    unique = Expectation(
        "duplicates",
        "ExpectColumnValuesToBeUnique",
        {"column": "content_hash", "mostly": 1 - copies},
        "An image is there once.",
    )
    expected = [
        (
            between("side", "side", side.min, None, side.allowed, f"Images have at least {side.min:,} pixels a side."),
            f"have fewer than {side.min:,} pixels a side",
            side.allowed,
        ),
        (
            between(
                "people", "people", None, people.max, people.allowed, f"Images show at most {people.max:,} people."
            ),
            f"show more than {people.max:,} people",
            people.allowed,
        ),
        (unique, "are the same as another", copies),
        (
            between("shared_images", "sets_with_content", 1, 1, 0.0, "No image stands in two sets."),
            "are the same as one in another set",
            0.0,
        ),
        (
            between("shared_subjects", "sets_with_subject", 1, 1, 0.0, "No subject stands in two sets."),
            "show a subject that stands in another set too",
            0.0,
        ),
    ]
    return [Rule(expectation, broken, limit, "images", "name") for expectation, broken, limit in expected]


def _person_rules(bounds: SceneLimits) -> list[Rule]:
    boxes, joints = bounds.boxes, bounds.joints.allowed
    reach = f"Boxes reach at most {boxes.margin:g} image sizes out of the image."
    return [
        Rule(
            between("boxes", "outside", None, boxes.margin, boxes.allowed, reach),
            f"have a box that reaches further out of the image than {boxes.margin:g} of its size",
            boxes.allowed,
            "people",
            "name",
        ),
        Rule(
            between("joints", "joints", 1, None, joints, "People have a labelled joint."),
            "have no labelled joint",
            joints,
            "people",
            "name",
        ),
    ]


def _set_rules() -> list[Rule]:
    expected = [
        (between("images", "images_spare", 0, None, 0.0, "Every set has the images it needs."), "lack images"),
        (between("found", "found_spare", 0, None, 0.0, "Every set has the people it needs."), "lack labelled people"),
    ]
    return [Rule(expectation, broken, 0.0, "sets", "set") for expectation, broken in expected]


def _text(values: Any) -> np.ndarray[Any, np.dtype[np.str_]]:
    return np.array(list(values), np.str_)
