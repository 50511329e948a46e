"""The record of what a model costs where it serves: time of an answer, time to load, memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from recognizer.errors import FormatError, InputError

FORMAT = 1
METRICS = ("latency_p50_ms", "latency_p95_ms", "load_ms", "peak_memory_mb")
"""The names that budgets are given under."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which the share of the values lies, as a straight line between the two nearest of them.

    Position `share * (n - 1)` of the sorted values, counted from 0. Source: Hyndman and Fan, "Sample Quantiles in
    Statistical Packages" (1996), definition 7.

    Raises:
        InputError: no values, or a share outside [0, 1].
    """
    if not values or not 0 <= share <= 1:
        raise InputError(f"no percentile of {len(values)} values at {share}", hint="give values and a share in [0, 1]")
    return float(np.quantile(np.asarray(values, np.float64), share, method="linear"))


@dataclass(frozen=True)
class Footprint:
    """What one model cost in one run of measurements. Times depend on the machine and on what else it does: compare
    footprints of the same run only.

    Attributes:
        latencies_ms: of single answers, inputs at hand and without waiting for a core, in the order of the rounds: at
            each place, every model of a run answered the same case.
        load_ms: of single loads, from the folder to a model that could answer.
        peak_memory_mb: by how much the largest request made a process grow that held nothing but the model, in units
            of 2**20 bytes.
        cases_at_once: cases of the largest request.

    Raises:
        FormatError: no times, a number that is negative or not finite, or less than one case.
    """

    latencies_ms: tuple[float, ...]
    load_ms: tuple[float, ...]
    peak_memory_mb: float
    cases_at_once: int

    def __post_init__(self) -> None:
        hint = "measure the model again"
        for name, values in (("latencies_ms", self.latencies_ms), ("load_ms", self.load_ms)):
            if not values:
                raise FormatError(f"a footprint without {name}", hint=hint)
        for number in (*self.latencies_ms, *self.load_ms, self.peak_memory_mb):
            if not math.isfinite(number) or number < 0:
                raise FormatError(f"a footprint holds {number}", hint=hint)
        if self.cases_at_once < 1:
            raise FormatError(f"a footprint of {self.cases_at_once} cases at once", hint=hint)

    @property
    def latency_p50_ms(self) -> float:
        return percentile(self.latencies_ms, 0.5)

    @property
    def latency_p95_ms(self) -> float:
        return percentile(self.latencies_ms, 0.95)

    @property
    def median_load_ms(self) -> float:
        return percentile(self.load_ms, 0.5)

    @property
    def metrics(self) -> dict[str, float]:
        """Metric → value, by the names that budgets are given under."""
        return {
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "load_ms": self.median_load_ms,
            "peak_memory_mb": self.peak_memory_mb,
        }

    def runs(self, metric: str) -> int:
        """How often it was measured."""
        of = {"load_ms": len(self.load_ms), "peak_memory_mb": 1}
        return of.get(metric, len(self.latencies_ms))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the metrics can be made again from them."""
        return {
            "format": FORMAT,
            "latencies_ms": list(self.latencies_ms),
            "load_ms": list(self.load_ms),
            "peak_memory_mb": self.peak_memory_mb,
            "cases_at_once": self.cases_at_once,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The footprint that `as_dict` wrote.

        Raises:
            FormatError: it is not one, or of another format version.
        """
        hint = "measure the model again"
        try:
            if plain.get("format") != FORMAT:
                raise FormatError(f"a footprint of format {plain.get('format')!r}, expected {FORMAT}", hint=hint)
            return cls(
                latencies_ms=tuple(float(value) for value in plain["latencies_ms"]),
                load_ms=tuple(float(value) for value in plain["load_ms"]),
                peak_memory_mb=float(plain["peak_memory_mb"]),
                cases_at_once=int(plain["cases_at_once"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FormatError(f"a footprint that cannot be read: {error}", hint=hint) from error
