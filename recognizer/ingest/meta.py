"""What a recording's file does not say itself: class names and who is seen in which sequence."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from recognizer.errors import FormatError, InputError, LabelError, UsageError

# NTU RGB+D names its files setup, camera, person, replication, action: S001C002P003R002A013.
NTU_NAME = r"^S\d{3}C\d{3}(?P<subject>P\d{3})R\d{3}A\d{3}"
PATTERN_HINT = "write a regular expression with one group, such as '^(p[0-9]+)_'"
NAME_LENGTH = 200
UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories that no name may hold: control characters, lone surrogates, ends of lines and paragraphs."""
EXAMPLE = '{"classes": ["walking", ...], "subject_of": {"sequence name": "person", ...}}'


def usable_name(name: str) -> bool:
    """Whether a class or a person can be called so: something is seen, on one line, of at most 200 characters."""
    return 0 < len(name.strip()) <= len(name) <= NAME_LENGTH and not any(
        unicodedata.category(character) in UNSHOWN for character in name
    )


def require_names(names: Iterable[str], what: str, where: str) -> None:
    """Raise FormatError unless every one is usable."""
    for name in names:
        if not usable_name(name):
            raise FormatError(
                f"{what} {name[:NAME_LENGTH]!a} cannot be used as a name",
                where=where,
                hint=f"write 1 to {NAME_LENGTH} characters that can be shown, on one line",
            )


@dataclass(frozen=True)
class Meta:
    """Facts beside a data file.

    Attributes:
        classes: names by label index.
        subject_of: sequence name to subject.
        subject_pattern: regular expression searched in a sequence's name; its group `subject`, or else its
            first group, is the subject. Used where `subject_of` is silent. NTU names are known without it.
        protocol: which of several splits to take, such as `xsub` for `xsub_train` and `xsub_val`.

    Raises:
        LabelError: two classes of one name, or none.
        UsageError: the pattern is no regular expression or has no group.
    """

    classes: tuple[str, ...] | None = None
    subject_of: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    subject_pattern: str | None = None
    protocol: str | None = None

    def __post_init__(self) -> None:
        if self.classes is not None and (not self.classes or len(set(self.classes)) != len(self.classes)):
            raise LabelError(
                f"class names repeat or are missing: {list(self.classes)}", hint="give every class a name of its own"
            )
        if self.subject_pattern is None:
            return
        hint = PATTERN_HINT
        try:
            groups = re.compile(self.subject_pattern).groups
        except re.error as error:
            raise UsageError(f"{self.subject_pattern!r} is no regular expression: {error}", hint=hint) from error
        if groups == 0:
            raise UsageError(f"{self.subject_pattern!r} has no group", hint=hint)

    def subject(self, name: str) -> str | None:
        """Who is seen in the sequence of this name, if that is known.

        Raises:
            UsageError: the pattern finds nobody where it finds something.
        """
        if name in self.subject_of:
            return self.subject_of[name]
        found = re.search(self.subject_pattern or NTU_NAME, name)
        if found is None:
            return None
        subject = found["subject"] if "subject" in found.re.groupindex else found[1]
        if subject == "":
            raise UsageError(f"{self.subject_pattern!r} finds an empty person in the name {name!r}", hint=PATTERN_HINT)
        return subject


def read_meta(path: Path) -> Meta:
    """Read a JSON object with any of `classes`, `subject_of`, `subject_pattern`, `protocol`; more keys may stand in it.

    Raises:
        UsageError: no such file, or a bad pattern.
        FormatError: no JSON object, or a value of the wrong kind.
        LabelError: class names repeat.
    """
    hint = f"write {EXAMPLE}"
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError("no such file", where=str(path), hint="check the path given as --meta") from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint="check path and rights") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"is no JSON: {error}", where=str(path), hint=hint) from error
    if not isinstance(content, dict):
        raise FormatError("is no JSON object", where=str(path), hint=hint)
    classes, subject_of = content.get("classes"), content.get("subject_of") or {}
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise FormatError("`classes` is no list of names", where=str(path), hint=hint)
    if not isinstance(subject_of, dict) or not all(isinstance(who, (str, int)) for who in subject_of.values()):
        raise FormatError("`subject_of` does not map names to persons", where=str(path), hint=hint)
    require_names(classes or (), "class", str(path))
    require_names((part for pair in subject_of.items() for part in map(str, pair) if part), "`subject_of`", str(path))
    for key in ("subject_pattern", "protocol"):
        if not isinstance(content.get(key), (str, type(None))):
            raise FormatError(f"`{key}` is no text", where=str(path), hint=hint)
    return Meta(
        classes=None if classes is None else tuple(classes),
        subject_of={name: str(who) for name, who in subject_of.items() if str(who)},
        subject_pattern=content.get("subject_pattern"),
        protocol=content.get("protocol"),
    )
