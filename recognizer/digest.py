"""SHA-256 digests, as 64 hex digits: the identity of everything that is stored by content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from recognizer.errors import FormatError

_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


def sha256_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Digest of a file's content, read piece by piece."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def sha256_tree(root: Path, files: Iterable[Path] | None = None) -> str:
    """Digest of files with their names relative to `root`, whatever the order they are given in.

    Args:
        files: default: every file below `root`.
    """
    chosen = (path for path in root.rglob("*") if path.is_file()) if files is None else files
    names = sorted((path.relative_to(root).as_posix(), path) for path in chosen)
    return sha256_bytes("".join(f"{name}\0{sha256_file(path)}\n" for name, path in names).encode())


def is_digest(text: str) -> bool:
    """Whether a text looks like a digest; what does not must never become part of a path."""
    return _DIGEST.fullmatch(text) is not None


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value, for digests and signatures: sorted keys, no spaces, UTF-8.

    Raises:
        FormatError: holds something JSON has no form for, NaN and infinity among them.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise FormatError(f"has no JSON form: {error}", hint="use None where a number is missing") from error
