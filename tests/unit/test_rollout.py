"""The state machine of a rollout, as tables: every phase, every action, every ruling."""

import itertools
from dataclasses import replace

import pytest

from recognizer.errors import Conflict
from recognizer.judge.ruling import Ruling
from recognizer.rollout.action import (
    CHANGES,
    Abort,
    Advance,
    Begin,
    Finish,
    Hasten,
    Moment,
    Pause,
    Promote,
    Resume,
    Wait,
    change,
)
from recognizer.rollout.next_action import RULES, Barrier, Observed, next_action
from recognizer.rollout.plan import DAY, LOAD_SECONDS, Step, make_plan
from recognizer.rollout.split import Mode, Split
from recognizer.rollout.state import (
    LOADING,
    OPEN,
    TRANSITIONS,
    Judgement,
    Phase,
    Rollout,
    require_transition,
    split_of,
)
from recognizer.rollout.steering import ALLOWED, Wish, steer, superseded

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
SHADOW, FIVE, NINE, PROMOTE, BAKE = range(5)
NOW = 1000.0
WAIT, PAUSED_BY = "wait", Ruling.INCONCLUSIVE


def rollout(position=LOADING, phase=Phase.PROGRESSING, strategy="canary", **more) -> Rollout:
    plan = make_plan(strategy)
    promoted = position > plan.promotion or phase is Phase.HEALTHY
    ended = NOW if phase in (Phase.HEALTHY, Phase.ABORTED) else None
    values = {
        "id": 7,
        "key": None,
        "task": "action",
        "version": 2,
        "digest": NEW,
        "champion_version": 1,
        "champion_digest": OLD,
        "strategy": strategy,
        "plan": plan,
        "position": position,
        "phase": phase,
        "reason": "because of 3 things",
        "verdict": None,
        "accepts_disagreement": False,
        "promote_asked": False,
        "salt": "salt",
        "evidence_from": 0,
        "revision": 5,
        "created_at": 0.0,
        "step_since": NOW,
        "promoted_at": 0.0 if promoted else None,
        "ended_at": ended,
    }
    return Rollout(**{**values, **more})


def observed(verdict=Ruling.WAIT, lagging=(), live=2, *, champion=OLD, **more) -> Observed:
    return Observed(Barrier(live, lagging, more.pop("refused", ())), Judgement(verdict, "3 of 70"), champion, **more)


def act(standing, seen, seconds=1.0):
    """What happens next: its kind, and what the kind carries."""
    action = next_action(standing, seen, NOW + seconds)
    assert next_action(standing, seen, NOW + seconds) == action  # however often it is asked
    assert action.reason
    return action


MOMENT = Moment(NOW + 5, 40, 9, OTHER)


def test_tables_know_every_phase():
    assert set(TRANSITIONS) == set(RULES) == set(Phase)
    assert set(ALLOWED) == set(Wish)
    assert {Phase.PROGRESSING, Phase.PAUSED} == OPEN


@pytest.mark.parametrize(("now", "wanted"), list(itertools.product(Phase, Phase)))
def test_what_may_follow_what(now, wanted):
    allowed = {
        Phase.QUEUED: "PROGRESSING ABORTED",
        Phase.PROGRESSING: "PROGRESSING PAUSED HEALTHY ABORTED",
        Phase.PAUSED: "PROGRESSING HEALTHY ABORTED",
        Phase.HEALTHY: "ABORTED",
        Phase.ABORTED: "",
    }[now].split()
    standing = rollout(phase=now)
    if wanted in allowed:
        require_transition(standing, wanted)
    else:
        with pytest.raises(Conflict, match=f"is {now} .because of 3 things. and cannot become {wanted}"):
            require_transition(standing, wanted)


def test_a_position_outside_its_plan_cannot_be():
    for position in (-2, 5):
        with pytest.raises(ValueError, match="outside a plan of 5 steps"):
            rollout(position)


