"""Work that is done again and again in the background."""

import threading

import pytest

from serving.periodic import Periodic


@pytest.mark.parametrize("raises", [False, True])
def test_it_goes_on_until_it_is_stopped_whatever_happens(raises):
    enough, calls = threading.Event(), []

    def work():
        calls.append(None)
        if len(calls) == 3:
            enough.set()
        if raises:
            raise ValueError("this once")

    periodic = Periodic("test", 0.001, work, "it failed")
    periodic.start()
    assert enough.wait(30)
    periodic.stop()
    assert "test" not in {thread.name for thread in threading.enumerate()}


def test_what_was_never_started_can_be_stopped():
    Periodic("test", 1, lambda: None, "it failed").stop()
