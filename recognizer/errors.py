"""Every error Recognizer raises on purpose.

RecognizerError                 exit  http
├── UsageError                     2   400  the command or request was put wrongly
│   ├── Unauthorized               2   401  the request does not prove who sends it
│   ├── Forbidden                  2   403  whoever sends it may not ask for this
│   ├── WrongMethod                2   405  the address takes another HTTP method
│   ├── TooSlow                    2   408  the request body did not come in time
│   ├── TooLarge                   2   413  the request body is larger than the service takes
│   └── UnsupportedMedia           2   415  the body is of a kind that is never read
├── InputError                     3   422  the data given cannot be used
│   ├── FormatError                3   422  a file or body is not what it claims to be
│   ├── UnsafeFile                 3   422  a pickle asks for more than arrays and plain containers
│   ├── LabelError                 3   422  unknown label, one class only, class lists that differ
│   └── SplitError                 3   422  empty set, or one subject on two sides
├── NotFound                       4   404  no such snapshot, version or task
│   ├── NoChampion                 4   503  nothing has been promoted yet
│   ├── Expired                    4   410  it was there, and is kept no longer
│   └── ServiceUnreachable         4   503  nothing listens at a service's address
├── Conflict                       5   409  somebody else holds it, or the state has moved on
│   ├── NightRunning               5   409  another process runs this task's night
│   └── LineageChanged             5   409  the snapshot's class list is not the champion's
├── TrustError                     6   503  a package must not be loaded
│   ├── PackageTampered            6   503  a file differs from the manifest
│   ├── PackageUnsigned            6   503  no signature by a known key
│   └── PackageUnblessed           6   503  no valid blessing for this digest
├── StorageError                   7   507  the disk or the store did not take it
│   ├── DiskFull                   7   507  no space left
│   ├── ReadOnlyHome               7   507  the home cannot be written
│   └── StoreUnavailable           7   503  the database does not answer
│       └── NoStore                7   503  there is none, and it is not to be made
├── PluginError                    8   500  a task plug-in is missing or breaks the contract
│   ├── InvalidAnswer              8   500  a model answered something that is no answer: NaN, another shape
│   └── GivenUp                    8   500  a model's run was given up before it ended
└── TrainingError                  9   500  training gave no usable model

A message says what was wrong and where; `hint` says what to do next. A gate that says no is not an
error: it is a verdict, and the command ends with exit code 1.
"""

from __future__ import annotations

import re


class RecognizerError(Exception):
    """Base of all errors; `exit_code` is the command's exit code, `http_status` the service's answer."""

    exit_code = 3
    http_status = 500

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        return text if self.hint is None else f"{text}\nNext: {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.hint))

    def as_json(self) -> dict[str, object]:
        """The error as one JSON object, for `--json` and for the service's answer."""
        return {"error": type(self).__name__, "what": self.what, "where": self.where, "next": self.hint}


def _rebuild(kind: type[RecognizerError], what: str, where: str | None, hint: str | None) -> RecognizerError:
    return kind(what, where=where, hint=hint)


def first_line(error: BaseException) -> str:
    """What a library's exception says, fit for a message: one line, no addresses of objects, 200 characters at most."""
    text = " ".join(str(error).split("\n", 1)[0].split())
    return re.sub(r":? ?<[^<>]* at 0x[0-9a-fA-F]+>", "", text)[:200] or type(error).__name__


class UsageError(RecognizerError):
    exit_code = 2
    http_status = 400


class Unauthorized(UsageError):
    http_status = 401


class Forbidden(UsageError):
    http_status = 403


class WrongMethod(UsageError):
    http_status = 405


class TooSlow(UsageError):
    http_status = 408


class TooLarge(UsageError):
    http_status = 413


class UnsupportedMedia(UsageError):
    http_status = 415


class InputError(RecognizerError):
    exit_code = 3
    http_status = 422


class FormatError(InputError):
    pass


class UnsafeFile(InputError):
    pass


class LabelError(InputError):
    pass


class SplitError(InputError):
    pass


class NotFound(RecognizerError):
    exit_code = 4
    http_status = 404


class NoChampion(NotFound):
    http_status = 503


class Expired(NotFound):
    http_status = 410


class ServiceUnreachable(NotFound):
    http_status = 503


class Conflict(RecognizerError):
    exit_code = 5
    http_status = 409


class NightRunning(Conflict):
    pass


class LineageChanged(Conflict):
    pass


class TrustError(RecognizerError):
    exit_code = 6
    http_status = 503


class PackageTampered(TrustError):
    pass


class PackageUnsigned(TrustError):
    pass


class PackageUnblessed(TrustError):
    pass


class StorageError(RecognizerError):
    exit_code = 7
    http_status = 507


class DiskFull(StorageError):
    pass


class ReadOnlyHome(StorageError):
    pass


class StoreUnavailable(StorageError):
    http_status = 503


class NoStore(StoreUnavailable):
    pass


class PluginError(RecognizerError):
    exit_code = 8


class InvalidAnswer(PluginError):
    pass


class GivenUp(PluginError):
    pass


class TrainingError(RecognizerError):
    exit_code = 9