@pytest.mark.parametrize(
    ("position", "strategy", "mode", "share", "whose"),
    [
        (LOADING, "canary", Mode.LOAD, 0.0, NEW),
        (SHADOW, "canary", Mode.SHADOW, 0.0, NEW),
        (FIVE, "canary", Mode.CANARY, 0.05, NEW),
        (NINE, "canary", Mode.CANARY, 0.09, NEW),
        (BAKE, "canary", Mode.BAKE, 0.05, OLD),
        (LOADING, "blue-green", Mode.LOAD, 0.0, NEW),
        (1, "blue-green", Mode.BAKE, 0.0, OLD),
        (LOADING, "immediate", Mode.LOAD, 0.0, NEW),
    ],
)
@pytest.mark.parametrize("phase", Phase)
def test_what_stands_beside_the_champion(position, strategy, mode, share, whose, phase):
    wanted = Split("action", 7, mode, 2 if whose == NEW else 1, whose, share, "salt")
    promoted_at = None if whose == NEW else 0.0
    standing = rollout(position, phase, strategy, promoted_at=promoted_at)
    assert split_of(standing) == (wanted if phase in OPEN else None)


# The way of a challenger that is no worse -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "way"),
    [
        ("canary", ["LOADING", "SHADOW", "CANARY 5 %", "CANARY 9 %", "BAKE", "HEALTHY"]),
        ("shadow", ["LOADING", "SHADOW", "BAKE", "HEALTHY"]),
        ("blue-green", ["LOADING", "BAKE", "HEALTHY"]),
        ("immediate", ["LOADING", "HEALTHY"]),
    ],
)
def test_the_way_of_a_good_one(strategy, way):
    standing, went, champion, now = rollout(phase=Phase.QUEUED, strategy=strategy), [], OLD, NOW
    while standing.phase is not Phase.HEALTHY:
        seen = observed(Ruling.GOOD, champion=champion)
        action = next_action(standing, seen, now)
        standing = change(standing, action, Moment(now, 40, 1, OLD))
        if isinstance(action, Promote):
            champion = NEW
        went += [standing.step_name] if standing.is_open and standing.step_name not in went else []
        now += DAY / 2  # a bake without hold-back lasts for its time
    assert [*went, "HEALTHY"] == way
    assert champion == NEW
    assert standing.promoted
    assert standing.ended_at is not None
    assert isinstance(next_action(standing, observed(champion=NEW), now), Wait)


@pytest.mark.parametrize("position", [LOADING, SHADOW, FIVE, NINE])
def test_a_share_waits_for_every_worker(position):
    seen = observed(Ruling.GOOD, lagging=("w2",))
    action = act(rollout(position), seen)
    assert isinstance(action, Wait)
    assert "1 of 2 workers have loaded it, w2 not yet" in action.reason
    assert isinstance(act(rollout(position), observed(Ruling.GOOD, live=0)), Wait)
    assert isinstance(act(rollout(position), observed(Ruling.GOOD)), Promote if position == NINE else Advance)


def test_nothing_is_judged_while_it_loads():
    for verdict in Ruling:
        assert isinstance(act(rollout(), observed(verdict, lagging=("w1",))), Wait)
        assert isinstance(act(rollout(), observed(verdict)), Advance)


@pytest.mark.parametrize(
    ("live", "seconds", "kind"), [(2, LOAD_SECONDS - 1, Wait), (2, LOAD_SECONDS, Pause), (0, 100 * DAY, Wait)]
)
def test_who_is_late_with_loading_is_named_to_a_person(live, seconds, kind):
    lagging = ("w2",) if live else ()
    action = act(rollout(), observed(lagging=lagging, live=live), seconds)
    assert type(action) is kind
    if kind is Pause:
        assert action.reason == "1 of 2 workers have loaded it, w2 not yet to begin after 900 s (limit 900 s)"
        assert action.verdict is Ruling.INCONCLUSIVE


@pytest.mark.parametrize("asked", [False, True])
def test_immediate_waits_for_nobody(asked):
    standing = rollout(strategy="immediate", promote_asked=asked)
    assert isinstance(act(standing, observed(live=2, lagging=("w1", "w2"))), Promote)


