"""Names of predictions, what is kept of their inputs, and what is said of ids that are gone."""

import pytest

from recognizer.predictions import Retention, Standing, keeps_input, new_id, standing, surplus, time_of

NOW = 1_800_000_000.0
DAY = 86400.0


def test_an_id_tells_its_time_and_is_no_other():
    ids = {new_id(NOW) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(time_of(id) == NOW for id in ids)


@pytest.mark.parametrize("id", ["", "x" * 32, "0" * 31, "0" * 33, "ABCDEF" + "0" * 26, "../../etc/passwd"])
def test_what_is_no_id_has_no_time(id):
    assert time_of(id) is None
    assert standing(id, NOW, Retention(), delay=2) is Standing.UNKNOWN


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (-10 * DAY, Standing.UNKNOWN),  # from the future
        (-1, Standing.FRESH),  # another host's clock
        (0, Standing.FRESH),
        (1.9, Standing.FRESH),
        (2.1, Standing.UNKNOWN),
        (6.9 * DAY, Standing.UNKNOWN),
        (7.1 * DAY, Standing.EXPIRED),
    ],
)
def test_what_is_said_of_an_id_that_is_not_there(age, said):
    assert standing(new_id(NOW - age), NOW, Retention(days=7), delay=2) is said


@pytest.mark.parametrize(
    ("arm", "confidence", "share", "kept"),
    [
        ("champion", 0.99, 0.0, False),
        ("champion", 0.99, 1.0, True),
        ("champion", 0.59, 0.0, True),
        ("challenger", 0.99, 0.0, True),
        ("holdback", 0.99, 0.0, True),
    ],
)
def test_whose_input_is_kept(arm, confidence, share, kept):
    assert keeps_input(new_id(NOW), arm, confidence, Retention(input_share=share, unsure_below=0.6)) is kept


@pytest.mark.parametrize("arm", ["champion", "challenger"])
def test_without_room_no_input_is_kept(arm):
    assert not keeps_input(new_id(NOW), arm, 0.1, Retention(input_share=1.0, input_bytes=0))


def test_the_sample_has_its_share():
    kept = sum(keeps_input(new_id(NOW), "champion", 1.0, Retention(input_share=0.1)) for _ in range(20_000))
    assert kept == pytest.approx(2000, abs=250)


@pytest.mark.parametrize(
    ("limit", "gone"), [(100, []), (60, []), (59, ["a"]), (50, ["a"]), (49, ["a", "b"]), (0, ["a", "b", "c"])]
)
def test_the_oldest_inputs_go_first(limit, gone):
    assert surplus([("a", 10), ("b", 20), ("c", 30)], limit) == gone
