"""What must hold, and changes of the input that must not change the answer.

Source: Ribeiro, Wu, Guestrin, Singh 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList".
"""

from __future__ import annotations

from collections.abc import Iterator

from recognizer.checks import Check, Verdict
from recognizer.evaluation.measured import Measured
from recognizer.gates.config import GateConfig, SameAnswer

GATE = "golden"


def golden_checks(config: GateConfig, measured: Measured) -> Iterator[Check]:
    """One check over all golden cases, and one for each change of the input that is configured."""
    gate = config.gates.golden
    if gate is None:
        return
    if gate.cases is not None:
        yield _cases(gate.cases, measured)
    found = {one.name: one for one in measured.invariances}
    for name, bound in gate.changes.items():
        made = found.get(name)
        if made is None:
            yield Check.unmeasured(GATE, name, f"{name} was not tried", threshold=bound.min)
        elif made.n == 0:
            reason = f"not applicable: the model knows none of the classes that {name} is configured for"
            yield Check(GATE, name, None, None, "min", None, 0, Verdict.PASSED, reason)
        else:
            yield Check.measured(
                GATE,
                name,
                made.same,
                threshold=bound.min,
                n=made.n,
                min_cases=config.min_cases,
                cases="cases keep their answer",
            )


def _cases(bound: SameAnswer, measured: Measured) -> Check:
    golden = measured.golden
    if golden is None:
        return Check.unmeasured(GATE, "cases", "the golden cases were not asked", threshold=bound.min)
    if not golden.answers and not golden.left_out:
        reason = "there is no golden case at all: put data/golden/<task> back, or set gates.golden.cases to null"
        return Check(GATE, "cases", None, bound.min, "min", None, 0, Verdict.FAILED, reason)
    if not golden.answers:
        left = f"{golden.left_out:,} are of other classes or made-up people"
        reason = f"not applicable: there is no golden case of these classes ({left}); add some to data/golden"
        return Check(GATE, "cases", None, None, "min", None, 0, Verdict.PASSED, reason)
    wrong = [one for one in golden.answers if one.answered != one.expected]
    n = len(golden.answers)
    named = "; ".join(f"{one.name}: {one.answered}, must be {one.expected}" for one in wrong[:3])
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return Check.measured(
        GATE,
        "cases",
        (n - len(wrong)) / n,
        threshold=bound.min,
        n=n,
        derivation=f"{named}{more}",
        cases="golden cases",
    )
