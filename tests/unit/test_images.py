"""Pictures: which files are read, what they look like afterwards, and what is refused before it costs anything."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from recognizer.errors import FormatError, RecognizerError, TooLarge, UnsupportedMedia
from recognizer.image_header import JPEG, MOST_EXTRAS, MOST_PARTS, MOST_SCANS, PNG, read_header
from recognizer.images import decode

HEIGHT, WIDTH = 40, 56


def picture(height=HEIGHT, width=WIDTH):
    """Smooth, and different in every corner and colour."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x // max(width - 1, 1), 255 * y // max(height - 1, 1)
    return np.stack([red, green, (red + green) // 2], axis=-1).astype(np.uint8)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pillow(mode="RGB"):
    return Image.fromarray(picture()).convert(mode)


def jpeg(mode="RGB", **options):
    return saved(pillow(mode), "JPEG", quality=95, **options)


def png(mode="RGB", **options):
    return saved(pillow(mode), "PNG", **options)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def chunk(name, data=b""):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def ihdr(width=WIDTH, height=HEIGHT, depth=8, colour=2, compression=0, filtering=0, interlace=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, compression, filtering, interlace))


def rows(image):
    return b"".join(b"\0" + row.tobytes() for row in image)


def raw_png(*chunks, end=True):
    return PNG + b"".join(chunks) + (chunk(b"IEND") if end else b"")


def idat(image=None):
    return chunk(b"IDAT", zlib.compress(rows(picture() if image is None else image)))


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def interlaced():
    image, passes = picture(), []
    for y, x, down, right in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        passes.append(rows(image[y::down, x::right]))
    return raw_png(ihdr(interlace=1), chunk(b"IDAT", zlib.compress(b"".join(passes))))


def sixteen_bits():
    return cv2.imencode(".png", picture()[..., ::-1].astype(np.uint16) * 257)[1].tobytes()


def after(content, needle, insert):
    """The content with something in it after the first `needle`."""
    at = content.index(needle) + len(needle)
    return content[:at] + insert + content[at:]


def with_chunks(*chunks):
    return after(png(), ihdr(), b"".join(chunks))


def changed(content, at, byte):
    return content[:at] + bytes([byte]) + content[at + 1 :]


def frame(content):
    """Where the data of a JPEG's SOF0 begins."""
    return content.index(b"\xff\xc0") + 4


def segment(marker, data=b""):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


GREY = np.asarray(pillow("L").convert("RGB"))


@pytest.mark.parametrize(
    ("content", "expected", "error"),
    [
        (png(), picture(), 0),
        (png("RGBA"), picture(), 0),
        (saved(Image.fromarray(np.dstack([picture(), np.zeros((HEIGHT, WIDTH), np.uint8)])), "PNG"), picture(), 0),
        (png("L"), GREY, 0),
        (png("LA"), GREY, 0),
        (png("P"), np.asarray(pillow("P").convert("RGB")), 0),
        (png("1"), np.asarray(pillow("1").convert("RGB")), 0),
        (sixteen_bits(), picture(), 0),
        (interlaced(), picture(), 0),
        (raw_png(ihdr(), idat()), picture(), 0),
        (with_chunks(chunk(b"tEXt", b"a\0b"), chunk(b"eXIf", turned(6).tobytes()[6:])), picture(), 0),
        (with_chunks(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))), picture(), 0),
        (with_chunks(chunk(b"zTXt", b"a\0\0" + b"no zlib")), picture(), 0),
        (with_chunks(chunk(b"gAMA", struct.pack(">I", 100_000))), picture(), 0),
        (png() + b"more", picture(), 0),
        (jpeg(), picture(), 6),
        (jpeg("L"), GREY, 6),
        (jpeg(progressive=True), picture(), 6),
        (jpeg(optimize=True, subsampling=2), picture(), 12),
        (jpeg() + b"more", picture(), 6),
        (after(jpeg(), b"\xff\xd8", b"\xff\xff\xff" + segment(0xFE, b"a comment")[1:]), picture(), 6),
    ],
)
def test_what_is_read(content, expected, error):
    image = decode(content)
    assert image.dtype == np.uint8
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= error


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_upright(orientation):
    content = jpeg(exif=turned(orientation))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    image = decode(content)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= 2
    assert read_header(content).height == HEIGHT


