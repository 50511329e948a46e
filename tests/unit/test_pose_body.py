"""What a client may send to the pose door, and what it hears when it sends something else."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.errors import FormatError, RecognizerError, TooLarge, UnsupportedMedia, UsageError
from serving.pose.body import LONGEST_BOUNDARY, LONGEST_HEADERS, PICTURES, PoseRequest, read_form, read_request

JPEG, PNG = (cv2.imencode(kind, np.zeros((30, 40, 3), np.uint8))[1].tobytes() for kind in (".jpg", ".png"))
FORM = "multipart/form-data; boundary=edge"
DISPOSITION = 'Content-Disposition: form-data; name="image"; filename="a.jpg"'


def part(content=JPEG, *headers, disposition=DISPOSITION):
    return "\r\n".join([disposition, *headers]).encode() + b"\r\n\r\n" + content


def form(*parts, boundary=b"edge", end=b"--\r\n"):
    return b"".join(b"--" + boundary + b"\r\n" + one + b"\r\n" for one in parts) + b"--" + boundary + end


@pytest.mark.parametrize("content", [JPEG, PNG])
@pytest.mark.parametrize("media_type", [*PICTURES, "IMAGE/PNG", "image/jpeg; charset=utf-8"])
def test_the_first_bytes_decide(content, media_type):
    assert read_request(content, media_type, {}) == PoseRequest(content, draw=False)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (form(part()), FORM),
        (form(part()), 'Multipart/Form-Data; charset=utf-8; boundary="edge"'),
        (form(part(), boundary=b"a b:c"), 'multipart/form-data; boundary="a b:c"'),
        (form(part(), boundary=b"----WebKitFormBoundaryx1"), "multipart/form-data; boundary=----WebKitFormBoundaryx1"),
        (form(part(JPEG, "Content-Type: image/jpeg")), FORM),
        (form(part(JPEG, "Content-Type: text/plain", "X-Any: 1")), FORM),
        (form(part(JPEG, "content-transfer-encoding: binary")), FORM),
        (form(part(disposition='content-disposition:form-data; filename=""; name=a')), FORM),
        (form(part(disposition="Content-Disposition: form-data; name=a; filename*=UTF-8''caf%C3%A9.jpg")), FORM),
        (form(part(disposition='Content-Disposition: form-data; name="a"; filename="caf\u00e9.jpg"')), FORM),
        (form(part(), end=b"--"), FORM),
        (form(part(), end=b"--\r\nan epilogue"), FORM),
    ],
)
def test_the_one_file_of_a_form(body, media_type):
    assert read_request(body, media_type, {}).image == JPEG


def test_a_file_may_hold_line_ends_and_dashes():
    content = b"\r\n--edg\r\n\r\n--\r\n\0"
    assert read_form(form(part(content)), FORM) == content


@pytest.mark.parametrize(
    ("body", "media_type", "says"),
    [
        (form(part()), "multipart/form-data", "needs a boundary"),
        (form(part()), "multipart/form-data; boundary=", "needs a boundary"),
        (form(part()), "multipart/form-data; boundary*=utf-8'en'edge", "needs a boundary"),
        (form(part()), f"multipart/form-data; boundary={'x' * (LONGEST_BOUNDARY + 1)}", "needs a boundary"),
        (form(part()), "multipart/form-data; boundary=\u00e9", "needs a boundary"),
        (form(part()), "multipart/form-data; boundary=other", "does not begin with the boundary"),
        (b"", FORM, "does not begin with the boundary"),
        (JPEG, FORM, "does not begin with the boundary"),
        (b"a preamble\r\n" + form(part()), FORM, "does not begin with the boundary"),
        (form(), FORM, "does not begin with the boundary"),
        (form(part())[:-8], FORM, "before its last boundary"),
        (form(part(), end=b""), FORM, "after a boundary"),
        (form(part(), end=b"x"), FORM, "after a boundary"),
        (form(part(), part()), FORM, "several parts"),
        (
            form(part(), part(b"true", disposition='Content-Disposition: form-data; name="canary"')),
            FORM,
            "several parts",
        ),
        (form(part(JPEG, disposition='Content-Disposition: form-data; name="image"')), FORM, "a field where a file"),
        (form(part(disposition="Content-Disposition: attachment; filename=a.jpg")), FORM, "a field where a file"),
        (form(part(disposition="Content-Type: image/jpeg")), FORM, "a field where a file"),
        (form(part(JPEG, "Content-Type: multipart/mixed; boundary=inner")), FORM, "another form"),
        (form(part(JPEG, "Content-Transfer-Encoding: base64")), FORM, "encoded"),
        (form(part(JPEG, "no header")), FORM, "header that is none"),
        (form(part(JPEG, "X-Any : 1")), FORM, "header that is none"),
        (form(part(JPEG, "X-Any: \x00")), FORM, "header that is none"),
        (form(part(JPEG, "X-Any: 1\r\n continued: 2")), FORM, "header that is none"),
        (form(part(JPEG, "X-Any: " + "x" * LONGEST_HEADERS)), FORM, "end of its headers"),
        (form(DISPOSITION.encode()), FORM, "end of its headers"),
        (form(b""), FORM, "end of its headers"),
        (form(part(b"")), FORM, "is empty"),
        (form(part(JPEG[:40])), FORM, "ends too early"),
        (JPEG[:40], "image/jpeg", "ends too early"),
        (b"", "image/jpeg", "is empty"),
    ],
)
def test_refused_bodies(body, media_type, says):
    with pytest.raises(FormatError, match=says) as caught:
        read_request(body, media_type, {})
    assert caught.value.hint


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (JPEG, "application/json"),
        (JPEG, "image/gif"),
        (JPEG, "text/html"),
        (JPEG, ""),
        (JPEG, "multipart/mixed; boundary=edge"),
        (b"GIF89a", "image/png"),
        (b'{"image": "file:///etc/passwd"}', "application/octet-stream"),
        (form(part(b"https://example.org/a.jpg")), FORM),
        (b"\x80\x04\x95", "application/octet-stream"),
    ],
)
def test_other_media_are_not_read(body, media_type):
    with pytest.raises(UnsupportedMedia) as caught:
        read_request(body, media_type, {})
    assert "JPEG" in caught.value.hint or "image/jpeg" in caught.value.hint


def test_too_many_pixels():
    with pytest.raises(TooLarge, match="40 x 30 pixels"):
        read_request(PNG, "image/png", {}, most_pixels=1199)


@pytest.mark.parametrize(("query", "drawn"), [({}, False), ({"canary": "true"}, False), ({"draw": "png"}, True)])
def test_the_wish_for_a_drawing(query, drawn):
    assert read_request(PNG, "image/png", query).draw is drawn


@pytest.mark.parametrize("wish", ["", "jpeg", "true", "PNG"])
def test_a_wish_that_means_nothing(wish):
    with pytest.raises(UsageError, match="nothing that is drawn") as caught:
        read_request(PNG, "image/png", {"draw": wish})
    assert "?draw=png" in caught.value.hint


HEADERS = [DISPOSITION.encode(), b"Content-Type: ", b"multipart/mixed"]
PIECES = [b"--edge", b"--", b"\r\n", b"\r\n\r\n", JPEG, b"\xff", b":", *HEADERS]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.booleans())
def test_any_form_is_a_picture_or_refused(pieces, begun):
    body = (b"--edge\r\n" if begun else b"") + b"".join(pieces)
    try:
        image = read_request(body, FORM, {}).image
    except RecognizerError as refused:
        status = refused.http_status
        assert 400 <= status < 500
    else:
        assert image == JPEG
