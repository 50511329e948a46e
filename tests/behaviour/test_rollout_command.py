"""`recognizer rollout` and `recognizer doctor` as a person uses them: the real command in a home with tiny packages.

The controller's part is played here, with its own functions; the service is not needed.
"""

import json
import random
import sys
from xml.etree import ElementTree

import pytest
from sqlalchemy import update

from flows.command.main import main
from flows.rollouts import explain_rollout
from recognizer import late
from recognizer.action import Wait
from recognizer.evidence import SIGNALS, ArmCounts, Batch, PairCounts
from recognizer.judge import replay
from recognizer.ledger import Ledger, as_numbered, in_step, limits_of
from recognizer.next_action import next_action
from recognizer.plan import make_plan
from recognizer.predictions import Prediction
from recognizer.rollout import LOADING, Phase
from recognizer.store import audit, evidence, feedback, leases, open_store, quarantine, rollouts, versions, workers
from recognizer.store.observation import observe
from recognizer.store.schema import evidence as evidence_table
from recognizer.store.schema import feedback as feedback_table
from recognizer.store.schema import versions as versions_table
from recognizer.store.served import read_served

QUICK = {"min_answers": 30, "min_compared": 50}


@pytest.fixture
def home(small_home):
    """Version 1 is champion; 2 and 3 are blessed."""
    small_home.release(1)
    for version in (2, 3):
        small_home.package(version)
        small_home.bless(version)
        record(small_home, version)
    return small_home


@pytest.fixture
def store(home):
    with open_store(home.url) as opened:
        yield opened