# Every step and every ruling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "kind"), [(0, Wait), (599, Wait), (600, Finish)])
def test_a_bake_lasts_for_its_time_however_good_the_evidence(seconds, kind):
    baking = rollout(BAKE, plan=make_plan(bake_seconds=600))
    assert isinstance(act(baking, observed(Ruling.GOOD, champion=NEW), seconds), kind)
    assert isinstance(act(baking, observed(Ruling.WORSE, champion=NEW), seconds), Abort)  # a bad one waits for nothing


LATE = DAY + 1
STEPS = {SHADOW: "SHADOW", FIVE: "CANARY 5 %", NINE: "CANARY 9 %", BAKE: "BAKE"}
TABLE = [
    # ruling, seconds in step, what follows in SHADOW, CANARY 5 %, CANARY 9 %, BAKE
    (Ruling.GOOD, 1, (Advance, Advance, Promote, Finish)),
    (Ruling.GOOD, LATE, (Advance, Advance, Promote, Finish)),
    (Ruling.WAIT, 1, (Wait, Wait, Wait, Wait)),
    (Ruling.WAIT, LATE, (Pause, Pause, Pause, Pause)),
    (Ruling.INCONCLUSIVE, 1, (Wait, Wait, Wait, Wait)),
    (Ruling.INCONCLUSIVE, LATE, (Pause, Pause, Pause, Pause)),
    (Ruling.DISAGREES, 1, (Pause, Pause, Pause, Pause)),
    (Ruling.DISAGREES, LATE, (Pause, Pause, Pause, Pause)),
    (Ruling.WORSE, 1, (Abort, Abort, Abort, Abort)),
    (Ruling.WORSE, LATE, (Abort, Abort, Abort, Abort)),
]


@pytest.mark.parametrize(
    ("verdict", "seconds", "position", "kind"),
    [
        (verdict, sec, position, kind)
        for verdict, sec, kinds in TABLE
        for position, kind in zip(STEPS, kinds, strict=True)
    ],
)
def test_what_follows_a_ruling(verdict, seconds, position, kind):
    champion = NEW if position == BAKE else OLD
    action = act(rollout(position), observed(verdict, champion=champion, answers=70), seconds)
    assert type(action) is kind
    assert f"{verdict} in {STEPS[position]}: 3 of 70" in action.reason
    if kind is Abort:
        assert (action.rollback, action.quarantine) == (position == BAKE, True)
    if kind is Pause:
        assert action.verdict is (Ruling.DISAGREES if verdict is Ruling.DISAGREES else Ruling.INCONCLUSIVE)
        assert ("limit 86400 s" in action.reason) == (verdict is not Ruling.DISAGREES)


@pytest.mark.parametrize("verdict", [Ruling.WAIT, Ruling.INCONCLUSIVE])
def test_shadow_without_traffic_waits_and_is_neither_promoted_nor_taken_out(verdict):
    action = act(rollout(SHADOW), observed(verdict, answers=0), 10 * DAY)
    assert isinstance(action, Wait)
    assert "no request to compare yet" in action.reason
    assert isinstance(act(rollout(FIVE), observed(verdict, answers=0), 10 * DAY), Pause)


def test_a_bake_without_hold_back_lasts_for_its_time():
    baking = rollout(1, strategy="blue-green")
    assert baking.step is Step.BAKE
    for verdict in (Ruling.GOOD, Ruling.WAIT, Ruling.INCONCLUSIVE):
        assert isinstance(act(baking, observed(verdict, champion=NEW)), Wait)
        assert isinstance(act(baking, observed(verdict, champion=NEW), LATE), Finish)
    assert act(baking, observed(Ruling.WORSE, champion=NEW)).rollback


@pytest.mark.parametrize("position", STEPS)
@pytest.mark.parametrize("verdict", Ruling)
def test_a_paused_one_stays_unless_it_is_worse(position, verdict):
    champion = NEW if position == BAKE else OLD
    action = act(rollout(position, Phase.PAUSED), observed(verdict, champion=champion, answers=70), LATE)
    assert type(action) is (Abort if verdict is Ruling.WORSE else Wait)


