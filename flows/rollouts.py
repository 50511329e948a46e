"""Start rollouts by hand, and read how they stand and why they went as they did: plain functions for the command."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from flows.release import plan_of
from flows.stages import has_measured, read_measured
from flows.standing import resolve_version
from recognizer.blessing import verify_blessing
from recognizer.checks import Verdict
from recognizer.errors import FormatError, LineageChanged, NotFound, UsageError
from recognizer.evaluation.measured import FLOAT, INT8
from recognizer.keys import Keyring
from recognizer.package import BLESSING, PackageStore
from recognizer.rollout.action import Wait
from recognizer.rollout.explanation import Explanation
from recognizer.rollout.ledger import Ledger, in_step
from recognizer.rollout.next_action import next_action
from recognizer.rollout.replay import explain
from recognizer.rollout.state import Rollout
from recognizer.settings import Settings
from recognizer.store import Store, audit, evidence, feedback, nights, quarantine, rollouts, tallies, versions
from recognizer.store.observation import observe
from recognizer.store.served import Champion, read_served
from recognizer.store.wishes import require_task
from recognizer.tasks import wrong_in_tests


@dataclass(frozen=True)
class StartRequest:
    """A rollout that a person wants.

    Attributes:
        version: number, or beginning of a digest; None for the newest blessed one above the champion.
        strategy: None for the one of the settings.
        reason: why.
        accept_new_labels: let a model of another class list replace the champion.
    """

    task: str
    version: str | None = None
    strategy: str | None = None
    reason: str = ""
    accept_new_labels: bool = False


def person() -> str:
    """Who runs this command, for the audit trail: user@host."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def start_rollout(settings: Settings, store: Store, request: StartRequest) -> Rollout:
    """Verify a version's package and blessing, and start its rollout; what runs already is handed out.

    Raises:
        NotFound: no such version, or none to choose.
        TrustError: the package is damaged, not signed or not blessed.
        LineageChanged: it knows other classes than the champion.
        Conflict: it is in quarantine or is champion already.
        NoChampion: nothing to compare with.
    """
    require_task(store, request.task)
    champion = read_served(store).champion(request.task)
    chosen = _chosen(settings, store, request, champion)
    _verify(settings, chosen.digest)
    _require_classes(settings, request, chosen, champion)
    who = person()
    chosen_settings = (
        settings if request.strategy is None else settings.model_copy(update={"strategy": request.strategy})
    )
    return rollouts.start(
        store,
        task=request.task,
        version=chosen.version,
        digest=chosen.digest,
        expected=champion.digest,
        reason=f"start by {who}" + (f": {request.reason}" if request.reason else ""),
        who=who,
        strategy=chosen_settings.strategy,
        plan=plan_of(chosen_settings, _disagreement(settings, store, chosen, champion)),
        home=settings.home,
    )


def explain_rollout(
    store: Store, task: str, number: int | None, *, progress: Callable[[float, str], None] | None = None
) -> Explanation:
    """The task's rollout with all its verdicts made again.

    Args:
        number: of the rollout; None for the open one, else the newest.

    Raises:
        NotFound: no such rollout of this task.
    """
    require_task(store, task)
    found = rollouts.current(store, task) if number is None else rollouts.get(store, number)
    if found is None:
        raise NotFound(f"task {task!r} has no rollout", hint=f"recognizer rollout start {task}")
    if found.task != task:
        raise NotFound(
            f"rollout {found.id} is of task {found.task!r}",
            hint=f"recognizer rollout explain {found.task} --rollout {found.id}",
        )
    return explain(
        found,
        audit.of(store, found.id),
        evidence.of(store, found.id),
        truths=_truths(store, found),
        blessed=_blessed(store, found),
        progress=progress,
    )


def _truths(store: Store, rollout: Rollout) -> list[tuple[int, bool]]:
    """Late feedback on the rollout's challenger: (number, misread), in order."""
    told: list[tuple[int, bool]] = []
    while more := feedback.late(store, rollout.id, rollout.digest, after=told[-1][0] if told else 0):
        told += [(one.number, one.misread) for one in more]
    return told


def _blessed(store: Store, rollout: Rollout) -> float | None:
    """Share of wrong answers of the challenger on the test set."""
    version = versions.by_digest(store, rollout.digest)
    return None if version is None else wrong_in_tests(rollout.task, version.metrics)


