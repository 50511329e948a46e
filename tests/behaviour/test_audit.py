"""The audit trail: whole whatever is killed, and nothing in it changed, removed, moved or cut unnoticed."""

import json

import pytest
from sqlalchemy import delete, insert, select, update

from recognizer.home import Home
from recognizer.store import audit, open_store
from recognizer.store.audit import append, verify_audit, write_head
from recognizer.store.schema import audit as table
from recognizer.store.schema import audit_head


@pytest.fixture
def store(store_url):
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def fill(store, count, home=None, who="ann"):
    for number in range(count):
        with store.write() as connection:
            append(connection, who=who, event="advance", payload={"share": 0.05 + number, "at": [1, None]}, rollout=7)
    if home is not None:
        write_head(store, home)


def spoil(store, *statements):
    with store.write() as connection:
        for statement in statements:
            connection.execute(statement)


def row(number):
    return table.c.number == number


def test_an_empty_trail_is_whole(store, home):
    assert verify_audit(store, home) == []
    write_head(store, home)
    assert not home.root.exists()


def test_rows_follow_one_another(store, home):
    fill(store, 3, home)
    rows = audit.of(store)
    assert [one.number for one in rows] == [1, 2, 3]
    assert rows[0].previous_hash == audit.NO_HASH
    assert [one.previous_hash for one in rows[1:]] == [one.hash for one in rows[:-1]]
    assert rows[2].payload == {"share": 2.05, "at": [1, None]}
    assert verify_audit(store, home) == []
    assert json.loads((home.audit_head).read_text()) == {"number": 3, "hash": rows[2].hash}
    assert audit.of(store, 7, limit=2) == rows[1:]
    assert audit.of(store, 8) == []


def test_what_json_cannot_hold_does_not_break_the_chain(store, home):
    with store.write() as connection:
        append(connection, who="ä", event="x", payload={"nan": float("nan"), "pair": (1, 2), "tiny": 1e-300, 5: "ß"})
    assert verify_audit(store, home) == []
    assert audit.of(store)[0].payload == {"nan": None, "pair": [1, 2], "tiny": 1e-300, "5": "ß"}


def test_a_row_belongs_to_its_transaction(store, home):
    fill(store, 1)
    with pytest.raises(ZeroDivisionError):
        fill_and_fail(store)
    fill(store, 1)
    assert verify_audit(store, home) == []
    assert len(audit.of(store)) == 2


def fill_and_fail(store):
    with store.write() as connection:
        append(connection, who="ann", event="x", payload={})
        raise ZeroDivisionError


@pytest.mark.parametrize("behind", [1, 2, 5])
def test_a_head_that_was_left_behind_is_no_problem(store, home, behind):
    fill(store, 3, home)
    fill(store, behind)
    assert verify_audit(store, home) == []
    write_head(store, home)
    assert verify_audit(store, home) == []
    assert json.loads((home.audit_head).read_text())["number"] == 3 + behind


def test_a_head_that_was_never_written_is_missed_after_some_rows(store, home):
    fill(store, audit.MOST_ROWS_OF_A_KILL)
    assert verify_audit(store, home) == []
    fill(store, 1)
    assert "is missing, and the trail has 5 rows" in verify_audit(store, home)[0]


SPOILED = {
    "payload": (update(table).where(row(2)).values(payload={"share": 0.5}), "row 2 (advance by ann) was changed"),
    "who": (update(table).where(row(2)).values(who="bob"), "row 2 (advance by bob) was changed"),
    "event": (update(table).where(row(2)).values(event="abort"), "was changed"),
    "time": (update(table).where(row(2)).values(at=1.0), "was changed"),
    "rollout": (update(table).where(row(2)).values(rollout=8), "was changed"),
    "hash": (update(table).where(row(2)).values(hash="0" * 64), "row 3 does not follow row 2"),
    "previous": (update(table).where(row(2)).values(previous_hash="0" * 64), "row 2 does not follow row 1"),
    "removed": (delete(table).where(row(2)), "row 2 is missing before row 3"),
    "removed first": (delete(table).where(row(1)), "row 1 is missing before row 2"),
    "removed many": (delete(table).where(table.c.number.in_((2, 3))), "some rows are missing before row 4"),
    "cut": (delete(table).where(table.c.number > 3), "row 5 was written, and is gone"),
    "emptied": (delete(table), "row 5 was written, and is gone"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_every_spoiled_row_is_found(store, home, how):
    fill(store, 5, home)
    statement, said = SPOILED[how]
    spoil(store, statement)
    problems = verify_audit(store, home)
    assert any(said in problem for problem in problems), problems


def test_rows_that_changed_places_are_found(store, home):
    fill(store, 5, home)
    spoil(store, *(update(table).where(row(a)).values(number=b) for a, b in ((2, 99), (3, 2), (99, 3))))
    problems = verify_audit(store, home)
    assert any("row 2 does not follow row 1" in problem for problem in problems), problems


def cut(store, number, then=0):
    """As somebody would who knows how the trail is made: rows above `number` vanish, and others take their place."""
    with store.read() as connection:
        left = connection.execute(select(table.c.hash).where(row(number))).scalar_one()
    spoil(store, delete(table).where(table.c.number > number), update(audit_head).values(number=number, hash=left))
    fill(store, then, who="mallory")


@pytest.mark.parametrize(("then", "said"), [(0, "row 5 was written, and is gone"), (1, "is gone"), (2, "another one")])
def test_a_tail_that_was_cut_below_the_head_is_found_and_stays_found(store, home, then, said):
    fill(store, 5, home)
    cut(store, 3, then)
    for _ in range(2):
        problems = verify_audit(store, home)
        assert len(problems) == 1
        assert said in problems[0]
        write_head(store, home)  # must not cover it up
    fill(store, 4)
    write_head(store, home)
    assert "row 5 is another one than was written" in verify_audit(store, home)[0]


def test_a_trail_cut_without_its_head_row_is_found_without_the_file(store, home):
    fill(store, 3)
    spoil(store, delete(table).where(row(3)))
    assert verify_audit(store, home) == ["the store notes row 3 as the newest, its last row is 2"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"number": "x", "hash": ""}', '{"number": 3}'])
def test_a_head_that_cannot_be_read_is_told_and_kept(store, home, content):
    fill(store, 3, home)
    file = home.audit_head
    file.write_text(content)
    write_head(store, home)
    assert file.read_text() == content
    assert "cannot be read" in verify_audit(store, home)[0]


def test_a_row_written_past_the_head_is_refused(store):
    fill(store, 1)
    spoil(store, insert(table).values({**vars(audit.of(store)[0]), "number": 2}))
    with pytest.raises(Exception, match="refuses the change"):
        fill(store, 1)