@pytest.fixture
def recognizer(home, monkeypatch, capsys, free_port):
    """Runs the command in this process; returns exit code, stdout and stderr."""
    monkeypatch.setenv("RECOGNIZER_HOME", str(home.home.root))
    monkeypatch.setenv("RECOGNIZER_PORT", str(free_port()))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recognizer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def answer(recognizer):
    """The JSON value that a command prints, when it ends well."""

    def ask(*arguments):
        code, out, err = recognizer(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return ask


def record(home, version, verdict="PASSED", **metrics):
    with open_store(home.url) as store:
        versions.record(
            store, task="action", version=version, digest=home.digests[version], snapshot="0" * 64,
            test_digest="1" * 64, verdict=verdict, metrics=metrics,
        )  # fmt: skip


def start(home, store, version=2, **judge):
    plan = make_plan(judge={**QUICK, **judge})
    digest = home.digests[version]
    return rollouts.start(
        store, task="action", version=version, digest=digest, reason="blessed", who="night", plan=plan, home=home.home
    )


def beat(home, store, name="host-1", **changes):
    loaded = dict.fromkeys(home.digests.values(), "AVAILABLE")
    workers.beat(
        store, name, **{"generation": read_served(store).generation, "loaded": loaded, "ready": True, **changes}
    )


def drive(home, store, rollout, *, errors=0.0, differs=0.02, turns=400, until=lambda rollout: False):
    """Workers count and the controller decides, until the rollout ends."""
    dice, ledger, sequence = random.Random(5), Ledger(), len(evidence.of(store, rollout.id))
    lease = leases.acquire(store, rollouts.LEASE, "the controller", 60)

    def some(number, share):
        return sum(dice.random() < share for _ in range(number))

    for _ in range(turns):
        beat(home, store)
        rollout = rollouts.get(store, rollout.id)
        if rollout.ended_at is not None or until(rollout):
            break
        if rollout.position != LOADING:
            sequence += 1
            pairs = {signal: PairCounts(30, 0, 0) for signal in SIGNALS[:3]}
            batch = Batch("host-1", sequence, paired=pairs, compared=30, disagreed=some(30, differs))
            if rollout.step_name != "SHADOW":
                old, new = ArmCounts(200, {"slow": some(200, 0.03)}), ArmCounts(10, {"error": some(10, errors)})
                batch = Batch("host-1", sequence, old, new, compared=10, disagreed=some(10, differs))
            evidence.append(store, rollout.id, [batch])
            evidence.number(store, rollout.id, lease)
        verdict = ledger.fold(rollout, evidence.of(store, rollout.id, after=ledger.seen(rollout)))
        judged = ledger.seen(rollout)
        observed, now = observe(store, rollout, in_step(rollout, verdict, judged), answers=ledger.answers(rollout))
        action = next_action(rollout, observed, now)
        if not isinstance(action, Wait):
            rollouts.apply(store, rollout, action, lease=lease, judged=judged, home=home.home)
    leases.release(store, lease)
    return rollouts.get(store, rollout.id)


# Status ---------------------------------------------------------------------------------------------------------


def test_before_any_rollout(recognizer, answer):
    told = answer("rollout", "status")
    assert [one["task"] for one in told["tasks"]] == ["action"]
    assert told["tasks"][0]["rollout"] is None
    assert (told["controller"], told["workers"]) == (None, [])
    _, out, _ = recognizer("rollout", "status", "action")
    assert "rollout start action" in out
    assert "decides: nobody" in out


def test_status_shows_the_worker_that_lags_and_why(home, store, recognizer, answer):
    start(home, store)
    beat(home, store, "quick")
    beat(home, store, "slow", generation=1, loaded={home.digests[1]: "AVAILABLE", home.digests[2]: "LOADING"})
    told = answer("rollout", "status", "action")
    assert {one["name"]: one["lags"] for one in told["workers"]} == {
        "quick": [],
        "slow": ["answers with generation 1, 2 is wanted", "challenger of action, version 2, is LOADING"],
    }
    task = told["tasks"][0]
    assert (task["rollout"]["phase"], task["rollout"]["step"], task["rollout"]["share"]) == (
        "PROGRESSING",
        "LOADING",
        0.0,
    )
    assert task["waits_for"].startswith("1 of 2 workers have loaded it, slow not yet to begin after")
    code, out, _ = recognizer("rollout", "status")
    assert code == 0
    assert "lags slow: challenger of action, version 2, is LOADING" in out
    assert "lags quick" not in out
    assert "1 of 2" in out


def test_status_shows_queue_freeze_quarantine_and_who_decides(home, store, recognizer, answer):
    drive(home, store, start(home, store), errors=0.4)
    lease = leases.acquire(store, rollouts.LEASE, "process 7", 60)
    answer("rollout", "freeze", "action", "--reason", "holidays")
    start(home, store, 3)
    told = answer("rollout", "status")
    task = told["tasks"][0]
    assert task["freeze"]["reason"] == "holidays"
    assert "@" in task["freeze"]["who"]
    assert [one["digest"] for one in task["quarantined"]] == [home.digests[2]]
    assert task["rollout"]["phase"] == "QUEUED"
    assert task["queued"] is None, "it is the very rollout that is shown"
    assert (told["controller"]["holder"], told["controller"]["epoch"]) == ("process 7", lease.epoch)
    _, out, _ = recognizer("rollout", "status")
    for said in ("QUEUED", "holidays", home.digests[2][:12], "process 7", "rollout unfreeze action"):
        assert said in out


# Start ----------------------------------------------------------------------------------------------------------


def test_start_takes_the_newest_blessed_version(home, answer):
    home.package(4)  # never blessed: its night rejected it
    record(home, 4, verdict="FAILED")
    told = answer("rollout", "start", "action", "--strategy", "shadow", "--reason", "try it")["rollout"]
    assert (told["version"], told["strategy"], told["phase"]) == (3, "shadow", "PROGRESSING")
    assert told["reason"].endswith(": try it")
    assert [step["step"] for step in told["plan"]["steps"]] == ["SHADOW", "PROMOTE", "BAKE"]
    again = answer("rollout", "start", "action", "3")["rollout"]
    assert again["id"] == told["id"]


def test_a_progressing_rollout_is_waited_for_and_a_paused_one_superseded(store, answer):
    answer("rollout", "start", "action", "2")
    told = answer("rollout", "start", "action", "3")
    assert (told["rollout"]["version"], told["queued"]["version"]) == (2, 3)
    assert answer("rollout", "abort", "action")["rollout"]["version"] == 3, "what waited is what people mean now"
    answer("rollout", "abort", "action")
    answer("rollout", "start", "action", "2")
    answer("rollout", "pause", "action")
    told = answer("rollout", "start", "action", "3")
    assert (told["rollout"]["version"], told["queued"]) == (3, None)
    assert "superseded by version 3" in rollouts.list(store)[1].reason


@pytest.mark.parametrize(
    ("spoil", "arguments", "code", "says"),
    [
        ("nothing", ("1",), 5, "is champion already"),
        ("nothing", ("9",), 4, "recognizer models"),
        ("nothing", ("2", "--strategy", "bold"), 2, "canary"),
        ("unblessed", (), 6, "never blessed"),
        ("unblessed", ("3",), 6, "never blessed"),
        ("tampered", (), 6, "not what the manifest says"),
        ("unsigned", (), 6, "no signature"),
        ("forged", (), 6, "blessing"),
        ("gone", (), 4, "no package"),
        ("quarantined", (), 5, "rollout explain"),
        ("classes", (), 5, "--accept-new-labels"),
    ],
)
def test_start_refuses(home, store, recognizer, spoil, arguments, code, says):
    if spoil == "classes":
        home.package(3, classes=("standing", "walking", "jumping"))
        home.bless(3)
        with store.write() as connection:
            connection.execute(
                update(versions_table).where(versions_table.c.version == 3).values(digest=home.digests[3])
            )
    folder = home.folder(3)
    if spoil == "unblessed":
        (folder / "blessing.json").unlink()
    elif spoil == "tampered":
        (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1] + b"x")
    elif spoil == "unsigned":
        (folder / "signature.json").unlink()
    elif spoil == "forged":
        path = folder / "blessing.json"
        path.write_text(path.read_text().replace('"who": "test"', '"who": "nobody"'))
    elif spoil == "gone":
        home.packages.remove(home.digests[3])
    elif spoil == "quarantined":
        quarantine.put(store, home.digests[3], task="action", reason="it hung", who="test")
    ended, _, err = recognizer("rollout", "start", "action", *arguments)
    assert ended == code, err
    assert says in err
    assert rollouts.list(store) == []


