"""Loading off the reconciling thread: asked again and again, answered once it is there."""

import threading
import time
from types import SimpleNamespace

import pytest

from recognizer.errors import PackageTampered
from serving.background import BackgroundLoader


def wanted(digest):
    return SimpleNamespace(task="any", version=1, digest=digest)


class Packages:
    """Loads when it is let."""

    def __init__(self):
        self.go, self.loads, self.bad = threading.Event(), [], set()

    def stop(self):
        self.go.set()

    def load(self, wanted):
        self.loads.append(wanted.digest)
        self.go.wait(10)
        if wanted.digest in self.bad:
            raise PackageTampered("a file was changed")
        return f"servable of {wanted.digest}"


@pytest.fixture
def packages():
    return Packages()


@pytest.fixture
def loader(packages):
    made = BackgroundLoader(packages)
    yield made
    made.stop()


def ask(loader, digest):
    """What comes of asking until there is an answer."""
    deadline = time.monotonic() + 10
    while (found := loader.load(wanted(digest))) is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return found


def test_one_after_the_other(loader, packages):
    for digest in ("a", "b", "a"):
        assert loader.load(wanted(digest)) is None
    packages.go.set()
    assert (ask(loader, "b"), ask(loader, "a")) == ("servable of b", "servable of a")
    assert packages.loads == ["a", "b"]


def test_a_refusal_is_raised_once_and_tried_anew(loader, packages):
    packages.go.set()
    packages.bad.add("a")
    with pytest.raises(PackageTampered):
        ask(loader, "a")
    packages.bad.clear()
    assert ask(loader, "a") == "servable of a"
    assert packages.loads == ["a", "a"]


def test_what_nobody_wants_any_more_is_not_loaded(loader, packages):
    for digest in ("a", "b", "c"):
        loader.load(wanted(digest))
    loader.keep({"c"})
    packages.go.set()
    assert ask(loader, "c") == "servable of c"
    assert "b" not in packages.loads
    assert loader.load(wanted("a")) is None  # its first load was forgotten
    assert ask(loader, "a") == "servable of a"
