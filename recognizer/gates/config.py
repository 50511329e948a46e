"""What the gates ask for: the section `evaluate.<task>` of params.yaml, validated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from recognizer.checks import Direction
from recognizer.errors import UsageError
from recognizer.evaluation.footprint import METRICS as COSTS
from recognizer.evaluation.measured import Measured
from recognizer.tasks import load_evaluator


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):  # YAML's yes/true would pass as 1.0
        raise ValueError("expected a number")
    return value


Number = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False)]
Margin = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]


def _require(found: Any, names: Collection[str], what: str) -> Any:
    unknown = sorted(set(found) - set(names))
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no {what}; use {', '.join(sorted(names))}")
    return found


def _known(names: Collection[str], what: str) -> AfterValidator:
    return AfterValidator(lambda found: _require(found, names, what))


def _of_task(attribute: str, what: str) -> AfterValidator:
    """Names that the task's evaluator knows, which is the context of a section that is read."""

    def check(found: Any, info: ValidationInfo) -> Any:
        return found if info.context is None else _require(found, getattr(info.context, attribute), what)

    return AfterValidator(check)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bound(_Section):
    """An absolute threshold, itself included: `{min: 0.9}` or `{max: 0.1}`."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.min is None) == (self.max is None):
            raise ValueError("needs exactly one of `min` and `max`")
        return self

    @property
    def side(self) -> tuple[Direction, float]:
        return ("min", self.min) if self.min is not None else ("max", self.max or 0.0)


class Allowance(_Section):
    """How far a metric may fall behind; `direction: max` for metrics where lower is better."""

    margin: Margin
    direction: Direction = "min"


class SliceGate(_Section):
    """No group of cases may fall behind.

    Attributes:
        min_cases: of a slice on which anything can be said; smaller ones of a kind are judged together.
        margin: how far the accuracy of a slice may fall behind the champion's.
        floor: accuracy that no slice may be significantly below, whatever the champion has.
        required: kinds of slices that every test set has to have.
        where_known: kinds that are judged where the data tell them.
    """

    min_cases: Annotated[int, Field(ge=1)]
    margin: Annotated[Number, Field(ge=0, lt=1)]
    floor: Share
    required: Annotated[tuple[str, ...], Field(min_length=1), _of_task("kinds", "kind of slice")]
    where_known: Annotated[tuple[str, ...], _of_task("kinds", "kind of slice")] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.required, *self.where_known)))


class SameAnswer(_Section):
    """Share of the cases whose answer may not change."""

    min: Share


class Unchanged(SameAnswer):
    """`classes`: of which cases are changed, such as those that look the same in a mirror; None: of all."""

    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


class GoldenGate(_Section):
    """What must hold, and changes of the input, by name, that must not change the answer; the task knows which."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Unchanged | None]

    cases: SameAnswer | None = SameAnswer(min=1.0)

    @property
    def changes(self) -> dict[str, Unchanged]:
        return {name: bound for name, bound in self.__pydantic_extra__.items() if bound is not None}

    @model_validator(mode="after")
    def _known_changes(self, info: ValidationInfo) -> Self:
        evaluator: Any = info.context
        if evaluator is not None:
            _require(self.__pydantic_extra__, evaluator.changes, "change of the input")
        return self


class ParityBound(_Section):
    tolerance: Margin
    decisions_equal: Annotated[Number, Field(gt=0, le=1)] = 1.0


class ParityGate(ParityBound):
    """Of the exported model and the trained one.

    Attributes:
        ties: share of the cases, rounded up, that may lie further apart than `tolerance`, because two candidates were
            equally sure; they count for `decisions_equal` all the same. Of either form.
        int8: of an 8-bit form, whose scores are not those of the trained network to many digits.
    """

    ties: Annotated[Number, Field(ge=0, le=0.01)] = 0.0
    int8: ParityBound | None = None


class Budget(_Section):
    """What it may cost: at most `max`, and `ratio` times what the champion does in the same run, and `slack` more."""

    max: Positive
    ratio: Annotated[Number, Field(ge=1)] | None = None
    slack: Margin = 0.0


class InfraGate(_Section):
    """The real service in a sandbox.

    Attributes:
        requests: how many it has to answer, at 50 a second or at the rate of recorded traffic.
        memory_mb: what one of its processes may take.
        tolerance: largest difference of a score from the one measured before.
        latency_p95_ms: of the requests, at most.
        shadow_margin: how much more often than on the test set it may disagree with the champion.
    """

    requests: Annotated[int, Field(ge=1)] = 1000
    memory_mb: Positive = 2048.0
    tolerance: Margin
    latency_p95_ms: Positive
    shadow_margin: Share


class ContractGate(_Section):
    """The data contract; what it expects is written beside its own code."""


class Gates(_Section):
    """The configured gates; one that is left out is not judged."""

    contract: ContractGate | None = None
    absolute: Annotated[dict[str, Bound], Field(min_length=1)]
    relative: (
        Annotated[dict[str, Allowance], Field(min_length=1), _of_task("metrics", "metric that can be paired by case")]
        | None
    ) = None
    slices: SliceGate | None = None
    golden: GoldenGate | None = None
    parity: ParityGate | None = None
    budgets: Annotated[dict[str, Budget], Field(min_length=1), _known(COSTS, "cost")] | None = None
    infra: InfraGate | None = None


class GateConfig(_Section):
    """Section `evaluate.<task>` of params.yaml.

    Attributes:
        min_cases: a verdict on fewer test cases is INCONCLUSIVE.
        refresh_after: how many candidates one test set may judge before it should be renewed; see docs/gates.md.
    """

    min_cases: Annotated[int, Field(ge=1)]
    refresh_after: Annotated[int, Field(ge=1)] = 100
    gates: Gates

    @classmethod
    def read(cls, section: Mapping[str, Any], *, task: str, source: str = "params.yaml") -> Self:
        """The validated section.

        Raises:
            UsageError: naming every key that is missing, unknown or wrong.
            NotFound, PluginError: no such task, or it has no evaluator.
        """
        evaluator = load_evaluator(task)
        try:
            return cls.model_validate(section, context=evaluator)
        except ValidationError as error:
            faults = [
                f"{'.'.join(['evaluate', task, *(str(part) for part in fault['loc'])])}: "
                f"{fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors()
            ]
            raise UsageError(
                "; ".join(faults), where=source, hint=f"correct the section evaluate.{task} of {source}"
            ) from error

    def configured(self) -> tuple[str, ...]:
        """Names of the configured gates, in the order in which they are judged."""
        return tuple(name for name in Gates.model_fields if getattr(self.gates, name) is not None)

    def by_gate(self, measured: Measured | None = None) -> dict[str, Any]:
        """What each configured gate asks for, by name; a blessing is signed over it.

        measured: names the golden cases, which are asked for as much as any threshold.
        """
        plain = self.model_dump(mode="json")
        asked = {name: {**plain["gates"][name], "min_cases": plain["min_cases"]} for name in self.configured()}
        if "golden" in asked and measured is not None and measured.golden is not None:
            asked["golden"]["digest"] = measured.golden.digest
        return asked
