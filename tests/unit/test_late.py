"""Late feedback: a champion is taken back only on evidence, and the evidence is valid however often one looks."""

import numpy as np
import pytest

from recognizer.judge import late
from recognizer.judge.ruling import Ruling


def fold(misread, blessed=0.05, start=1):
    return late.update(late.begin(), [(start + i, bool(bad)) for i, bad in enumerate(misread)], blessed)


@pytest.mark.parametrize(
    ("misread", "ruling"),
    [
        ([], Ruling.WAIT),
        ([0] * 1000, Ruling.WAIT),
        ([1], Ruling.WAIT),
        ([1] * 8, Ruling.WORSE),
        (([1] + [0] * 19) * 50, Ruling.WAIT),  # 5 %, as blessed
        (([1] + [0] * 3) * 40, Ruling.WORSE),  # 25 %
    ],
)
def test_verdicts(misread, ruling):
    judgement = late.judge(fold(misread), 0.05)
    assert judgement.verdict is ruling
    assert f"{sum(misread):,} of {len(misread):,} answers" in judgement.reason
    assert "7 %" in judgement.reason


def test_a_verdict_stands_and_names_its_moment():
    tally = late.update(fold([1] * 8), [(100 + i, False) for i in range(500)], 0.05)
    assert tally.crossed <= 8
    assert late.judge(tally, 0.05).verdict is Ruling.WORSE
    assert f"feedback {tally.crossed}" in late.judge(tally, 0.05).reason


def test_in_pieces_it_is_the_same():
    random = np.random.default_rng(0)
    truths = [(number, bool(random.random() < 0.1)) for number in range(1, 300)]
    whole = late.update(late.begin(), truths, 0.05)
    pieces = late.begin()
    for start in range(0, 300, 7):
        pieces = late.update(pieces, truths[start : start + 7], 0.05)
    assert (whole.number, whole.given, whole.misread, whole.crossed) == (
        pieces.number, pieces.given, pieces.misread, pieces.crossed,
    )  # fmt: skip
    assert float(whole.capital.log_e) == float(pieces.capital.log_e)


def test_without_an_accuracy_nothing_is_said():
    assert late.judge(late.begin(), None).verdict is Ruling.WAIT


def test_a_champion_as_good_as_it_was_is_hardly_ever_taken_back():
    random = np.random.default_rng(1)
    back = sum(fold(random.random(400) < late.ceiling_of(0.05)).crossed is not None for _ in range(300))
    assert back <= 9  # 1 % of 300, and what chance adds to it