def test_red_comes_first():
    content = cv2.imencode(".jpg", np.full((8, 8, 3), (0, 0, 255), np.uint8))[1].tobytes()  # BGR
    assert decode(content)[4, 4].tolist() == pytest.approx([255, 0, 0], abs=3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\xff", "first bytes"),
        (JPEG[:2], "first bytes"),
        (PNG[:5], "first bytes"),
        (PNG, "ends too early"),
        (JPEG, "ends too early"),
        *((png()[:n], "ends too early") for n in (20, 60, len(png()) // 2, len(png()) - 13, len(png()) - 1)),
        *((jpeg()[:n], "ends too early") for n in (30, 300, len(jpeg()) - 100, len(jpeg()) - 2, len(jpeg()) - 1)),
        (raw_png(ihdr(), end=False), "ends too early"),
        (raw_png(idat()), "without a header"),
        (raw_png(), "without a header"),
        (raw_png(chunk(b"IHDR", bytes(5))), "without a header"),
        (raw_png(ihdr(width=0), idat()), "0 x 40"),
        (raw_png(ihdr(depth=3), idat()), "unknown kind"),
        (raw_png(ihdr(colour=5), idat()), "unknown kind"),
        (raw_png(ihdr(interlace=2), idat()), "unknown kind"),
        (raw_png(ihdr(), chunk(b"IDAT")), "0 bytes"),
        (raw_png(ihdr()), "0 bytes"),
        (raw_png(ihdr(4000, 4000), idat()), "bytes of them"),
        (raw_png(ihdr(), idat(picture()[:20])), "pixels end too early"),
        (raw_png(ihdr(), chunk(b"IDAT", b"x" * 4000)), "cannot be unpacked"),
        (raw_png(ihdr(colour=3), idat(picture()[..., 0])), "cannot be decoded"),
        (raw_png(ihdr(), idat(), chunk(b"PLTE", bytes(9))), "unknown part PLTE"),
        (raw_png(ihdr(), chunk(b"PLTE", bytes(900)), idat()), "unknown part PLTE"),
        (raw_png(ihdr(), chunk(b"12$%"), idat()), "part called"),
        (raw_png(ihdr(), chunk(b"ABCD"), idat()), "unknown part"),
        (changed(png(), 20, 1), "checksum"),
        (changed(png(), len(png()) - 20, png()[-20] ^ 1), "checksum"),
        (saved(pillow(), "PNG", save_all=True, append_images=[pillow("L").convert("RGB")]), "animation"),
        (JPEG[:2] + segment(0xFE) + b"\xff\xd9", "without a picture"),
        (JPEG[:2] + segment(0xFE) + b"\0\0\0\0", "between its parts"),
        (JPEG[:2] + segment(0xFE) + b"\xff\xd8", "between its parts"),
        (JPEG[:2] + segment(0xC0, b"\x08") + b"\xff\xd9", "without a size"),
        (JPEG[:2] + segment(0xDA, bytes(6)) + b"\xff\xd9", "before its size"),
        (JPEG[:2] + b"\xff\xfe\x00\x01", "ends too early"),
        (JPEG[:2] + segment(0xC0, bytes(6)) + segment(0xDA, bytes(6)) + b"\xff\xd9", "0 x 0"),
        (after(jpeg(), b"\xff\xd8", segment(0xC0, bytes(15))), "two pictures"),
        (
            JPEG[:2] + segment(0xC0, b"\x08\x00\x09\x00\x09\x01") + segment(0xDA, bytes(6)) + b"\xff\xd9",
            "decoded as JPEG",
        ),
    ],
)
def test_damaged_files(content, says):
    with pytest.raises(FormatError, match=says) as caught:
        decode(content)
    assert caught.value.hint
    assert caught.value.http_status == 422


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (saved(pillow(), "GIF"), "GIF"),
        (saved(pillow(), "BMP"), "BMP"),
        (saved(pillow(), "TIFF"), "TIFF"),
        (saved(pillow(), "WEBP"), "WebP"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg/>", "text"),
        (b'{"image": "https://example.org/a.png"}', "text"),
        (b"\x80\x04\x95pickle", "begins with"),
        (jpeg("CMYK"), "4 colours"),
        (changed(jpeg(), frame(jpeg()), 12), "12 bits"),
        (changed(jpeg(), frame(jpeg()) - 3, 0xC9), "SOF9"),
    ],
)
def test_what_is_never_read(content, says):
    with pytest.raises(UnsupportedMedia, match=says) as caught:
        decode(content)
    assert "JPEG or PNG" in caught.value.hint
    assert caught.value.http_status == 415


