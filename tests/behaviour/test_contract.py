"""The data contract with the real Great Expectations: what passes, what does not, and how it is told."""

import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import yaml

from flows.contract import check_contract
from recognizer.action.contract import inspect_tables
from recognizer.checks import Verdict
from recognizer.errors import ReadOnlyHome, StorageError, UsageError
from recognizer.home import checkout
from recognizer.ingest.split import cut
from recognizer.synthetic import generate
from recognizer.tables import frame_table, sequence_table

LIMITS = yaml.safe_load((checkout() / "params.yaml").read_text())["prepare"]["action"]["contract"]
NAMES = {
    "known_classes",
    "frames",
    "people",
    "visibility",
    "duplicates",
    "shared_recordings",
    "alike_recordings",
    "shared_subjects",
    "volume",
    "coordinates",
    "scores",
    "cases_train",
    "cases_validation",
    "cases_test",
    "balance",
}


@pytest.fixture(scope="module")
def tables():
    split = cut(generate(320, seed=3))
    sets = {"train": split.train, "validation": split.validation, "test": split.test}
    return sequence_table(sets), frame_table(sets, limit=5000)


@pytest.fixture
def judge(tables, tmp_path):
    """Judge copies of the tables with some rows changed; returns the checks by name."""

    def work(change=None, previous_count=320, limits=LIMITS, docs=tmp_path / "docs"):
        sequences, frames = ({name: column.copy() for name, column in table.items()} for table in tables)
        if change:
            change(sequences, frames)
        inspect = partial(inspect_tables, sequences, frames, limits, previous_count)
        checks = check_contract(inspect, docs_folder=docs).checks
        assert len({check.name for check in checks}) == len(checks)
        assert {check.gate for check in checks} == {"contract"}
        return {check.name: check for check in checks}

    return work


def failed(checks):
    return {name for name, check in checks.items() if check.verdict is not Verdict.PASSED}


def test_synthetic_data_keeps_the_contract(judge, tmp_path):
    checks = judge()
    assert set(checks) == NAMES
    assert failed(checks) == set()
    assert checks["frames"].n == 320
    assert checks["coordinates"].n <= 5000
    assert checks["volume"].value == 320
    assert checks["volume"].threshold == 160
    index = (tmp_path / "docs" / "index.html").read_text()
    pages = list((tmp_path / "docs" / "validations").rglob("*.html"))
    assert {page.relative_to(tmp_path / "docs").parts[1] for page in pages} == {"sequences", "frames", "classes"}
    for page in pages:
        assert str(page.relative_to(tmp_path / "docs")) in index
    assert "Sequences have 5 to 10,000 frames." in "".join(page.read_text() for page in pages)


def damage(sequences, frames):
    """Break every limit on single rows at once, each on rows of its own."""
    train, test = (np.flatnonzero(sequences["set"] == part) for part in ("train", "test"))
    sequences["frames"][[3, 5]] = [2, 4]
    sequences["people"][7] = 40
    sequences["visible_share"][:20] = 0.01
    sequences["content_hash"][train[:9]] = sequences["content_hash"][train[9:18]]
    sequences["content_hash"][test[0]] = sequences["content_hash"][train[30]]
    sequences["nearest_elsewhere"][test[3:8]] = 0.04
    sequences["subject"][test[1]] = sequences["subject"][train[0]]
    sequences["class_name"][test[2]] = "dancing"
    frames["x_max"][::20] = 3.0
    frames["score_mean"][9] = 1.5


@pytest.fixture(scope="module")
def broken(tables, tmp_path_factory):
    sequences, frames = ({name: column.copy() for name, column in table.items()} for table in tables)
    damage(sequences, frames)
    docs = tmp_path_factory.mktemp("damaged") / "docs"
    return check_contract(partial(inspect_tables, sequences, frames, LIMITS, None), docs_folder=docs)


@pytest.fixture(scope="module")
def damaged(broken):
    return {check.name: check for check in broken.checks}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("frames", "2 of 320 sequences have fewer than 5 or more than 10,000 frames; none may: {name[3]}, {name[5]}"),
        ("people", "1 of 320 sequences show fewer than 1 or more than 16 people; none may: {name[7]}"),
        ("visibility", "20 of 320 sequences show less than 10% of their joints; 5 % may: {name[0]}, "),
        ("visibility", ", {name[4]} and 15 more"),
        ("duplicates", "20 of 320 sequences are the same movement as another; 2 % may: "),
        ("shared_recordings", "2 of 320 sequences are the same movement as one in another set; none may: "),
        ("alike_recordings", "5 of 320 sequences move as one in another set does, by less than 0.05 of a body's spr"),
        ("shared_subjects", "show a person who stands in another set too; none may: {subject[0]}"),
        ("known_classes", "1 of 320 sequences have a class that train does not have; none may: "),
        (
            "coordinates",
            " rows (person and frame) have a joint further outside the image than 0.5 of its size; 1 % may: ",
        ),
        ("scores", " rows (person and frame) have a mean score outside 0 to 1; none may: {name[0]}"),
        ("cases_train", "cases_train: 0 cases of the smallest class in train; at least 8 are expected: dancing"),
        ("balance", " times the cases of the smallest class has the largest in train; 20 is the limit: dancing"),
    ],
)
def test_says_what_is_broken_and_where(damaged, tables, name, told):
    assert damaged[name].verdict is Verdict.FAILED
    assert told.format(**tables[0]) in damaged[name].reason


