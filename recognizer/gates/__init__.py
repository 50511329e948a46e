"""Gates: which checks a candidate has to pass, and the pure function that judges them.

In order: `contract` (checks made on the data, before training) → `absolute` (thresholds) → `relative` (no worse than
the champion and than the best version ever blessed, on the same test set) → `slices` (no group of cases falls
behind) → `golden` (what must hold, and what must not change an answer) → `parity` (the exported model answers as the
trained one) → `budgets` (what it costs to run) → `infra` (the real service with it, in a sandbox).
Whatever is configured gets at least one check out of `judge`; what was not measured is an ERROR, never a pass.
"""

from recognizer.checks import Check, Direction, Verdict, worst
from recognizer.gates.choice import Choice, choose_form
from recognizer.gates.config import GateConfig, Gates
from recognizer.gates.judge import judge

__all__ = ["Check", "Choice", "Direction", "GateConfig", "Gates", "Verdict", "choose_form", "judge", "worst"]
