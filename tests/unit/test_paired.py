"""The difference of two models on the same cases: values, gradients, and how often the bounds are wrong."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score

from benchmarks.people import FURTHER, RARE, USUAL, night
from recognizer.errors import InputError
from recognizer.evaluation.paired import FEWEST_CLUSTERS, bound_of_equals, paired_difference
from recognizer.evaluation.summands import mean, mean_over_classes, share

SCORES = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
METRICS = [(kind, averaged) for kind in SCORES for averaged in ("macro", "weighted")]


def answers(rng, labels, right):
    """(n,) answers of which a share is right."""
    wrong = (labels + rng.integers(1, 4, len(labels))) % 4
    return np.where(rng.random(len(labels)) < right, labels, wrong)


@pytest.mark.parametrize(("kind", "averaged"), METRICS)
def test_metrics_of_counts_are_those_of_scikit_learn(kind, averaged):
    rng = np.random.default_rng(1)
    for _ in range(20):
        labels = rng.choice([0, 1, 3], 40)  # of class 2 there is no case; it is answered all the same
        given = answers(rng, labels, 0.7)
        made = mean_over_classes(kind, averaged, labels, given, 4)
        value, _ = made.metric(made.values.sum(axis=0, keepdims=True))
        expected = SCORES[kind](labels, given, labels=[0, 1, 3], average=averaged, zero_division=0)
        assert value[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("kind", "averaged"), METRICS)
def test_gradients_are_the_slopes(kind, averaged):
    rng = np.random.default_rng(2)
    labels = rng.choice([0, 1, 3], 60)
    made = mean_over_classes(kind, averaged, labels, answers(rng, labels, 0.6), 4)
    sums = made.values.sum(axis=0)
    _, slope = made.metric(sums[None])
    seen = np.flatnonzero(sums)
    for place in seen:
        moved = sums.copy()
        moved[place] += 1e-6
        rise = made.metric(moved[None])[0] - made.metric(sums[None])[0]
        assert slope[0, place] == pytest.approx(rise[0] / 1e-6, abs=1e-5)


def test_the_bounds_of_a_mean_are_those_of_scipys_bootstrap():
    """A mean of many cases: bootstrap-t and scipy's BCa have to agree closely."""
    rng = np.random.default_rng(3)
    first, second = rng.gamma(2.0, size=(2, 400))
    found = paired_difference(mean(first), mean(second))
    apart = stats.bootstrap(
        (first - second,), np.mean, confidence_level=0.90, n_resamples=5000, random_state=np.random.default_rng(0)
    ).confidence_interval
    assert found.value == pytest.approx((first - second).mean())
    wide = apart.high - apart.low
    assert (found.low, found.high) == pytest.approx((apart.low, apart.high), abs=0.05 * wide)


def test_the_spread_is_that_of_whole_clusters():
    """A hundred cases of each of twenty people who all answer alike are twenty cases and not two thousand."""
    rng = np.random.default_rng(4)
    each = rng.normal(size=20)
    cases, people = np.repeat(each, 100), [f"p{index // 100}" for index in range(2000)]
    zero = np.zeros(2000)
    whole = paired_difference(mean(cases), mean(zero), people)
    alone = paired_difference(mean(each), mean(zero[:20]))
    assert whole.clusters == 20
    assert (whole.low, whole.high) == pytest.approx((alone.low, alone.high), rel=0.02)
    single = paired_difference(mean(cases), mean(zero))
    assert single.clusters is None
    assert single.high - single.low < (whole.high - whole.low) / 5


def test_few_clusters_say_so_and_single_cases_are_drawn():
    rng = np.random.default_rng(5)
    hits = rng.random((2, 120)) < 0.9
    people = [f"p{index % (FEWEST_CLUSTERS - 1)}" for index in range(120)]
    few = paired_difference(share(hits[0]), share(hits[1]), people)
    assert few == paired_difference(share(hits[0]), share(hits[1]))
    assert few.clusters is None


def test_cases_of_nobody_known_stand_for_themselves():
    hits = np.random.default_rng(6).random((2, 60)) < 0.9
    people = [None] * 30 + [f"p{index % 15}" for index in range(30)]
    assert paired_difference(share(hits[0]), share(hits[1]), people).clusters == 45


def test_cases_of_nobody_known_make_no_people():
    """Nine who are named are nine people, however many cases of nobody known stand beside them."""
    hits = np.random.default_rng(6).random((2, 60)) < 0.9
    people = [None] * 30 + [f"p{index % (FEWEST_CLUSTERS - 1)}" for index in range(30)]
    assert paired_difference(share(hits[0]), share(hits[1]), people).clusters is None


