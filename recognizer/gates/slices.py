"""No group of cases falls behind: each slice against the champion's less a margin, and against a floor.

Many slices are looked at, so each is judged at a level that keeps the whole family at 5 % (Holm 1979, "A simple
sequentially rejective multiple test procedure"). A slice that has to be there and is not fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scipy import stats

from recognizer.checks import Check, Verdict, figure
from recognizer.evaluation.measured import Measured
from recognizer.evaluation.record import Evaluation, SliceMeasure
from recognizer.evaluation.significance import holm
from recognizer.gates.config import GateConfig, SliceGate

GATE = "slices"
LEVEL = 0.05


@dataclass(frozen=True)
class _Test:
    """One slice against one bound; p is the chance of a value this low if the bound held."""

    kind: str
    name: str
    measure: SliceMeasure
    bound: str
    p: float


def slice_checks(config: GateConfig, measured: Measured, candidate: Evaluation) -> Iterator[Check]:
    """One check a kind of slices, with the worst of its slices; its value is that slice's adjusted p-value."""
    gate = config.gates.slices
    if gate is None:
        return
    tests = [test for kind in gate.kinds for test in _tests(gate, kind, measured, candidate)]
    adjusted = dict(zip(map(id, tests), holm([test.p for test in tests]), strict=True))
    for kind in gate.kinds:
        missing = _missing(gate, kind, candidate) or _uncompared(gate, kind, measured, candidate)
        if missing is not None:
            yield missing
            continue
        mine = [test for test in tests if test.kind == kind]
        if not mine:
            named = candidate.slices.get(kind, {})
            reason = f"no {kind} is named in the test set: nothing to compare"
            if named:
                reason = f"no slice by {kind} has the {gate.min_cases:,} cases that a verdict needs"
            verdict = Verdict.INCONCLUSIVE if named else Verdict.PASSED
            yield Check(GATE, kind, None, None, "min", None, candidate.n, verdict, reason)
            continue
        worst = min(mine, key=lambda test: (adjusted[id(test)], test.p))
        value, slices = adjusted[id(worst)], len({test.name for test in mine})
        failed = sorted({test.name for test in mine if adjusted[id(test)] < LEVEL} - {worst.name})
        reason = (
            f"worst of {slices} is {worst.name}: accuracy {figure(worst.measure.accuracy)} on {worst.measure.n:,} "
            f"cases, {worst.bound}; p {figure(worst.p)}, {figure(value)} among {len(tests):,} tests "
            f"{'<' if value < LEVEL else '≥'} {figure(LEVEL)}"
        )
        reason += f"; also {', '.join(failed)}" if failed else ""
        verdict = Verdict.FAILED if value < LEVEL else Verdict.PASSED
        baseline = _accuracy_of_champion(measured, worst)
        yield Check(GATE, kind, value, LEVEL, "min", baseline, worst.measure.n, verdict, reason)


def _tests(gate: SliceGate, kind: str, measured: Measured, candidate: Evaluation) -> Iterator[_Test]:
    opponent = measured.opponent
    for name, measure in candidate.slices.get(kind, {}).items():
        if measure.n < gate.min_cases:
            continue
        hits = round(measure.accuracy * measure.n)
        p = float(stats.binom.cdf(hits, measure.n, gate.floor))
        yield _Test(kind, name, measure, f"floor {figure(gate.floor)}", p)
        difference = opponent.slices.get(kind, {}).get(name) if opponent is not None else None
        if difference is not None:
            bound = f"champion {figure(measure.accuracy - difference.value)} - margin {figure(gate.margin)}"
            yield _Test(kind, name, measure, bound, difference.p_worse)


def _missing(gate: SliceGate, kind: str, candidate: Evaluation) -> Check | None:
    """A check that says no because slices are not there, too small, or were not compared."""
    found = candidate.slices.get(kind, {})
    wanted = candidate.classes if kind == "class" else ()
    absent = [name for name in wanted if name not in found]
    if absent or (kind in gate.required and not found):
        what = f"of {kind} {', '.join(absent)}" if absent else f"that names its {kind}"
        reason = f"no test case {what}: nobody knows how good the model is there"
        return Check(GATE, kind, None, None, "min", None, 0, Verdict.FAILED, reason)
    small = {name: found[name].n for name in wanted if found[name].n < gate.min_cases}
    if small:
        name, n = min(small.items(), key=lambda item: item[1])
        reason = f"{kind} {name} has {n:,} test cases; a verdict needs {gate.min_cases:,}"
        return Check(GATE, kind, None, None, "min", None, n, Verdict.INCONCLUSIVE, reason)
    return None


def _uncompared(gate: SliceGate, kind: str, measured: Measured, candidate: Evaluation) -> Check | None:
    """An ERROR where a champion of the same classes serves, and a slice was not held against it."""
    if measured.champion_classes != candidate.classes:
        return None
    differences = measured.opponent.slices.get(kind, {}) if measured.opponent is not None else {}
    large = (name for name, one in candidate.slices.get(kind, {}).items() if one.n >= max(gate.min_cases, 2))
    absent = sorted(set(large) - set(differences))
    if not absent:
        return None
    return Check.unmeasured(GATE, kind, f"not compared with the champion: {', '.join(absent)}", n=candidate.n)


def _accuracy_of_champion(measured: Measured, test: _Test) -> float | None:
    if measured.opponent is None:
        return None
    found = measured.opponent.evaluation.slices.get(test.kind, {}).get(test.name)
    return None if found is None else found.accuracy
