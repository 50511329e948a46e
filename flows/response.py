"""Read HTTP/1.1 responses from the bytes of a connection; pure: bytes in, responses out."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 16 * 1024 * 1024


class NoResponse(ValueError):
    """What came is no HTTP/1 response, or too long a one."""


@dataclass(frozen=True)
class Response:
    """One whole response.

    Attributes:
        headers: names in lower case; of one that comes twice, the last.
        last: the connection cannot be used again.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    last: bool


@dataclass(frozen=True)
class _Head:
    status: int
    headers: dict[bytes, bytes]
    last: bool
    chunked: bool
    length: int | None  # None: until the connection ends


class ResponseReader:
    """Takes the bytes of one connection as they come. One response at a time: nothing is pipelined."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._chunks = bytearray()

    def feed(self, data: bytes) -> Response | None:
        """The response, once it is whole.

        Raises:
            NoResponse: it is none.
        """
        self._buffer += data
        while self._head is None:
            head = self._take_head()
            if head is None:
                return None
            if head.status >= 200:  # before it come notes such as 100 Continue
                self._head = head
        return self._take_chunked(self._head) if self._head.chunked else self._take_plain(self._head)

    def end(self) -> Response | None:
        """The connection has ended: the response that only its end completes, if there is one."""
        head = self._head
        if head is None or head.chunked or head.length is not None:
            return None
        return self._finish(head, bytes(self._buffer), len(self._buffer))

    def _take_head(self) -> _Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or end > LONGEST_HEAD:
            if len(self._buffer) > LONGEST_HEAD:
                raise NoResponse("its head does not end")
            if not self._buffer.startswith(b"HTTP/"[: len(self._buffer)]):
                raise NoResponse(f"it begins with {bytes(self._buffer[:20])!r}")
            return None
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        protocol, _, rest = first.partition(b" ")
        code = rest[:3]
        if not protocol.startswith(b"HTTP/1.") or not code.isdigit() or len(code) != 3:
            raise NoResponse(f"it begins with {first[:20]!r}")
        headers = {}
        for line in lines:
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        status, connection = int(code), headers.get(b"connection", b"").lower()
        chunked = b"chunked" in headers.get(b"transfer-encoding", b"").lower()
        length = _length(headers, status)
        last = b"close" in connection or (protocol == b"HTTP/1.0" and b"keep-alive" not in connection)
        return _Head(status, headers, last or (length is None and not chunked), chunked, length)

    def _take_plain(self, head: _Head) -> Response | None:
        if len(self._buffer) > LONGEST_BODY:
            raise NoResponse(f"it has more than {LONGEST_BODY} bytes")
        if head.length is None or len(self._buffer) < head.length:
            return None
        return self._finish(head, bytes(self._buffer[: head.length]), head.length)

    def _take_chunked(self, head: _Head) -> Response | None:
        while (end := self._buffer.find(b"\r\n")) >= 0:
            try:
                size = int(bytes(self._buffer[:end]).partition(b";")[0], 16)
            except ValueError as error:
                raise NoResponse("its chunks have no lengths") from error
            if size < 0 or size + len(self._chunks) > LONGEST_BODY:
                raise NoResponse(f"it has more than {LONGEST_BODY} bytes")
            # the last chunk is followed by trailers (nobody sends any) and an empty line
            taken = end + 2 + size + 2
            if len(self._buffer) < taken:
                return None
            self._chunks += self._buffer[end + 2 : taken - 2]
            if size == 0:
                return self._finish(head, bytes(self._chunks), taken)
            del self._buffer[:taken]
        if len(self._buffer) > LONGEST_HEAD:
            raise NoResponse("its chunks have no lengths")
        return None

    def _finish(self, head: _Head, body: bytes, taken: int) -> Response:
        # what follows without being asked for belongs to nobody
        response = Response(head.status, head.headers, body, head.last or len(self._buffer) > taken)
        self._buffer.clear()
        self._chunks.clear()
        self._head = None
        return response


def _length(headers: dict[bytes, bytes], status: int) -> int | None:
    if status < 200 or status in (204, 304):
        return 0
    length = headers.get(b"content-length")
    if length is None:
        return None
    if not length.isdigit() or len(length) > 12 or int(length) > LONGEST_BODY:
        raise NoResponse(f"its length is {length[:20]!r}")
    return int(length)
