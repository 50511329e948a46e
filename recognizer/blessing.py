"""The blessing: the stored proof that a package passed its gates. No blessing, no load.

It is signed over the digests of package, test set and gate configuration and over the verdicts with their numbers, and
lies beside the package's files as `blessing.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recognizer.checks import Check, Verdict, worst
from recognizer.digest import canonical_json, sha256_bytes, sha256_file
from recognizer.errors import FormatError, PackageTampered, PackageUnblessed, UsageError
from recognizer.expected import expected_checks
from recognizer.home import atomic_write, write_once, writing
from recognizer.keys import Keyring, Signature, Signer
from recognizer.package import BLESSING, CARD, MANIFEST

PURPOSE = "blessing"


@dataclass(frozen=True)
class Blessing:
    """What was proven about a package.

    Attributes:
        package: its digest.
        test_digest: of the frozen test set it was judged on.
        gates_digest: of the configuration of all gates.
        verdicts: the checks with their numbers.
        who: the process that blessed it.
        when: UTC, ISO 8601.
        night: date of the night.
        override: why a person blessed it against its gates; None when every gate passed.
        signature: by whom; None before it is signed.
    """

    package: str
    test_digest: str
    gates_digest: str
    verdicts: tuple[Check, ...]
    who: str
    when: str
    night: str
    override: str | None = None
    signature: Signature | None = None

    def statement(self) -> bytes:
        """What is signed."""
        return canonical_json(self._plain())

    def as_dict(self) -> dict[str, Any]:
        signature = self.signature.as_dict() if self.signature else None
        return {**self._plain(), "signature": signature}

    def _plain(self) -> dict[str, Any]:
        plain = {name: value for name, value in asdict(self).items() if name not in ("verdicts", "signature")}
        if self.override is None:
            del plain["override"]  # blessings from before there were any say the same
        return {**plain, "verdicts": [_signed_check(check) for check in self.verdicts]}


def _signed_check(check: Check) -> dict[str, Any]:
    """Without the interval where there is none, as checks were signed before there were any."""
    plain = check.as_dict()
    return {name: value for name, value in plain.items() if name != "interval" or value is not None}


def bless(
    folder: Path,
    *,
    digest: str,
    test_digest: str,
    gates: Mapping[str, Any],
    checks: Sequence[Mapping[str, Any] | Check],
    who: str,
    night: str,
    signer: Signer,
    now: datetime,
    override: str | None = None,
) -> Blessing:
    """Bless the package in `folder`, when every gate said yes. A package that is blessed keeps its first blessing.

    Args:
        gates: the configuration of every gate that has to have a say, by name.
        checks: what they said.
        override: a person's reason to bless it although gates said no; each of them must have had its say.

    Raises:
        PackageUnblessed: a gate is missing or did not say PASSED; says which, with numbers.
        UsageError: an override without a reason.
        PackageTampered: the folder is not the package of this digest and test set.
    """
    if override is not None and not override.strip():
        raise UsageError("an override needs a reason", hint="say why: it is signed and kept")
    _require_package(folder, digest, test_digest)
    verdicts = tuple(check if isinstance(check, Check) else Check.from_dict(check) for check in checks)
    problem = refusal(gates, verdicts, override=override is not None)
    if problem is not None:
        raise PackageUnblessed(problem, where=str(folder), hint="`recognizer gates` shows every check")
    fresh = Blessing(
        package=digest,
        test_digest=test_digest,
        gates_digest=sha256_bytes(canonical_json(gates)),
        verdicts=verdicts,
        who=who,
        when=now.astimezone(UTC).isoformat(timespec="seconds"),
        night=night,
        override=override,
    )
    signed = _signed(fresh, signer)
    content = json.dumps(signed.as_dict(), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    path = folder / BLESSING
    if write_once(path, content):
        return signed
    try:
        return verify_blessing(folder, digest, signer.keyring)
    except PackageUnblessed:
        # damaged, forged, or by a key that is not used any more: the proof is at hand, so it is replaced
        atomic_write(path, content)
        return signed


def withdraw_blessing(folder: Path) -> None:
    """Take the blessing away, if there is one: a later judgement said no."""
    with writing(folder):
        (folder / BLESSING).unlink(missing_ok=True)


def refusal(gates: Mapping[str, Any], verdicts: Sequence[Check], *, override: bool = False) -> str | None:
    """Why these checks do not add up to a blessing; None when they do, or when a person overrides what they say.

    Args:
        gates: what each configured gate asks for, by name.
    """
    if not gates:
        return "no gate is configured"
    silent = sorted(set(gates) - {check.gate for check in verdicts})
    if silent:
        return f"no check of gate {', '.join(silent)}"
    if override:
        return None
    if worst(check.verdict for check in verdicts) is not Verdict.PASSED:
        return "; ".join(
            f"{check.gate}/{check.name} {check.verdict}: {check.reason}"
            for check in verdicts
            if check.verdict is not Verdict.PASSED
        )
    missing = sorted(expected_checks(gates) - {(check.gate, check.name) for check in verdicts})
    if missing:
        named = ", ".join("/".join(one) for one in missing)
        return f"{len(missing)} of the configured checks were not made: {named}"
    return None


def verify_blessing(folder: Path, digest: str, keyring: Keyring) -> Blessing:
    """Make sure that the package of this digest is blessed by a trusted key.

    Raises:
        PackageUnblessed: there is no blessing, or it is damaged, forged, or another package's.
    """
    path = folder / BLESSING
    try:
        blessing = parse_blessing(path.read_bytes())
        statement = blessing.statement()
    except FileNotFoundError as error:
        raise _unblessed(folder, "it was never blessed") from error
    except (OSError, ValueError, FormatError) as error:
        raise _unblessed(path, f"the blessing cannot be read: {error}") from error
    if blessing.package != digest:
        raise _unblessed(path, f"the blessing is of package {blessing.package[:12]}, not of {digest[:12]}")
    if blessing.signature is None or not keyring.trusts(blessing.signature, PURPOSE, statement):
        raise _unblessed(path, f"the blessing is not signed by one of the {len(keyring.keys)} trusted keys")
    if blessing.override is None and worst(check.verdict for check in blessing.verdicts) is not Verdict.PASSED:
        raise _unblessed(path, "the blessing holds a check that did not pass")
    return blessing


def parse_blessing(content: bytes) -> Blessing:
    """Read a `blessing.json`, without asking whether it is true.

    Raises:
        FormatError: it is none.
    """
    try:
        plain = json.loads(content)
        texts = {name: plain.pop(name) for name in ("package", "test_digest", "gates_digest", "who", "when", "night")}
        override = plain.pop("override", None)
        verdicts = tuple(Check.from_dict(check) for check in plain.pop("verdicts"))
        signature = Signature.from_dict(plain.pop("signature"))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(f"no blessing: {type(error).__name__}: {error}") from error
    if plain or not all(isinstance(text, str) for text in (*texts.values(), override or "")):
        raise FormatError("no blessing: other fields than expected")
    return Blessing(**texts, verdicts=verdicts, override=override, signature=signature)


def _signed(blessing: Blessing, signer: Signer) -> Blessing:
    signature = signer.sign(PURPOSE, blessing.statement())
    return Blessing(**{**vars(blessing), "signature": signature})


def _require_package(folder: Path, digest: str, test_digest: str) -> None:
    try:
        same = sha256_file(folder / MANIFEST) == digest
        judged_on = json.loads((folder / CARD).read_bytes())["test_digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackageTampered("it cannot be read", where=str(folder), hint="run the night again") from error
    if not same:
        raise PackageTampered(f"it is not package {digest[:12]}", where=str(folder), hint="run the night again")
    if judged_on != test_digest:
        raise PackageTampered(
            f"its card names test set {str(judged_on)[:12]}, the checks were made on {test_digest[:12]}",
            where=str(folder),
            hint="judge it on the test set of its own snapshot",
        )


def _unblessed(path: Path, what: str) -> PackageUnblessed:
    return PackageUnblessed(what, where=str(path), hint="only a night whose gates all pass blesses a package")
