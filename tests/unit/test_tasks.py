"""Tasks as plug-ins: which are known, which are said to lack something, and what ours say of themselves."""

import ast
import re

import pytest

from flows.doctor import _installed
from recognizer.errors import NotFound
from recognizer.evaluator import Evaluator, PredictionJudge
from recognizer.home import checkout
from recognizer.tasks import (
    EVALUATORS,
    PREDICTORS,
    TRAINERS,
    example_task,
    list_tasks,
    load_evaluator,
    load_predictor,
    load_trainer,
    require_task,
    trainable_tasks,
    wrong_in_tests,
)


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """A function that installs the package `odd` with entry points: group → task."""

    def install(**groups):
        folder = tmp_path / "odd-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
        points = "".join(f"[{group}]\n{task} = odd_plugin:Odd\n" for group, task in groups.items())
        (folder / "entry_points.txt").write_text(points)
        (tmp_path / "odd_plugin.py").write_text("class Odd:\n    task = 'odd'\n")
        monkeypatch.syspath_prepend(tmp_path)

    return install


@pytest.mark.parametrize("group", [TRAINERS, PREDICTORS, EVALUATORS])
def test_a_task_is_known_by_any_of_its_parts(declare, group):
    with pytest.raises(NotFound, match="no task 'odd'"):
        require_task("odd")
    declare(**{group: "odd"})
    require_task("odd")
    load = {TRAINERS: load_predictor, PREDICTORS: load_evaluator, EVALUATORS: load_trainer}[group]
    with pytest.raises(NotFound, match="task 'odd' has no "):
        load("odd")


@pytest.mark.parametrize(
    ("groups", "lacking"),
    [
        ([TRAINERS], {"predictor", "evaluator"}),
        ([TRAINERS, PREDICTORS], {"evaluator"}),
        ([TRAINERS, PREDICTORS, EVALUATORS], set()),
        ([EVALUATORS], set()),
        ([PREDICTORS, EVALUATORS], set()),
    ],
)
def test_what_is_trained_has_to_be_judged(declare, groups, lacking):
    declare(**dict.fromkeys(groups, "odd"))
    odd = [listing for listing in list_tasks() if listing.task == "odd"]
    assert {listing.role for listing in odd if "none is declared" in listing.problem} == lacking
    assert {listing.role for listing in odd} == {group.split(".")[1][:-1] for group in groups} | lacking
    told = {line.name: line.next for line in _installed() if line.name.endswith("of odd")}
    assert {f"{role} of odd" for role in lacking} <= set(told)
    assert all(advice == "mend or remove odd" for advice in told.values())


def test_a_hint_names_a_task_that_can_be_trained(monkeypatch):
    assert example_task() == trainable_tasks()[0]
    monkeypatch.setattr("recognizer.tasks.entry_points", lambda group: [])
    assert example_task() == "TASK"


@pytest.mark.parametrize(
    ("task", "classes", "says", "reads_predictions"),
    [
        ("action", ("walking", "falling"), "2 classes: walking, falling.", False),
        ("pose", ("person",), "17 joints", True),
    ],
)
def test_what_the_built_in_evaluators_say_of_themselves(task, classes, says, reads_predictions):
    evaluator = load_evaluator(task)
    assert isinstance(evaluator, Evaluator)
    assert isinstance(evaluator, PredictionJudge) is reads_predictions
    assert says in evaluator.about(classes).answers
    assert set(evaluator.headlines[:1]) <= set(evaluator.metrics)
    assert evaluator.generated_count >= 100
    assert wrong_in_tests(task, {evaluator.correct: 0.75}) == 0.25
    assert wrong_in_tests(task, {}) is None
    assert wrong_in_tests("nothing", {evaluator.correct: 0.75}) is None


@pytest.mark.parametrize("folder", ["flows", "recognizer/gates", "recognizer/report"])
def test_what_is_there_for_every_task_names_none(folder):
    named = re.compile(rf"\b({'|'.join(trainable_tasks())})\b")
    for path in (checkout() / folder).rglob("*.py"):
        strings = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        assert not [one for one in strings if isinstance(one, str) and named.search(one)], path
