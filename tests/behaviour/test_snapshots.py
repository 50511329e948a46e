"""Snapshots with the real DVC: identity, kills, races, damage, full and read-only disks."""

import itertools
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys

import pytest

from flows.partial import PREFIX
from flows.project import open_project
from flows.snapshots import add_snapshot, incoming, list_snapshots, pin, restore_snapshot
from recognizer.errors import FormatError, NotFound, UsageError
from recognizer.home import Home, checkout

fork = multiprocessing.get_context("fork")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def ingest(home, text="one"):
    with incoming(home, "action") as folder:
        (folder / "train.npz").write_bytes(text.encode() * 1000)
        (folder / "snapshot.json").write_text("{}")
        return add_snapshot(home, "action", folder)


def content(home, snapshot):
    return (home.snapshots("action") / snapshot / "train.npz").read_bytes()


def leftovers(home):
    return list(home.data.rglob(f"{PREFIX}*"))


def test_the_id_is_dvcs_hash_of_the_folder(home):
    snapshot = ingest(home)
    pointer = home.snapshots("action") / f"{snapshot}.dvc"
    assert f"md5: {snapshot}.dir" in pointer.read_text()
    assert content(home, snapshot) == b"one" * 1000
    with open_project(home) as project:
        assert project.status() == {}
    assert leftovers(home) == []


def test_the_same_content_is_the_same_snapshot(home):
    assert ingest(home) == ingest(home)
    assert len(list_snapshots(home, "action")) == 1
    assert ingest(home, "two") != ingest(home)
    assert len(list_snapshots(home, "action")) == 2
    assert leftovers(home) == []


