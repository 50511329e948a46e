"""A task comes with its own address; what answers it knows no task."""

import re
from types import SimpleNamespace

import pytest

from recognizer.home import checkout
from recognizer.tasks import Prediction
from serving.action.answer import ActionEndpoint
from serving.endpoint import Document, find_endpoints, named
from serving.routing import Arm


def test_every_predictor_with_an_endpoint_has_an_address():
    found = find_endpoints()
    assert {path: task for path, (task, _) in found.items()} == {"/v1/action": "action", "/v1/pose": "pose"}
    assert isinstance(found["/v1/action"][1], ActionEndpoint)


@pytest.mark.parametrize(
    ("recovered", "itself", "more"),
    [(False, False, {}), (True, False, {"recovered": True}), (False, True, {"recovered": True})],
)
def test_what_every_answer_says(recovered, itself, more):
    servable = SimpleNamespace(task="any", version=3, digest="d")
    answered = SimpleNamespace(
        prediction_id="p",
        servable=servable,
        arm=Arm.HOLDBACK,
        recovered=recovered,
        prediction=Prediction({}, recovered=itself),
    )
    model = {"name": "any", "version": 3, "digest": "d"}
    assert named(answered) == {"prediction_id": "p", "model": model, "arm": "holdback", **more}
    assert Document(b"", "image/png", named(answered)).headers == {
        "X-Recognizer-Prediction-Id": "p",
        "X-Recognizer-Model": "any",
        "X-Recognizer-Version": "3",
        "X-Recognizer-Digest": "d",
        "X-Recognizer-Arm": "holdback",
        **({"X-Recognizer-Recovered": "true"} if more else {}),
    }


def test_only_the_typed_service_names_a_task():
    files = [path for path in (checkout() / "serving").glob("*.py") if path.name != "service.py"]
    assert len(files) > 10
    assert [
        path.name for path in files if re.search(r"""["'/](action|pose)\b|serving[.](action|pose)""", path.read_text())
    ] == []
