"""HTTP responses, read from bytes as a network delivers them."""

import pytest

from flows.response import LONGEST_BODY, LONGEST_HEAD, NoResponse, ResponseReader

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Recognizer-Generation: 7\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;note=1\r\nlo\r\n0\r\n\r\n"
)
WHOLE = {
    "plain": (PLAIN, 200, b"hello", False),
    "chunked": (CHUNKED, 503, b"hello", False),
    "empty": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", False),
    "no phrase": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", False),
    "after a note": (b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, 200, b"hello", False),
    "closing": (b"HTTP/1.1 413 No\r\nConnection: close\r\ncontent-length: 2\r\n\r\nno", 413, b"no", True),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nno", 200, b"no", True),
    "old, kept": (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nno", 200, b"no", False),
}


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
@pytest.mark.parametrize("case", WHOLE)
def test_whole_responses_in_pieces(case, step):
    data, status, body, last = WHOLE[case]
    reader = ResponseReader()
    for _ in range(2):  # one after the other on one connection
        pieces = [data[i : i + step] for i in range(0, len(data), step)]
        *early, response = [reader.feed(piece) for piece in pieces]
        assert not any(early)
        assert (response.status, response.body, response.last) == (status, body, last)


def test_headers_have_names_in_lower_case():
    assert ResponseReader().feed(PLAIN).headers == {b"content-length": b"5", b"x-recognizer-generation": b"7"}


def test_a_response_that_only_the_end_completes():
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nhel") is None
    assert reader.feed(b"lo") is None
    response = reader.end()
    assert (response.body, response.last) == (b"hello", True)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 20", PLAIN[:-1], CHUNKED[:-4]])
def test_an_end_that_comes_too_early(begun):
    reader = ResponseReader()
    assert reader.feed(begun) is None
    assert reader.end() is None


def test_what_nobody_asked_for_ends_the_connection():
    assert ResponseReader().feed(PLAIN + b"HTTP/1.1").last


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH",
        b"\x00\x01\x02",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (LONGEST_BODY + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * (LONGEST_HEAD + 1),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * LONGEST_HEAD,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LONGEST_BODY + 1),
    ],
)
def test_what_is_no_response_is_refused(data):
    with pytest.raises(NoResponse):
        ResponseReader().feed(data)
