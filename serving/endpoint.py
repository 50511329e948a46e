"""What a task adds to the HTTP door: how its requests are read and its answers are written.

A predictor class (see `recognizer.tasks`) whose `endpoint` names one as `module:Class` is served at `/v1/TASK`; nothing
else is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray
from typing_extensions import TypedDict  # pydantic cannot read typing's before Python 3.12

from recognizer.answers import Answers
from recognizer.errors import NotFound, RecognizerError
from recognizer.predictions import Prediction as Logged
from recognizer.tasks import load_predictor, predictable_tasks
from recognizer.traffic import Sent
from serving.router import Answered


class ModelName(TypedDict):
    """Which model answered."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True)
class Asked:
    """A request body, read.

    Attributes:
        case: what the task's predictor takes.
        canary: the user's own wish for the challenger.
    """

    case: Any
    canary: bool = False


class Document(NamedTuple):
    """An answer that is no JSON.

    Attributes:
        content: what is sent as it is.
        media_type: of the content.
        said: see `named`; sent in headers.
    """

    content: bytes
    media_type: str
    said: Mapping[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        """Who answered, as response headers."""
        model = self.said["model"]
        told = {
            "Prediction-Id": self.said["prediction_id"],
            "Model": model["name"],
            "Version": str(model["version"]),
            "Digest": model["digest"],
            "Arm": self.said["arm"],
        }
        if self.said.get("recovered"):
            told["Recovered"] = "true"
        return {f"X-Recognizer-{name}": value for name, value in told.items()}


class Noted(NamedTuple):
    """What a task's answer comes to in the prediction log.

    Attributes:
        label: the answer as a text; feedback is compared with it.
        confidence: its probability.
        inputs: the case as arrays, by name.
        answer: what a correction is held against, where that is more than the label; as JSON can carry it.
    """

    label: str
    confidence: float
    inputs: Mapping[str, NDArray[Any]]
    answer: Any = None


class Correction(NamedTuple):
    """What feedback says was true, as a text, and whether the answer was right by it."""

    truth: str
    right: bool


class Heard(NamedTuple):
    """An answer as a client hears it: its numbers, of one case, and whether it says in words what they say."""

    answers: Answers
    consistent: bool


class Endpoint(Protocol):
    """One task's requests and answers; every method is called off the event loop.

    Attributes:
        parameters: of the query that it knows.
        smaller: what a client may do whose body is too large.
        forms: ways to write a case as a request body, the usual one first, and the media type of each.
    """

    parameters: Sequence[str]
    smaller: str
    forms: Mapping[str, str]

    def read(self, body: bytes, media_type: str, query: Mapping[str, str]) -> Asked:
        """The case in a body.

        Args:
            media_type: the whole `Content-Type`.
            query: those of `parameters` that were sent.

        Raises:
            UsageError, InputError: it cannot be read, or is no case.
        """

    def write(self, answered: Answered) -> dict[str, Any] | Document:
        """The answer as JSON can carry it, see `named`; or one that is no JSON."""

    def heard(self, content: Mapping[str, Any], classes: Sequence[str]) -> Heard:
        """The model's answer to one case from what `write` wrote, as a client hears it.

        classes: the model's, in its order. Raises FormatError: it is no answer of a model of these classes.
        """

    def agrees(self, content: Mapping[str, Any], truth: Mapping[str, Any]) -> bool | None:
        """Whether an answer is right, as a client hears it; truth: see `request`. None: the model cannot say that."""

    def request(self, case: Any, classes: Sequence[str], form: str) -> Sent | None:
        """A labelled case, as its task's evaluator knows it, as a request; None for one that cannot be asked.

        classes: of the case's set.
        """

    def logged(self, inputs: Mapping[str, NDArray[Any]], form: str) -> bytes:
        """The request body that `Noted.inputs` came from; KeyError: they are none."""

    def note(self, answered: Answered) -> Noted:
        """What the prediction log keeps of an answer."""

    def correction(self, told: Mapping[str, Any], logged: Logged, classes: Sequence[str] | None) -> Correction:
        """What feedback says of a logged answer.

        Args:
            told: the feedback, without the prediction's id.
            classes: of the model that answered; None when it is not loaded any more.

        Raises:
            FormatError: it is no feedback on answers of this task.
            LabelError: it names a class that the model does not know.
        """


def named(answered: Answered) -> dict[str, Any]:
    """What every answer says, whatever the task: who answered."""
    servable = answered.servable
    content: dict[str, Any] = {
        "prediction_id": answered.prediction_id,
        "model": {"name": servable.task, "version": servable.version, "digest": servable.digest},
        "arm": str(answered.arm),
    }
    recovered = answered.recovered or answered.prediction.recovered
    return {**content, "recovered": True} if recovered else content


def load_endpoint(task: str) -> Endpoint:
    """The task's endpoint.

    Raises:
        NotFound: no such task, or the service has no address for it.
        PluginError: its predictor cannot be imported.
    """
    name = getattr(load_predictor(task), "endpoint", None)
    if name is None:
        raise NotFound(f"the service has no address for task {task!r}", hint="name an `endpoint` in its predictor")
    made: Endpoint = resolve_name(name)()
    return made


def find_endpoints() -> dict[str, tuple[str, Endpoint]]:
    """Task and endpoint by path, of every declared task that has one."""
    found: dict[str, tuple[str, Endpoint]] = {}
    for task in predictable_tasks():
        try:
            found[f"/v1/{task}"] = task, load_endpoint(task)
        except RecognizerError:
            continue  # a plug-in that is broken, or has none, has no address; `recognizer tasks` says why
    return found
