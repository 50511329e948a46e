"""What the doctor says: pure rules from what was found to PASSED or FAILED, with the next step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.requirements import Requirement

from flows.held_out import LARGER, RENEW, HeldOut
from recognizer.checks import Verdict
from recognizer.errors import RecognizerError

LEAST_FREE = 2 * 1024**3
"""Bytes that a night, with its report and a snapshot, may want."""
LATE_SECONDS = 26 * 3600.0
"""Leftovers that are older should have been removed by the night that came after them."""
MOST_PROBLEMS = 5
"""Lines about the audit trail; where one row was changed, all others may be said to be others too."""

SOON = 0.8
"""Share of a test set's use from which on the next step is named, although nothing is wrong yet."""

INSTALLED, REACHABLE, CONSISTENT = "installed", "reachable", "consistent"


@dataclass(frozen=True)
class Diagnosis:
    """One line.

    Attributes:
        part: installed, reachable or consistent.
        verdict: PASSED or FAILED.
        next: what to do; None when nothing is to be done.
    """

    part: str
    name: str
    verdict: Verdict
    said: str
    next: str | None = None

    @property
    def passed(self) -> bool:
        return self.verdict is Verdict.PASSED


@dataclass(frozen=True)
class Leftover:
    """A partial file or folder; `owned` when a process that lives may still be writing it."""

    path: str
    age: float
    owned: bool


def passed(part: str, name: str, said: str, advice: str | None = None) -> Diagnosis:
    return Diagnosis(part, name, Verdict.PASSED, said, advice)


def failed(part: str, name: str, said: str, advice: str | None) -> Diagnosis:
    return Diagnosis(part, name, Verdict.FAILED, said, advice)


def of_error(part: str, name: str, error: RecognizerError) -> Diagnosis:
    """An error on purpose as a line: it names the place and the next step itself."""
    where = "" if error.where is None else f"{error.where}: "
    return failed(part, name, f"{where}{error.what}", error.hint)


def libraries(required: Iterable[str], installed: Mapping[str, str], shown: Sequence[str]) -> list[Diagnosis]:
    """Whether every required library is there in a version that was asked for.

    Args:
        required: as `pyproject.toml` says them; those of extras are left out.
        installed: version by name, in small letters with `-`.
        shown: whose versions are worth a line.
    """
    found = [
        _library(requirement, installed)
        for requirement in map(Requirement, required)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]
    wrong = [line for line in found if line is not None]
    if wrong:
        return wrong
    versions = ", ".join(f"{name} {installed[name]}" for name in shown if name in installed)
    return [passed(INSTALLED, "libraries", f"all {len(found)} as required: {versions}")]


def _library(requirement: Requirement, installed: Mapping[str, str]) -> Diagnosis | None:
    version = installed.get(requirement.name.lower().replace("_", "-"))
    if version is not None and requirement.specifier.contains(version, prereleases=True):
        return None
    said = "is not installed" if version is None else f"is {version}"
    return failed(
        INSTALLED, requirement.name, f"{said}, required is {requirement}", "pip install -c constraints.txt -e ."
    )


def disk(free: int, where: str) -> Diagnosis:
    said = f"{free / 1024**3:.1f} GB free at {where}"
    if free >= LEAST_FREE:
        return passed(REACHABLE, "disk", said)
    return failed(
        REACHABLE, "disk", f"{said}, a night may want {LEAST_FREE / 1024**3:.0f}", "free some space, or move the home"
    )


def store_missing(packages: int, where: str, task: str) -> Diagnosis:
    """There is no store: as it should be in a new home, a loss where there are packages.

    Args:
        task: whose night the next step names.
    """
    if not packages:
        return passed(REACHABLE, "store", f"none yet at {where}", f"recognizer nightly {task} --synthetic makes it")
    return failed(
        REACHABLE,
        "store",
        f"none at {where}, and {packages} package(s) that it should know",
        "put back a backup of recognizer.db; nothing else knows what serves",
    )