@pytest.mark.parametrize(
    ("verdict", "champion", "kind"),
    [*((verdict, NEW, Abort if verdict is Ruling.WORSE else Wait) for verdict in Ruling), (Ruling.WORSE, OTHER, Wait)],
)
def test_late_feedback_takes_a_healthy_champion_back_while_it_serves(verdict, champion, kind):
    action = act(rollout(BAKE, Phase.HEALTHY), observed(verdict, champion=champion))
    assert type(action) is kind
    assert kind is Wait or (action.rollback and action.quarantine)


@pytest.mark.parametrize("verdict", Ruling)
def test_an_aborted_one_rests(verdict):
    assert isinstance(act(rollout(FIVE, Phase.ABORTED), observed(verdict, losses=9)), Wait)


# Protection -----------------------------------------------------------------------------------------------------

DANGERS = {
    "losses": ({"losses": 1}, "1 worker process(es) died of it", True),
    "relapses": (
        {"relapsed": ("w1: a probe failed", "w2: a probe failed")},
        "2 of 2 workers: w1: a probe failed",
        True,
    ),
    "quarantined": ({"quarantined": "it crashed"}, "in quarantine: it crashed", False),
    "another champion": ({"champion": OTHER}, f"now {OTHER[:12]} is", False),
    "no champion": ({"champion": None}, "now nobody is", False),
}


@pytest.mark.parametrize("danger", DANGERS)
@pytest.mark.parametrize("position", [LOADING, *STEPS])
@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PAUSED])
def test_dangers_take_it_out_whatever_the_judge_says(danger, position, phase):
    more, said, quarantine = DANGERS[danger]
    champion = more.get("champion", NEW if position == BAKE else OLD)
    action = act(rollout(position, phase), observed(Ruling.GOOD, **{**more, "champion": champion}))
    assert isinstance(action, Abort)
    assert said in action.reason
    assert action.quarantine == quarantine
    # who is champion now did not take its place, or would lose it for nothing
    assert action.rollback == (position == BAKE and champion == NEW)


def test_as_many_losses_as_the_plan_says():
    plan = make_plan(losses=3)
    assert isinstance(act(rollout(FIVE, plan=plan), observed(losses=2)), Wait)
    assert (
        "3 worker process(es) died of it in CANARY 5 % (limit 3)"
        in act(rollout(FIVE, plan=plan), observed(losses=3)).reason
    )


@pytest.mark.parametrize(
    ("live", "heard", "relapsed"),
    [(2, 2, ("w1: x",)), (3, 3, ("w1: x", "w2: x")), (0, 0, ()), (1, 2, ("w1: x",)), (0, 1, ())],
    ids=["one of two", "two of three", "nobody lives", "the other has just died", "nobody lives now"],
)
def test_one_worker_in_which_it_goes_on_failing_is_no_proof(live, heard, relapsed):
    assert isinstance(act(rollout(FIVE), observed(live=live, heard=heard, relapsed=relapsed)), Wait)


def test_a_refused_package_is_taken_out_before_its_promotion():
    seen = {"lagging": ("w2",), "refused": ("w2: PackageTampered: model.onnx differs",)}
    for position in (LOADING, SHADOW, FIVE, NINE):
        action = act(rollout(position), observed(Ruling.GOOD, **seen))
        assert (type(action), action.rollback, action.quarantine) == (Abort, False, True)
        assert "1 of 2 workers refused it: w2: PackageTampered" in action.reason
    assert isinstance(act(rollout(BAKE), observed(champion=NEW, **seen)), Wait)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("position", [LOADING, *STEPS])
