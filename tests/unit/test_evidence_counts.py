"""What one process counts becomes batches, each event in exactly one of them."""

import threading

import pytest

from recognizer.judge.evidence import ArmCounts, PairCounts
from serving.evidence import Evidence

NONE, ERROR, SLOW = frozenset(), frozenset({"error"}), frozenset({"slow"})


def test_counts_by_model():
    evidence = Evidence("w")
    for bad, new in [(NONE, True), (ERROR, True), (ERROR | SLOW, True), (NONE, False), (SLOW, False)]:
        evidence.count(bad, new=new)
    batch = evidence.flush()
    assert (batch.worker, batch.sequence) == ("w", 1)
    assert batch.challenger == ArmCounts(3, {"error": 2, "slow": 1})
    assert batch.champion == ArmCounts(2, {"slow": 1})
    assert batch.paired == {}
    assert evidence.flush() is None
    assert evidence.empty
    assert evidence.as_dict()["challenger"] == {"answers": 3, "error": 2, "slow": 1}


@pytest.mark.parametrize(
    ("new", "old", "challenger_only", "champion_only"),
    [(NONE, NONE, 0, 0), (ERROR, NONE, 1, 0), (NONE, ERROR, 0, 1), (ERROR, ERROR, 0, 0), (ERROR, SLOW, 1, 0)],
)
def test_pairs_count_what_only_one_of_them_did(new, old, challenger_only, champion_only):
    evidence = Evidence("w")
    evidence.pair(new, old, agree=None)
    batch = evidence.flush()
    assert batch.paired["error"] == PairCounts(1, challenger_only, champion_only)
    assert set(batch.paired) == {"error", "invalid", "slow", "late"}
    assert (batch.compared, batch.champion, batch.challenger) == (0, ArmCounts(), ArmCounts())


def test_another_share_begins_another_batch():
    evidence = Evidence("w")
    for share, new in [(0.05, True), (0.05, False), (0.0, False), (0.05, False)]:
        evidence.count(ERROR, new=new, share=share)
    evidence.pair(NONE, NONE, agree=True)
    assert not evidence.empty
    batches = [evidence.flush() for _ in range(3)]
    assert [batch.sequence for batch in batches] == [1, 2, 3]
    assert [batch.share for batch in batches] == [0.05, 0.0, 0.05]
    assert [(batch.champion.answers, batch.challenger.answers) for batch in batches] == [(1, 1), (1, 0), (1, 0)]
    assert [batch.compared for batch in batches] == [0, 0, 1]
    assert evidence.flush() is None
    assert evidence.empty


def test_comparisons():
    evidence = Evidence("w")
    for agree, shift in [(True, 0.0), (False, 0.5), (False, None), (None, None)]:
        evidence.pair(NONE, NONE, agree=agree, shift=shift)
    batch = evidence.flush()
    assert (batch.compared, batch.disagreed) == (3, 2)
    assert evidence.as_dict()["mean_score_shift"] == 0.25


def test_nothing_is_lost_or_told_twice_between_threads():
    evidence, batches, stop = Evidence("w"), [], threading.Event()

    def flush():
        while not stop.is_set():
            batches.append(evidence.flush())

    flushing = threading.Thread(target=flush)
    counting = [threading.Thread(target=lambda: [evidence.count(ERROR, new=True) for _ in range(2000)]) for _ in "abc"]
    for thread in (flushing, *counting):
        thread.start()
    for thread in counting:
        thread.join()
    stop.set()
    flushing.join()
    told = [batch for batch in [*batches, evidence.flush()] if batch is not None]
    assert sum(batch.challenger.answers for batch in told) == sum(b.challenger.bad["error"] for b in told) == 6000
    assert [batch.sequence for batch in told] == list(range(1, len(told) + 1))
