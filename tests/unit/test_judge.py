import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.judge import WORLDS, errors, passed, quantile, until_worse
from benchmarks.rollouts import EVENTS, NEVER, Turn, Watch, alike, cameras, rolled_back, routed
from recognizer.errors import FormatError, UsageError
from recognizer.judge.evidence import ArmCounts, Batch, PairCounts
from recognizer.judge.fold import begin, update
from recognizer.judge.limits import Guard, JudgeLimits, SignalLimits
from recognizer.judge.ruling import Ruling
from recognizer.judge.sequential import FINE, WORSE, pairs
from recognizer.judge.tally import Numbered, Tally
from recognizer.judge.verdict import judge, replay
from recognizer.rollout.split import Mode

LIMITS = JudgeLimits()
HEALTHY = (2_000, {"error": 4}, 200, {})


def batch(sequence, champion=0, champion_bad=None, challenger=0, challenger_bad=None, *, worker="w1", **more):
    return Batch(
        worker, sequence, ArmCounts(champion, champion_bad or {}), ArmCounts(challenger, challenger_bad or {}), **more
    )


def fold(batches, limits=LIMITS, **numbered):
    tally = begin(limits)
    for ordinal, item in enumerate(batches, 1):
        made = item if isinstance(item, Numbered) else Numbered(ordinal, item, **numbered)
        tally = update(tally, made, limits)
    return tally


def repeated(number, *counts, first=1, **more):
    return [batch(first + place, *counts, **more) for place in range(number)]


def numbers(tally):
    """Everything but the place in the order of batches."""
    return {key: value for key, value in tally.as_dict().items() if key not in ("ordinal", "duplicates")}


PAIRS = {"error": PairCounts(60, 6, 0)}
SAME = {"error": PairCounts(60, 0, 0), "invalid": PairCounts(60, 0, 0), "slow": PairCounts(60, 0, 0)}
DECLARED = JudgeLimits(disagreement=0.05)


@pytest.mark.parametrize(
    ("batches", "limits", "mode", "elapsed", "ruling", "words"),
    [
        ([], LIMITS, Mode.CANARY, 0, Ruling.WAIT, "champion 0, challenger 0 of 100 answers in this step"),
        ([batch(1)] * 3, LIMITS, Mode.CANARY, 90_000, Ruling.INCONCLUSIVE, "after 90,000 s (limit 86,400 s)"),
        (repeated(2, *HEALTHY), LIMITS, Mode.CANARY, 0, Ruling.GOOD, "not worse by the margin on 400 answers"),
        (repeated(2, *HEALTHY), LIMITS, Mode.CANARY, 10**6, Ruling.GOOD, "not worse"),
        (repeated(1, 2_000, {}, 90, {}), LIMITS, Mode.CANARY, 0, Ruling.WAIT, "challenger 90 of 100"),
        (
            repeated(1, 1000, {"error": 2}, 100, {"error": 9}),
            LIMITS,
            Mode.CANARY,
            0,
            Ruling.WORSE,
            "error: challenger 9 of 100 (9 %), champion 2 of 1,000 (0.2 %): evidence ",
        ),
        (repeated(1, 1000, {"invalid": 2}, 100, {"invalid": 9}), LIMITS, Mode.BAKE, 0, Ruling.WORSE, "invalid: "),
        (repeated(1, 1000, {"slow": 10}, 100, {"slow": 15}), LIMITS, Mode.CANARY, 0, Ruling.WORSE, "slow: "),
        (repeated(1, 1000, {"slow": 10}, 100, {"slow": 2}), LIMITS, Mode.CANARY, 0, Ruling.WAIT, "evidence"),
        (repeated(1, 100, {"error": 90}, 100, {"error": 90}), LIMITS, Mode.CANARY, 0, Ruling.WAIT, "limit 0.010"),
        ([batch(1, paired=PAIRS), *repeated(2, paired=PAIRS)], LIMITS, Mode.CANARY, 0, Ruling.WORSE, "120 pairs 12"),
        (repeated(6, paired=SAME), LIMITS, Mode.CANARY, 0, Ruling.GOOD, "on 360 answers"),
        (repeated(1, compared=90, disagreed=1), DECLARED, Mode.SHADOW, 0, Ruling.WAIT, "90 of 100 answers compared"),
        (repeated(2, compared=90, disagreed=3), DECLARED, Mode.SHADOW, 0, Ruling.GOOD, "180 answers compared"),
        (repeated(2, compared=90, disagreed=30), DECLARED, Mode.SHADOW, 0, Ruling.DISAGREES, "challenger 60 of 180"),
        (repeated(2, compared=90, disagreed=30), LIMITS, Mode.SHADOW, 0, Ruling.GOOD, "compared"),
        (repeated(2, *HEALTHY, compared=90, disagreed=30), DECLARED, Mode.CANARY, 0, Ruling.DISAGREES, "evidence"),
    ],
)  # fmt: skip
def test_verdicts(batches, limits, mode, elapsed, ruling, words):
    judgement = judge(fold(batches, limits, mode=mode), limits, elapsed)
    assert judgement.ruling is ruling
    assert words in judgement.reason