@pytest.mark.parametrize("verdict", Ruling)
def test_nothing_changes_for_a_frozen_task(phase, position, verdict):
    champion = NEW if phase is Phase.HEALTHY else OLD
    seen = observed(verdict, champion=champion, frozen="ann (a demo)", losses=5, quarantined="bad", answers=70)
    action = act(rollout(position, phase), seen, LATE)
    assert isinstance(action, Wait)
    assert phase is Phase.ABORTED or "frozen by ann (a demo)" in action.reason


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, Begin),
        ({"quarantined": "bad"}, Abort),
        ({"champion": None}, Wait),
        ({"champion": OTHER}, Begin),
        ({"champion": NEW}, Abort),
    ],
)
def test_a_queued_one_begins_when_the_way_is_free(more, kind):
    assert type(act(rollout(phase=Phase.QUEUED), observed(Ruling.WORSE, **more))) is kind


# What people may ask --------------------------------------------------------------------------------------------

ASKED = [
    # wish, phase, promoted: the action, or what the Conflict says
    (Wish.PAUSE, Phase.QUEUED, False, "is QUEUED"),
    (Wish.PAUSE, Phase.PROGRESSING, False, Pause),
    (Wish.PAUSE, Phase.PROGRESSING, True, Pause),
    (Wish.PAUSE, Phase.PAUSED, False, "is PAUSED"),
    (Wish.PAUSE, Phase.HEALTHY, True, "is HEALTHY"),
    (Wish.PAUSE, Phase.ABORTED, False, "is ABORTED"),
    (Wish.RESUME, Phase.QUEUED, False, "is QUEUED"),
    (Wish.RESUME, Phase.PROGRESSING, False, "is PROGRESSING"),
    (Wish.RESUME, Phase.PAUSED, False, Resume),
    (Wish.RESUME, Phase.PAUSED, True, Resume),
    (Wish.RESUME, Phase.HEALTHY, True, "is HEALTHY"),
    (Wish.RESUME, Phase.ABORTED, False, "is ABORTED"),
    (Wish.PROMOTE, Phase.QUEUED, False, "is QUEUED"),
    (Wish.PROMOTE, Phase.PROGRESSING, False, Hasten),
    (Wish.PROMOTE, Phase.PAUSED, False, Hasten),
    (Wish.PROMOTE, Phase.PROGRESSING, True, Finish),
    (Wish.PROMOTE, Phase.PAUSED, True, Finish),
    (Wish.PROMOTE, Phase.HEALTHY, True, "is HEALTHY"),
    (Wish.PROMOTE, Phase.ABORTED, False, "is ABORTED"),
    (Wish.ABORT, Phase.QUEUED, False, Abort),
    (Wish.ABORT, Phase.PROGRESSING, False, Abort),
    (Wish.ABORT, Phase.PROGRESSING, True, Abort),
    (Wish.ABORT, Phase.PAUSED, False, Abort),
    (Wish.ABORT, Phase.PAUSED, True, Abort),
    (Wish.ABORT, Phase.HEALTHY, True, "is HEALTHY"),
    (Wish.ABORT, Phase.ABORTED, False, "is ABORTED"),
    (Wish.UNDO, Phase.QUEUED, False, "is QUEUED"),
    (Wish.UNDO, Phase.PROGRESSING, False, "not promoted yet"),
    (Wish.UNDO, Phase.PAUSED, False, "not promoted yet"),
    (Wish.UNDO, Phase.PROGRESSING, True, Abort),
    (Wish.UNDO, Phase.PAUSED, True, Abort),
    (Wish.UNDO, Phase.HEALTHY, True, Abort),
    (Wish.UNDO, Phase.ABORTED, False, "is ABORTED"),
]


def ask(wish, standing, champion, frozen=None):
    return steer(wish, standing, who="ann", reason="she knows", champion=champion, frozen=frozen)


@pytest.mark.parametrize(("wish", "phase", "promoted", "expected"), ASKED)
def test_what_people_may_ask(wish, phase, promoted, expected):
    standing, champion = rollout(BAKE if promoted else FIVE, phase), NEW if promoted else OLD
    if isinstance(expected, str):
        with pytest.raises(Conflict, match=expected) as caught:
            ask(wish, standing, champion)
        assert f"cannot {wish}" in caught.value.what
        assert "recognizer rollout" in caught.value.hint
        return
    action = ask(wish, standing, champion)
    assert type(action) is expected
    assert action.reason == f"{wish} by ann: she knows"
    if expected is Abort:
        assert (action.rollback, action.quarantine) == (promoted, False)
    with pytest.raises(Conflict, match="frozen by bob") as caught:
        ask(wish, standing, champion, "bob")
    assert caught.value.hint == "recognizer rollout unfreeze action"
    after = change(standing, action, MOMENT)
    assert after.reason == action.reason


