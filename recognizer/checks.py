"""A check: one value against one threshold, with a verdict that can be made again from the stored numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Self

from recognizer.errors import FormatError

Direction = Literal["min", "max"]


class Verdict(StrEnum):
    """What a check says; "bad", "not enough evidence" and "could not measure" are different things."""

    PASSED = "PASSED"
    """The value keeps the threshold, on enough cases."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """Measured, on too few cases to say either way."""
    FAILED = "FAILED"
    """Measured on enough cases, and it breaks the threshold."""
    ERROR = "ERROR"
    """Not measured: missing, not a number, or made under conditions that do not allow a judgement."""


# ERROR stands above FAILED because nothing can be said about a candidate whose measurement broke: the fault may lie
# with the measurement, and must be mended before "bad" means anything. FAILED stands above INCONCLUSIVE because
# more cases elsewhere cannot undo a proven failure.
_ORDER = (Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED, Verdict.ERROR)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them (ERROR, FAILED, INCONCLUSIVE, PASSED); ERROR for none: no check is no proof."""
    return max(verdicts, key=_ORDER.index, default=Verdict.ERROR)


@dataclass(frozen=True)
class Check:
    """One check of one gate.

    Attributes:
        gate: the set it belongs to, such as `absolute`.
        name: the metric or expectation.
        value: what was measured; None when it could not be.
        threshold: the bound itself, included: `value == threshold` passes. None when there is nothing to keep.
        direction: "min" = value must be ≥ threshold, "max" = ≤.
        baseline: what the champion has.
        n: cases (or rows) behind the value.
        reason: one sentence with the numbers.
        interval: bounds of the value, each one-sided at 95 %; then the bound decides, not the value. None where
            nobody knows any.

    Raises:
        FormatError: a number is not finite (a value that is no number is None, so that JSON can hold it).
    """

    gate: str
    name: str
    value: float | None
    threshold: float | None
    direction: Direction
    baseline: float | None
    n: int
    verdict: Verdict
    reason: str
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for number in (self.value, self.threshold, self.baseline, *(self.interval or ())):
            if number is not None and not math.isfinite(number):
                raise FormatError(f"a check holds {number}", where=f"check {self.gate}/{self.name}", hint="use None")
        if self.direction not in ("min", "max"):
            raise FormatError(
                f"direction {self.direction!r}", where=f"check {self.gate}/{self.name}", hint="use min or max"
            )

    @classmethod
    def measured(
        cls,
        gate: str,
        name: str,
        value: float | None,
        *,
        threshold: float,
        direction: Direction = "min",
        n: int,
        min_cases: int = 1,
        baseline: float | None = None,
        interval: tuple[float, float] | None = None,
        derivation: str = "",
        cases: str = "cases",
    ) -> Self:
        """Judge a measured value: no number is ERROR, too few cases INCONCLUSIVE, else the threshold decides.

        Of an interval the end towards the threshold has to keep it as well; when the value alone does, that is
        INCONCLUSIVE. The floats are compared as they are, without tolerance, and all are kept: the verdict can be made
        again from the stored check. `derivation` says where the threshold comes from.
        """
        if value is None or not math.isfinite(value):
            what = "is missing" if value is None else f"is {value}"
            return cls.unmeasured(
                gate, name, f"{name} {what}", threshold=threshold, direction=direction, baseline=baseline, n=n
            )
        passed, compared = _compared(value, threshold, direction)
        reason = f"{name} {compared}{f' ({derivation})' if derivation else ''} on {n:,} {cases}"
        verdict = Verdict.PASSED if passed else Verdict.FAILED
        if interval is not None:
            interval = (float(interval[0]), float(interval[1]))
            bound = interval[0] if direction == "min" else interval[1]
            sure, compared = _compared(bound, threshold, direction)
            reason += f"; with 95 % confidence at {'least' if direction == 'min' else 'most'} {compared}"
            if passed and not sure:
                verdict, reason = Verdict.INCONCLUSIVE, f"{reason}: too few cases to tell"
        if n < min_cases:
            verdict, reason = Verdict.INCONCLUSIVE, f"{reason}; a verdict needs {min_cases:,}"
        return cls(gate, name, float(value), float(threshold), direction, baseline, n, verdict, reason, interval)

    @classmethod
    def unmeasured(
        cls,
        gate: str,
        name: str,
        reason: str,
        *,
        threshold: float | None = None,
        direction: Direction = "min",
        baseline: float | None = None,
        n: int = 0,
    ) -> Self:
        """An ERROR: the value could not be had."""
        return cls(gate, name, None, threshold, direction, baseline, n, Verdict.ERROR, reason)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON and for the store."""
        return {**asdict(self), "verdict": self.verdict.value}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The check that `as_dict` wrote.

        Raises:
            FormatError: fields are missing or unknown, or a verdict nobody knows.
        """
        names = {field.name for field in fields(cls)}
        if set(plain) | {"interval"} != names:  # checks from before there were intervals have none
            raise FormatError(
                f"a check has the fields {sorted(plain)}, expected {sorted(names)}", hint="judge this version again"
            )
        try:
            verdict = Verdict(plain["verdict"])
        except ValueError as error:
            raise FormatError(f"no verdict {plain['verdict']!r}", hint="judge this version again") from error
        interval = plain.get("interval")
        return cls(**{**plain, "verdict": verdict, "interval": None if interval is None else tuple(interval)})


def _compared(value: float, threshold: float, direction: Direction) -> tuple[bool, str]:
    """Whether the value keeps the threshold, and both in words: `0.950 ≥ 0.900`."""
    kept = value >= threshold if direction == "min" else value <= threshold
    sign = {("min", True): "≥", ("min", False): "<", ("max", True): "≤", ("max", False): ">"}[direction, kept]
    left, right = distinct(value, threshold)
    return kept, f"{left} {sign} {right}"


def in_decimals(*terms: float) -> float:
    """The sum as whoever wrote the terms means it: 0.93 - 0.03 is 0.90, where binary floats make it a little more.

    Terms have to be finite. The result is the float nearest to the exact sum of their shortest decimals.
    """
    return float(sum((Decimal(repr(float(term))) for term in terms), Decimal(0)))


def figure(value: float | None, digits: int = 3) -> str:
    """A number for people: `0.874`, `1,200`, `3.2e-6`, `-` for none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    if value == 0 or (abs(value) > 1 and float(value).is_integer()):
        return f"{int(value):,}"
    if abs(value) < 10.0**-digits or abs(value) >= 1e6:
        mantissa, exponent = f"{value:.{max(digits - 2, 1)}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.{digits}f}"


def distinct(left: float, right: float) -> tuple[str, str]:
    """Both as `figure`, with as many digits as it takes to tell different numbers apart."""
    for digits in range(3, 17):
        pair = figure(left, digits), figure(right, digits)
        if left == right or pair[0] != pair[1]:
            return pair
    return repr(left), repr(right)
