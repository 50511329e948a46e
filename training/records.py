"""What stages leave beside their results: digests, and JSON that is the same for the same content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from recognizer.home import atomic_write


def digest_of(content: object) -> str:
    """SHA-256 over what JSON can carry."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, content: object) -> None:
    atomic_write(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
