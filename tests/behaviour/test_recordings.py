"""Real recordings, where they are at hand: read, cut by subject, written and read again."""

import os
from pathlib import Path

import pytest

from recognizer.home import checkout
from recognizer.ingest.meta import read_meta
from recognizer.ingest.read import read_recorded
from recognizer.ingest.split import Split, cut
from recognizer.snapshot import read_set, set_digest, write_snapshot
from recognizer.tables import frame_table, sequence_table

SHARED = Path(os.environ.get("RECOGNIZER_SHARED_DATA") or checkout().parent / "shared" / "data")
RECORDING = SHARED / "skel_charades5"

pytestmark = pytest.mark.skipif(
    not RECORDING.is_dir(), reason=f"no real recordings at {RECORDING}; set RECOGNIZER_SHARED_DATA"
)


@pytest.fixture(scope="module")
def recorded():
    return read_recorded(RECORDING / "charades5.pkl", meta=read_meta(RECORDING / "meta.json"))


@pytest.fixture(scope="module")
def split(recorded):
    return cut(recorded)


def test_everything_is_read(recorded):
    sequences = recorded.sequences
    assert len(sequences) == 1167
    assert sequences.classes == ("boxing", "drums", "guitar", "rowing", "violin")
    assert len(set(sequences.subjects)) == 27
    assert None not in sequences.subjects
    assert sum(item.frames for item in sequences) == 326_711
    assert {item.image_shape for item in sequences} == {(480, 640)}
    assert recorded.warnings == ()


def test_the_held_out_people_are_the_test_set(split):
    assert len(split.test) == 238
    assert set(split.test.subjects) == {"8", "11", "12", "22", "23", "28"}
    assert len(split.train) + len(split.validation) == 929
    assert 3 <= len(set(split.validation.subjects)) <= 5
    assert 0.17 < len(split.validation) / 929 < 0.23
    assert set(split.validation.labels) == set(split.train.labels) == set(range(5))
    assert split.warnings == ()


def test_a_snapshot_of_it_is_always_the_same(split, recorded, tmp_path):
    fifth = Split(*(part.subset(range(0, len(part), 5)) for part in split.sets().values()))
    cards = [write_snapshot(fifth, tmp_path / name, task="action", source=recorded.source) for name in ("a", "b")]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert set_digest(read_set(tmp_path / "a", "test")) == cards[0].test_digest


def test_its_tables(split):
    table = sequence_table(split.sets())
    assert len(table["name"]) == 1167
    assert len(set(table["content_hash"].tolist())) == 1165  # two pairs of copies, each of one person
    frames = frame_table(split.sets(), limit=10_000)
    assert len(frames["name"]) == 10_000
    assert len(set(frames["name"].tolist())) == 1167
    assert frames["joints_visible"].min() >= 0
    assert frames["joints_visible"].max() <= 16  # ankles are hardly ever seen
