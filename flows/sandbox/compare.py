"""Hold the service's answers against those that the same model gave offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.traffic import OnContent
from recognizer.traffic import TrafficPlan, write_schedule


class Comparison:
    """Counts while answers come; see `recognizer.evaluation.SandboxRun` for what.

    Args:
        task: names the field of an answer that holds the class.
        classes: (k,) names, in the order of the scores.
        expected: (n, k) for the n windows of a plan.
        digest: of the model that has to answer.
    """

    def __init__(self, task: str, classes: Sequence[str], expected: NDArray[np.float32], digest: str) -> None:
        self.task = task
        self.by_another = 0
        self.compared = 0
        self.agreed = 0
        self.max_difference: float | None = None
        self._classes = tuple(classes)
        self._expected = expected
        self._digest = digest

    def of(self, plan: TrafficPlan) -> OnContent:
        """What to call with every answer to this plan's requests."""
        window = write_schedule(plan).window

        def add(number: int, content: Mapping[str, Any]) -> None:
            self.add(content, self._expected[window[number]])

        return add

    def add(self, content: Mapping[str, Any], expected: NDArray[np.float32]) -> None:
        """One answer, and the scores (k,) that it should have."""
        if content["model"].get("digest") != self._digest or content.get("recovered"):
            self.by_another += 1
            return
        self.compared += 1
        scores = content.get("scores")
        if not isinstance(scores, dict) or set(scores) != set(self._classes):
            return  # compared, and nothing like it
        try:
            found = np.array([float(scores[name]) for name in self._classes])
        except (TypeError, ValueError):
            return
        self.agreed += content.get(self.task) == self._classes[int(expected.argmax())]
        self.max_difference = max(self.max_difference or 0.0, float(np.abs(found - expected).max()))
