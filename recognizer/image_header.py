"""What a JPEG or PNG file says of itself before any pixel of it is decoded: its kind, its size, whether it is whole.

Nothing is allocated on the word of a header, and nothing compressed is opened, so that no file can cost more than a
walk over its parts. Sources: ITU-T T.81, annex B (JPEG); "Portable Network Graphics", W3C, third edition (PNG).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from recognizer.errors import FormatError, TooLarge, UnsupportedMedia

MOST_PIXELS = 25_000_000
"""Pixels of the largest picture that is decoded unless told otherwise: three times a 4K frame, 75 MB decoded."""
MOST_PARTS = 20_000
"""Parts of a file (PNG's chunks, JPEG's segments); 160 MB of PNG as most programs cut it."""
MOST_SCANS, MOST_SCANNED = 100, 400_000_000
"""Scans of a progressive JPEG, and pixels of them together: each is a pass over the whole picture, however few bytes it
has. Encoders make about ten; 16 of the largest picture take most of a second."""
MOST_EXTRAS = 1024 * 1024
"""Bytes of PNG chunks that are not needed for the pixels, such as texts and colour profiles."""

HINT = "send a JPEG or PNG picture"
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_OTHERS = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftyp", "HEIC, AVIF or a video"),
    (0, b"%PDF", "PDF"),
    (0, b"\x93NUMPY", ".npy"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "gzip"),
)
"""What else is sent: where in the file which bytes tell it, and its name."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""PNG: samples of one pixel by colour type."""
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_DEFLATE = 1032
"""Deflate makes nothing smaller than by this factor."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""PNG: the pictures that an interlaced one consists of: first x and y, steps in x and y."""
LARGEST_PALETTE = 768
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_BASELINE_TO_PROGRESSIVE = (0xC0, 0xC1, 0xC2)


@dataclass(frozen=True)
class Header:
    """A whole file by its own word.

    Attributes:
        kind: JPEG or PNG.
        height: in pixels, as stored: before the turn that EXIF asks for.
        width: likewise.
        beginning: PNG: signature, header and palette.
        packed: PNG: where in the file the compressed pixels are.
        unpacked: PNG: bytes that they have to make.
    """

    kind: str
    height: int
    width: int
    beginning: bytes = b""
    packed: tuple[slice, ...] = ()
    unpacked: int = 0


def read_header(content: bytes, *, most_pixels: int = MOST_PIXELS) -> Header:
    """Kind and size of a picture, told by its first bytes whatever it is called.

    Raises:
        UnsupportedMedia: neither JPEG nor PNG, or a kind of JPEG that hardly anything writes.
        TooLarge: more pixels than `most_pixels`, or more parts, scans or extras than any real picture has.
        FormatError: not whole, or not what it claims to be.
    """
    if content.startswith(JPEG):
        return _read_jpeg(content, most_pixels)
    if content.startswith(PNG):
        return _read_png(content, most_pixels)
    raise _other(content)


class _Chunk(NamedTuple):
    """One PNG chunk: its name, where it begins and ends in the file, and its data."""

    name: bytes
    start: int
    end: int
    data: memoryview


def _read_png(content: bytes, most_pixels: int) -> Header:
    chunks = _chunks(content)
    first = next(chunks)
    if first.name != b"IHDR" or len(first.data) != 13:
        raise damaged("is a PNG without a header")
    width, height = int.from_bytes(first.data[:4]), int.from_bytes(first.data[4:8])
    depth, colour, compression, filtering, interlace = first.data[8:]
    _require_size("PNG", height, width, most_pixels)
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise damaged(f"is a PNG of an unknown kind: {list(first.data[8:])} after its size")
    unpacked = _unpacked_size(width, height, depth * _CHANNELS[colour], interlaced=bool(interlace))
    if unpacked > 4 * most_pixels + height:
        raise too_large(f"takes {unpacked} bytes unpacked", "send 8 bits a colour, or a smaller picture")
    beginning, packed, extras = content[: first.end], list[slice](), 0
    for chunk in chunks:
        if chunk.name == b"acTL":
            raise damaged("is an animation", "send one picture, such as one frame of it")
        if chunk.name == b"IDAT":
            packed.append(slice(chunk.start + 8, chunk.end - 4))
        elif chunk.name == b"PLTE" and len(chunk.data) <= LARGEST_PALETTE and not packed:
            beginning += content[chunk.start : chunk.end]
        elif chunk.name[0] & 0x20:  # a small first letter: not needed for the pixels
            extras += len(chunk.data)
        elif chunk.name != b"IEND":
            raise damaged(f"is a PNG with the unknown part {chunk.name.decode()}")
    if extras > MOST_EXTRAS or len(beginning) > first.end + LARGEST_PALETTE + 12:
        raise too_large(
            f"carries {extras} bytes besides its pixels, at most {MOST_EXTRAS} are taken",
            "save it without texts and profiles",
        )
    size = sum(piece.stop - piece.start for piece in packed)
    if size * _DEFLATE < unpacked:
        raise damaged(f"is a PNG of {width} x {height} pixels with {size} bytes of them")
    return Header("PNG", height, width, beginning, tuple(packed), unpacked)


