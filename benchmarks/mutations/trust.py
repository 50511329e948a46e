"""Faults of the proof: what was blessed is not what is to serve, or was never blessed at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.mutations.base import TASK, Night, blessed
from benchmarks.mutations.fault import Fault, Refusal, refusal_by
from recognizer.blessing import PURPOSE, Blessing, parse_blessing, verify_blessing
from recognizer.checks import Check, Verdict
from recognizer.keys import Keyring, Signer
from recognizer.package import BLESSING, CARD, MANIFEST, MODEL, SIGNATURE, PackageStore
from recognizer.store import Store, freezes, open_store, quarantine, versions
from recognizer.store.served import promote

GROUP = "proof"


@contextmanager
def _packaged(night: Night) -> Iterator[tuple[PackageStore, str]]:
    """A copy of the candidate's package, blessed with the sound night's contract, to do with as one likes."""
    with TemporaryDirectory(dir=night.folder) as folder:
        packages = PackageStore(Path(folder))
        digest = packages.build(night.exported / "model.onnx", night.card(), night.signer)
        original = night.package(night.exported / "model.onnx")
        blessed(night, original, night.contract, {"contract": {}})
        copy(night.packages.path(original) / BLESSING, packages.path(digest) / BLESSING)
        yield packages, digest


def _admitted(night: Night, packages: PackageStore, digest: str) -> None:
    """What serving and nights ask of a package."""
    keyring = Keyring.open(night.home.keys)
    packages.verify(digest, keyring)
    verify_blessing(packages.path(digest), digest, keyring)


def _tampered(name: str, done: str, gate: str, check: str, change: Callable[[Night, Path], None]) -> Fault:
    """A fault that changes files of a blessed package."""

    def judge(night: Night) -> list[Refusal]:
        with _packaged(night) as (packages, digest):
            _admitted(night, packages, digest)  # or the fault would not be what is refused
            change(night, packages.path(digest))
            return refusal_by(gate, lambda: _admitted(night, packages, digest))

    return Fault(name, GROUP, done, gate, judge, check)


def _swap_model(night: Night, package: Path) -> None:
    copy(night.export_of("swapped", night.model.SerializeToString() + b"\x00") / MODEL, package / MODEL)


def _swap_both(night: Night, package: Path) -> None:
    """Model and manifest of another package, whose digest this folder does not bear."""
    other = night.packages.path(night.package(night.exported / MODEL, seed=9))
    for name in (MODEL, CARD, MANIFEST, SIGNATURE):
        copy(other / name, package / name)


def _reorder_classes(_night: Night, package: Path) -> None:
    card = json.loads((package / CARD).read_text())
    (package / CARD).write_text(json.dumps({**card, "classes": card["classes"][::-1]}))


def _edit(change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> Callable[[Night, Path], None]:
    """Another content of the blessing, under the signature that it had."""

    def edit(_night: Night, package: Path) -> None:
        path = package / BLESSING
        path.write_text(json.dumps({**(plain := json.loads(path.read_text())), **change(plain)}))

    return edit


def _first_check(plain: dict[str, Any], **changes: Any) -> Mapping[str, Any]:
    first, *rest = plain["verdicts"]
    return {"verdicts": [{**first, **changes}, *rest]}


def _sign(night: Night, package: Path, signer: Signer, **changes: Any) -> None:
    """A blessing with other content and a fresh signature over it."""
    blessing: Blessing = replace(parse_blessing((package / BLESSING).read_bytes()), **changes)
    signed = replace(blessing, signature=signer.sign(PURPOSE, blessing.statement()))
    (package / BLESSING).write_text(json.dumps(signed.as_dict()))


def _forge(night: Night, package: Path) -> None:
    _sign(night, package, Signer.open(night.folder / "strange-keys"))


def _sign_failed(night: Night, package: Path) -> None:
    """By the right key, with a check that said no and nobody's override."""
    first, *rest = parse_blessing((package / BLESSING).read_bytes()).verdicts
    _sign(night, package, night.signer, verdicts=(replace(first, verdict=Verdict.FAILED), *rest))


def _blessing_of_another(night: Night, package: Path) -> None:
    other = night.package(night.exported / MODEL, seed=5)
    blessed(night, other, night.contract, {"contract": {}})
    copy(night.packages.path(other) / BLESSING, package / BLESSING)


def _refused_blessing(name: str, done: str, check: str, **changes: Any) -> Fault:
    """A blessing that nobody may give; `changes` of what it is asked for."""

    def judge(night: Night) -> list[Refusal]:
        digest = night.package(night.exported / MODEL, seed=7)
        asked = {"checks": night.contract, "gates": {"contract": {}}, **changes}
        return refusal_by("blessing", lambda: blessed(night, digest, asked.pop("checks"), asked.pop("gates"), **asked))

    return Fault(name, GROUP, done, "blessing", judge, check)


