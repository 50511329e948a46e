"""Packages: what is deployed. One folder per model, named by its digest, checked file by file before it is loaded.

packages/<digest>/
  model.onnx       weights inside
  package.json     the card
  manifest.json    SHA-256 and size of the two; the digest of this file is the package's digest
  signature.json   over the digest, by the home's key
  blessing.json    the proof that it passed its gates (see `blessing`)
  model_card.md    the same for people (see `report.model_card`); no part of the digest, nobody reads it to decide
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from recognizer.card import PackageCard, Tensor, parse_card
from recognizer.digest import canonical_json, is_digest, sha256_bytes, sha256_file
from recognizer.errors import FormatError, InputError, NotFound, PackageTampered, PackageUnsigned, UsageError
from recognizer.home import atomic_write, writing
from recognizer.keys import Keyring, Signature, Signer

__all__ = ["PackageCard", "PackageStore", "Tensor"]

MODEL, CARD, MANIFEST, SIGNATURE, BLESSING, MODEL_CARD = (
    "model.onnx",
    "package.json",
    "manifest.json",
    "signature.json",
    "blessing.json",
    "model_card.md",
)
CONTENT = (MODEL, CARD)
"""The files that the manifest lists: always these."""

BESIDE = (SIGNATURE, BLESSING, MODEL_CARD)
"""Files that say something about the content, written after it; a package without them is whole."""

# what a killed signing, blessing or describing leaves; nobody reads it
_UNFINISHED = re.compile(rf"\.({'|'.join(map(re.escape, BESIDE))})\..+\.partial")

PURPOSE = "package"
MANIFEST_FORMAT = 1


class PackageStore:
    """The packages under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def build(self, model: Path, card: PackageCard, signer: Signer) -> str:
        """Make the package of an ONNX file and its card, signed; returns its digest.

        The same file and card give the same digest; a package that is there already stays as it is.

        Raises:
            InputError: there is no model file, or it is empty.
            PackageTampered: a package of this digest is there and damaged.
            StorageError: the disk does not take it; nothing half-written stays.
        """
        if not model.is_file() or not model.stat().st_size:
            raise InputError("there is no model to package", where=str(model), hint="export it first")
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            temporary = self.root / f".{os.getpid()}-{os.urandom(4).hex()}.partial"
            temporary.mkdir()
            try:
                shutil.copyfile(model, temporary / MODEL)
                (temporary / CARD).write_bytes(_pretty(card.model_dump(mode="json")))
                manifest = _manifest(
                    {name: (sha256_file(temporary / name), (temporary / name).stat().st_size) for name in CONTENT}
                )
                (temporary / MANIFEST).write_bytes(manifest)
                digest = sha256_bytes(manifest)
                (temporary / SIGNATURE).write_bytes(_signature(digest, signer))
                for path in temporary.iterdir():
                    _flush(path)
                self._move_in(temporary, self.root / digest)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        self._check_content(digest)
        if not self._signed(digest, signer.keyring):
            # by a key that is not used any more
            atomic_write(self.root / digest / SIGNATURE, _signature(digest, signer))
        return digest

    @staticmethod
    def digest(model: Path, card: PackageCard) -> str:
        """The digest that the package of these two has; nothing is made."""
        content = _pretty(card.model_dump(mode="json"))
        listed = {MODEL: (sha256_file(model), model.stat().st_size), CARD: (sha256_bytes(content), len(content))}
        return sha256_bytes(_manifest(listed))

    def remove(self, digest: str) -> None:
        """Take a package away, whatever is left of it; the store may not name it as long as it is gone."""
        folder = self.path(digest)
        with writing(folder):
            if folder.is_symlink():
                folder.unlink()
            else:
                shutil.rmtree(folder)

    def path(self, digest: str) -> Path:
        """The folder of a package; nothing is checked but that it exists.

        Raises:
            NotFound: there is no such package.
            UsageError: not a digest.
        """
        if not is_digest(digest):
            raise UsageError(f"{digest[:80]!r} is no digest", hint="`recognizer models` lists them")
        folder = self.root / digest
        if not folder.is_dir():
            raise NotFound(
                f"no package {digest[:12]}",
                where=str(folder),
                hint="run the night again, which makes the champion's package anew, or put back a backup",
            )
        return folder

    def verify(self, digest: str, keyring: Keyring, hashed: Callable[[Path], str] = sha256_file) -> PackageCard:
        """Make sure that a package is whole, unchanged, and signed by a trusted key; returns its card.

        Args:
            hashed: reads a file and returns its SHA-256; who keeps what it read has what was verified.

        Raises:
            NotFound: there is no such package.
            PackageTampered: a file was changed, added or removed, or is no plain file.
            PackageUnsigned: no signature by a trusted key.
        """
        card = self._check_content(digest, hashed)
        folder = self.root / digest
        if not (folder / SIGNATURE).exists():
            raise PackageUnsigned("it has no signature", where=str(folder), hint=_SIGN_AGAIN)
        if not self._signed(digest, keyring):
            raise PackageUnsigned(
                f"its signature is not by one of the {len(keyring.keys)} trusted keys",
                where=str(folder / SIGNATURE),
                hint=f"put the signer's .pub file into the keys folder, or {_SIGN_AGAIN}",
            )
        return card

    def card(self, digest: str) -> PackageCard:
        """The card, checked against the digest; the model and the signature are not looked at.

        Raises:
            NotFound, PackageTampered: as `verify`.
        """
        folder = self.path(digest)
        listed = _read_manifest(folder, digest)
        return _read_card(folder, listed)

    def list(self) -> list[str]:
        """The digests of all packages, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if is_digest(path.name) and path.is_dir())

    def _check_content(self, digest: str, hashed: Callable[[Path], str] = sha256_file) -> PackageCard:
        folder = self.path(digest)
        _check_names(folder)
        listed = _read_manifest(folder, digest)
        for name in CONTENT:
            path, expected = folder / name, listed[name]
            with _reading(path):
                same = path.stat().st_size == expected["size"] and hashed(path) == expected["sha256"]
            if not same:
                raise _tampered(path, _CHANGED)
        return _read_card(folder, listed)

    def _signed(self, digest: str, keyring: Keyring) -> bool:
        try:
            signature = Signature.from_dict(json.loads((self.root / digest / SIGNATURE).read_bytes()))
        except (OSError, ValueError, RecursionError, FormatError):
            return False
        return keyring.trusts(signature, PURPOSE, digest.encode())

    def _move_in(self, temporary: Path, final: Path) -> None:
        if final.is_dir():
            return
        try:
            os.rename(temporary, final)
        except OSError:
            if not final.is_dir():
                raise
            # somebody else was faster: content-addressed, so it is the same

    def _sweep(self) -> None:
        """Remove what builds that were killed left behind."""
        for path in self.root.glob(".*-*.partial"):
            pid = path.name[1:].partition("-")[0]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                shutil.rmtree(path, ignore_errors=True)


_SIGN_AGAIN = "run the night again, which signs it"
_CHANGED = "its content is not what the manifest says"


def _manifest(listed: Mapping[str, tuple[str, int]]) -> bytes:
    """The manifest of files: name → SHA-256 and size."""
    files = {name: {"sha256": sha256, "size": size} for name, (sha256, size) in listed.items()}
    return _pretty({"format": MANIFEST_FORMAT, "files": files})


def _signature(digest: str, signer: Signer) -> bytes:
    return _pretty(signer.sign(PURPOSE, digest.encode()).as_dict())


def _check_names(folder: Path) -> None:
    if folder.is_symlink():
        raise _tampered(folder, "the folder is a link")
    with _reading(folder):
        found = {entry.name: entry for entry in os.scandir(folder)}
    for name in (*CONTENT, MANIFEST):
        if name not in found:
            raise _tampered(folder / name, "the file is missing")
    for name, entry in sorted(found.items()):
        if name not in (*CONTENT, MANIFEST, *BESIDE) and not _UNFINISHED.fullmatch(name):
            raise _tampered(folder / name, "the file does not belong to the package")
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            raise _tampered(folder / name, "it is no plain file")


def _read_manifest(folder: Path, digest: str) -> dict[str, dict[str, Any]]:
    path = folder / MANIFEST
    with _reading(path):
        content = path.read_bytes()
    if sha256_bytes(content) != digest:
        raise _tampered(path, "its digest is not the package's")
    # from here on the content is what whoever named the digest meant; it may still be of another format
    try:
        manifest = json.loads(content)
        files = {
            name: {"sha256": str(one["sha256"]), "size": int(one["size"])} for name, one in manifest["files"].items()
        }
        known = manifest["format"] == MANIFEST_FORMAT and set(files) == set(CONTENT)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _tampered(path, "it is no manifest") from error
    if not known:
        raise _tampered(path, "it is no manifest of a format this version knows")
    return files


def _read_card(folder: Path, listed: dict[str, dict[str, Any]]) -> PackageCard:
    path = folder / CARD
    with _reading(path):
        content = path.read_bytes()
    if sha256_bytes(content) != listed[CARD]["sha256"]:
        raise _tampered(path, _CHANGED)
    try:
        return parse_card(content, str(path))
    except FormatError as error:
        raise PackageTampered(error.what, where=error.where, hint=error.hint) from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _tampered(path, f"it cannot be read: {error.strerror}") from error


def _pretty(value: object) -> bytes:
    """Readable and still the one text of a value."""
    return json.dumps(json.loads(canonical_json(value)), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _tampered(path: Path, what: str) -> PackageTampered:
    return PackageTampered(
        what, where=str(path), hint="run the night again, which makes the champion's package anew, or put back a backup"
    )