def test_worse_speaks_louder_than_disagreement_and_stays_said():
    broken = repeated(1, 1000, {}, 100, {"error": 9}, compared=90, disagreed=30)
    tally = fold([*broken, *repeated(50, *HEALTHY, first=2)], DECLARED)
    judgement = judge(tally, DECLARED, 0)
    assert judgement.ruling is Ruling.WORSE
    assert judgement.reason.endswith("at batch 1")


def test_a_person_may_let_a_disagreement_pass():
    tally = fold(repeated(2, *HEALTHY, compared=90, disagreed=30), DECLARED)
    assert judge(tally, DECLARED, 0, allow_disagreement=True).ruling is Ruling.GOOD


def test_a_guard_alone_speaks_only_if_the_champion_keeps_it():
    late = repeated(1, 1000, {"late": 10}, 100, {"late": 40})
    judgement = judge(fold(late), LIMITS, 0)
    assert (judgement.ruling, judgement.reason[:4]) == (Ruling.WORSE, "p95:")
    both = repeated(20, 1000, {"late": 400}, 100, {"late": 40})
    judgement = judge(fold(both), LIMITS, 0)
    assert judgement.ruling is Ruling.WAIT
    assert "p95: limit 0.050 broken, though not by the challenger alone" in judgement.reason


def test_the_table_names_each_signal_and_guard_with_its_numbers():
    judgement = judge(fold(repeated(2, *HEALTHY, compared=90, disagreed=1), DECLARED), DECLARED, 0)
    rows = {row.name: row for row in judgement.rows}
    assert list(rows) == ["error", "invalid", "slow", "misread", "success", "p95", "disagreement"]
    assert rows["error"].champion == (8, 4_000)
    assert rows["error"].needed == 1 / 0.004
    assert rows["error"].difference_range[0] < 0 < rows["error"].difference_range[1]
    assert rows["misread"].proof is None
    assert rows["disagreement"].challenger == (2, 180)
    json.dumps(judgement.as_dict(), allow_nan=False)


def test_misreads_are_counted_among_labelled_answers():
    arms = [ArmCounts(0, {"misread": 3}, labelled=60), ArmCounts(0, {"misread": 30}, labelled=60)]
    tally = fold([Batch("feedback", 1, *arms)])
    assert judge(tally, LIMITS, 0).ruling is Ruling.WORSE
    assert dataclasses.astuple(tally.series["misread"].total) == (60, 3, 60, 30)
    assert tally.series["error"].total.answers == 0


def test_more_bad_than_answers_is_evidence_of_nothing():
    tally = fold([Batch("w", 1, ArmCounts(0, {"misread": 3}), ArmCounts(0, {"misread": 60}))])
    assert tally.series["misread"].against == pytest.approx(0.0, abs=1e-9)


def test_small_batches_are_gathered_before_they_are_bet_on():
    tally = fold(repeated(49, 0, {}, 1, {"error": 1}))
    assert tally.series["error"].against == 0.0
    assert tally.series["error"].waiting["w1"].challenger_bad == 49
    assert fold([*repeated(49, 0, {}, 1, {"error": 1}), batch(50, 1)]).series["error"].waiting == {}
    other = fold([batch(1, 30, {}, 3, {"error": 3}), batch(1, 30, {}, 3, {"error": 3}, worker="w2")])
    assert other.series["error"].against == 0.0