def tall_jpeg():
    at = frame(jpeg()) + 1
    return jpeg()[:at] + b"\xff\xff\xff\xff" + jpeg()[at + 4 :]


def scans(n, side):
    size = struct.pack(">BHHB", 8, side, side, 1)
    return JPEG[:2] + segment(0xC2, size) + (segment(0xDA, bytes(6)) + b"\x12") * n + b"\xff\xd9"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (raw_png(ihdr(50_000, 50_000), idat()), "50000 x 50000 pixels"),
        (tall_jpeg(), "65535 x 65535 pixels"),
        (scans(MOST_SCANS + 1, 8), "more than 100 scans"),
        (scans(17, 5000), "17 scans of 5000 x 5000"),
        (after(jpeg(), b"\xff\xd8", segment(0xFE) * MOST_PARTS), "parts"),
        (with_chunks(*[chunk(b"tEXt")] * MOST_PARTS), "parts"),
        (raw_png(ihdr(), *[chunk(b"PLTE", bytes(768))] * 3, idat()), "besides its pixels"),
        (raw_png(ihdr(4000, 4000, depth=16, colour=6), idat()), "bytes unpacked"),
        (raw_png(ihdr(), chunk(b"IDAT", zlib.compress(rows(picture()) + b"\0"))), "holds more than the 56 x 40"),
        (raw_png(ihdr(), chunk(b"IDAT", zlib.compress(bytes(50_000_000)))), "holds more than the 56 x 40"),
        (with_chunks(chunk(b"iCCP", bytes(MOST_EXTRAS + 1))), "besides its pixels"),
        (with_chunks(*[chunk(b"zTXt", bytes(MOST_EXTRAS // 8 + 1))] * 8), "besides its pixels"),
    ],
)
def test_what_would_cost_too_much(content, says):
    with pytest.raises(TooLarge, match=says) as caught:
        decode(content)
    assert caught.value.hint
    assert caught.value.http_status == 413


def test_wider_than_the_decoder_takes():
    bits = chunk(b"IDAT", zlib.compress(bytes(2 + 2**17)))
    with pytest.raises(FormatError, match="cannot be decoded"):
        decode(raw_png(ihdr(2**20 + 8, 1, depth=1, colour=0), bits))


@pytest.mark.parametrize("content", [png(), jpeg()])
def test_the_limit_is_inclusive(content):
    assert decode(content, most_pixels=HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(TooLarge, match=f"at most {HEIGHT * WIDTH - 1}"):
        decode(content, most_pixels=HEIGHT * WIDTH - 1)


def read_anything(content):
    """An image, or an error of ours that says what to do."""
    try:
        image = decode(content, most_pixels=100_000)
    except RecognizerError as refused:
        return bool(refused.hint) and 400 <= refused.http_status < 500
    return image.dtype == np.uint8 and image.ndim == 3


BEGINNINGS = [b"", JPEG, PNG, PNG + ihdr(), jpeg()[:-2], png()[:-12]]
SOUND = [jpeg(), jpeg(progressive=True), png(), interlaced(), jpeg(exif=turned(6))]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_refused(head, tail):
    assert read_anything(head + tail)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SOUND), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4))
def test_a_few_wrong_bytes_are_a_picture_or_refused(sound, changes):
    content = bytearray(sound)
    for place, byte in changes:
        content[int(place * len(content))] = byte
    assert read_anything(bytes(content))
