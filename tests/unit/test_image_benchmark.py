"""The benchmark of pictures measures what it names, in a few turns; its bounds are for quiet machines."""

from benchmarks.images import INPUTS, image_rows


def test_every_size_is_measured():
    rows = image_rows(turns=4)
    names = [row.name for row in rows]
    assert [f"both at {side}" for side in INPUTS] == [name for name in names if name.startswith("both at")]
    assert len(set(names)) == len(rows)