def service(url: str, health: Mapping[str, Any] | None, problem: str | None, living: int) -> Diagnosis:
    """Whether the service answers; that none runs here is no fault, unless workers tell the store that they live.

    Args:
        health: what `/health` answered; None when nothing did.
        problem: why nothing did.
        living: workers that report to the store.
    """
    if health is None:
        if not living:
            return passed(REACHABLE, "service", f"none runs at {url}", "recognizer serve starts it")
        return failed(
            REACHABLE,
            "service",
            f"{living} worker(s) report to the store, and {url} does not answer: {problem}",
            "set RECOGNIZER_HOST and RECOGNIZER_PORT to where it listens, or start it again",
        )
    problems = [f"{one.get('error')}: {one.get('what')}" for one in health.get("problems", [])]
    problems += [f"leak: {one}" for one in health.get("leaks", [])]
    if health.get("status") == "ok":
        return passed(REACHABLE, "service", f"answers at {url}, generation {health.get('generation')}")
    return failed(
        REACHABLE,
        "service",
        f"{url} is {health.get('status')}: {'; '.join(problems) or 'no problem named'}",
        "recognizer rollout status shows every worker",
    )


def controller(decides: bool, open_rollouts: int) -> Diagnosis:
    """Whether somebody decides about the rollouts that are on their way."""
    if decides or not open_rollouts:
        return passed(CONSISTENT, "controller", "decides" if decides else "no rollout is on its way")
    return failed(
        CONSISTENT,
        "controller",
        f"{open_rollouts} rollout(s) are on their way and no process decides about them",
        "recognizer serve: one of its workers will",
    )


def trail(problems: Sequence[str], rows: int) -> list[Diagnosis]:
    """The audit trail as `recognizer.store.audit.verify_audit` found it."""
    if not problems:
        return [passed(CONSISTENT, "audit trail", f"{rows:,} row(s), chained and complete")]
    advice = "somebody changed the store by hand: compare it with a backup before you trust a decision"
    more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
    return [failed(CONSISTENT, "audit trail", one, advice) for one in (*problems[:MOST_PROBLEMS], *more)]


def aliases(task: str, expected: Mapping[str, int | None], actual: Mapping[str, int | None], waiting: int) -> Diagnosis:
    """Whether MLflow's aliases say what the store does."""
    name = f"aliases of {task}"
    wrong = [
        f"{alias} is {_version(actual.get(alias))}, the store says {_version(version)}"
        for alias, version in expected.items()
        if actual.get(alias) != version
    ]
    if not wrong:
        said = ", ".join(f"{alias} {_version(version)}" for alias, version in expected.items())
        return passed(CONSISTENT, name, f"MLflow's are the store's: {said}")
    late = f"; {waiting} event(s) wait to be delivered" if waiting else ""
    return failed(CONSISTENT, name, "; ".join(wrong) + late, "recognizer models puts them back")


def held_out(task: str, found: HeldOut) -> Diagnosis:
    """Whether the test set still says something about new models; near its end the next step is named."""
    name = f"test set of {task}"
    if found.used_up:
        return failed(CONSISTENT, name, f"{found.sentence}: what passes it may fit it by chance", RENEW)
    if found.caution is not None:
        return passed(CONSISTENT, name, f"{found.sentence}; {found.caution}", LARGER)
    return passed(CONSISTENT, name, found.sentence, RENEW if found.judged >= SOON * found.allowed else None)


def leftovers(found: Sequence[Leftover]) -> Diagnosis:
    """Partial files of killed processes: the next night removes them, so only old ones are a fault."""
    dead = [one for one in found if not one.owned]
    late = [one for one in dead if one.age > LATE_SECONDS]
    if late:
        more = f" and {len(late) - 1} more" if len(late) > 1 else ""
        return failed(
            CONSISTENT,
            "leftovers",
            f"{late[0].path}{more}, {max(one.age for one in late) / 3600:.0f} h old: no night has removed it",
            f"remove it: rm -r {late[0].path}",
        )
    said = f"{len(dead)} of killed processes; the next night removes them" if dead else "none"
    return passed(CONSISTENT, "leftovers", said)


def _version(version: int | None) -> str:
    return "not set" if version is None else f"version {version}"