def test_other_classes_start_when_somebody_accepts_them(home, store, answer):
    home.package(4, classes=("standing", "walking", "jumping"))
    home.bless(4)
    record(home, 4)
    assert answer("rollout", "start", "action", "--accept-new-labels")["rollout"]["version"] == 4


def test_nothing_above_the_champion_is_no_version_to_choose(home, store, recognizer):
    home.promote(2, store)
    home.promote(3, store)
    code, _, err = recognizer("rollout", "start", "action")
    assert code == 4
    assert "above champion 3" in err


# Steering -------------------------------------------------------------------------------------------------------


def test_every_wish_from_the_command(home, store, answer):
    began = start(home, store)
    assert answer("rollout", "pause", "action", "--reason", "look")["rollout"]["phase"] == "PAUSED"
    assert answer("rollout", "resume", "action")["rollout"]["phase"] == "PROGRESSING"
    assert answer("rollout", "promote", "action")["rollout"]["promote_asked"] is True
    drive(home, store, began, until=lambda rollout: rollout.promoted)
    assert answer("rollout", "promote", "action", "--reason", "enough")["rollout"]["phase"] == "HEALTHY"
    undone = answer("rollout", "undo", "action", "--reason", "people complain")
    assert (undone["rollout"]["phase"], undone["champion"]["version"]) == ("ABORTED", 1)
    answer("rollout", "start", "action", "3")
    assert answer("rollout", "abort", "action")["rollout"]["phase"] == "ABORTED"
    told = {(entry.event, entry.who.count("@")) for entry in audit.of(store)}
    assert {("pause", 1), ("resume", 1), ("hasten", 1), ("finish", 1), ("abort", 1)} <= told
    assert audit.verify_audit(store, home.home) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("resume", "action"), 4, "rollout start action"),
        (("undo", "action"), 4, "rollout start action"),
        (("unfreeze", "action"), 4, "rollout status action"),
        (("freeze", "dance"), 4, "use one of action"),
        (("status", "dance"), 4, "use one of action"),
        (("explain", "dance"), 4, "use one of action"),
        (("explain", "action"), 4, "rollout start action"),
        (("explain", "action", "--rollout", "7"), 4, "rollout status"),
        (("pause",), 2, "TASK"),
        (("pause", "action", "--reason", "x" * 1_001), 2, "1,000"),
        (("quarantine", "--lift", "ab"), 2, "--reason"),
        (("quarantine", "--lift", "ab", "--reason", "x"), 4, "rollout quarantine"),
    ],
)
def test_wrong_use_names_the_next_step(recognizer, arguments, code, says):
    ended, _, err = recognizer("rollout", *arguments)
    assert ended == code, err
    assert says in err


def test_a_frozen_task_does_not_change(home, store, recognizer, answer):
    start(home, store)
    answer("rollout", "freeze", "action", "--reason", "holidays")
    code, _, err = recognizer("rollout", "abort", "action")
    assert code == 5
    assert "rollout unfreeze action" in err
    assert answer("rollout", "unfreeze", "action")["freeze"] is None
    assert audit.verify_audit(store, home.home) == []