def test_no_wish_is_fulfilled_for_a_champion_that_serves_no_more():
    baking = rollout(BAKE)
    for wish in (Wish.UNDO, Wish.PROMOTE):
        with pytest.raises(Conflict, match="is champion, not its challenger"):
            ask(wish, baking, OTHER)
    assert not ask(Wish.ABORT, baking, OTHER).rollback


def test_a_promotion_that_was_asked_for_waits_for_the_workers_alone():
    for position in (LOADING, SHADOW, FIVE, NINE):
        hastened = change(rollout(position, Phase.PAUSED), Hasten("promote by ann"), MOMENT)
        assert (hastened.phase, hastened.position) == (Phase.PROGRESSING, position)
        for verdict in set(Ruling) - {Ruling.WORSE}:
            action = act(hastened, observed(verdict), LATE)
            assert isinstance(action, Promote)
            assert action.reason == "promote by ann; 2 of 2 workers have loaded it"
            assert isinstance(act(hastened, observed(verdict, lagging=("w1",))), Wait)
            assert isinstance(act(hastened, observed(verdict, lagging=("w1",)), LATE), Pause)
        if position != LOADING:
            assert isinstance(act(hastened, observed(Ruling.WORSE)), Abort)


def test_an_accepted_disagreement_pauses_no_more():
    paused = change(rollout(FIVE), Pause("they differ", Ruling.DISAGREES), MOMENT)
    resumed = change(paused, Resume("resume by ann"), MOMENT)
    assert resumed.accepts_disagreement
    assert isinstance(act(resumed, observed(Ruling.DISAGREES)), Wait)
    late = act(resumed, observed(Ruling.DISAGREES), LATE + 5)  # nobody said that it is good
    assert late.verdict is Ruling.INCONCLUSIVE
    assert not change(change(rollout(FIVE), Pause("x"), MOMENT), Resume("y"), MOMENT).accepts_disagreement
    assert change(change(resumed, Pause("x"), MOMENT), Resume("y"), MOMENT).accepts_disagreement


@pytest.mark.parametrize(
    ("phase", "position", "kind"),
    [
        (Phase.QUEUED, LOADING, Abort),
        (Phase.PROGRESSING, FIVE, None),
        (Phase.PROGRESSING, BAKE, None),
        (Phase.PAUSED, FIVE, Abort),
        (Phase.PAUSED, BAKE, Finish),
    ],
)
def test_a_newer_challenger_takes_the_place_of_who_waits(phase, position, kind):
    action = superseded(rollout(position, phase), 3)
    assert action is None if kind is None else type(action) is kind
    if kind is not None:
        assert "version 3" in action.reason
        assert kind is Finish or not action.rollback


# What an action makes of a rollout ------------------------------------------------------------------------------