def test_a_new_step_closes_what_waits_and_counts_its_answers_anew():
    one = Numbered(1, batch(1, 40, {}, 4, {"error": 4}), step=1)
    two = Numbered(2, batch(2, 10, {}, 1), step=2)
    tally = fold([one])
    assert (tally.answers, tally.series["error"].against) == ((40, 4), 0.0)
    tally = update(tally, two, LIMITS)
    assert tally.answers == (10, 1)
    assert tally.series["error"].against > 1
    assert tally.series["error"].waiting["w1"].answers == 11


def test_a_block_ends_where_the_workers_share_changes():
    items = [batch(1, 20, {}, 4, {"error": 4}, share=0.1), batch(1, 20, {}, 4, {"error": 4}, worker="w2", share=0.1)]
    tally = fold(items)
    assert tally.series["error"].against == 0.0
    tally = update(tally, Numbered(3, batch(2, 24, {}, share=0.0)), LIMITS)
    assert tally.series["error"].waiting["w1"].champion == 24
    assert tally.series["error"].waiting["w2"].challenger_bad == 4
    alone = fold(repeated(1, 20, {}, 4, {"error": 4}), JudgeLimits(block=1))
    assert tally.series["error"].against == alone.series["error"].against > 1


def test_evidence_goes_on_from_step_to_step():
    items = repeated(6, 500, {"error": 1}, 50, {"error": 1})
    through = [Numbered(place, item, step=place // 3) for place, item in enumerate(items, 1)]
    assert fold(through).series["error"].against == fold(items).series["error"].against


@pytest.mark.parametrize(
    ("sequences", "missing", "duplicates", "counted"),
    [
        ([1, 2, 3], 0, 0, 3),
        ([7, 8, 8, 7, 9], 0, 2, 3),
        ([1, 4, 9], 6, 0, 3),
        ([1, 9, 4, 4, 5, 8, 2, 3, 6, 7], 0, 1, 9),
        ([5, 2, 3, 3], 1, 1, 3),
    ],
)
def test_each_batch_counts_once_and_missing_ones_are_told(sequences, missing, duplicates, counted):
    tally = fold([batch(sequence, 100, {}, 10) for sequence in sequences])
    assert (tally.missing, tally.duplicates) == (missing, duplicates)
    assert tally.series["error"].total.champion == 100 * counted
    told = judge(tally, LIMITS, 0).reason
    assert (f"{missing} batch" in told) == (missing > 0)


def test_an_ordinal_that_was_consumed_changes_nothing():
    tally = fold(repeated(3, *HEALTHY))
    assert update(tally, Numbered(3, batch(99, 1000, {}, 100, {"error": 90})), LIMITS) is tally


def test_a_duplicate_and_an_empty_batch_move_no_evidence():
    tally = fold(repeated(3, *HEALTHY))
    assert numbers(update(tally, Numbered(4, batch(2, 1000, {}, 100, {"error": 90})), LIMITS)) == numbers(tally)
    after = update(tally, Numbered(4, batch(4)), LIMITS)
    assert after.series == tally.series


COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 8), st.integers(0, 8))