def test_nothing_is_written_outside_the_home(home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    ingest(home)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert sorted(path.name for path in home.root.iterdir()) == [".dvc", ".dvcignore", "data"]


def test_a_home_may_be_moved(home, tmp_path):
    snapshot = ingest(home)
    moved = Home(tmp_path / "moved")
    home.root.rename(moved.root)
    shutil.rmtree(moved.snapshots("action") / snapshot)
    restore_snapshot(moved, "action", snapshot)
    assert content(moved, snapshot) == b"one" * 1000
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_git_sees_nothing_in_a_checkout(tmp_path):
    home = Home(tmp_path)

    def git(*words):
        return subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    shutil.copy(checkout() / ".gitignore", tmp_path)
    git("add", ".gitignore")
    before = git("status", "--porcelain"), (tmp_path / ".git" / "index").read_bytes()
    pin(home, "action", snapshot=ingest(home), parent=None, champion=None)
    assert (git("status", "--porcelain"), (tmp_path / ".git" / "index").read_bytes()) == before


def test_a_project_tied_to_git_is_left_alone(home):
    config = home.root / ".dvc" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("[core]\n    remote = mine\n")
    with pytest.raises(UsageError, match="tied to git"):
        ingest(home)
    assert config.read_text() == "[core]\n    remote = mine\n"
    assert list_snapshots(home, "action") == []


def test_a_users_remote_stays_and_is_used(home, tmp_path):
    snapshot = ingest(home)
    with (home.root / ".dvc" / "config").open("a") as config:
        config.write(f'    remote = shelf\n[remote "shelf"]\n    url = {tmp_path / "shelf"}\n')
    with open_project(home) as project:
        assert project.push() == 3
    shutil.rmtree(home.snapshots("action") / snapshot)
    shutil.rmtree(home.root / ".dvc" / "cache")
    restore_snapshot(home, "action", snapshot)
    assert content(home, snapshot) == b"one" * 1000


@pytest.mark.parametrize("damage", ["missing", "empty", "file missing", "file changed", "file added"])
def test_restores_from_the_cache(home, damage):
    snapshot = ingest(home)
    folder = home.snapshots("action") / snapshot
    match damage:
        case "missing":
            shutil.rmtree(folder)
        case "empty":
            shutil.rmtree(folder)
            folder.mkdir()
        case "file missing":
            (folder / "train.npz").unlink()
        case "file changed":  # same size, same time: only its bytes tell
            times = (folder / "train.npz").stat()
            (folder / "train.npz").write_bytes(b"eno" * 1000)
            os.utime(folder / "train.npz", ns=(times.st_atime_ns, times.st_mtime_ns))
        case "file added":
            (folder / "more").write_text("x")
    assert restore_snapshot(home, "action", snapshot) == folder
    assert content(home, snapshot) == b"one" * 1000
    assert sorted(path.name for path in folder.iterdir()) == ["snapshot.json", "train.npz"]
    assert leftovers(home) == []


def test_a_damaged_cache_is_told_and_the_snapshot_kept(home):
    snapshot = ingest(home)
    shutil.rmtree(home.root / ".dvc" / "cache")
    restore_snapshot(home, "action", snapshot)  # whole: needs no cache
    (home.snapshots("action") / snapshot / "snapshot.json").unlink()
    with pytest.raises(FormatError, match="damaged"):
        restore_snapshot(home, "action", snapshot)
    assert content(home, snapshot) == b"one" * 1000
    assert ingest(home) == snapshot
    assert restore_snapshot(home, "action", snapshot).is_dir()
    with open_project(home) as project:
        assert project.status() == {}


def test_an_unknown_snapshot_is_not_found(home):
    with pytest.raises(NotFound, match="ingest"):
        restore_snapshot(home, "action", "0" * 32)
    known = ingest(home)
    with pytest.raises(NotFound, match=known):
        restore_snapshot(home, "action", "0" * 32)


def _ingest_until(home, events):
    """Ingest in this process and kill it at the given file-system event."""
    seen = 0

    def hook(event, arguments):
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir")) and str(home.root) in str(arguments):
            seen += 1
            if seen == events:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    ingest(home)


@pytest.mark.parametrize("again", [False, True], ids=["each in a fresh home", "one after the other in one home"])
def test_a_kill_anywhere_leaves_no_half_snapshot(tmp_path, again):
    whole = ingest(Home(tmp_path / "other"))
    kills = 0
    for event in itertools.count(1, 1 if again else 3):
        home = Home(tmp_path / ("home" if again else f"home-{event}"))
        child = fork.Process(target=_ingest_until, args=(home, event))
        child.start()
        child.join()
        for folder in home.snapshots("action").glob("[0-9a-f]*[0-9a-f]"):
            if folder.is_dir():
                assert sorted(path.name for path in folder.iterdir()) == ["snapshot.json", "train.npz"], (
                    f"event {event}"
                )
        if not again or child.exitcode == 0:
            assert ingest(home) == whole, f"event {event}"
            assert list_snapshots(home, "action") == [whole]
            assert leftovers(home) == []
            shutil.rmtree(home.snapshots("action") / whole)
            restore_snapshot(home, "action", whole)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        kills += 1
    assert kills > 5


def _ingest_into(home, text, results):
    results.put(ingest(home, text))


def test_ingests_at_once_all_arrive(home):
    import dvc.repo  # noqa: F401  # imported once, before the fork

    results = fork.Queue()
    children = [fork.Process(target=_ingest_into, args=(home, text, results)) for text in ("one", "one", "two", "six")]
    for child in children:
        child.start()
    ids = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len(set(ids)) == 3
    assert list_snapshots(home, "action") == sorted(set(ids))
    assert leftovers(home) == []


SMALL_DISK = """
mount -t tmpfs -o size={size}k none {disk} || exit 1
{python} - <<'END'
import os, subprocess, sys
from pathlib import Path
from recognizer.errors import DiskFull, ReadOnlyHome
from recognizer.home import Home
import flows.snapshots as snapshots
disk = Path({disk!r})
home = Home(disk / "home")
def ingest(data):
    with snapshots.incoming(home, "action") as folder:
        (folder / "train.npz").write_bytes(data)
        return snapshots.add_snapshot(home, "action", folder)
snapshots.SPARE = {spare}
first = ingest(b"x" * 1000)
if {readonly}:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
try:
    ingest(os.urandom(1_500_000))
    sys.exit("nothing was refused")
except (DiskFull, ReadOnlyHome) as error:
    print(type(error).__name__)
if not {readonly}:
    assert snapshots.list_snapshots(home, "action") == [first]
    assert sorted(path.name for path in home.snapshots("action").iterdir()) == [first, first + ".dvc"]
    assert not list(home.root.glob(".dvc/cache/files/md5/*/.*.tmp"))
    assert ingest(b"y" * 1000) != first
assert snapshots.restore_snapshot(home, "action", first).is_dir()
END
"""


@pytest.mark.parametrize(
    ("size", "spare", "readonly", "error"),
    [
        pytest.param(6000, 4 * 2**20, False, "DiskFull", id="seen before"),
        pytest.param(3000, -(2**30), False, "DiskFull", id="while DVC copies"),
        pytest.param(6000, 0, True, "ReadOnlyHome", id="read-only"),
    ],
)
def test_a_disk_that_takes_no_more(tmp_path, size, spare, readonly, error):
    own_disks = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    probe = [*own_disks, f"mount -t tmpfs none {tmp_path}"]
    if not shutil.which("unshare") or subprocess.run(probe, check=False).returncode:
        pytest.skip("this machine lets no test mount a disk of its own")
    script = SMALL_DISK.format(size=size, disk=str(tmp_path), python=sys.executable, spare=spare, readonly=readonly)
    done = subprocess.run([*own_disks, script], check=False, capture_output=True, text=True, cwd=checkout())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [error]


def test_pins_what_the_stages_start_from(home, tmp_path):
    snapshot = ingest(home)
    parent = tmp_path / "weights.pt"
    parent.write_bytes(b"weights")
    champion = tmp_path / "package"
    champion.mkdir()
    (champion / "model.onnx").write_bytes(b"model")
    golden = tmp_path / "golden"
    (golden / "synthetic").mkdir(parents=True)
    (golden / "synthetic" / "one.npz").write_bytes(b"case")
    pinned = pin(
        home,
        "action",
        snapshot=snapshot,
        parent=parent,
        champion=champion,
        best={"d1": champion},
        golden=golden,
        notes={"best/best.json": b"{}"},
    )
    assert pinned == home.pinned("action")
    files = {path.relative_to(pinned).as_posix() for path in pinned.rglob("*") if path.is_file()}
    assert files == {
        "snapshot/train.npz",
        "snapshot/snapshot.json",
        "parent/weights.pt",
        "champion/model.onnx",
        "best/best.json",
        "best/d1/model.onnx",
        "golden/synthetic/one.npz",
    }
    assert (pinned / "parent/weights.pt").samefile(parent)
    pin(home, "action", snapshot=ingest(home, "two"), parent=None, champion=None)
    files = {path.relative_to(pinned).as_posix() for path in pinned.rglob("*")}
    folders = {"snapshot", "parent", "champion", "best", "golden"}
    assert files == {*folders, "snapshot/train.npz", "snapshot/snapshot.json"}
    assert (pinned / "snapshot/train.npz").read_bytes() == b"two" * 1000
    assert leftovers(home) == []
