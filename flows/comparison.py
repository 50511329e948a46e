"""Two versions side by side on the same cases, paired case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flows import measuring
from flows.evaluation import judged_cases
from flows.standing import resolve_version
from recognizer.checks import Check, Verdict, worst
from recognizer.errors import LabelError, UsageError
from recognizer.evaluation.footprint import Footprint
from recognizer.evaluation.paired import PairedDifference
from recognizer.evaluation.record import Evaluation
from recognizer.evaluation.significance import McNemar
from recognizer.evaluator import Evaluator
from recognizer.gates import GateConfig
from recognizer.gates.config import Allowance, SliceGate
from recognizer.ingest.origin import DataFile
from recognizer.keys import Keyring
from recognizer.package import PackageCard, PackageStore
from recognizer.params import load_params
from recognizer.settings import Settings
from recognizer.store import Store, versions
from recognizer.store import checks as stored_checks
from recognizer.tasks import load_evaluator, load_predictor
from serving.footprint import measure_footprints

FEWEST = 8
"""Cases of a slice, where params.yaml has no gate that says how many."""


@dataclass(frozen=True)
class ComparisonRequest:
    """What is compared, and on what.

    Attributes:
        first, second: `champion`, a version number, or a digest.
        data: a data file, all of whose cases are asked; None for the newest snapshot's frozen test set.
        costs: whether to measure what both cost, which takes seconds.
    """

    task: str
    first: str
    second: str
    data: DataFile | None = None
    costs: bool = True


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        gates: gate → worst verdict when it was judged last; empty when it never was.
        costs: None when they were not measured.
    """

    version: int
    digest: str
    evaluation: Evaluation
    gates: Mapping[str, Verdict]
    costs: Footprint | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "digest": self.digest,
            "evaluation": self.evaluation.as_dict(),
            "gates": {gate: verdict.value for gate, verdict in self.gates.items()},
            "costs": None if self.costs is None else {**self.costs.as_dict(), "metrics": self.costs.metrics},
        }


@dataclass(frozen=True)
class Comparison:
    """Every difference is the first less the second.

    Attributes:
        source: where the cases come from, in words.
        people: known people in the cases; 0 when nobody is named.
        differences: metric → difference, for every metric that can be paired case by case; not for one that differs by
            the same in every case.
        slices: kind → slice → difference of the accuracy.
        answers: on how many cases only one of the two is right.
        disagreement: share of the cases that they answer differently.
    """

    task: str
    source: str
    n: int
    people: int
    first: Side
    second: Side
    differences: Mapping[str, PairedDifference]
    slices: Mapping[str, Mapping[str, PairedDifference]]
    answers: McNemar
    disagreement: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "task": self.task,
            "source": self.source,
            "n": self.n,
            "people": self.people,
            "first": self.first.as_dict(),
            "second": self.second.as_dict(),
            "differences_are": "first less second",
            "differences": {metric: asdict(one) for metric, one in self.differences.items()},
            "slices": {
                kind: {name: asdict(one) for name, one in slices.items()} for kind, slices in self.slices.items()
            },
            "answers": asdict(self.answers),
            "disagreement": self.disagreement,
        }


def compare_versions(settings: Settings, store: Store, request: ComparisonRequest) -> Comparison:
    """Ask both versions the same cases; both packages are verified first.

    Raises:
        NotFound: no such version, or nothing was ingested.
        UsageError: both names mean the same version.
        InputError: the file cannot be used.
        LabelError: the versions know other classes than each other, or than the cases.
        TrustError: a package is not what was signed.
        PluginError: a model broke while its costs were measured.
    """
    task = request.task
    one, other = (resolve_version(store, task, name) for name in (request.first, request.second))
    if one.digest == other.digest:
        raise UsageError(f"both are version {one.version} of task {task!r}", hint="`recognizer models` lists others")
    packages, keyring = PackageStore(settings.home.packages), Keyring.open(settings.home.keys)
    card, others = (packages.verify(version.digest, keyring) for version in (one, other))
    _require_one_class_list(one, card, other, others)
    cases = judged_cases(settings, store, task, card.classes, request.data)
    evaluator = load_evaluator(task)
    config = _all_of(evaluator, GateConfig.read(load_params(settings.home.params, task)["evaluate"], task=task))
    test = measuring.make_test_set(evaluator, cases, config)
    folders = [packages.path(version.digest) for version in (one, other)]
    answers, theirs = (
        measuring.answer(load_predictor(task)(folder, threads=settings.session_threads), test.items)
        for folder in folders
    )
    paired = measuring.compare(evaluator, config, test, answers, theirs, digest=other.digest, version=other.version)
    costs: tuple[Footprint | None, ...] = (None, None)
    if request.costs:
        costs = measure_footprints(task, folders, test.items, threads=settings.session_threads)
    return Comparison(
        task=task,
        source="the frozen test set" if request.data is None else str(request.data.path),
        n=len(test),
        people=len(set(test.people) - {None}),
        first=Side(one.version, one.digest, test.evaluate(answers), _verdicts(store, one.digest), costs[0]),
        second=Side(other.version, other.digest, paired.evaluation, _verdicts(store, other.digest), costs[1]),
        differences={metric: one for metric, one in paired.differences.items() if one.low < one.high},
        slices=paired.slices,
        answers=paired.answers,
        disagreement=paired.disagreement,
    )


def _require_one_class_list(
    one: versions.Version, card: PackageCard, other: versions.Version, others: PackageCard
) -> None:
    if card.classes != others.classes:
        raise LabelError(
            f"version {one.version} knows the classes {list(card.classes)}, version {other.version} "
            f"{list(others.classes)}",
            where=f"task {card.task}",
            hint=f"compare versions of one class list; recognizer evaluate {card.task} --model {other.version} "
            "--data FILE judges each by itself",
        )


def _all_of(evaluator: Evaluator, config: GateConfig) -> GateConfig:
    """The same, with every metric that can be paired and every kind of slices: here they are shown, not judged."""
    asked = config.gates.slices
    slices = SliceGate(
        min_cases=FEWEST if asked is None else asked.min_cases,
        margin=0.0,
        floor=0.0,
        required=evaluator.kinds,
    )
    relative = {metric: Allowance(margin=0.0) for metric in evaluator.metrics}
    return config.model_copy(update={"gates": config.gates.model_copy(update={"relative": relative, "slices": slices})})


def _verdicts(store: Store, digest: str) -> dict[str, Verdict]:
    """Gate → worst of its stored checks."""
    checks = [Check.from_dict(row) for row in stored_checks.of(store, digest)]
    gates = dict.fromkeys(check.gate for check in checks)
    return {gate: worst(check.verdict for check in checks if check.gate == gate) for gate in gates}
