"""Which model answers a request: pure functions of the request, the split and the salt of its rollout."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from urllib.parse import parse_qsl

from recognizer.errors import NotFound, UsageError
from recognizer.rollout.split import Mode, Split

KEY_HEADER, ARM_HEADER, VERSION_HEADER = "X-Routing-Key", "X-Recognizer-Arm", "X-Recognizer-Version"
CANARY, VERSION = "canary", "version"
"""Parameters of the query that say who should answer."""
LONGEST_KEY = 1024
"""Characters of the longest routing key; it is written to the prediction log."""


class Arm(StrEnum):
    """Which side of a rollout answers."""

    # Stable traffic; in BAKE the new model.
    CHAMPION = "champion"
    # The new model, until it is promoted.
    CHALLENGER = "challenger"
    # The champion before, while the new one bakes.
    HOLDBACK = "holdback"


@dataclass(frozen=True)
class Wish:
    """What a request says about who should answer it.

    Attributes:
        key: routing key; requests with the same one are answered by the same model while the share stays.
        arm: the arm it is forced to; the champion answers when there is no such arm now.
        version: the loaded version it is pinned to; nobody else answers it.
    """

    key: str | None = None
    arm: Arm | None = None
    version: int | None = None

    @property
    def forced(self) -> bool:
        """Whether the request chose its model; then it is no evidence."""
        return self.arm is not None or self.version is not None

    def or_canary(self, canary: bool) -> Wish:
        """The same with the user's own `canary: true`, which a header overrules."""
        return replace(self, arm=Arm.CHALLENGER) if canary and self.arm is None else self


NO_WISH = Wish()


@dataclass(frozen=True)
class Choice:
    """Who is asked first.

    Attributes:
        arm: under which name.
        other: whether that is the split's model; else the champion.
    """

    arm: Arm
    other: bool


THE_CHAMPION = Choice(Arm.CHAMPION, False)


def other_arm(mode: Mode) -> Arm:
    """What the split's model is called."""
    return Arm.HOLDBACK if mode is Mode.BAKE else Arm.CHALLENGER


def place(salt: str, key: str) -> float:
    """Where a key lies in [0, 1): uniform over keys, fixed for one salt, unrelated between two."""
    return (int.from_bytes(blake2b(f"{salt}:{key}".encode(), digest_size=8).digest()) >> 11) * 2.0**-53


def in_share(split: Split, share: float, key: str) -> bool:
    """Whether the split's model answers this key. Monotone: a key that it answers stays with it as the share grows.

    The challenger's share lies at the lower end and the hold-back's at the upper one, so that no key that the
    challenger answered goes back to the old model at the promotion.
    """
    if share <= 0:
        return False
    at = place(split.salt, key)
    return at >= 1 - share if split.mode is Mode.BAKE else at < share


def choose(champion: int, split: Split | None, wish: Wish, prediction_id: str, share: float) -> Choice:
    """Who is asked first.

    Args:
        champion: version of the champion.
        split: what stands beside it in this process, if it is loaded.
        share: what the split's model may answer here and now: the split's share, or 0.

    Raises:
        NotFound: the request is pinned to a version that is not loaded.
    """
    if wish.version is not None:
        return _pinned(champion, split, wish.version)
    if split is None:
        return THE_CHAMPION
    other = Choice(other_arm(split.mode), True)
    if wish.arm is not None:
        return other if wish.arm is other.arm else THE_CHAMPION
    return other if in_share(split, share, wish.key or prediction_id) else THE_CHAMPION


def _pinned(champion: int, split: Split | None, version: int) -> Choice:
    if version == champion:
        return THE_CHAMPION
    if split is not None and version == split.version:
        return Choice(other_arm(split.mode), True)
    loaded = [str(champion)] if split is None else [str(champion), str(split.version)]
    raise NotFound(
        f"version {version} is not loaded; loaded: {', '.join(loaded)}",
        where=VERSION_HEADER,
        hint="ask for a loaded version, or leave it out",
    )


def read_query(query: bytes, known: Collection[str]) -> dict[str, str]:
    """The parameters of a query.

    Args:
        known: beside those that say who should answer.

    Raises:
        UsageError: a parameter that nobody knows, or one that is there twice.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in (CANARY, VERSION, *known):
            hint = f"these are known: {', '.join(sorted((CANARY, VERSION, *known)))}"
            raise UsageError(f"has a parameter {name[:64]!r}, which means nothing here", where="query", hint=hint)
        if name in found:
            raise UsageError(f"says {name!r} twice", where="query", hint="say it once")
        found[name] = value
    return found


def read_wish(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> Wish:
    """The wish in a request's headers (lower-case names) and query; a header overrules the query.

    Raises:
        UsageError: a value that means nothing.
    """
    key, arm, version = (_header(headers, name) for name in (KEY_HEADER, ARM_HEADER, VERSION_HEADER))
    version = query.get(VERSION) if version is None else version
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise UsageError(f"has {len(key)} characters", where=KEY_HEADER, hint=f"send 1 to {LONGEST_KEY}")
    wish = Wish(key, None if arm is None else _arm(arm), None if version is None else _version(version))
    return wish.or_canary(CANARY in query and _truth(query[CANARY]))


def _header(headers: Mapping[bytes, bytes], name: str) -> str | None:
    value = headers.get(name.lower().encode())
    return None if value is None else value.decode("latin-1").strip()


def _arm(text: str) -> Arm:
    try:
        return Arm(text.lower())
    except ValueError:
        raise UsageError(f"{text!r} is no arm", where=ARM_HEADER, hint=f"send one of {', '.join(Arm)}") from None


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"{text!r} is no version", where=VERSION_HEADER, hint="send a number, such as 7")
    return int(text)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise UsageError(f"{text!r} is neither true nor false", where=CANARY, hint="send ?canary=true")
    return text.lower() in ("true", "1")
