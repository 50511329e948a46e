"""Hold the service's answers against those that the same model gave offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flows.traffic import OnContent
from recognizer.answers import Answers, chosen
from recognizer.errors import InputError
from recognizer.tasks import load_evaluator
from recognizer.traffic import TrafficPlan, write_schedule
from serving.endpoint import Endpoint


class Comparison:
    """Counts while answers come; see `recognizer.evaluation.SandboxRun` for what.

    Args:
        endpoint: reads the task's answers.
        classes: names, in the order of the model's answers.
        expected: what it has to answer to the n cases of a plan.
        digest: of the model that has to answer.
    """

    def __init__(self, task: str, endpoint: Endpoint, classes: Sequence[str], expected: Answers, digest: str) -> None:
        self.task = task
        self.by_another = 0
        self.compared = 0
        self.agreed = 0
        self.max_difference: float | None = None
        self._endpoint = endpoint
        self._evaluator = load_evaluator(task)
        self._classes = tuple(classes)
        self._expected = expected
        self._digest = digest

    def of(self, plan: TrafficPlan) -> OnContent:
        """What to call with every answer to this plan's requests."""
        case = write_schedule(plan).case

        def add(number: int, content: Mapping[str, Any]) -> None:
            self.add(content, chosen(self._expected, [int(case[number])]))

        return add

    def add(self, content: Mapping[str, Any], expected: Answers) -> None:
        """One answer, and what it should have been."""
        if content["model"].get("digest") != self._digest or content.get("recovered"):
            self.by_another += 1
            return
        self.compared += 1
        try:
            heard = self._endpoint.heard(content, self._classes)
            found = self._evaluator.compare(heard.answers, expected)
        except InputError:
            return  # compared, and nothing like it
        self.agreed += heard.consistent and bool(found.same[0])
        if found.farthest is not None:
            self.max_difference = max(self.max_difference or 0.0, found.farthest)
