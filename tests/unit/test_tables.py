import numpy as np

from recognizer.sequences import SequenceSet, SkeletonSequence
from recognizer.tables import frame_table, sequence_table


def sequence(name, people=1, frames=2, subject="p", label=0, value=10.0):
    points = np.full((people, frames, 17, 2), value, np.float32)
    points[..., 0] += np.arange(17)
    return SkeletonSequence(name, points, np.full((people, frames, 17), 0.5, np.float32), label, subject, (50, 100))


def sets(*items, test=()):
    return {"train": SequenceSet(("a", "b"), items), "test": SequenceSet(("a", "b"), tuple(test))}


def test_one_row_per_sequence():
    table = sequence_table(sets(sequence("x", 2, 3), sequence("y", label=1, subject=None), test=[sequence("z")]))
    assert table["set"].tolist() == ["train", "train", "test"]
    assert table["name"].tolist() == ["x", "y", "z"]
    assert table["subject"].tolist() == ["p", "", "p"]
    assert table["label"].tolist() == [0, 1, 0]
    assert table["class_name"].tolist() == ["a", "b", "a"]
    assert table["people"].tolist() == [2, 1, 1]
    assert table["frames"].tolist() == [3, 2, 2]
    assert table["height"].tolist() == [50] * 3
    assert table["width"].tolist() == [100] * 3
    assert table["visible_share"].tolist() == [1.0] * 3


def test_copies_have_one_content_hash():
    table = sequence_table(sets(sequence("x"), sequence("y", value=11), test=[sequence("copy of x", label=1)]))
    first, second, third = table["content_hash"].tolist()
    assert first == third
    assert first != second


def test_one_row_per_person_and_frame():
    seen = sequence("x", 2, 3)
    seen.visibility[1, 2, :16] = 0
    seen.visibility[0, 1] = 0
    table = frame_table(sets(seen, test=[sequence("z")]))
    assert table["name"].tolist() == ["x"] * 6 + ["z"] * 2
    assert table["set"].tolist() == ["train"] * 6 + ["test"] * 2
    assert table["person"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert table["frame"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert table["joints_visible"].tolist() == [17, 0, 17, 17, 17, 1, 17, 17]
    np.testing.assert_allclose(table["x_min"], [0.1, np.nan, 0.1, 0.1, 0.1, 0.26, 0.1, 0.1], atol=1e-6)
    np.testing.assert_allclose(table["x_max"], [0.26, np.nan, *[0.26] * 6], atol=1e-6)
    np.testing.assert_allclose(table["y_min"], [0.2, np.nan, *[0.2] * 6], atol=1e-6)
    np.testing.assert_allclose(table["score_mean"], [0.5, np.nan, *[0.5] * 6], atol=1e-6)


def test_a_limit_takes_rows_from_all_over_and_always_the_same():
    many = [sequence(f"s{i}", 2, 50) for i in range(20)]
    table, again = (frame_table(sets(*many), limit=100) for _ in range(2))
    assert len(table["name"]) == 100
    assert len(set(table["name"].tolist())) == 20
    for column in table:
        np.testing.assert_array_equal(table[column], again[column])


def test_no_sequences_give_empty_tables():
    assert all(len(column) == 0 for column in sequence_table(sets()).values())
    assert all(len(column) == 0 for column in frame_table(sets()).values())
