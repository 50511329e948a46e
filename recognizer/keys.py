"""Ed25519 keys that sign packages and blessings.

The folder holds `signing.key` (the private key, mode 0600, made on first use) and one `<key id>.pub` for every key
that is trusted. Serving needs the `.pub` files only. To change the key: `Signer.rotate`; what the old one signed
stays trusted until its `.pub` is removed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from recognizer.digest import sha256_bytes
from recognizer.errors import FormatError, TrustError
from recognizer.home import atomic_write, write_once, writing

PRIVATE_NAME = "signing.key"
ALGORITHM = "ed25519"


@dataclass(frozen=True)
class Signature:
    """A signature and the key that made it."""

    key: str
    value: bytes

    def as_dict(self) -> dict[str, str]:
        return {"algorithm": ALGORITHM, "key": self.key, "signature": base64.b64encode(self.value).decode()}

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """The signature that `as_dict` wrote.

        Raises:
            FormatError: it is none.
        """
        if not isinstance(plain, Mapping) or set(plain) != {"algorithm", "key", "signature"}:
            raise FormatError("a signature has the fields algorithm, key and signature")
        if plain["algorithm"] != ALGORITHM or not isinstance(plain["key"], str):
            raise FormatError(f"a signature is made with {ALGORITHM}")
        try:
            return cls(plain["key"], base64.b64decode(plain["signature"], validate=True))
        except (binascii.Error, ValueError, TypeError) as error:
            raise FormatError("a signature is base64") from error


@dataclass(frozen=True)
class Signer:
    """Holds the private key; only who packages and blesses has one."""

    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the private key, making it when there is none; several processes may do so at once.

        Raises:
            TrustError: the key is damaged, or others can read it.
            StorageError: the folder cannot be written.
        """
        path = folder / PRIVATE_NAME
        if not path.exists():
            with writing(folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_once(path, _private_pem(Ed25519PrivateKey.generate()), mode=0o600)
        signer = cls(_read_private(path))
        signer._publish(folder)
        return signer

    @classmethod
    def rotate(cls, folder: Path) -> Self:
        """Sign with a new key from now on; the old one's `.pub` stays, so what it signed stays trusted.

        Raises:
            StorageError: the folder cannot be written.
        """
        cls.open(folder)
        fresh = cls(Ed25519PrivateKey.generate())
        # trusted before it signs: a killed rotation leaves a key nobody uses, never a signature nobody knows
        fresh._publish(folder)
        waiting = folder / f".{PRIVATE_NAME}.next"
        with writing(folder):
            waiting.unlink(missing_ok=True)
            write_once(waiting, _private_pem(fresh._key), mode=0o600)
            waiting.replace(folder / PRIVATE_NAME)
        return fresh

    @property
    def key_id(self) -> str:
        return key_id(self._key.public_key())

    @property
    def keyring(self) -> Keyring:
        """A keyring that trusts this key alone."""
        return Keyring({self.key_id: self._key.public_key()})

    def sign(self, purpose: str, message: bytes) -> Signature:
        """Sign a message for one purpose: a signature over a package is never one over a blessing."""
        return Signature(self.key_id, self._key.sign(_framed(purpose, message)))

    def _publish(self, folder: Path) -> None:
        path = folder / f"{self.key_id}.pub"
        if not path.exists():
            atomic_write(path, self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@dataclass(frozen=True)
class Keyring:
    """The public keys that are trusted, by key id."""

    keys: Mapping[str, Ed25519PublicKey]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read every `.pub` of a folder; a folder that is missing trusts nobody.

        Raises:
            TrustError: a `.pub` file is damaged or carries another key's name.
        """
        keys = {}
        for path in sorted(folder.glob("*.pub")):
            keys[path.stem] = _read_public(path)
        return cls(keys)

    def trusts(self, signature: Signature, purpose: str, message: bytes) -> bool:
        """Whether a trusted key signed this message for this purpose."""
        key = self.keys.get(signature.key)
        if key is None:
            return False
        try:
            key.verify(signature.value, _framed(purpose, message))
        except InvalidSignature:
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    return sha256_bytes(key.public_bytes(Encoding.Raw, PublicFormat.Raw))[:16]


def _framed(purpose: str, message: bytes) -> bytes:
    return f"recognizer {purpose}\n".encode() + message


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_private(path: Path) -> Ed25519PrivateKey:
    if path.stat().st_mode & 0o077:
        raise TrustError("others can read the private key", where=str(path), hint=f"chmod 600 {path}")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, OSError) as error:
        raise _damaged(path, "private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path, "private")
    return key


def _read_public(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm, OSError) as error:
        raise _damaged(path, "public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _damaged(path, "public")
    if key_id(key) != path.stem:
        raise TrustError(
            f"the key in this file has the id {key_id(key)}", where=str(path), hint="rename the file to <key id>.pub"
        )
    return key


def _damaged(path: Path, which: str) -> TrustError:
    return TrustError(
        f"this is no {which} Ed25519 key",
        where=str(path),
        hint="put back a backup, or remove it and run the night again to sign with a new key",
    )