def _unpacked_size(width: int, height: int, bits: int, *, interlaced: bool) -> int:
    """Bytes of the rows, each with the byte before it that names its filter; `bits` are of one pixel."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in passes]
    return sum(h * (1 + (w * bits + 7) // 8) for w, h in sizes if w > 0 and h > 0)


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """All chunks up to IEND; those that the pixels need are checked against their checksums."""
    view, at = memoryview(content), len(PNG)
    for _ in range(MOST_PARTS):
        length, name = int.from_bytes(view[at : at + 4]), content[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(content) or at + 12 > len(content):
            raise damaged("is a PNG that ends too early")
        if not (name.isalpha() and name.isascii()):
            raise damaged(f"is a PNG with a part called {name!r}")
        if not name[0] & 0x20 and zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise damaged(f"is a PNG whose part {name.decode()} does not match its checksum")
        yield _Chunk(name, at, end, view[at + 8 : end - 4])
        if name == b"IEND":
            return
        at = end
    raise too_large(f"has more than {MOST_PARTS} parts", "save it again")


def _read_jpeg(content: bytes, most_pixels: int) -> Header:
    frame: memoryview | None = None
    scans, view = 0, memoryview(content)
    for marker, start, end in _segments(content):
        if marker in _FRAMES:
            if frame is not None:
                raise damaged("is a JPEG that holds two pictures in one")
            if marker not in _BASELINE_TO_PROGRESSIVE:
                raise _unread(f"is a JPEG of the kind SOF{marker - 0xC0}, which is not read here")
            frame = view[start:end]
            if len(frame) < 6:
                raise damaged("is a JPEG without a size")
        elif marker == 0xDA:
            scans += 1
            if frame is None:
                raise damaged("is a JPEG whose pixels come before its size")
            if scans > MOST_SCANS:
                raise too_large(f"has more than {MOST_SCANS} scans", "save it again")
    if frame is None or not scans:
        raise damaged("is a JPEG without a picture")
    precision, components = frame[0], frame[5]
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    _require_size("JPEG", height, width, most_pixels)
    if scans > 1 and scans * height * width > MOST_SCANNED:
        raise too_large(f"has {scans} scans of {width} x {height} pixels", "save it as baseline JPEG, or smaller")
    if precision != 8:
        raise _unread(f"is a JPEG of {precision} bits a sample, expected 8")
    if components not in (1, 3):
        raise _unread(f"is a JPEG of {components} colours (CMYK has 4), expected grey or RGB")
    return Header("JPEG", height, width)


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the data of every segment; ends at EOI. What follows a picture is not looked at."""
    at = 2
    for _ in range(MOST_PARTS):
        while content[at : at + 2] == b"\xff\xff":  # filling
            at += 1
        if at + 2 > len(content):
            raise damaged("is a JPEG that ends too early")
        lead, marker = content[at], content[at + 1]
        if marker == 0xD9 and lead == 0xFF:
            return
        if lead != 0xFF or marker in (0, 1) or 0xD0 <= marker <= 0xD8:
            raise damaged("is a JPEG with something between its parts")
        length = int.from_bytes(content[at + 2 : at + 4])
        end = at + 2 + length
        if length < 2 or end > len(content):
            raise damaged("is a JPEG that ends too early")
        yield marker, at + 4, end
        at = end
        if marker == 0xDA:
            found = _END_OF_SCAN.search(content, at)
            if found is None:
                raise damaged("is a JPEG that ends too early")
            at = found.start()
    raise too_large(f"has more than {MOST_PARTS} parts", "save it again")


def _require_size(kind: str, height: int, width: int, most_pixels: int) -> None:
    if not height or not width:
        raise damaged(f"is a {kind} of {width} x {height} pixels")
    if height * width > most_pixels:
        raise too_large(f"has {width} x {height} pixels, at most {most_pixels} are taken", "send a smaller picture")


def _other(content: bytes) -> UnsupportedMedia | FormatError:
    if JPEG.startswith(content[:3]) or PNG.startswith(content[:8]):
        return damaged("ends within its first bytes" if content else "is empty")
    for at, magic, kind in _OTHERS:
        if content.startswith(magic, at):
            return _unread(f"is {kind}, which is not read here")
    if content[:64].isascii():
        return _unread("is text, not a picture")
    return _unread(f"begins with {content[:8]!r}, which is no picture that is read here")


def damaged(what: str, hint: str = "save it again as JPEG or PNG, and send all of it") -> FormatError:
    """A picture that cannot be decoded."""
    return FormatError(what, where="image", hint=hint)


def too_large(what: str, hint: str) -> TooLarge:
    """A picture that would cost too much to decode."""
    return TooLarge(what, where="image", hint=hint)


def _unread(what: str) -> UnsupportedMedia:
    return UnsupportedMedia(what, where="image", hint=HINT)