def test_quarantine_is_listed_and_lifted(home, store, recognizer, answer):
    assert "No digest" in recognizer("rollout", "quarantine")[1]
    quarantine.put(store, home.digests[2], task="action", reason="it hung", who="test")
    assert [one["reason"] for one in answer("rollout", "quarantine", "action")] == ["it hung"]
    assert "it hung" in recognizer("rollout", "quarantine")[1]
    assert answer("rollout", "quarantine", "--lift", home.digests[2][:10], "--reason", "the disk was full") == []
    assert audit.of(store)[-1].payload["reason"] == "the disk was full"
    assert answer("rollout", "start", "action", "2")["rollout"]["version"] == 2


# Explain --------------------------------------------------------------------------------------------------------


def test_a_good_rollout_is_explained(home, store, recognizer, answer):
    ended = drive(home, store, start(home, store, disagreement=0.1))
    assert ended.phase is Phase.HEALTHY
    told = answer("rollout", "explain", "action")
    assert [leg["step"] for leg in told["steps"]] == ["LOADING", "SHADOW", "CANARY 5 %", "CANARY 9 %", "BAKE"]
    assert [leg["decision"]["event"] for leg in told["steps"]] == ["advance", "advance", "advance", "promote", "finish"]
    assert (told["replayed"], told["differences"]) == (4, [])
    assert told["steps"][2]["share"] == 0.05
    assert told["steps"][2]["answers"][1] == 10 * told["steps"][2]["batches"]
    assert sum(leg["batches"] for leg in told["steps"]) == told["batches"]
    rows = {row["name"]: row for row in told["decisions"][-1]["rows"]}
    assert rows["error"]["proof"] >= rows["error"]["proof_needed"]
    assert [entry["event"] for entry in told["events"]][-1] == "finish"
    code, out, _ = recognizer("rollout", "explain", "action", "--rollout", ended.id)
    assert code == 0
    assert "replayed: all 4 verdicts" in out
    assert "CANARY 9 % ended: promote by controller: GOOD in CANARY 9 %" in out


def test_a_bad_rollout_is_explained_and_plotted(home, store, recognizer, tmp_path):
    ended = drive(home, store, start(home, store), errors=0.3)
    assert ended.phase is Phase.ABORTED
    plot = tmp_path / "evidence.svg"
    code, out, _ = recognizer("rollout", "explain", "action", "--plot", plot)
    assert code == 0, "to read about it is no failure"
    assert "replayed: all 2 verdicts" in out
    assert "abort by controller: WORSE in CANARY 5 %: error: challenger" in " ".join(out.split())
    assert "of 250" in out
    texts = " ".join(ElementTree.fromstring(plot.read_bytes()).itertext())
    for said in ("abort by controller", "CANARY 5 %", "rolls back at 250", "error"):
        assert said in texts


def test_the_curves_are_those_of_the_judge(home, store):
    rollout = drive(home, store, start(home, store, disagreement=0.1), turns=12)
    explanation = explain_rollout(store, "action", rollout.id)
    batches = [as_numbered(rollout, one) for one in evidence.of(store, rollout.id)]
    moments = replay(batches, limits_of(rollout))
    assert [point.against for point in explanation.points] == [moment.evidence for moment in moments]
    assert [point.proof["error"] for point in explanation.points] == [moment.proof["error"] for moment in moments]
    assert explanation.now.reason == moments[-1].reason


def test_a_disagreement_that_somebody_accepted_is_replayed_as_accepted(home, store, answer):
    paused = drive(
        home, store, start(home, store, disagreement=0.1), differs=0.6, until=lambda one: one.phase is Phase.PAUSED
    )
    assert paused.reason.startswith("DISAGREES in SHADOW")
    answer("rollout", "resume", "action", "--reason", "I looked: it is right")
    ended = drive(home, store, paused, differs=0.6)
    assert ended.phase is Phase.HEALTHY
    told = answer("rollout", "explain", "action")
    assert told["differences"] == []
    assert told["replayed"] == 5


def tell(home, store, version, *, misread, number):
    """Clients say what was true of answers that the champion gave after its bake."""
    for place in range(number):
        prediction = Prediction(
            f"{place:032x}", "action", 0.0, None, "champion", None, version, home.digests[version], "walking", 0.9
        )
        feedback.give(store, prediction, "falling" if place % misread == 0 else "walking")