def test_what_was_found_shows_the_rows(broken, tables):
    found = {finding.expectation: finding for finding in broken.findings}
    assert len(found) == len(failed({check.name: check for check in broken.checks}))
    frames = found["Sequences have 5 to 10,000 frames."]
    assert frames.total == 2
    assert [(row["name"], row["frames"]) for row in frames.rows] == [
        (tables[0]["name"][3], 2),
        (tables[0]["name"][5], 4),
    ]
    visibility = found["Sequences show at least 10% of their joints."]
    assert (visibility.total, len(visibility.rows)) == (20, 20)
    (dancing,) = found["Every class has at least 8 cases in train."].rows
    assert (dancing["class_name"], dancing["train"]) == ("dancing", 0)
    assert json.loads(json.dumps(frames.as_dict()))["reason"] == frames.reason


def test_a_check_keeps_the_numbers_it_stands_on(damaged):
    numbers = {name: (check.value, check.threshold, check.direction, check.n) for name, check in damaged.items()}
    assert numbers["frames"] == (2 / 320, 0.0, "max", 320)
    assert numbers["visibility"] == (20 / 320, 0.05, "max", 320)
    assert numbers["cases_train"] == (0.0, 8.0, "min", 9)
    assert numbers["volume"] == (320.0, None, "min", 320)


@pytest.mark.parametrize(
    ("previous", "verdict", "words"),
    [
        (None, Verdict.PASSED, "no snapshot before"),
        (640, Verdict.PASSED, "at least 320 are expected after 640"),
        (641, Verdict.FAILED, "320 sequences; at least 321 are expected after 641"),
    ],
)
def test_volume_is_compared_with_the_snapshot_before(judge, previous, verdict, words):
    check = judge(previous_count=previous)["volume"]
    assert check.verdict is verdict
    assert words in check.reason
    assert check.value == 320


def test_unknown_people_are_not_one_person(judge):
    def unknown(sequences, frames):
        sequences["subject"][:] = ""

    assert failed(judge(unknown)) == set()


def test_a_column_that_is_not_there_is_an_error_and_no_verdict(judge):
    def gone(sequences, frames):
        del sequences["people"]

    checks = judge(gone)
    assert failed(checks) == {"people"}
    assert checks["people"].verdict is Verdict.ERROR
    assert "people" in checks["people"].reason


def test_what_breaks_before_great_expectations_is_an_error_too(judge):
    def gone(sequences, frames):
        del sequences["subject"]

    (check,) = judge(gone).values()
    assert check.verdict is Verdict.ERROR
    assert "subject" in check.reason


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({**LIMITS, "volumes": 1}, "contract.volumes"),
        ({**LIMITS, "frames": {"min": -1, "max": 10, "allowed": 0}}, "contract.frames.min"),
        ({}, "contract.cases: Field required"),
    ],
)
def test_limits_that_cannot_be_used_are_named(judge, section, words):
    with pytest.raises(UsageError, match=words):
        judge(limits=section)


def test_docs_that_cannot_be_written_stop_the_step(judge, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((StorageError, ReadOnlyHome)):
        judge(docs=tmp_path / "file" / "docs")


def test_says_nothing_of_its_own_and_writes_nowhere_else(tmp_path):
    script = """
import numpy as np
from functools import partial
from functools import partial
from pathlib import Path
from recognizer.ingest.split import cut
from recognizer.synthetic import generate
from recognizer.tables import frame_table, sequence_table
from recognizer.action.contract import inspect_tables
from flows.contract import check_contract
import yaml
from recognizer.home import checkout
split = cut(generate(160))
sets = {"train": split.train, "validation": split.validation, "test": split.test}
limits = yaml.safe_load((checkout() / "params.yaml").read_text())["prepare"]["action"]["contract"]
inspect = partial(inspect_tables, sequence_table(sets), frame_table(sets), limits, None)
check_contract(inspect, docs_folder=Path("docs"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]
