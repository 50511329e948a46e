"""Who may steer rollouts over HTTP, and what a request has to look like."""

import pytest

from recognizer.errors import Forbidden, FormatError, Unauthorized, UnsupportedMedia
from serving.rollouts import Asked, is_ours, parts_of, read_reason, require_allowed

TOKEN = "a-token-of-16-ch"
BEARER = {b"authorization": b"Bearer " + TOKEN.encode()}


def asked(client="127.0.0.1", body=b"", **headers):
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Asked("POST", ("action", "pause"), named, client, body)


def bearer(value):
    return {"authorization": value}


@pytest.mark.parametrize(
    ("client", "headers", "token", "refused"),
    [
        ("127.0.0.1", {}, None, None),
        ("127.9.9.9", {}, None, None),
        ("::1", {}, None, None),
        ("10.0.0.7", {}, None, Forbidden),
        ("::ffff:10.0.0.7", {}, None, Forbidden),
        ("localhost.evil.example", {}, None, Forbidden),
        (None, {}, None, Forbidden),
        ("127.0.0.1", {"x_forwarded_for": b"10.0.0.7"}, None, Forbidden),
        ("127.0.0.1", {"forwarded": b"for=10.0.0.7"}, None, Forbidden),
        ("127.0.0.1", {"origin": b"http://evil.example"}, None, Forbidden),
        # nobody but who has the token, wherever it comes from
        ("127.0.0.1", {}, TOKEN, Unauthorized),
        ("10.0.0.7", {}, TOKEN, Unauthorized),
        ("10.0.0.7", bearer(b"Bearer another-token-16"), TOKEN, Unauthorized),
        ("10.0.0.7", bearer(b"Bearer "), TOKEN, Unauthorized),
        ("10.0.0.7", bearer(b"Basic " + TOKEN.encode()), TOKEN, Unauthorized),
        ("10.0.0.7", bearer(b"Bearer \xff\xfe"), TOKEN, Unauthorized),
        ("10.0.0.7", bearer(b"Bearer " + TOKEN.encode()), TOKEN, None),
        ("10.0.0.7", bearer(b"bearer " + TOKEN.encode()), TOKEN, None),
        # a token that nobody set opens nothing
        ("10.0.0.7", bearer(b"Bearer " + TOKEN.encode()), None, Forbidden),
    ],
)
def test_who_may_steer(client, headers, token, refused):
    request = asked(client, **headers)
    if refused is None:
        require_allowed(request, token)
        return
    with pytest.raises(refused) as caught:
        require_allowed(request, token)
    assert "RECOGNIZER_ADMIN_TOKEN" in caught.value.hint
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "media_type", "reason"),
    [
        (b"", b"", ""),
        (b"  ", b"text/plain", ""),
        (b"{}", b"application/json", ""),
        (b'{"reason": "holidays"}', b"application/json; charset=utf-8", "holidays"),
        (b'{"reason": "x"}', b"application/x-www-form-urlencoded", UnsupportedMedia),
        (b"reason=x", b"application/json", FormatError),
        (b'{"why": "x"}', b"application/json", FormatError),
        (b'{"reason": 3}', b"application/json", FormatError),
        (b'["reason"]', b"application/json", FormatError),
        (b'"\xff"', b"application/json", FormatError),
        (b"[" * 10_000, b"application/json", FormatError),
    ],
)
def test_what_a_reason_looks_like(body, media_type, reason):
    request = asked(body=body, content_type=media_type)
    if isinstance(reason, str):
        assert read_reason(request) == reason
        return
    with pytest.raises(reason) as caught:
        read_reason(request)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/v1/rollouts", ()),
        ("/v1/rollouts/", ()),
        ("/v1/rollouts/action", ("action",)),
        ("/v1/rollouts/action/pause", ("action", "pause")),
        ("/v1/rolloutsx", None),
        ("/v1/action", None),
    ],
)
def test_which_addresses_are_meant(path, parts):
    assert is_ours(path) == (parts is not None)
    if parts is not None:
        assert parts_of(path) == parts
