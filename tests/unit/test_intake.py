"""Reading a body within bounds, and reading on after a refusal."""

import asyncio

import pytest

from recognizer.errors import TooLarge, TooSlow, UsageError
from serving.intake import DRAIN, drain, read_body

LIMIT = 100


class Sender:
    """A client that sends these chunks, and then nothing more for ever unless the last one is `END`."""

    END = object()
    GONE = object()

    def __init__(self, *chunks):
        self.chunks = list(chunks)
        self.sent = 0

    async def __call__(self):
        if not self.chunks:
            await asyncio.Event().wait()
        chunk = self.chunks.pop(0)
        if chunk is self.GONE:
            return {"type": "http.disconnect"}
        self.sent += 1
        return {"type": "http.request", "body": b"" if chunk is self.END else chunk, "more_body": chunk is not self.END}


def read(sender, announced=None):
    headers = {} if announced is None else {b"content-length": str(announced).encode()}
    return asyncio.run(read_body(headers, sender, LIMIT, seconds=0.05, hint="send less"))


@pytest.mark.parametrize("chunks", [(b"",), (b"a" * 100,), (b"a" * 50, b"", b"b" * 50)])
def test_a_body_comes_whole(chunks):
    assert read(Sender(*chunks, Sender.END)) == b"".join(chunks)


@pytest.mark.parametrize(
    ("sender", "announced", "error", "says"),
    [
        (Sender(), 80, TooSlow, "0 bytes came within 0.05 s, 80 were announced"),
        (Sender(b"a" * 30), 80, TooSlow, "30 bytes came"),
        (Sender(b"a" * 30), None, TooSlow, "30 bytes came within 0.05 s"),
        (Sender(b"a" * 30, Sender.GONE), 80, UsageError, "went away"),
        (Sender(), 101, TooLarge, "101 bytes"),
        (Sender(b"a" * 60, b"a" * 60), None, TooLarge, "120 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_that_is_refused(sender, announced, error, says):
    with pytest.raises(error, match=says) as caught:
        read(sender, announced)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("sender", "chunks"),
    [
        (Sender(*[b"a" * 100] * 5, Sender.END, b"next request"), 6),
        (Sender(*[b"a" * 100] * 5, Sender.GONE, b"never"), 5),
        (Sender(*[b"a" * 100] * 100), DRAIN + 1),
        (Sender(b"a"), 1),
    ],
    ids=["to its end", "until the client leaves", "no further than allowed", "no longer than allowed"],
)
def test_what_still_comes_is_thrown_away(sender, chunks):
    asyncio.run(drain(sender, LIMIT, seconds=0.05))
    assert sender.sent == chunks
