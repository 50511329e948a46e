from __future__ import annotations

import base64
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from recognizer.checks import Check
from recognizer.errors import StorageError
from recognizer.evaluation import Parity, SandboxRun, ShadowRun, evaluate_classification
from recognizer.evaluation.behaviour import GoldenAnswer, Invariance
from recognizer.evaluation.footprint import Footprint
from recognizer.evaluation.measured import Costs, Golden, Measured, Rival
from recognizer.evaluation.paired import PairedDifference
from recognizer.evaluation.record import ClassMeasure, Evaluation, SliceMeasure
from recognizer.evaluation.significance import McNemar
from recognizer.gates import GateConfig, judge
from recognizer.night import judge_night
from recognizer.report import Finding, ReportFacts, TrainingFacts, write_report
from recognizer.report.rendering import escape_markdown
from recognizer.snapshot import SnapshotCard

CHAMPION, BEST = "c" * 64, "b" * 64
HOSTILE = "<script>alert(1)</script> & $x^2$ | `b` 走路"
CONFIG = GateConfig.read(
    {
        "min_cases": 30,
        "gates": {
            "absolute": {"accuracy": {"min": 0.9}},
            "relative": {"accuracy": {"margin": 0.03}},
            "parity": {"tolerance": 1e-5},
        },
    },
    task="action",
)


def names(k):
    return tuple(f"action {index:02d}" for index in range(k))


def evaluation(seed=0, *, k=4, n=120, people=6, skill=4.0, classes=None, subjects=True):
    random, fixed = np.random.default_rng(seed), np.random.default_rng(1)
    labels = fixed.integers(0, k, n)
    who = [f"P{index:02d}" for index in fixed.integers(0, people, n)]
    scores = random.dirichlet(np.full(k, 0.4), n)
    scores[np.arange(n), labels] += skill * random.random(n)
    scores /= scores.sum(axis=1, keepdims=True)
    return evaluate_classification(scores, labels, classes or names(k), who if subjects else None)


def card(classes, *, warnings=(), subjects=("P00", "P01")):
    one = {
        "shard": "x.npz",
        "sha256": "0" * 64,
        "sequences": 12,
        "frames": 1200,
        "per_class": dict.fromkeys(classes, 3),
        "subjects": subjects,
    }
    return SnapshotCard(
        format=1,
        task="action",
        classes=classes,
        source={"name": "recordings.pkl", "sha256": "1" * 64},
        sets=dict.fromkeys(("train", "validation", "test"), one),
        test_digest="ab" * 32,
        warnings=warnings,
    )


def facts(**more):
    return ReportFacts(**{"task": "action", "night": "2026-11-20", "outcome": "promoted", "reason": "it is", **more})


def rival(other, *, version=6, digest=CHAMPION, value=0.02):
    """Another model; the differences are made up, the pages only show them."""
    difference = PairedDifference(value, value - 0.01, value + 0.012, 0.001, other.n, None)
    subjects = dict.fromkeys(other.slices.get("subject", {}), difference)
    return Rival(digest, version, other, {"accuracy": difference}, {"subject": subjects}, McNemar(7, 12, 0.36), 0.13)


def measured(candidate, champion=None, **more):
    against = {}
    if champion is not None:
        against = {
            "rivals": {CHAMPION: rival(champion)},
            "champion": CHAMPION,
            "champion_classes": champion.classes,
        }
    parity = dict.fromkeys(("1", "8", "32"), Parity(3e-7, 1.0, candidate.n)) | {"again": Parity(0.0, 1.0, candidate.n)}
    return Measured(
        **{
            "classes": candidate.classes,
            "candidate": candidate,
            "best": {"accuracy": None},
            "parity": parity,
            **against,
            **more,
        }
    )


def judged(candidate, champion=None, *, found=None, **more):
    of = found or measured(candidate, champion)
    checks = judge(CONFIG, of)
    return facts(**{"measured": of, "gates": CONFIG, "checks": checks, "card": card(candidate.classes), **more})


