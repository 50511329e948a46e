"""Who is asked first: keys, shares, forced arms and pinned versions."""

import numpy as np
import pytest

from recognizer.errors import NotFound, UsageError
from recognizer.rollout.split import Mode, Split
from serving.routing import NO_WISH, THE_CHAMPION, Arm, Choice, Wish, choose, in_share, place, read_query, read_wish

KEYS = [f"camera-{i}" for i in range(100_000)]
CHALLENGER, HOLDBACK = Choice(Arm.CHALLENGER, True), Choice(Arm.HOLDBACK, True)


def split(mode=Mode.CANARY, share=0.09, salt="salt"):
    return Split("action", 1, mode, 2, "d" * 64, 0.0 if mode in (Mode.LOAD, Mode.SHADOW) else share, salt)


@pytest.mark.parametrize("mode", [Mode.CANARY, Mode.BAKE])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.09, 0.5, 1.0])
def test_the_share_is_met(mode, share):
    given = split(mode, share)
    hit = sum(in_share(given, share, key) for key in KEYS) / len(KEYS)
    assert abs(hit - share) <= 0.005
    assert hit == share or 0 < share < 1


@pytest.mark.parametrize("mode", [Mode.CANARY, Mode.BAKE])
def test_a_key_stays_with_the_other_model_as_the_share_grows(mode):
    for key in KEYS[:2000]:
        hits = [in_share(split(mode, share), share, key) for share in np.linspace(0, 1, 21)]
        assert hits == sorted(hits)


def test_who_had_the_challenger_keeps_it_after_the_promotion():
    for key in KEYS[:5000]:
        if in_share(split(), 0.09, key):
            assert not in_share(split(Mode.BAKE, 0.05), 0.05, key)


def test_two_salts_are_unrelated():
    both = np.array([(place("a", key), place("b", key)) for key in KEYS[:20_000]])
    assert both.min() >= 0
    assert both.max() < 1
    assert abs(np.corrcoef(both.T)[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("given", "wish", "choice"),
    [
        (None, NO_WISH, THE_CHAMPION),
        (None, Wish(arm=Arm.CHALLENGER), THE_CHAMPION),
        (None, Wish(version=1), THE_CHAMPION),
        (split(share=1.0), NO_WISH, CHALLENGER),
        (split(share=1.0), Wish(key="k"), CHALLENGER),
        (split(share=1.0), Wish(arm=Arm.CHAMPION), THE_CHAMPION),
        (split(share=0.0), NO_WISH, THE_CHAMPION),
        (split(share=0.0), Wish(arm=Arm.CHALLENGER), CHALLENGER),
        (split(share=0.0), Wish(arm=Arm.HOLDBACK), THE_CHAMPION),
        (split(share=0.0), Wish(version=2), CHALLENGER),
        (split(share=1.0), Wish(version=1), THE_CHAMPION),
        (split(share=0.0), Wish(arm=Arm.CHAMPION, version=2), CHALLENGER),
        (split(Mode.LOAD), NO_WISH, THE_CHAMPION),
        (split(Mode.SHADOW), NO_WISH, THE_CHAMPION),
        (split(Mode.SHADOW), Wish(arm=Arm.CHALLENGER), CHALLENGER),
        (split(Mode.BAKE, 1.0), NO_WISH, HOLDBACK),
        (split(Mode.BAKE, 1.0), Wish(arm=Arm.CHALLENGER), THE_CHAMPION),
        (split(Mode.BAKE, 1.0), Wish(arm=Arm.CHAMPION), THE_CHAMPION),
        (split(Mode.BAKE, 0.0), Wish(arm=Arm.HOLDBACK), HOLDBACK),
        (split(Mode.BAKE, 0.0), Wish(version=2), HOLDBACK),
    ],
)
def test_choices(given, wish, choice):
    assert choose(1, given, wish, "id", given.share if given else 0.0) == choice


@pytest.mark.parametrize(("given", "loaded"), [(None, "loaded: 1\n"), (split(), "loaded: 1, 2\n")])
def test_a_version_that_is_not_loaded(given, loaded):
    with pytest.raises(NotFound, match=loaded) as caught:
        choose(1, given, Wish(version=3), "id", 0.0)
    assert caught.value.http_status == 404
    assert caught.value.hint


@pytest.mark.parametrize(
    ("headers", "query", "wish"),
    [
        ({}, {}, NO_WISH),
        ({b"x-routing-key": b" cam 7 "}, {}, Wish(key="cam 7")),
        ({b"x-recognizer-arm": b"Challenger"}, {}, Wish(arm=Arm.CHALLENGER)),
        ({b"x-recognizer-version": b"12"}, {}, Wish(version=12)),
        ({}, {"version": "12"}, Wish(version=12)),
        ({b"x-recognizer-version": b"1"}, {"version": "12"}, Wish(version=1)),
        ({}, {"canary": "true"}, Wish(arm=Arm.CHALLENGER)),
        ({}, {"canary": "0"}, NO_WISH),
        ({b"x-recognizer-arm": b"champion"}, {"canary": "true"}, Wish(arm=Arm.CHAMPION)),
    ],
)
def test_wishes(headers, query, wish):
    assert read_wish(headers, query) == wish
    assert wish.forced == (wish.arm is not None or wish.version is not None)


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({b"x-routing-key": b""}, {}),
        ({b"x-routing-key": b"k" * 1025}, {}),
        ({b"x-recognizer-arm": b"best"}, {}),
        ({b"x-recognizer-version": b"-1"}, {}),
        ({b"x-recognizer-version": b"\xd9\xa1"}, {}),
        ({}, {"version": "latest"}),
        ({}, {"canary": "perhaps"}),
    ],
)
def test_wishes_that_mean_nothing(headers, query):
    with pytest.raises(UsageError) as caught:
        read_wish(headers, query)
    assert caught.value.http_status == 400
    assert caught.value.hint


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"", {}),
        (b"draw=png&canary=1", {"draw": "png", "canary": "1"}),
        (b"draw", {"draw": ""}),
        (b"draw=a%20b", {"draw": "a b"}),
    ],
)
def test_a_query(query, found):
    assert read_query(query, ("draw",)) == found


@pytest.mark.parametrize("query", [b"draw=png&draw=png", b"canary=1&canary=0", b"other=1", b"Draw=png", b"\xff=1"])
def test_a_query_that_means_nothing(query):
    with pytest.raises(UsageError) as caught:
        read_query(query, ("draw",))
    assert caught.value.http_status == 400
    assert caught.value.hint