PROMOTED_BAKE = {"promoted_at": MOMENT.now, "position": BAKE}
ENTERED = {"step_since": MOMENT.now, "evidence_from": MOMENT.ordinal}
CHANGED = [
    (
        rollout(phase=Phase.QUEUED),
        Begin,
        Phase.PROGRESSING,
        {**ENTERED, "champion_version": 9, "champion_digest": OTHER},
    ),
    (rollout(), Advance, Phase.PROGRESSING, {**ENTERED, "position": SHADOW}),
    (rollout(FIVE), Advance, Phase.PROGRESSING, {**ENTERED, "position": NINE}),
    (rollout(NINE), Promote, Phase.PROGRESSING, {**ENTERED, **PROMOTED_BAKE}),
    (
        rollout(FIVE, promote_asked=True),
        Promote,
        Phase.PROGRESSING,
        {**ENTERED, **PROMOTED_BAKE, "promote_asked": False},
    ),
    (rollout(strategy="immediate"), Promote, Phase.HEALTHY, {**ENTERED, "promoted_at": MOMENT.now, "position": 0}),
    (rollout(FIVE), Pause, Phase.PAUSED, {}),
    (rollout(BAKE), Pause, Phase.PAUSED, {}),
    (rollout(FIVE, Phase.PAUSED), Resume, Phase.PROGRESSING, {"step_since": MOMENT.now}),
    (
        rollout(FIVE, Phase.PAUSED, verdict=Ruling.DISAGREES),
        Resume,
        Phase.PROGRESSING,
        {"step_since": MOMENT.now, "accepts_disagreement": True, "verdict": None},
    ),
    (
        rollout(FIVE),
        Hasten,
        Phase.PROGRESSING,
        {"step_since": MOMENT.now, "accepts_disagreement": True, "promote_asked": True},
    ),
    (rollout(BAKE), Finish, Phase.HEALTHY, {}),
    (rollout(BAKE, Phase.PAUSED), Finish, Phase.HEALTHY, {}),
    (rollout(phase=Phase.QUEUED), Abort, Phase.ABORTED, {}),
    (rollout(FIVE), Abort, Phase.ABORTED, {}),
    (rollout(BAKE, Phase.HEALTHY), Abort, Phase.ABORTED, {}),
]


@pytest.mark.parametrize(("before", "kind", "phase", "values"), CHANGED)
def test_what_an_action_makes_of_a_rollout(before, kind, phase, values):
    ended = MOMENT.now if phase in (Phase.HEALTHY, Phase.ABORTED) else None
    assert change(before, kind("why"), MOMENT) == replace(
        before, phase=phase, reason="why", revision=6, ended_at=ended, **values
    )


STANDINGS = [
    rollout(phase=Phase.QUEUED),
    *(rollout(position, phase) for phase in (Phase.PROGRESSING, Phase.PAUSED) for position in (LOADING, *STEPS)),
    rollout(BAKE, Phase.HEALTHY),
    rollout(FIVE, Phase.ABORTED),
]
FITS = {
    Begin: lambda one: one.phase is Phase.QUEUED,
    Advance: lambda one: one.phase is Phase.PROGRESSING and one.position < NINE,
    Promote: lambda one: one.phase is Phase.PROGRESSING and not one.promoted,
    Pause: lambda one: one.phase is Phase.PROGRESSING,
    Resume: lambda one: one.phase is Phase.PAUSED,
    Hasten: lambda one: one.is_open and not one.promoted,
    Finish: lambda one: one.is_open and one.promoted,
    Abort: lambda one: one.phase is not Phase.ABORTED,
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("before", STANDINGS, ids=lambda one: f"{one.phase}-{one.step_name}")
def test_every_action_in_every_phase(before, kind):
    if FITS[kind](before):
        assert change(before, kind("why"), MOMENT).revision == before.revision + 1
    else:
        with pytest.raises(Conflict) as caught:
            change(before, kind("why"), MOMENT)
        assert caught.value.hint == "recognizer rollout status action"


@pytest.mark.parametrize("before", STANDINGS, ids=lambda one: f"{one.phase}-{one.step_name}")
def test_to_wait_changes_nothing(before):
    assert change(before, Wait("why"), MOMENT) is before


def test_what_was_never_promoted_cannot_be_rolled_back():
    with pytest.raises(Conflict, match="nothing to roll back"):
        change(rollout(FIVE), Abort("why", rollback=True), MOMENT)


@pytest.mark.parametrize("before", STANDINGS, ids=lambda one: f"{one.phase}-{one.step_name}")
@pytest.mark.parametrize("champion", [OLD, NEW, OTHER, None])
def test_whatever_is_decided_can_be_done(before, champion):
    beside = [{}, {"lagging": ("w1",)}, {"losses": 1}, {"quarantined": "bad"}]
    for verdict, seconds, more in itertools.product(Ruling, [1.0, LATE], beside):
        action = act(before, observed(verdict, champion=champion, answers=1, **more), seconds)
        change(before, action, MOMENT)
