"""Read a request body into a picture: JPEG or PNG, bare or as the one file of a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message

from recognizer.errors import FormatError, UnsupportedMedia, UsageError
from recognizer.image_header import MOST_PIXELS, read_header

PICTURES = ("image/jpeg", "image/png", "application/octet-stream")
FORM = "multipart/form-data"
LONGEST_HEADERS = 8 * 1024
"""Bytes of the headers of a form's part; a browser sends about 150."""
LONGEST_BOUNDARY = 70
"""Characters, by RFC 2046."""
BARE = "send the picture's bytes as image/jpeg or image/png"
FORM_HINT = f"send one file and nothing else, as `curl -F image=@picture.jpg` does; or {BARE}"
QUERY_HINT = "send ?draw=png for the picture with the people drawn in, or leave it out"


@dataclass(frozen=True)
class PoseRequest:
    """One request of the pose task.

    Attributes:
        image: JPEG or PNG bytes whose header was checked. They are decoded where the model is asked: a picture is
            kept for a while after its answer, and decoded it takes twenty times as much.
        draw: the answer is to be a picture.
    """

    image: bytes
    draw: bool = False


def read_request(
    body: bytes, media_type: str, query: Mapping[str, str], *, most_pixels: int = MOST_PIXELS
) -> PoseRequest:
    """The picture in a request body, and how the answer is wanted.

    Args:
        media_type: the whole `Content-Type`; a form's boundary is part of it. Among pictures it decides nothing: the
            first bytes do, whatever is said of them.
        query: the query's parameters.

    Raises:
        UnsupportedMedia: neither a picture nor a form, or the picture is neither JPEG nor PNG.
        TooLarge: the picture has too many pixels.
        FormatError: a form without its one file, or a picture that is damaged.
        UsageError: a wish that means nothing.
    """
    draw = _wants_drawing(query)
    kind = media_type.partition(";")[0].strip().lower()
    if kind == FORM:
        body = read_form(body, media_type)
    elif kind not in PICTURES:
        raise UnsupportedMedia(f"content type {kind!r} is not read here", where="Content-Type", hint=BARE)
    read_header(body, most_pixels=most_pixels)
    return PoseRequest(body, draw)


def read_form(body: bytes, media_type: str) -> bytes:
    """The one file of a `multipart/form-data` body (RFC 7578).

    Raises:
        FormatError: no boundary, or one that the body does not have; no file, two, or anything beside it; a form in a
            form; headers without end.
    """
    delimiter = b"--" + _boundary(media_type)
    if not body.startswith(delimiter + b"\r\n"):
        raise _bad("does not begin with the boundary that Content-Type names")
    start = len(delimiter) + 2
    end = body.find(b"\r\n" + delimiter, start)
    if end < 0:
        raise _bad("ends before its last boundary")
    after = body[end + 2 + len(delimiter) : end + 4 + len(delimiter)]
    if after == b"\r\n":
        raise _bad("has several parts")
    if after != b"--":
        raise _bad("has something after a boundary")
    head_end = body.find(b"\r\n\r\n", start, min(end, start + LONGEST_HEADERS))
    if head_end < 0:
        raise _bad(f"has a part without the end of its headers within {LONGEST_HEADERS} bytes")
    _require_file(body[start:head_end])
    return body[head_end + 4 : end]


def _boundary(media_type: str) -> bytes:
    message = Message()
    message["Content-Type"] = media_type
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= LONGEST_BOUNDARY or not boundary.isascii():
        raise FormatError(
            f"{FORM} needs a boundary of 1 to {LONGEST_BOUNDARY} characters", where="Content-Type", hint=FORM_HINT
        )
    return boundary.encode()


def _require_file(headers: bytes) -> None:
    """Make sure that a part with these headers is a file as it is."""
    message = Message()
    for line in headers.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon or name.strip() != name or not value.isprintable():
            raise _bad("has a part with a header that is none")
        message[name] = value.strip()
    if message.get_content_maintype() == "multipart":
        raise _bad("holds another form")
    if message.get("Content-Transfer-Encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise _bad("holds a file that is encoded")
    if (
        message.get_content_disposition() != "form-data"
        or message.get_param("filename", header="Content-Disposition") is None
    ):
        raise _bad("holds a field where a file is expected")


def _wants_drawing(query: Mapping[str, str]) -> bool:
    wish = query.get("draw")
    if wish not in (None, "png"):
        raise UsageError(f"{wish!r} is nothing that is drawn", where="draw", hint=QUERY_HINT)
    return wish is not None


def _bad(what: str) -> FormatError:
    return FormatError(f"the form {what}", where="body", hint=FORM_HINT)
