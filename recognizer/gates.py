"""Gates: which checks a candidate has to pass, and the pure function that judges them.

In order: `contract` (checks made on the data, before training) → `absolute` (thresholds) → `relative` (no worse
than the champion on the same test set) → `parity` (the exported model answers as the trained one).
Whatever is configured gets at least one check out of `judge`; what was not measured is an ERROR, never a pass.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from recognizer.checks import Check, Direction, Verdict, figure, worst
from recognizer.errors import UsageError
from recognizer.evaluation.comparison import same_cases
from recognizer.evaluation.parity import Parity
from recognizer.evaluation.record import Evaluation

__all__ = ["Check", "Direction", "GateConfig", "Gates", "Verdict", "judge", "worst"]


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):  # YAML's yes/true would pass as 1.0
        raise ValueError("expected a number")
    return value


Number = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False)]
Margin = Annotated[Number, Field(ge=0)]


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
    """How far a metric may fall behind the champion's; `direction: max` for metrics where lower is better."""

    margin: Margin
    direction: Direction = "min"


class ParityBound(_Section):
    tolerance: Margin
    decisions_equal: Annotated[Number, Field(gt=0, le=1)] = 1.0


class ContractGate(_Section):
    """The data contract; what it expects is written beside its own code."""


class Gates(_Section):
    """The configured gates; one that is left out is not judged."""

    contract: ContractGate | None = None
    absolute: Annotated[dict[str, Bound], Field(min_length=1)]
    relative: Annotated[dict[str, Allowance], Field(min_length=1)] | None = None
    parity: ParityBound | None = None


class GateConfig(_Section):
    """Section `evaluate.<task>` of params.yaml."""

    min_cases: Annotated[int, Field(ge=1)]
    gates: Gates

    @classmethod
    def read(cls, section: Mapping[str, Any], *, task: str = "action", source: str = "params.yaml") -> Self:
        """The validated section.

        Raises:
            UsageError: naming every key that is missing, unknown or wrong.
        """
        try:
            return cls.model_validate(section)
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

    def by_gate(self) -> dict[str, Any]:
        """What each configured gate asks for, by name; a blessing is signed over it."""
        plain = self.model_dump(mode="json")
        return {name: {**plain["gates"][name], "min_cases": plain["min_cases"]} for name in self.configured()}

    def digest(self) -> str:
        """SHA-256 of the configuration in canonical JSON: order of keys and spelling of numbers do not matter."""
        canonical = json.dumps(
            self.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":"), allow_nan=False
        )
        return hashlib.sha256(canonical.encode()).hexdigest()


def judge(
    config: GateConfig,
    candidate: Evaluation,
    champion: Evaluation | None = None,
    parity: Parity | None = None,
    *,
    measured: Iterable[Check] = (),
    champion_classes: tuple[str, ...] | None = None,
) -> tuple[Check, ...]:
    """Every check of every configured gate, in the order of the gates.

    candidate, champion: evaluations on the same frozen test set. measured: checks made elsewhere (the contract's).
    champion_classes: the class list of the task's champion, when there is one: tells a champion of another lineage
    (relative gate not applicable) from one that should have been evaluated and was not (ERROR).
    """
    given = tuple(measured)
    makers: dict[str, Callable[[], Iterator[Check]]] = {
        "absolute": lambda: _absolute(config, candidate),
        "relative": lambda: _relative(config, candidate, champion, champion_classes),
        "parity": lambda: _parity(config, parity),
    }
    checks: list[Check] = []
    for gate in config.configured():
        made = [check for check in given if check.gate == gate]
        made += makers[gate]() if gate in makers else ()
        checks += made or [Check.unmeasured(gate, gate, f"gate {gate} is configured and made no check")]
    # A check of a gate that is not configured is still evidence: it may not vanish.
    return (*checks, *(check for check in given if check.gate not in config.configured()))


def _absolute(config: GateConfig, candidate: Evaluation) -> Iterator[Check]:
    for metric, bound in config.gates.absolute.items():
        direction, threshold = bound.side
        yield Check.measured(
            "absolute",
            metric,
            candidate.metrics.get(metric),
            threshold=threshold,
            direction=direction,
            n=candidate.n,
            min_cases=config.min_cases,
        )


def _relative(
    config: GateConfig,
    candidate: Evaluation,
    champion: Evaluation | None,
    champion_classes: tuple[str, ...] | None,
) -> Iterator[Check]:
    known = champion.classes if champion is not None else champion_classes
    for metric, allowance in (config.gates.relative or {}).items():
        if known is None:
            yield _not_applicable(metric, allowance, candidate, "first version of a lineage: nothing to compare with")
        elif known != candidate.classes:
            reason = f"the champion knows other classes ({len(known)}, candidate {len(candidate.classes)}): new lineage"
            yield _not_applicable(metric, allowance, candidate, f"{reason}, nothing to compare with")
        elif champion is None:
            yield Check.unmeasured("relative", metric, "the champion was not evaluated on this test set")
        elif not same_cases(candidate, champion):
            reason = f"champion judged on other cases ({champion.n:,}) than the candidate ({candidate.n:,})"
            yield Check.unmeasured("relative", metric, reason, n=candidate.n)
        else:
            yield _against(metric, allowance, candidate, champion, config.min_cases)


def _not_applicable(metric: str, allowance: Allowance, candidate: Evaluation, reason: str) -> Check:
    return Check(
        "relative", metric, None, None, allowance.direction, None, candidate.n, verdict=Verdict.PASSED, reason=reason
    )


def _against(metric: str, allowance: Allowance, candidate: Evaluation, champion: Evaluation, min_cases: int) -> Check:
    baseline = champion.metrics.get(metric)
    if baseline is None or not math.isfinite(baseline):
        what = "missing" if baseline is None else str(baseline)
        return Check.unmeasured("relative", metric, f"the champion's {metric} is {what}", n=champion.n)
    # In decimals 0.93 - 0.03 is 0.90, as whoever wrote the margin means it; in binary floats it is a little more.
    # The threshold is the float nearest to that, and compared as it is: no tolerance.
    exact, margin = Decimal(repr(float(baseline))), Decimal(repr(allowance.margin))
    lower = allowance.direction == "min"
    return Check.measured(
        "relative",
        metric,
        candidate.metrics.get(metric),
        threshold=float(exact - margin if lower else exact + margin),
        direction=allowance.direction,
        baseline=baseline,
        n=candidate.n,
        min_cases=min_cases,
        derivation=f"champion {figure(baseline)} {'-' if lower else '+'} margin {figure(allowance.margin)}",
    )


def _parity(config: GateConfig, parity: Parity | None) -> Iterator[Check]:
    bound = config.gates.parity
    if bound is None:
        return
    if parity is None:
        yield Check.unmeasured(
            "parity", "max_abs_diff", "parity was not measured", threshold=bound.tolerance, direction="max"
        )
        return
    n, enough = parity.n, config.min_cases
    yield Check.measured(
        "parity", "max_abs_diff", parity.max_abs_diff, threshold=bound.tolerance, direction="max", n=n, min_cases=enough
    )
    yield Check.measured(
        "parity", "decisions_equal", parity.decisions_equal, threshold=bound.decisions_equal, n=n, min_cases=enough
    )
