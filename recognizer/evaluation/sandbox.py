"""The record of one run in the sandbox: what the real service made of a candidate before it was blessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from recognizer.errors import FormatError

FORMAT = 1


@dataclass(frozen=True)
class ShadowRun:
    """What became of requests that the champion answered, and the candidate off their path.

    Attributes:
        requests: that the champion answered.
        compared: of them, that both answered.
        agreed: of those, with the same class.
        lost: `requests` less `compared`: the candidate failed, or was never asked.
    """

    requests: int
    compared: int
    agreed: int
    lost: int

    @property
    def agreement(self) -> float | None:
        """Share of the compared answers with the same class; None of none."""
        return self.agreed / self.compared if self.compared else None


@dataclass(frozen=True)
class SandboxRun:
    """What one candidate did in the sandbox. Times in seconds where the name says nothing else.

    Attributes:
        source: where the requests came from, in words.
        recorded: whether they are recorded traffic; else they are training cases.
        requests: sent to the candidate.
        failed: requests without an answer, by kind (`recognizer.traffic.report`), the most frequent first.
        examples: one message for each kind of failure.
        by_another: answers that are not the candidate's: the champion stood in for it, or another digest answered.
        not_asked: requests to the candidate that found all its threads busy or were too late for it: the load of the
            machine may be the reason as well as the model. The champion answered them.
        compared: answers of the candidate that were held against those computed offline.
        agreed: of those, with the same class.
        max_difference: the largest difference of one score, over all compared answers; None of none. The service
            rounds scores to six digits.
        rate: requests a second as they were sent; None with fewer than two.
        p50_ms, p95_ms: latency of the answers, from when each request was due; None without answers.
        ready_seconds: from the start of the service until it could answer; None when it never could.
        memory_mb: the most that one worker held (resident); None when nobody could see it.
        memory_limit_mb: what each process could have (writable memory).
        seconds: the whole run.
        shadow: None when there is no champion to compare with, or the run did not come so far.
        problem: why the service did not come up, or did not come to the end, in one line; None when it did. Then the
            numbers count what was done until then.
    """

    source: str
    recorded: bool
    memory_limit_mb: int
    requests: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    by_another: int = 0
    not_asked: int = 0
    compared: int = 0
    agreed: int = 0
    max_difference: float | None = None
    rate: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    ready_seconds: float | None = None
    memory_mb: float | None = None
    seconds: float = 0.0
    shadow: ShadowRun | None = None
    problem: str | None = None

    @property
    def failures(self) -> int:
        """Requests without an answer."""
        return sum(self.failed.values())

    @property
    def agreement(self) -> float | None:
        """Share of the compared answers with the class that was computed offline; None of none."""
        return self.agreed / self.compared if self.compared else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = asdict(self)
        return {"format": FORMAT, **plain, "failed": dict(self.failed), "examples": dict(self.examples)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The run that `as_dict` wrote.

        Raises:
            FormatError: it is not one, or of another format version.
        """
        hint = "judge the version again"
        if not isinstance(plain, Mapping) or plain.get("format") != FORMAT:
            found = plain.get("format") if isinstance(plain, Mapping) else plain
            raise FormatError(f"a sandbox run of format {found!r}, expected {FORMAT}", hint=hint)
        told = {name: value for name, value in plain.items() if name != "format"}
        names = {one.name for one in fields(cls)}
        if set(told) != names:
            raise FormatError(f"a sandbox run has the fields {sorted(told)}, expected {sorted(names)}", hint=hint)
        try:
            shadow = None if told["shadow"] is None else ShadowRun(**told["shadow"])
            mappings = {name: dict(told[name]) for name in ("failed", "examples")}
        except (TypeError, ValueError) as error:
            raise FormatError(f"a sandbox run that cannot be read: {error}", hint=hint) from error
        return cls(**{**told, **mappings, "shadow": shadow})