def _promoted(
    name: str, done: str, check: str, before: Callable[[Store, str], str | None], digest: str | None = None
) -> Fault:
    """A promotion that the store has to refuse; `before` prepares it and says against which champion it was decided."""

    def judge(night: Night) -> list[Refusal]:
        with TemporaryDirectory(dir=night.folder) as folder, open_store(f"sqlite:///{folder}/store.db") as store:
            for number in (1, 2, 3):
                _register(store, number)
            promote(store, task=TASK, version=1, digest=_name(1), expected=None, reason="the first")
            expected = before(store, _name(3))
            return refusal_by(
                "promotion",
                lambda: promote(
                    store,
                    task=TASK,
                    version=3,
                    digest=digest or _name(3),
                    expected=expected,
                    reason="all checks passed",
                ),
            )

    return Fault(name, GROUP, done, "promotion", judge, check)


def _name(number: int) -> str:
    return f"{number}" * 64


def _register(store: Store, number: int) -> None:
    facts = {"snapshot": "0" * 64, "test_digest": "1" * 64, "verdict": "PASSED", "metrics": {}}
    versions.record(store, task=TASK, version=number, digest=_name(number), **facts)


def _overtaken(store: Store, _digest: str) -> str:
    promote(store, task=TASK, version=2, digest=_name(2), expected=_name(1), reason="another night")
    return _name(1)


def _quarantined(store: Store, digest: str) -> str:
    quarantine.put(store, digest, task=TASK, reason="it failed in service", who="operator")
    return _name(1)


def _frozen(store: Store, _digest: str) -> str:
    freezes.freeze(store, TASK, who="operator", reason="an incident")
    return _name(1)


_FAILED = Check("absolute", "accuracy", 0.5, 0.9, "min", None, 100, Verdict.FAILED, "accuracy 0.500 < 0.900")
_PASSED = replace(_FAILED, value=0.95, verdict=Verdict.PASSED, reason="accuracy 0.950 ≥ 0.900")
_TAMPERED, _UNBLESSED = "PackageTampered", "PackageUnblessed"

FAULTS = (
    _tampered("model swapped after blessing", "one byte more in model.onnx", "package", _TAMPERED, _swap_model),
    _tampered(
        "whole package swapped", "files of another signed package in its folder", "package", _TAMPERED, _swap_both
    ),
    _tampered(
        "classes changed after blessing",
        "the card's class list in another order",
        "package",
        _TAMPERED,
        _reorder_classes,
    ),
    _tampered(
        "manifest changed",
        "the manifest has one more line",
        "package",
        _TAMPERED,
        lambda _, package: (package / MANIFEST).write_bytes((package / MANIFEST).read_bytes() + b"\n"),
    ),
    _tampered(
        "file added",
        "a file of custom operators lies beside the model",
        "package",
        _TAMPERED,
        lambda _, package: (package / "operators.so").write_bytes(b"\x7fELF"),
    ),
    _tampered(
        "package unsigned",
        "its signature is missing",
        "package",
        "PackageUnsigned",
        lambda _, package: (package / SIGNATURE).unlink(),
    ),
    _tampered(
        "never blessed",
        "its blessing is missing",
        "blessing",
        _UNBLESSED,
        lambda _, package: (package / BLESSING).unlink(),
    ),
    _tampered("forged blessing", "signed by a key that nobody trusts", "blessing", _UNBLESSED, _forge),
    _tampered(
        "another package's blessing",
        "a true blessing, of another package",
        "blessing",
        _UNBLESSED,
        _blessing_of_another,
    ),
    _tampered(
        "check taken out of a blessing",
        "one verdict is missing",
        "blessing",
        _UNBLESSED,
        _edit(lambda plain: {"verdicts": plain["verdicts"][1:]}),
    ),
    _tampered(
        "number changed in a blessing",
        "one value is another",
        "blessing",
        _UNBLESSED,
        _edit(lambda plain: _first_check(plain, value=0.123)),
    ),
    _tampered(
        "override written into a blessing",
        "a reason to bless it all the same, under the old signature",
        "blessing",
        _UNBLESSED,
        _edit(lambda _: {"override": "trust me"}),
    ),
    _tampered(
        "failed check under a true signature",
        "signed by the right key, without override",
        "blessing",
        _UNBLESSED,
        _sign_failed,
    ),
    _refused_blessing(
        "blessing with a failed check", "a night asks for it", _UNBLESSED, checks=(_FAILED,), gates={"absolute": {}}
    ),
    _refused_blessing(
        "blessing without a gate's say",
        "relative is configured and made no check",
        _UNBLESSED,
        checks=(_PASSED,),
        gates={"absolute": {}, "relative": {}},
    ),
    _refused_blessing("blessing without gates", "no gate is configured", _UNBLESSED, gates={}),
    _refused_blessing("override without a reason", "it is blank", "UsageError", override=" "),
    _refused_blessing(
        "blessing of another test set",
        "the checks were made on another test set than the card says",
        _TAMPERED,
        test_digest="9" * 64,
    ),
    _promoted("stale champion", "another version was promoted between judging and promoting", "Conflict", _overtaken),
    _promoted("version in quarantine", "it was put there between judging and promoting", "Conflict", _quarantined),
    _promoted("frozen task", "somebody has frozen it because of an incident", "Conflict", _frozen),
    _promoted(
        "another digest than registered",
        "version 3 is promoted with a digest nobody registered",
        "NotFound",
        lambda *_: _name(1),
        "8" * 64,
    ),
)
