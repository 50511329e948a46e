"""Packages: built once, checked file by file; blessings: only for what passed, only by who may."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognizer.blessing import bless, parse_blessing, refusal, verify_blessing
from recognizer.card import PackageCard
from recognizer.checks import Check, Verdict
from recognizer.digest import sha256_file
from recognizer.errors import (
    FormatError,
    InputError,
    NotFound,
    PackageTampered,
    PackageUnblessed,
    PackageUnsigned,
    StorageError,
    TrustError,
    UsageError,
)
from recognizer.keys import Keyring, Signer
from recognizer.package import PackageStore

NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
GATES = {"absolute": {"accuracy": 0.9}, "contract": {}}


def check(gate: str = "absolute", verdict: Verdict = Verdict.PASSED) -> Check:
    return Check(gate, "accuracy", 0.95, 0.9, "min", 0.93, 100, verdict, f"{gate} says 0.95 ≥ 0.9")


PASSED = [check("absolute"), check("contract")]


class Place:
    """A package store with keys, and a model to package."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys = root / "keys"
        self.signer = Signer.open(self.keys)
        self.store = PackageStore(root / "packages")
        self.model = root / "exported.onnx"
        self.model.write_bytes(bytes(range(256)) * 10)
        self.digest = self.build()

    @property
    def keyring(self) -> Keyring:
        return Keyring.open(self.keys)

    @property
    def folder(self) -> Path:
        return self.store.path(self.digest)

    def card(self, **changes) -> PackageCard:
        plain = {
            "task": "action",
            "classes": ("standing", "falling"),
            "inputs": (),
            "outputs": (),
            "preprocessing": {"frames": 100, "people": 4},
            "snapshot": "s",
            "test_digest": "t" * 64,
            "identity": "i",
            "code": "c",
            "seed": 7,
            "metrics": {"b": 0.5, "a": 1.0},
        }
        return PackageCard(**{**plain, **changes})

    def build(self, **changes) -> str:
        return self.store.build(self.model, self.card(**changes), self.signer)

    def bless(self, **changes):
        given = {
            "digest": self.digest,
            "test_digest": "t" * 64,
            "gates": GATES,
            "checks": PASSED,
            "who": "a test",
            "night": "2026-11-20",
            "signer": self.signer,
            "now": NOW,
        }
        return bless(self.folder, **{**given, **changes})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One that is blessed and that no test changes for good."""
    made = Place(tmp_path_factory.mktemp("shared"))
    made.bless()
    return made


def test_a_package_holds_its_files_and_is_named_by_its_manifest(place):
    assert sorted(path.name for path in place.folder.iterdir()) == [
        "manifest.json", "model.onnx", "package.json", "signature.json",
    ]  # fmt: skip
    assert place.folder.name == place.digest == sha256_file(place.folder / "manifest.json")
    assert (place.folder / "model.onnx").read_bytes() == place.model.read_bytes()
    assert place.store.verify(place.digest, place.keyring) == place.card() == place.store.card(place.digest)
    assert place.store.list() == [place.digest]


def test_the_same_model_is_the_same_package_and_another_is_not(place):
    before = {path.name: path.stat().st_mtime_ns for path in place.folder.iterdir()}
    assert place.build() == place.digest
    assert place.build(metrics={"a": 1.0, "b": 0.5}) == place.digest
    assert {path.name: path.stat().st_mtime_ns for path in place.folder.iterdir()} == before
    others = {place.build(seed=8), place.build(classes=("falling", "standing"))}
    place.model.write_bytes(b"another")
    others.add(place.build())
    assert len(others | {place.digest}) == 4
    assert place.store.list() == sorted(others | {place.digest})


def test_another_home_builds_the_same_digest(place, tmp_path):
    assert Place(tmp_path / "elsewhere").digest == place.digest


def test_processes_that_build_at_once_make_one_package(tmp_path):
    script = """