@pytest.mark.parametrize("n", [30, 240, 2000])
def test_models_that_never_differ_are_not_known_to_be_equal(n):
    """The rule of three: what was not seen in n cases may happen in 3 of n (Hanley, Lippman-Hand 1983)."""
    hits = np.ones(n, bool)
    found = paired_difference(share(hits), share(hits))
    assert found.value == 0
    assert -3.3 / n < found.low < -2.8 / n
    assert found.high == pytest.approx(-found.low)


def test_the_same_cases_give_the_same_bounds():
    hits = np.random.default_rng(7).random((2, 200)) < 0.9
    once, again = (paired_difference(share(hits[0]), share(hits[1])) for _ in range(2))
    assert once == again
    assert set(asdict(once)) == {"value", "low", "high", "p_worse", "n", "clusters"}


def test_exchanged_models_mirror_the_bounds():
    first, second, who = night(np.random.default_rng(8), USUAL, 20, 12, 0.01)
    there, back = paired_difference(first, second, who), paired_difference(second, first, who)
    assert there.value == -back.value
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=0.002)


@pytest.mark.parametrize("difference", [-0.2, -0.12, -0.08, -0.05, -0.03, 0.0, 0.05])
def test_bounds_do_not_depend_on_the_margin_and_p_values_agree_with_them(difference):
    cases = night(np.random.default_rng(9), USUAL, 20, 12, difference)
    margins = (0.0, 0.03, 0.1)
    found = [paired_difference(*cases, margin=margin) for margin in margins]
    assert len({(each.low, each.high) for each in found}) == 1
    p_values = [each.p_worse for each in found]
    assert p_values == sorted(p_values)
    for each, margin in zip(found, margins, strict=True):
        assert (each.p_worse <= 0.05) == (each.high < -margin)


@pytest.mark.parametrize("scenario", [USUAL, RARE], ids=lambda scenario: scenario.name)
def test_a_candidate_worse_by_the_margin_is_rarely_promoted(scenario):
    """A sample of `benchmarks/promotions.py`: 5 % and two standard errors."""
    rng = np.random.default_rng(10)
    nights = [night(rng, scenario, 20, 12, -0.03) for _ in range(200)]
    lows = np.array([paired_difference(*each, resamples=500).low for each in nights])
    assert (lows >= -0.03).mean() <= 0.08


@pytest.mark.parametrize("scenario", [USUAL, *FURTHER], ids=lambda scenario: scenario.name)
def test_simulated_nights_have_the_difference_they_claim(scenario):
    """The ratio of expectations, within four of its standard errors."""
    first, second, who = night(np.random.default_rng(11), scenario, 20_000, 12, -0.03)
    cases = first.hits.astype(float) - second.hits
    people = np.unique(who, return_inverse=True)[1]
    apart = np.bincount(people, cases + 0.03)  # of each person, beyond what is claimed
    assert abs(apart.sum()) < 4 * np.sqrt((apart**2).sum())


def test_a_metric_that_counts_is_bounded_as_shares_are():
    """Macro recall of balanced classes is the share of hits, but for what only shares are bounded by."""
    rng = np.random.default_rng(12)
    labels = np.repeat(np.arange(4), 60)
    given = [answers(rng, labels, right) for right in (0.9, 0.93)]
    recall = paired_difference(*(mean_over_classes("recall", "macro", labels, each, 4) for each in given))
    hits = paired_difference(*(share(each == labels) for each in given))
    assert recall.value == pytest.approx(hits.value)
    assert (recall.low, recall.high) == pytest.approx((hits.low, hits.high), abs=0.004)
    assert recall.p_worse == pytest.approx(hits.p_worse, abs=0.01)


@pytest.mark.parametrize("other", [3, 0])
def test_what_cannot_be_paired_is_refused(other):
    with pytest.raises(InputError, match="cannot be paired"):
        paired_difference(share(np.ones(4, bool)), share(np.ones(other, bool)))


@pytest.mark.parametrize(("n", "clusters"), [(0, None), (1, None), (4, ["a"])])
def test_too_few_cases_or_clusters_are_refused(n, clusters):
    with pytest.raises(InputError, match="cannot be paired"):
        paired_difference(share(np.ones(n, bool)), share(np.ones(n, bool)), clusters)


@pytest.mark.parametrize("margin", [-0.01, 1.0, float("nan")])
def test_margins_that_are_none_are_refused(margin):
    with pytest.raises(InputError, match="margin"):
        paired_difference(share(np.ones(4, bool)), share(np.ones(4, bool)), margin=margin)


@pytest.mark.parametrize(
    ("people", "too_few", "enough"),
    [(None, 100, 120), (9, 100, 120), (10, 380, 400), (12, 300, 360), (15, 220, 240), (20, 160, 200), (50, 100, 120)],
)
def test_how_many_cases_it_takes_to_tell_that_equals_are_within_three_points(people, too_few, enough):
    """Of docs/gates.md, Intervals."""
    assert bound_of_equals(too_few, people) < -0.03 <= bound_of_equals(enough, people)
    assert bound_of_equals(1, people) == -1.0
