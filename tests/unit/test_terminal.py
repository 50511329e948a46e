"""What a person is told to type next, after each kind of night; and that tables fit a terminal."""

import io
import re

import pytest
from rich.console import Console

from flows.command.terminal import next_commands, show_checks, show_evaluation, show_models
from flows.night import NightResult
from flows.standing import Standing
from recognizer.checks import Check
from recognizer.home import Home, checkout
from recognizer.night import Outcome
from recognizer.settings import Settings


def result(outcome, version):
    return NightResult("action", "2026-11-16", outcome, "why", version, "d" * 64, "s" * 32, {}, (), None)


@pytest.mark.parametrize(
    ("night", "standing", "says", "silent"),
    [
        (result(Outcome.PROMOTED, 1), Standing(1, True), ["version 1 answers", "--accept-new-labels"], []),
        (result(Outcome.PROMOTED, 1), Standing(1, False), ["version 1 answers"], ["--accept-new-labels", "your own"]),
        (result(Outcome.PROMOTED, 1), Standing(3, True), ["version 3 answers"], ["version 1"]),
        (result(Outcome.RELEASED, 2), Standing(1, True), ["rollout status action", "version 2"], ["answers on"]),
        (result(Outcome.RELEASED, 2), Standing(2, True), ["version 2 answers"], ["rollout status"]),
        (result(Outcome.UNCHANGED, 3), Standing(3, False), ["version 3 answers"], ["--accept-new-labels"]),
        (result(Outcome.REJECTED, 2), Standing(1, True), ["gates action", "better or more data"], ["answers on"]),
        (result(Outcome.UNCHANGED, None), Standing(None, True), ["gates action"], ["answers on"]),
    ],
)
def test_what_to_type_next(tmp_path, night, standing, says, silent):
    text = "\n".join(" ".join(row) for row in next_commands(night, Settings(home=Home(tmp_path)), standing))
    assert all(part in text for part in says), text
    assert not any(part in text for part in silent), text


CHECKS = [
    Check.measured("relative", "accuracy", 0.95, threshold=0.92, baseline=0.95, n=51_979, interval=(0.931, 0.962)),
    Check.measured("infra", "latency_p95_ms", 627.197, threshold=182.269, direction="max", n=1000),
    Check.measured("contract", "shared_recordings", 0, threshold=0, direction="max", n=200),
    Check.unmeasured("absolute", "weighted_precision", "it is missing"),
]


def shown(width):
    console = Console(file=io.StringIO(), width=width)
    show_checks(console, CHECKS, "Gates")
    return console.file.getvalue()


def test_the_checks_fit_eighty_columns():
    text = shown(80)
    assert "0.931 to 0.962" in text
    assert "champion" not in text.splitlines()[1]
    assert all(name in text for name in ("latency_p95_ms", "shared_recordings", "weighted_precision"))
    assert "…" not in text
    assert "champion" in shown(120).splitlines()[1]


def row(task, version=3, **metrics):
    return {"task": task, "version": version, "aliases": ["champion"], "verdict": "INCONCLUSIVE", "metrics": metrics,
            "night": "2026-11-16", "digest": "d" * 64}  # fmt: skip


def test_each_version_is_listed_with_the_metric_that_its_task_is_known_by(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    action, pose = row("action", accuracy=0.9534, macro_f1=0.5), row("pose", AP=0.7121, AR=0.9)
    show_models([action, pose, row("pose"), row("gone")])
    lines = [line for line in capsys.readouterr().out.splitlines() if "INCONC" in line]
    assert ["accuracy 0.953" in line for line in lines] == [True, False, False, False]
    assert ["AP 0.712" in line for line in lines] == [False, True, False, False]
    assert all(" - " in line for line in lines[2:])
    assert all("dddddddd" in line for line in lines)


def test_without_versions_a_task_that_can_be_trained_is_named(monkeypatch, capsys):
    show_models([])
    assert "nightly action" in capsys.readouterr().out
    monkeypatch.setattr("flows.command.terminal.example_task", lambda: "dance")
    show_models([])
    assert "nightly dance" in capsys.readouterr().out


def test_an_evaluation_shows_the_worst_slices_and_what_was_noted(capsys):
    slices = {"subject": {f"P{i:02d}": {"n": 5, "accuracy": i / 20} for i in range(20)}, "length": {}}
    show_evaluation(
        {"task": "pose", "n": 100, "metrics": {"AP50": 0.5, "mean_oks": None}, "slices": slices,
         "per_class": {"person": {"precision": None, "recall": 0.5, "f1": 0.4, "n": 100}}, "warnings": ["3 were cut"],
         "errors": {"nose": 0.05, "left_wrist": 0.3}}
    )  # fmt: skip
    said = capsys.readouterr().out
    assert all(part in said for part in ("AP50", "mean OKS", "P00", "P07", "and 12 better ones", "Note: 3 were cut"))
    assert said.index("left wrist │ 0.300") < said.index("nose       │ 0.050")
    assert "P08" not in said
    assert "length" not in said


def test_the_readme_shows_the_columns_of_a_terminal():
    sample = re.search(r"^gate +check.*$", (checkout() / "README.md").read_text(), flags=re.MULTILINE)
    assert sample is not None
    assert sample.group().split() == shown(80).splitlines()[1].split()