import sys, pathlib
from recognizer.keys import Signer
from recognizer.package import PackageCard, PackageStore
root = pathlib.Path(sys.argv[1])
card = PackageCard(task="a", classes=("x",), inputs=(), outputs=(), preprocessing={}, snapshot="s", test_digest="t",
                   identity="i", code="c", seed=0)
print(PackageStore(root / "packages").build(root / "model", card, Signer.open(root / "keys")))
"""
    (tmp_path / "model").write_bytes(b"weights" * 100_000)
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    digests = {child.communicate(timeout=60)[0].strip() for child in children}
    assert len(digests) == 1
    assert [path.name for path in (tmp_path / "packages").iterdir()] == list(digests)
    PackageStore(tmp_path / "packages").verify(digests.pop(), Keyring.open(tmp_path / "keys"))


def test_what_a_killed_build_left_is_swept_and_never_listed(place):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = place.store.root / f".{dead.pid}-0011aabb.partial"
    busy = place.store.root / f".{os.getpid()}-0011aabb.partial"
    for folder in (left, busy):
        folder.mkdir()
        (folder / "model.onnx").touch()
    assert place.store.list() == [place.digest]
    place.build()
    assert not left.exists()
    assert busy.exists()  # somebody may be at work in it


@pytest.mark.parametrize("content", [None, b""])
def test_there_must_be_a_model(place, content):
    place.model.unlink()
    if content is not None:
        place.model.write_bytes(content)
    with pytest.raises(InputError, match="no model"):
        place.build()


def test_a_build_that_fails_leaves_nothing(place, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device", str(place.store.root))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StorageError, match="no space left"):
        place.build(seed=9)
    assert [path.name for path in place.store.root.iterdir()] == [place.digest]


@pytest.mark.parametrize("name", ["", "..", "../keys", "0" * 63, "0" * 64 + "/..", "A" * 64])
def test_what_is_no_digest_never_becomes_a_path(shared, name):
    for ask in (shared.store.path, shared.store.card, lambda digest: shared.store.verify(digest, shared.keyring)):
        with pytest.raises(UsageError, match="no digest"):
            ask(name)


def test_a_package_that_is_not_there_is_not_found(shared, tmp_path):
    with pytest.raises(NotFound, match="no package 0000"):
        shared.store.verify("0" * 64, shared.keyring)
    assert PackageStore(tmp_path / "nowhere").list() == []


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def link(path: Path) -> None:
    """Put a link in place of a file, to the same content."""
    path.rename(path.parent.parent / "moved")
    path.symlink_to(path.parent.parent / "moved")


TAMPERINGS = {
    "model changed": lambda f: (f / "model.onnx").write_bytes(b"other weights"),
    "model of the same size": lambda f: (f / "model.onnx").write_bytes(b"x" * 2560),
    "model longer": lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes() + b"x"),
    "model missing": lambda f: (f / "model.onnx").unlink(),
    "model a link": lambda f: link(f / "model.onnx"),
    "model a folder": lambda f: ((f / "model.onnx").unlink(), (f / "model.onnx").mkdir()),
    "model a pipe": lambda f: ((f / "model.onnx").unlink(), os.mkfifo(f / "model.onnx")),
    "card changed": lambda f: edit(f / "package.json", lambda card: card.update(seed=8)),
    "card missing": lambda f: (f / "package.json").unlink(),
    "manifest changed": lambda f: edit(f / "manifest.json", lambda m: m.update(format=2)),
    "manifest missing": lambda f: (f / "manifest.json").unlink(),
    "manifest a link": lambda f: link(f / "manifest.json"),
    "a file more": lambda f: (f / "weights.bin").touch(),
    "a hidden file more": lambda f: (f / ".weights.bin").touch(),
    "a folder more": lambda f: (f / "external").mkdir(),
    "signature a link": lambda f: link(f / "signature.json"),
    "model card a link": lambda f: (f / "model_card.md").symlink_to("/etc/hostname"),
    "model card a folder": lambda f: (f / "model_card.md").mkdir(),
    "blessing a link": lambda f: (f / "blessing.json").symlink_to("/etc/hostname"),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_package_is_refused(place, tampering):
    TAMPERINGS[tampering](place.folder)
    with pytest.raises(PackageTampered) as caught:
        place.store.verify(place.digest, place.keyring)
    assert place.digest in caught.value.where
    assert caught.value.hint
    with pytest.raises(PackageTampered):  # nor is it taken for built
        place.build()


def test_a_package_under_a_link_or_another_name_is_refused(place):
    other = "a" * 64
    shutil.copytree(place.folder, place.store.root / other)
    with pytest.raises(PackageTampered, match="digest is not the package's"):
        place.store.verify(other, place.keyring)
    shutil.rmtree(place.store.root / other)
    moved = place.root / "moved"
    place.folder.rename(moved)
    (place.store.root / place.digest).symlink_to(moved)
    with pytest.raises(PackageTampered, match="is a link"):
        place.store.verify(place.digest, place.keyring)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(["model.onnx", "package.json", "manifest.json"]), where=st.integers(0), bit=st.integers(0, 7)
)
def test_no_bit_of_a_package_can_be_flipped(shared, name, where, bit):
    path = shared.folder / name
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[where % len(content)] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        with pytest.raises(PackageTampered):
            shared.store.verify(shared.digest, shared.keyring)
    finally:
        path.write_bytes(content)
    assert shared.store.verify(shared.digest, shared.keyring)


@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"algorithm": "ed25519", "key": "k", "signature": ""}']
)
def test_an_unsigned_package_is_refused_and_signed_again_by_the_next_build(place, content):
    path = place.folder / "signature.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PackageUnsigned):
        place.store.verify(place.digest, place.keyring)
    assert place.build() == place.digest
    assert place.store.verify(place.digest, place.keyring)


def test_a_package_signed_by_a_stranger_is_refused(place, tmp_path):
    stranger = Place(tmp_path / "stranger")
    assert stranger.digest == place.digest
    shutil.copy(stranger.folder / "signature.json", place.folder / "signature.json")
    with pytest.raises(PackageUnsigned, match="not by one of the 1 trusted keys"):
        place.store.verify(place.digest, place.keyring)


def test_a_signature_for_another_package_is_refused(place):
    other = place.build(seed=8)
    shutil.copy(place.store.path(other) / "signature.json", place.folder / "signature.json")
    with pytest.raises(PackageUnsigned):
        place.store.verify(place.digest, place.keyring)


def test_after_a_rotation_packages_stay_trusted_and_a_removed_key_is_replaced(place):
    old = place.signer.key_id
    place.bless()
    place.signer = Signer.rotate(place.keys)
    assert place.store.verify(place.digest, place.keyring)
    assert verify_blessing(place.folder, place.digest, place.keyring)
    (place.keys / f"{old}.pub").unlink()
    with pytest.raises(PackageUnsigned):
        place.store.verify(place.digest, place.keyring)
    with pytest.raises(PackageUnblessed):
        verify_blessing(place.folder, place.digest, place.keyring)
    place.build()
    place.bless()
    assert place.store.verify(place.digest, place.keyring)
    assert verify_blessing(place.folder, place.digest, place.keyring).signature.key == place.signer.key_id


def test_a_blessing_says_what_was_proven(place):
    blessing = place.bless()
    assert (blessing.package, blessing.test_digest, blessing.night) == (place.digest, "t" * 64, "2026-11-20")
    assert (blessing.who, blessing.when) == ("a test", "2026-11-20T03:04:05+00:00")
    assert blessing.verdicts == tuple(PASSED)
    assert verify_blessing(place.folder, place.digest, place.keyring) == blessing
    assert place.store.verify(place.digest, place.keyring)  # it is no part of the manifest
    assert parse_blessing((place.folder / "blessing.json").read_bytes()) == blessing


def test_the_first_blessing_is_kept(place):
    first = place.bless()
    assert place.bless(night="2026-11-21", who="another") == first


def test_the_gates_of_a_blessing_are_its_configuration(place):
    digests = [
        place.bless(gates=gates).gates_digest
        for gates in (GATES, dict(reversed(GATES.items())), {**GATES, "absolute": {"accuracy": 0.8}})
        if not (place.folder / "blessing.json").unlink(missing_ok=True)
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("gates", "checks", "named"),
    [
        (GATES, [], "no check of gate absolute, contract"),
        (GATES, [check("absolute")], "no check of gate contract"),
        (GATES, [check("absolute"), check("relative")], "no check of gate contract"),
        (
            {**GATES, "absolute": {"accuracy": 0.9, "f1": 0.8}},
            PASSED,
            "1 of the configured checks were not made: absolute/f1",
        ),
        (
            {**GATES, "parity": {}},
            [*PASSED, check("parity")],
            "3 of the configured checks were not made: parity/decisions",
        ),
        ({}, PASSED, "no gate is configured"),
        ({}, [], "no gate is configured"),
        (GATES, [*PASSED, check("relative", Verdict.FAILED)], "relative/accuracy FAILED: relative says 0.95"),
        (GATES, [check("absolute", Verdict.INCONCLUSIVE), check("contract")], "absolute/accuracy INCONCLUSIVE"),
        (GATES, [check("absolute"), check("contract", Verdict.ERROR)], "contract/accuracy ERROR"),
    ],
)
def test_what_did_not_pass_is_not_blessed(place, gates, checks, named):
    assert named in refusal(gates, checks)
    with pytest.raises(PackageUnblessed, match=named.replace("(", r"\(")):
        place.bless(gates=gates, checks=[one.as_dict() for one in checks])
    assert not (place.folder / "blessing.json").exists()


def test_a_person_may_bless_against_the_gates_and_that_is_signed(place):
    failed = [check("absolute", Verdict.FAILED), check("contract")]
    with pytest.raises(PackageUnblessed, match="no check of gate contract"):
        place.bless(checks=failed[:1], override="the test set is wrong")  # every gate must have had its say
    with pytest.raises(UsageError, match="reason"):
        place.bless(checks=failed, override=" ")
    blessing = place.bless(checks=failed, override="the test set is wrong")
    assert blessing.override == "the test set is wrong"
    assert verify_blessing(place.folder, place.digest, place.keyring) == blessing
    path = place.folder / "blessing.json"
    plain = json.loads(path.read_bytes())
    for forged in (
        {**plain, "override": "another reason"},
        {name: plain[name] for name in plain if name != "override"},
    ):
        path.write_text(json.dumps(forged))
        with pytest.raises(PackageUnblessed):
            verify_blessing(place.folder, place.digest, place.keyring)


def test_a_check_that_is_none_is_not_blessed(place):
    for broken in ({}, {**check().as_dict(), "verdict": "passed"}, {**check().as_dict(), "value": float("nan")}):
        with pytest.raises(FormatError):
            place.bless(checks=[*PASSED, broken])
    assert not (place.folder / "blessing.json").exists()


@pytest.mark.parametrize("changes", [{"digest": "a" * 64}, {"test_digest": "u" * 64}])
def test_only_the_package_that_was_judged_is_blessed(place, changes):
    with pytest.raises(PackageTampered):
        place.bless(**changes)
    (place.folder / "package.json").unlink()
    with pytest.raises(PackageTampered, match="cannot be read"):
        place.bless()


def test_a_package_without_blessing_is_refused(place):
    with pytest.raises(PackageUnblessed, match="never blessed"):
        verify_blessing(place.folder, place.digest, place.keyring)


def test_the_blessing_of_another_package_is_refused(place):
    place.bless()
    other = place.build(seed=8)
    shutil.copy(place.folder / "blessing.json", place.store.path(other) / "blessing.json")
    with pytest.raises(PackageUnblessed, match=f"is of package {place.digest[:12]}"):
        verify_blessing(place.store.path(other), other, place.keyring)


def forged(change):
    return lambda content: json.dumps({**content, **change(content)}).encode()


FORGERIES = {
    "better numbers": forged(lambda b: {"verdicts": [{**b["verdicts"][0], "value": 0.99}, *b["verdicts"][1:]]}),
    "a verdict less": forged(lambda b: {"verdicts": b["verdicts"][:1]}),
    "no verdict": forged(lambda b: {"verdicts": []}),
    "a failed verdict": forged(lambda b: {"verdicts": [{**b["verdicts"][0], "verdict": "FAILED"}]}),
    "another test set": forged(lambda _: {"test_digest": "u" * 64}),
    "other gates": forged(lambda _: {"gates_digest": "u" * 64}),
    "another night": forged(lambda _: {"night": "2026-11-21"}),
    "another time": forged(lambda _: {"when": "2027-01-01T00:00:00+00:00"}),
    "somebody else": forged(lambda _: {"who": "me"}),
    "no signature": forged(lambda _: {"signature": None}),
    "another key": forged(lambda b: {"signature": {**b["signature"], "key": "0" * 16}}),
    "a field more": forged(lambda _: {"trusted": True}),
    "a number for a text": forged(lambda _: {"who": 5}),
    "a text JSON cannot sign": lambda b: json.dumps({**b, "who": "\ud800"}).encode(),
    "not a number": forged(lambda b: {"verdicts": [{**b["verdicts"][0], "n": float("nan")}]}),
    "a number too large": forged(lambda b: {"verdicts": [{**b["verdicts"][0], "value": 10**400}]}),
    "a text for a number": forged(lambda b: {"verdicts": [{**b["verdicts"][0], "value": "0.9"}]}),
    "empty": lambda _: b"",
    "no object": lambda _: b"[]",
    "too deep": lambda _: b"[" * 100_000,
    "no text": lambda _: b"\xff\xfe\x00",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_blessing_is_refused_and_a_true_one_replaces_it(place, forgery):
    place.bless()
    path = place.folder / "blessing.json"
    path.write_bytes(FORGERIES[forgery](json.loads(path.read_bytes())))
    with pytest.raises(PackageUnblessed) as caught:
        verify_blessing(place.folder, place.digest, place.keyring)
    assert caught.value.hint
    place.bless()
    assert verify_blessing(place.folder, place.digest, place.keyring)


def test_a_blessing_of_a_failed_check_is_refused_even_when_it_is_signed(place, monkeypatch):
    monkeypatch.setattr("recognizer.blessing.refusal", lambda _gates, _verdicts, **_more: None)
    place.bless(checks=[check(verdict=Verdict.FAILED)])
    with pytest.raises(PackageUnblessed, match="did not pass"):
        verify_blessing(place.folder, place.digest, place.keyring)


def test_a_model_card_is_no_part_of_the_package(place):
    (place.folder / ".model_card.md.4711-0011aabb.partial").write_bytes(b"# ")
    for content in ("# good", "# anything else"):
        (place.folder / "model_card.md").write_text(content)
        assert place.store.verify(place.digest, place.keyring)
        assert place.build() == place.digest


def test_a_killed_blessing_leaves_a_package_that_can_be_blessed(place):
    (place.folder / ".blessing.json.4711-0011aabb.partial").write_bytes(b"{")
    assert place.store.verify(place.digest, place.keyring)
    place.bless()
    assert verify_blessing(place.folder, place.digest, place.keyring)


def test_every_refusal_is_a_trust_error():
    for kind in (PackageTampered, PackageUnsigned, PackageUnblessed):
        assert issubclass(kind, TrustError)
        assert (kind.exit_code, kind.http_status) == (6, 503)