@st.composite
def rollouts(draw):
    made = []
    for ordinal, (old, new, old_bad, new_bad) in enumerate(draw(st.lists(COUNTS, max_size=12)), 1):
        event = draw(st.sampled_from(EVENTS))
        both = {event: PairCounts(20, new_bad, old_bad)} if draw(st.booleans()) else {}
        item = batch(
            draw(st.integers(1, 12)), old, {event: min(old, old_bad)}, new, {event: min(new, new_bad)},
            worker=draw(st.sampled_from(("a", "b"))), paired=both, compared=10, disagreed=min(new_bad, 10),
        )  # fmt: skip
        made.append(Numbered(ordinal, item, step=ordinal // 5, elapsed=10.0 * ordinal))
    return made


@given(rollouts(), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_a_new_controller_goes_on_from_json_and_replay_tells_every_number(batches, handover):
    tally, moments = begin(DECLARED), replay(batches, DECLARED)
    assert len(moments) == len(batches)
    for place, (numbered, moment) in enumerate(zip(batches, moments, strict=True)):
        if place == handover:
            tally = Tally.from_dict(json.loads(json.dumps(tally.as_dict(), allow_nan=False)))
        tally = update(tally, numbered, DECLARED)
        judgement = judge(tally, DECLARED, numbered.elapsed)
        assert (moment.ruling, moment.reason) == (judgement.ruling, judgement.reason)
        assert moment.evidence["error"] == tally.series["error"].against
        assert moment.evidence["disagreement"] == tally.disagreement.log_e
        assert moment.proof["slow"] == tally.series["slow"].tests["fine"].log_e
    assert Tally.from_dict(json.loads(json.dumps(tally.as_dict()))) == tally


@given(rollouts(), st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_a_batch_is_paid_by_the_spread_that_earlier_batches_left(batches, bad):
    before = fold(batches)
    item = batch(100, paired={"error": PairCounts(50, bad, 50 - bad)})
    after = update(before, Numbered(100, item, step=before.step), LIMITS)
    for test, bets in (("worse", WORSE), ("fine", FINE)):
        staked, grown = before.series["error"].tests[test], after.series["error"].tests[test]
        factors = pairs(50, bad, 50 - bad, bets, 0.02 if test == "fine" else 0.0)
        paid = math.log((np.array(staked.spread) * np.exp(factors)).sum())
        assert grown.log_e - staked.log_e == pytest.approx(paid, abs=1e-9)


def test_replay_counts_answers_through_all_steps_and_marks_duplicates():
    items = [Numbered(1, batch(1, 90, {}, 10), step=0), Numbered(2, batch(1, 90, {}, 10), step=0),
             Numbered(3, batch(2, 90, {}, 10), step=1), Numbered(4, batch(3, 90, {}, 10), step=1)]  # fmt: skip
    moments = replay(items, LIMITS)
    assert [moment.answers for moment in moments] == [(90, 10), (90, 10), (180, 20), (270, 30)]
    assert [moment.counted for moment in moments] == [True, False, True, True]


@pytest.mark.parametrize("plain", [{}, {"version": 0}, {"version": 1}, {**begin(LIMITS).as_dict(), "series": 3}])
def test_what_is_no_tally_is_refused(plain):
    with pytest.raises(FormatError, match="Next: fold its stored batches again"):
        Tally.from_dict(plain)


def test_limits_come_back_from_json():
    limits = JudgeLimits(disagreement=0.07, seconds=60)
    assert JudgeLimits.from_dict(json.loads(json.dumps(limits.as_dict()))) == limits
    assert JudgeLimits.from_dict({}) == LIMITS


def test_the_default_limits_spend_one_per_cent_in_all():
    spent = [limits.alpha for limits in LIMITS.signals.values()] + [guard.alpha for guard in LIMITS.guards.values()]
    assert math.fsum(spent) == pytest.approx(LIMITS.alpha) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: JudgeLimits(alpha=0.005), "spend alpha 0.01, more than 0.005"),
        (lambda: JudgeLimits(signals={"colour": SignalLimits(0.01)}, guards={}), "colour"),
        (lambda: JudgeLimits(signals={"error": SignalLimits(0.0)}, guards={}), "an alpha outside"),
        (lambda: JudgeLimits(signals={"error": SignalLimits(0.01, margin=0.0)}, guards={}), "margin above 0"),
        (lambda: JudgeLimits(signals={"error": SignalLimits(0.01, tolerance=0.99)}, guards={}), "below 1"),
        (lambda: JudgeLimits(signals={}, guards={"p95": Guard(("late",), 1.0, 0.01)}), "guard's limit"),
        (lambda: JudgeLimits(guards={"error": Guard(("late",), 0.1, 0.0001)}), "bears the name"),
        (lambda: JudgeLimits(disagreement=1.0), "ceiling"),
        (lambda: JudgeLimits(block=0), "below 1"),
        (lambda: JudgeLimits(seconds=0), "no time"),
        (lambda: JudgeLimits.from_dict({"colour": 1}), "colour"),
        (lambda: JudgeLimits.from_dict({"signals": {"error": {"beta": 1}}}), "beta"),
    ],
)
def test_limits_that_make_no_test_are_refused(made, words):
    with pytest.raises(UsageError, match="Next: correct the limits of the judge") as raised:
        made()
    assert words in str(raised.value)


def as_batches(turns, row):
    for ordinal, turn in enumerate(turns, 1):
        bad = [{event: int(both[arm][row]) for event, both in turn.arms.items()} for arm in (0, 1)]
        # misreads of a simulation are told at once
        arms = [
            ArmCounts(int(answers[row]), counted, labelled=int(answers[row]))
            for answers, counted in zip((turn.champion, turn.challenger), bad, strict=True)
        ]
        both = {}
        if turn.pairs is not None:
            both = {e: PairCounts(int(turn.pairs[row]), int(c[row]), int(o[row])) for e, (c, o) in turn.paired.items()}
        share = None if turn.share is None else float(turn.share[row])
        yield ordinal, Batch(f"w{turn.worker}", ordinal, *arms, share=share, paired=both)


@pytest.mark.parametrize("paired", [False, True])
def test_simulated_rollouts_are_judged_as_the_fold_judges(paired):
    rng, runs = np.random.default_rng(8), 6
    watch = Watch(LIMITS, runs, proofs=True, workers=2)
    if paired:
        turns = list(cameras(5)(rng, runs, iter([0.3] * 40)))
    else:
        rates = {**alike(), "error": (0.01, np.array([0.0, 0.01, 0.02, 0.2, 0.5, 1.0]))}
        turns = [routed(rng, 20, 0.3 if place % 9 else 0.1, rates, runs, worker=place % 2) for place in range(60)]
    for turn in turns[:30]:
        watch.add(turn)
    watch.advance(np.ones(runs, bool))
    for turn in turns[30:]:
        watch.add(turn)
    for row in range(runs):
        tally = fold([Numbered(ordinal, item, step=int(ordinal > 30)) for ordinal, item in as_batches(turns, row)])
        assert tally.answers == tuple(watch.answers[:, row])
        for name, kinds in watch.capital.items():
            for test, capital in kinds.items():
                assert tally.series[name].tests[test].log_e == pytest.approx(capital.log_e[row], abs=1e-9)
        ruling = judge(tally, LIMITS, 0).ruling
        assert (ruling is Ruling.WORSE) == (watch.worse_at[row] < NEVER)
        assert (ruling is Ruling.GOOD) == bool(watch.good()[row])


@pytest.mark.parametrize("world", list(WORLDS))
def test_equal_models_are_hardly_ever_rolled_back(world):
    watch = rolled_back(WORLDS[world], 500, LIMITS, seed=40)
    assert (watch.worse_at < NEVER).sum() <= 12  # 500 times 1 % and three standard deviations


def test_cameras_taken_for_independent_requests_would_mislead():
    watch = rolled_back(cameras(20, paired=False), 60, LIMITS, seed=41)
    assert (watch.worse_at < NEVER).mean() > 0.2


def test_a_broken_challenger_is_found_nearly_as_soon_as_by_the_test_that_knows_the_rates():
    ours, known = until_worse(errors(0.05), 0.09, 500, 6_000, seed=42)
    assert quantile(ours, 0.95) <= 3_000
    assert quantile(ours, 0.95) <= 1.5 * quantile(known, 0.95)


def test_a_challenger_too_bad_by_the_margin_hardly_ever_passes():
    assert (passed(errors(0.022), 200, seed=43, requests=10_000) < NEVER).mean() <= 0.05
    assert (passed(alike(), 100, seed=44, requests=15_000) < NEVER).mean() > 0.9


def test_batches_without_answers_are_no_evidence_for_thousands_either():
    watch, zeros = Watch(LIMITS, 3), np.zeros(3, int)
    watch.add(Turn(0, zeros, zeros, dict.fromkeys(EVENTS, (zeros, zeros))))
    assert all((capital.log_e == 0).all() for kinds in watch.capital.values() for capital in kinds.values())
