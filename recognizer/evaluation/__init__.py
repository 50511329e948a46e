"""How good a model's answers are: pure functions from answers and labels to numbers."""

from recognizer.evaluation.behaviour import GoldenAnswer, Invariance, golden_answers, measure_invariance
from recognizer.evaluation.classification import evaluate_classification
from recognizer.evaluation.comparison import Difference, compare
from recognizer.evaluation.parity import Parity, measure_parity
from recognizer.evaluation.record import ClassMeasure, Evaluation, ReliabilityBin, SliceMeasure
from recognizer.evaluation.sandbox import SandboxRun, ShadowRun

__all__ = [
    "ClassMeasure",
    "Difference",
    "Evaluation",
    "GoldenAnswer",
    "Invariance",
    "Parity",
    "ReliabilityBin",
    "SandboxRun",
    "ShadowRun",
    "SliceMeasure",
    "compare",
    "evaluate_classification",
    "golden_answers",
    "measure_invariance",
    "measure_parity",
]