def waits_for(store: Store, rollout: Rollout) -> str | None:
    """What the controller would say now; None when the rollout has ended."""
    if rollout.ended_at is not None:
        return None
    ledger = Ledger()
    ledger.restore(rollout, tallies.find(store, rollout.id))
    verdict = ledger.fold(rollout, evidence.of(store, rollout.id, after=ledger.seen(rollout)))
    judgement = in_step(rollout, verdict, ledger.seen(rollout))
    observed, now = observe(store, rollout, judgement, answers=ledger.answers(rollout))
    action = next_action(rollout, observed, now)
    return (
        action.reason if isinstance(action, Wait) else f"{action.name}, as soon as a process decides: {action.reason}"
    )


def _chosen(settings: Settings, store: Store, request: StartRequest, champion: Champion) -> versions.Version:
    if request.version is not None:
        return resolve_version(store, request.task, request.version)
    newer = [one for one in versions.list(store, request.task) if one.version > champion.version]
    blessed = [one for one in newer if one.verdict == Verdict.PASSED or _has_blessing(settings, one.digest)]
    if blessed:
        return blessed[0]  # when it turns out to be damaged it is refused, never passed over for an older one
    looked = f"; {len(newer)} newer, none of them passed its gates" if newer else ""
    raise NotFound(
        f"no version of task {request.task!r} above champion {champion.version} is blessed{looked}",
        hint=f"recognizer nightly {request.task} makes one; to start an older one give its number, which "
        f"`recognizer models {request.task}` lists",
    )


def _disagreement(settings: Settings, store: Store, chosen: versions.Version, champion: Champion) -> float | None:
    """Share of the test cases that the two answer differently; None unless the version's night has measured that."""
    row = next((row for row in nights.list(store, chosen.task) if row.id == chosen.night_id), None)
    if row is None or row.champion_digest != champion.digest:
        return None
    card = PackageStore(settings.home.packages).card(chosen.digest)
    evaluated = settings.home.run(chosen.task, card.identity) / "evaluated"
    form = INT8 if card.precision == INT8 else FLOAT
    try:
        return read_measured(evaluated, form).disagreement if has_measured(evaluated, form) else None
    except FormatError:  # written by an earlier version
        return None


def _has_blessing(settings: Settings, digest: str) -> bool:
    return (settings.home.packages / digest / BLESSING).exists()


def _verify(settings: Settings, digest: str) -> None:
    packages, keyring = PackageStore(settings.home.packages), Keyring.open(settings.home.keys)
    packages.verify(digest, keyring)
    verify_blessing(packages.path(digest), digest, keyring)


def _require_classes(settings: Settings, request: StartRequest, chosen: versions.Version, champion: Champion) -> None:
    if request.accept_new_labels:
        return
    packages = PackageStore(settings.home.packages)
    ours, theirs = packages.card(chosen.digest).classes, packages.card(champion.digest).classes
    if ours != theirs:
        added, gone = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
        parts = [f"{word} {', '.join(names)}" for word, names in (("new:", added), ("gone:", gone)) if names]
        raise LineageChanged(
            f"version {chosen.version} knows other classes than champion {champion.version} "
            f"({'; '.join(parts) or 'the order differs'})",
            where=f"task {request.task!r}",
            hint="callers will get other answers; --accept-new-labels starts it all the same",
        )


def lift_quarantine(settings: Settings, store: Store, digest: str, reason: str) -> None:
    """Let a digest, or the only one that begins so, out of quarantine.

    Raises:
        UsageError: no reason.
        NotFound: none in quarantine begins so, or several do.
    """
    if not reason.strip():
        raise UsageError("letting a digest out needs a reason", hint="give --reason: it is kept in the audit trail")
    found = [one.digest for one in quarantine.list(store) if one.digest.startswith(digest)]
    if len(found) != 1 or not digest:
        raise NotFound(
            f"{len(found)} digests in quarantine begin with {digest[:64]!r}",
            hint="`recognizer rollout quarantine` lists them; give more of the digest",
        )
    quarantine.lift(store, found[0], who=person(), reason=reason)
    audit.write_head(store, settings.home)