class Page(HTMLParser):
    """Collects what the tests ask about; fails on tags that are not closed in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def written(folder, of):
    path = write_report(folder, of)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8")), (folder / "report.md").read_text(encoding="utf-8")


def svgs(page):
    prefix = "data:image/svg+xml;base64,"
    return [base64.b64decode(image["src"].removeprefix(prefix)) for image in page.all("img")]


def test_a_promoted_night_tells_everything(tmp_path):
    of = judged(
        evaluation(1),
        evaluation(2),
        version=7,
        champion_version=6,
        reason="every check passed; accuracy 0.975",
        next_step="run `recognizer serve`",
        digest="5e" * 32,
        snapshot="a91c.dir",
        identity="c0ffee",
        code="deadbeef",
        seed=3,
        parent="77" * 32,
        training=TrainingFacts.from_dict(
            {
                "epochs": 20,
                "clips_per_second": 181.4,
                "precision": "bf16",
                "validation": {"accuracy": 0.951, "x": None},
            },
            seconds=131.25,
        ),
        steps={"train": 131.2, "export": 6.3},
    )
    page, markdown = written(tmp_path, of)
    for text in (page.words, markdown):
        for fact in (
            "promoted",
            "version 7",
            "every check passed; accuracy 0.975",
            "recognizer serve",
            "a91c.dir",
            "c0ffee",
            "deadbeef",
            "5e" * 32,
            "77" * 32,
            "ab" * 32,
            "181 clips/s",
            "131.2 s",
            "bf16",
            "validation accuracy",
            "0.951",
            "recordings.pkl",
            "nobody is in two sets",
            "parity",
            "3.0e-7",
        ):
            assert fact in text, fact
        assert all(check.name in text for check in of.checks)
    assert "run recognizer serve" in page.words  # set as code, without the ticks
    assert page.words.index("every check passed") < page.words.index("Gates") < page.words.index("frozen test set")
    assert "version 6" in page.words


def test_it_stands_alone_and_can_be_read_without_seeing(tmp_path):
    page, markdown = written(tmp_path, judged(evaluation(1), evaluation(2)))
    assert page.all("html") == [{"lang": "en"}]
    assert not page.all("script")
    assert not page.all("link")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import", text)
    assert len(page.all("img")) == 4  # nothing was measured of its costs
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    assert all(heading.get("scope") in ("col", "row") for heading in page.all("th"))
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    for picture in svgs(page):
        assert ElementTree.fromstring(picture).tag.endswith("svg")
    linked = re.findall(r"!\[[^\]]+\]\((\S+)\)", markdown)
    assert len(linked) == 4
    assert {(tmp_path / name).read_bytes() for name in linked} == set(svgs(page))


def test_the_same_facts_give_the_same_bytes(tmp_path):
    of = judged(evaluation(1), evaluation(2))
    for name in ("one", "two"):
        write_report(tmp_path / name, of)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_names_from_the_data_stay_text(tmp_path):
    classes = (*names(3), HOSTILE)
    made = evaluation(1, classes=classes, skill=0.6)
    findings = (Finding(HOSTILE, HOSTILE, ({"name": HOSTILE, HOSTILE: 1},)),)
    page, markdown = written(tmp_path, judged(made, reason=HOSTILE, next_step=HOSTILE, findings=findings))
    assert not page.all("script")
    assert page.words.count("<script>alert(1)</script> & $x^2$ |") >= 6
    assert "<script" not in markdown
    rows = [line for line in markdown.splitlines() if "走路" in line and line.startswith("|")]
    assert rows
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} <= {3, 4, 5, 6, 7, 10}
    for picture in svgs(page):
        tree = ElementTree.fromstring(picture)
        assert not [element for element in tree.iter() if element.tag.endswith("script")]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a | b", r"a \| b"),
        ("macro_f1", "macro_f1"),
        ("_soft_", r"\_soft\_"),
        ("# not a title", r"\# not a title"),
        ("-", "-"),
        ("two\nlines", "two lines"),
        ("[x](y) *z* <b>", r"[x\](y) \*z\* &lt;b>"),
        ("a < b > c & d", "a < b > c & d"),
        ("> quote &lt; [0, 1]", r"\> quote &amp;lt; [0, 1]"),
    ],
)
def test_escape_markdown(text, escaped):
    assert escape_markdown(text) == escaped


def test_a_first_version_says_that_there_is_nothing_to_compare_with(tmp_path):
    page, markdown = written(tmp_path, judged(evaluation(1)))
    for text in (page.words, markdown):
        assert "first version of its lineage" in text
        assert "first version of a lineage: nothing to compare with" in text
    assert "behind the champion" not in page.words


def test_a_champion_of_other_classes_is_not_compared(tmp_path):
    made = evaluation(1)
    found = measured(made, champion=None, **{"champion_classes": ("walking", "running")})
    page, _ = written(tmp_path, judged(made, found=found, champion_version=6))
    assert "Champion version 6 was not compared" in page.words
    assert "new lineage" in page.words


def test_a_rejected_night_shows_what_failed(tmp_path):
    made = evaluation(1, skill=0.3)
    page, markdown = written(tmp_path, judged(made, evaluation(2), outcome="rejected", reason="accuracy is too low"))
    assert "The candidate was rejected" in page.words
    assert "FAILED" in markdown
    assert "worst verdict is the candidate's: FAILED" in page.words
    assert "worse" in page.words


def test_a_broken_contract_shows_expectation_and_rows(tmp_path):
    check = Check.measured("contract", "duplicates", 7, threshold=0, direction="max", n=988, cases="rows")
    finding = Finding(
        "sequences are unique",
        "7 of 988 have the content of another",
        ({"name": "clip_0007", "set": "train"}, {"name": "clip_0008", "frames": 31}),
        1234,
    )
    of = facts(outcome="rejected", reason="data contract", checks=(check,), findings=(finding,), card=card(names(4)))
    page, markdown = written(tmp_path, of)
    for text in (page.words, markdown):
        for fact in (
            "The data was refused",
            "sequences are unique",
            "7 of 988",
            "clip_0007",
            "clip_0008",
            "31",
            "frames",
        ):
            assert fact in text
        assert re.search(r"first 2 of 1,?234 offending rows", text)
        assert "frozen test set" not in text
        assert "warm start" not in text
    assert not page.all("img")


def test_the_candidate_beside_the_champion_and_the_best_before(tmp_path):
    made, others = evaluation(1), (evaluation(2), evaluation(3))
    found = measured(made, others[0])
    against = {**found.rivals, BEST: rival(others[1], version=4, digest=BEST, value=-0.05)}
    found = replace(found, rivals=against, best={"accuracy": BEST})
    page, markdown = written(tmp_path, judged(made, found=found))
    for text in (page.words, markdown):
        for fact in ("champion, version 6", "best before, version 4", "7", "12", "0.360", "13 %", "Candidate less"):
            assert fact in text, fact
    (alt,) = (image["alt"] for image in page.all("img") if image["alt"].startswith("Paired"))
    assert "accuracy +0.020 against champion, version 6, +0.010 to +0.032" in alt
    assert "accuracy -0.050 against best before, version 4, -0.060 to -0.038" in alt
    assert "the margin, 0.030" in page.words
    assert "+0.020 (+0.010 to +0.032)" in page.words  # of a slice
    drawn = (tmp_path / "differences.svg").read_text()
    assert "right is better" in drawn


def test_a_margin_that_is_far_away_is_told_in_words(tmp_path):
    plain = CONFIG.model_dump()
    plain["gates"]["relative"]["accuracy"]["margin"] = 1.0
    page, _ = written(tmp_path, judged(evaluation(1), evaluation(2), gates=GateConfig.read(plain, task="action")))
    assert "The margin, 1.000, lies far away" in page.words


def test_what_it_costs_how_it_behaves_and_what_the_service_made_of_it(tmp_path):
    made = evaluation(1)
    costs = Costs(Footprint((1.0, 2.5, 40.0), (9.0,), 12.0, 1), Footprint((3.0, 3.0, 3.0), (9.0,), 12.0, 1))
    answers = (
        GoldenAnswer("fall 1", "falling", "lying", 0.7, 0.2),
        GoldenAnswer("fall 2", "falling", "falling", 1.0, 0.0),
    )
    invariances = (Invariance("drop_joint", 0.95, 0.3, 0.001, 120), Invariance("mirror", 0.0, None, None, 0))
    run = SandboxRun(
        source="1,000 recorded requests", recorded=True, memory_limit_mb=2048, requests=1000, compared=998, agreed=998,
        failed={"timeout": 2}, examples={"timeout": HOSTILE}, max_difference=4e-7, rate=50.0, p50_ms=8.0, p95_ms=27.0,
        ready_seconds=8.5, memory_mb=204.0, seconds=36.0, shadow=ShadowRun(1000, 985, 958, 15),
    )  # fmt: skip
    found = measured(made, costs=costs, golden=Golden(answers, 1, "d" * 64), invariances=invariances)
    page, markdown = written(tmp_path, judged(made, found=found, sandbox=run))
    assert len(page.all("img")) == 4  # no champion, no differences; the latency instead
    for text in (page.words, markdown):
        for fact in (
            "Candidate p50 2.50 ms, p95 36.25 ms; champion p50 3 ms",
            "1 of 2 golden cases were answered otherwise than they must be: fall 1 was answered lying, must be falling",
            "1 more is of other classes or made-up people",
            "drop joint",
            "95 %",
            "1,000 recorded requests",
            "timeout 2",
            "998 of 998",
            "204 of 2,048 MB",
            "958 of 985 compared; 15 of 1,000 lost",
        ):
            assert fact in text, fact
        assert "mirror" not in text
    assert not page.all("script")
    broken = SandboxRun(source="x", recorded=False, memory_limit_mb=2048, problem="the service did not come up")
    page, markdown = written(tmp_path, judged(made, sandbox=broken))
    assert "did not come to the end: the service did not come up" in page.words
    assert "did not come to the end: the service did not come up" in markdown


def test_a_candidate_that_could_not_be_evaluated_says_so_once(tmp_path):
    of = Measured(names(4), None, problem="the candidate could not be evaluated: it answers NaN")
    checks = judge(CONFIG, of)
    outcome, reason = judge_night(checks)
    page, markdown = written(tmp_path, facts(outcome=outcome.value, reason=reason, measured=of, checks=checks))
    assert "The candidate could not be evaluated" in page.words
    assert "absolute, relative, parity the candidate could not be evaluated: it answers NaN" in page.words
    assert "**ERROR** absolute, relative, parity: the candidate could not" in markdown
    assert not page.all("img")


def test_a_contract_that_passed_is_folded_away(tmp_path):
    kept = Check.measured("contract", "duplicates", 0, threshold=0, direction="max", n=988, cases="rows")
    made = evaluation(1)
    of = judged(made, checks=(kept, *judge(CONFIG, measured(made))))
    page, markdown = written(tmp_path, of)
    assert "The data contract: all 1 checks PASSED" in page.words
    assert "duplicates" in page.words
    assert "duplicates" in markdown


@pytest.mark.parametrize("outcome", ["promoted", "released", "rejected", "unchanged", "failed", "something new"])
def test_a_night_that_knows_next_to_nothing(tmp_path, outcome):
    page, markdown = written(tmp_path, facts(outcome=outcome, reason="training gave NaN in epoch 3"))
    for text in (page.words, markdown):
        assert outcome in text
        assert "training gave NaN in epoch 3" in text
        assert "ended before a gate could be judged" in text


@pytest.mark.parametrize(
    "more",
    [
        {"k": 2, "n": 40},
        {"k": 20, "n": 200, "people": 60},
        {"k": 70, "n": 300, "people": 3},
        {"k": 4, "n": 1, "people": 1},
        {"k": 4, "subjects": False},
    ],
    ids=str,
)
def test_any_size(tmp_path, more):
    made = evaluation(1, **more)
    page, _ = written(tmp_path, judged(made, evaluation(2, **more)))
    assert len(page.all("img")) == 4
    cut = "subject: the 12 worst of " in (tmp_path / "slices.svg").read_text()
    assert cut == (more.get("people") == 60)


@pytest.mark.parametrize("what", ["clips", "images"])
def test_the_speed_of_any_training_is_told(tmp_path, what):
    training = TrainingFacts.from_dict({f"{what}_per_second": 52.4, "other_per_second": None})
    page, markdown = written(tmp_path, facts(training=training))
    assert f"52 {what}/s" in page.words
    assert f"52 {what}/s" in markdown


def found_people():
    """What a task that finds people measured: one class, nothing to be confused, a kind of slices of its own."""
    bins = evaluation(1).reliability
    sizes = {"large": SliceMeasure(40, 0.9), "small": SliceMeasure(60, 0.35)}
    metrics = {"AP": 0.512, "AP50": 0.71, "APm": 0.4, "mean_oks": 0.66, "pck": 0.87}
    return Evaluation(
        n=100, classes=("person",), metrics=metrics, per_class={"person": ClassMeasure(0.8, 0.57, 0.66, 100)},
        slices={"size": sizes}, confusion=(), reliability=bins, errors={"nose": 0.052, "left_wrist": 0.31},
    )  # fmt: skip


def test_a_task_without_confusion_has_neither_plot_nor_table_of_it(tmp_path):
    made = found_people()
    page, markdown = written(tmp_path, facts(task="pose", measured=measured(made), card=card(made.classes)))
    assert not (tmp_path / "confusion.svg").exists()
    assert len(page.all("img")) == 2
    for text in (page.words, markdown):
        assert "onfusion" not in text
        assert "every answer was right" not in text
        for fact in ("mean OKS", "PCK", "APm", "person", "y size", "small"):
            assert fact in text, fact
    assert "By class" not in page.words
    assert page.words.index("left wrist 0.310") < page.words.index("nose 0.052")
    assert "AP 0.512 AP50 0.710 mean OKS 0.660 test cases 100" in page.words


def test_unknown_people_are_not_called_apart(tmp_path):
    made = evaluation(1, subjects=False)
    of = facts(measured=measured(made), card=card(made.classes, subjects=(), warnings=("no subject is known",)))
    page, _ = written(tmp_path, of)
    assert "nobody is in two sets" not in page.words
    assert "no subject is known" in page.words


def test_writing_again_leaves_other_files_and_no_stale_plot(tmp_path):
    write_report(tmp_path, judged(evaluation(1)))
    (tmp_path / "expectations.html").write_text("Data Docs")
    write_report(tmp_path, facts(outcome="failed", reason="no"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expectations.html", "report.html", "report.md"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError):
        write_report(tmp_path / "report", facts())


def test_a_file_in_the_way_is_an_error_with_a_next_step(tmp_path):
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(StorageError, match="Next:"):
        write_report(tmp_path / "report", facts())