def test_a_rollback_by_late_feedback_is_replayed_from_the_feedback(home, store, answer):
    with store.write() as connection:
        connection.execute(update(versions_table).values(metrics={"accuracy": 0.97}))
    rollout = drive(home, store, start(home, store))
    assert rollout.phase is Phase.HEALTHY
    tell(home, store, 2, misread=2, number=60)
    truths = [(one.number, one.misread) for one in feedback.late(store, rollout.id, rollout.digest)]
    tally = Ledger().hear(rollout, truths, 1 - 0.97)
    observed, now = observe(store, rollout, late.judge(tally, 1 - 0.97), answers=tally.given)
    action = next_action(rollout, observed, now)
    rollouts.apply(store, rollout, action, lease=None, judged=tally.number, home=home.home)
    told = answer("rollout", "explain", "action")
    assert told["decisions"][-1]["verdict"].startswith("WORSE in BAKE: 30 of 60 answers")
    assert (told["differences"], told["replayed"]) == ([], 5)
    with store.write() as connection:
        connection.execute(feedback_table.delete())  # a client asked for it
    told = answer("rollout", "explain", "action")
    assert (told["differences"], told["replayed"]) == ([], 4)


def test_evidence_that_was_changed_afterwards_is_found(home, store, recognizer):
    rollout = drive(home, store, start(home, store), errors=0.3)
    counts = {
        "champion": {"answers": 200, "bad": {}, "labelled": 0}, "challenger": {"answers": 10, "bad": {}, "labelled": 0},
        "share": None, "paired": {}, "compared": 10, "disagreed": 0,
    }  # fmt: skip
    with store.write() as connection:
        connection.execute(
            update(evidence_table)
            .where(evidence_table.c.rollout == rollout.id, evidence_table.c.position > 0)
            .values(counts=counts)
        )
    code, out, _ = recognizer("rollout", "explain", "action")
    assert code == 1
    assert "differs: row" in out
    assert "recognizer doctor" in out


def test_evidence_that_is_gone_is_told(home, store, answer, recognizer):
    rollout = drive(home, store, start(home, store), errors=0.3)
    with store.write() as connection:
        connection.execute(evidence_table.delete().where(evidence_table.c.rollout == rollout.id))
    code, out, _ = recognizer("rollout", "explain", "action", "--json")
    assert code == 1
    assert "which is not stored" in json.loads(out)["differences"][0]


# Doctor ---------------------------------------------------------------------------------------------------------


def lines(out):
    return {(one["part"], one["name"]): one for one in json.loads(out)}


def test_the_doctor_of_an_empty_home(recognizer, monkeypatch, tmp_path):
    monkeypatch.setenv("RECOGNIZER_HOME", str(tmp_path / "new"))
    code, out, _ = recognizer("doctor", "--json")
    assert code == 0
    assert lines(out)["reachable", "store"]["next"]
    assert "all" in recognizer("doctor")[1].splitlines()[-1]


def test_the_doctor_finds_what_is_broken(home, store, recognizer):
    start(home, store)
    healthy = lines(recognizer("doctor", "--json")[1])
    for name in ("champion of action", "challenger of action", "audit trail", "leftovers"):
        assert healthy["consistent", name]["verdict"] == "PASSED"
    (home.folder(2) / "blessing.json").unlink()
    home.packages.remove(home.digests[1])
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE audit SET who = 'mallory' WHERE number = 1")
    beat(home, store)
    code, out, _ = recognizer("doctor", "--json")
    found = lines(out)
    assert code == 1
    for name in ("champion of action", "challenger of action", "audit trail", "controller"):
        assert found["consistent", name]["verdict"] == "FAILED"
        assert found["consistent", name]["next"]
    assert "does not answer" in found["reachable", "service"]["said"]
    assert found["reachable", "mlflow"]["verdict"] == "FAILED"
    _, out, _ = recognizer("doctor")
    assert "FAILED" in out.splitlines()[-1]


def test_the_doctor_compares_mlflows_aliases(home, store, recognizer):
    from flows.registry import Registry
    from recognizer.settings import load_settings

    registry, package = Registry(load_settings()), home.packages
    for version in (1, 2):
        digest = home.digests[version]
        card = package.card(digest)
        made = registry.register("action", package.path(digest), card, digest=digest, night="n", tags={}, metrics={})
        assert made.version == version
    registry.set_alias("action", "champion", 2)
    code, out, _ = recognizer("doctor", "--json")
    found = lines(out)["consistent", "aliases of action"]
    assert (code, found["verdict"]) == (1, "FAILED")
    assert found["said"].startswith("champion is version 2, the store says version 1")
    recognizer("models")
    assert lines(recognizer("doctor", "--json")[1])["consistent", "aliases of action"]["verdict"] == "PASSED"
