"""Nights in a row, as plain functions without Prefect around them: what each decides and what it leaves behind."""

import json
import shutil
import socket

import pytest

from flows import steps
from flows.aliases import mirror_aliases
from flows.lineage import has_weights, weights_file
from flows.night import NightRequest
from flows.nightly import go_through
from flows.opening import open_night
from flows.registry import Registry
from flows.standing import Standing, read_standing
from recognizer.blessing import verify_blessing
from recognizer.errors import LineageChanged, NotFound, StorageError, TrainingError
from recognizer.keys import Keyring
from recognizer.night import Outcome, Step
from recognizer.package import PackageStore
from recognizer.rollout.action import Finish, Promote
from recognizer.rollout.state import Phase
from recognizer.sequences import write_npz
from recognizer.settings import Settings
from recognizer.store import checks as stored_checks
from recognizer.store import nights, rollouts, served, versions
from recognizer.synthetic import generate


@pytest.fixture(scope="module")
def kept(make_place, tmp_path_factory):
    """A home after its first night, a copy of it to put back, and what the night said."""
    made = make_place(tmp_path_factory.mktemp("nights") / "home")
    first = made.night(night="2026-11-16")
    return made, shutil.copytree(made.root, made.root.parent / "copy", symlinks=True), first


@pytest.fixture
def first_night(kept):
    """A home as its first night left it, in the same folder each time, and what that night said."""
    place, copy, first = kept
    for path in place.root.iterdir():
        if path.is_file():
            path.unlink()
        elif path.name != "mlruns":  # MLflow keeps its database open as long as this process runs
            shutil.rmtree(path)
    shutil.copytree(copy, place.root, symlinks=True, dirs_exist_ok=True)
    return place, first


def raising(error: BaseException):
    """A function that raises it, whatever it is given."""

    def work(*_, **__):
        raise error

    return work


def serves(place):
    with place.store() as store:
        return served.read_served(store)


def complete_rollout(place):
    """What the service's controller does in the end to a challenger that proves good."""
    with place.store() as store:
        rollout = rollouts.current(store, "action")
        for action in (Promote("good in service"), Finish("baked")):
            rollout = rollouts.apply(store, rollout, action, lease=None, home=place.home)
        assert rollout.phase is Phase.HEALTHY


def test_a_week_of_nights(first_night, tmp_path):
    place, first = first_night
    assert (first.outcome, first.version) == (Outcome.PROMOTED, 1)

    # the next night finds nothing new
    second = place.night(night="2026-11-17")
    assert (second.outcome, second.version) == (Outcome.UNCHANGED, 1)
    assert "2026-11-16" in second.reason
    assert place.trainings() == 1

    # another seed is another training: it starts from the champion and is compared with it
    third = place.night(night="2026-11-18", seed=1)
    assert (third.outcome, third.version) == (Outcome.RELEASED, 2)
    assert "rollout 1 compares it with version 1" in third.reason
    assert serves(place).champions["action"].version == 1
    assert (serves(place).splits["action"].version, serves(place).splits["action"].share) == (2, 0.0)
    with place.store() as store:
        limits = rollouts.current(store, "action").plan.judge
    assert 0.02 <= limits["disagreement"] <= 1
    assert Registry(place.settings).alias("action", "challenger") == 2
    assert place.night(night="2026-11-18", seed=1) == third  # the night is over; its rollout is not begun again
    complete_rollout(place)
    (relative,) = [check for check in third.checks if check.gate == "relative"]
    assert relative.baseline == first.metrics["accuracy"]
    card = PackageStore(place.home.packages).card(third.digest)
    assert card.parent == PackageStore(place.home.packages).card(first.digest).weights
    assert serves(place).champions["action"].version == 2
    with place.store() as store:
        mirror_aliases(place.settings, store)
    assert Registry(place.settings).alias("action", "champion") == 2
    assert Registry(place.settings).alias("action", "challenger") is None

    # a model that a gate refuses is registered, not blessed, and does not serve
    place.change_params(evaluate__action__gates__absolute={"accuracy": {"min": 1.0}})
    fourth = place.night(night="2026-11-19")
    assert (fourth.outcome, fourth.version) == (Outcome.REJECTED, 3)
    assert "absolute/accuracy FAILED" in fourth.reason
    assert not (place.home.packages / fourth.digest / "blessing.json").exists()
    assert serves(place).champions["action"].version == 2
    assert json.loads(json.dumps(fourth.as_dict()))["outcome"] == "rejected"

    # other classes need somebody's consent, given once
    place.change_params(evaluate__action__gates__absolute={"accuracy": {"min": 0.0}})
    recorded = generate(SEQUENCES_OF_TWO, seed=5).sequences
    chosen = [i for i, item in enumerate(recorded) if item.label in (0, 1)]
    two = type(recorded)(recorded.classes[:2], recorded.subset(chosen).sequences)
    write_npz(tmp_path / "two.npz", two)
    assert place.ingest(path=tmp_path / "two.npz").new_labels
    with pytest.raises(LineageChanged, match="--accept-new-labels"):
        place.night(night="2026-11-20")
    with place.store() as store:
        refused = nights.latest(store, "action")
        assert (refused.outcome, refused.step) == (Outcome.FAILED, None)
    fifth = place.night(night="2026-11-20", accept_new_labels=True)
    assert (fifth.outcome, fifth.version) == (Outcome.PROMOTED, 4)
    (relative,) = [check for check in fifth.checks if check.gate == "relative"]
    assert relative.value is None
    assert "new lineage" in relative.reason
    assert PackageStore(place.home.packages).card(fifth.digest).parent is None


SEQUENCES_OF_TWO = 320


def test_a_broken_contract_ends_the_night_before_training(place):
    place.change_params(prepare__action__contract__frames={"min": 1, "max": 2, "allowed": 0.0})
    result = place.night()
    assert result.outcome is Outcome.REJECTED
    assert result.exit_code == 1
    assert result.version is None
    assert {check.gate for check in result.checks} == {"contract"}
    assert "contract/" in result.reason
    assert not list((place.root / "runs").glob("*/*/trained"))
    report = (place.home.reports / "action").glob("*/report.md")
    assert "contract" in next(report).read_text()


def test_a_step_that_breaks_is_told_and_gone_on_with(place):
    broken = {**steps.WORK, Step.TRAIN: raising(TrainingError("the loss is not a number", hint="lower it"))}
    with (
        open_night(place.settings, NightRequest("action")) as night,
        pytest.raises(TrainingError),
    ):
        go_through(night, broken)
    with place.store() as store:
        row = nights.latest(store, "action")
    assert row.outcome is Outcome.FAILED
    assert "the loss is not a number" in row.reason
    result = place.night()
    assert (result.outcome, result.version) == (Outcome.PROMOTED, 1)
    with place.store() as store:
        assert nights.latest(store, "action").attempts == 2


def test_a_night_that_goes_on_is_judged_against_the_champion_of_then(place):
    broken = {**steps.WORK, Step.REPORT: raising(StorageError("the disk is full", hint="free some space"))}
    with open_night(place.settings, NightRequest("action", night="2026-11-16")) as night, pytest.raises(StorageError):
        go_through(night, broken)
    other = place.night(night="2026-11-16", seed=1)
    assert (other.outcome, other.version) == (Outcome.PROMOTED, 2)
    result = place.night(night="2026-11-16")
    assert (result.outcome, result.version) == (Outcome.RELEASED, 1)
    (relative,) = [check for check in result.checks if check.gate == "relative"]
    assert relative.baseline == other.metrics["accuracy"]
    assert place.trainings() == 2
    assert serves(place).champions["action"].version == 2
    assert serves(place).splits["action"].version == 1


def test_killed_right_after_its_promotion_it_has_promoted(place):
    with open_night(place.settings, NightRequest("action", night="2026-11-16")) as night:
        night.end = raising(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            go_through(night, steps.WORK)
    result = place.night(night="2026-11-17")
    assert (result.outcome, result.version) == (Outcome.UNCHANGED, 1)
    with place.store() as store:
        _, first = nights.list(store, "action")
    assert (first.outcome, first.version) == (Outcome.PROMOTED, 1)
    assert (place.root / first.report).is_file()
    assert place.trainings() == 1


def test_a_lost_store_makes_the_marks_in_the_folder_void(first_night):
    """`runs/` says that everything was done; the new store knows of no version, so it is registered and promoted."""
    place, first = first_night
    for left in place.root.glob("recognizer.db*"):
        left.unlink()
    place.ingest(synthetic=200)
    again = place.night(night="2026-11-16")
    assert (again.outcome, again.version, again.digest) == (Outcome.PROMOTED, 1, first.digest)
    assert serves(place).champions["action"].version == 1
    assert place.trainings() == 1
    with place.store() as store:
        assert [version.version for version in versions.list(store, "action")] == [1]
        assert stored_checks.of(store, first.digest)
        assert read_standing(store, again) == Standing(champion=1, synthetic=True)


def test_what_a_killed_process_left_half_written_is_swept_when_the_night_goes_on(place):
    with open_night(place.settings, NightRequest("action", night="2026-11-16")) as night:
        broken = {**steps.WORK, Step.TRAIN: raising(KeyboardInterrupt())}
        with pytest.raises(KeyboardInterrupt):
            go_through(night, broken)
        left = night.folder / "done" / night.row.night / f".promote.json.{socket.gethostname()}-{2**22 + 1}.7.partial"
        left.write_bytes(b"{")
    place.night(night="2026-11-16")
    assert not left.exists()


@pytest.mark.parametrize("whole", [True, False], ids=["put back from the night's folder", "a fresh start"])
def test_damaged_weights_of_the_champion_stop_no_night(first_night, whole):
    place, first = first_night
    parent = PackageStore(place.home.packages).card(first.digest).weights
    weights_file(place.home, parent).write_bytes(b"no weights")
    if not whole:
        (made,) = (place.root / "runs").glob("*/*/trained/weights.pt")
        made.unlink()
    second = place.night(night="2026-11-17", seed=1)
    assert second.outcome is Outcome.RELEASED
    assert PackageStore(place.home.packages).card(second.digest).parent == (parent if whole else None)
    assert has_weights(place.home, parent) == whole


def test_a_night_whose_parent_was_damaged_meanwhile_goes_on_from_nothing(first_night):
    place, first = first_night
    broken = {**steps.WORK, Step.TRAIN: raising(StorageError("the disk is full", hint="free some space"))}
    with (
        open_night(place.settings, NightRequest("action", night="2026-11-17", seed=1)) as night,
        pytest.raises(StorageError),
    ):
        go_through(night, broken)
    weights_file(place.home, PackageStore(place.home.packages).card(first.digest).weights).unlink()
    next((place.root / "runs").glob("*/*/trained/weights.pt")).unlink()
    second = place.night(night="2026-11-17", seed=1)
    assert second.outcome is Outcome.RELEASED
    assert PackageStore(place.home.packages).card(second.digest).parent is None


def test_what_breaks_before_the_first_step_is_told_too(place):
    (place.root / "dvc.yaml").unlink(missing_ok=True)
    (place.root / "dvc.yaml").mkdir()
    with pytest.raises(StorageError):
        place.night()
    with place.store() as store:
        row = nights.latest(store, "action")
    assert (row.outcome, row.step) == (Outcome.FAILED, None)
    assert "dvc.yaml" in row.reason


def test_the_champions_package_is_made_anew(first_night):
    place, first = first_night
    folder = place.home.packages / first.digest
    keyring = Keyring.open(place.home.keys)

    def cut_short(path):
        path.write_bytes(path.read_bytes()[:-1])

    damages = (
        lambda: cut_short(folder / "model.onnx"),
        (folder / "package.json").unlink,
        lambda: shutil.rmtree(folder),
        (folder / "signature.json").unlink,
        (folder / "blessing.json").unlink,
        lambda: (folder / "blessing.json").write_text('{"package": "forged"}'),
        lambda: (folder / "extra.py").write_text(""),
    )
    for day, damage in enumerate(damages, start=17):
        damage()
        result = place.night(night=f"2026-11-{day}")
        assert (result.outcome, result.version) == (Outcome.UNCHANGED, 1)
        PackageStore(place.home.packages).verify(first.digest, keyring)
        assert verify_blessing(folder, first.digest, keyring).night == "2026-11-16"

    # data is taken in whatever has become of the package
    shutil.rmtree(folder)
    assert not place.ingest(synthetic=240, seed=3).new_labels
    # what cannot be made anew is told, and nothing is judged against it
    (mark,) = (place.root / "runs").glob("*/*/done/*/package.json")
    mark.unlink()
    with pytest.raises(NotFound, match="put back a backup"):
        place.night(night="2026-11-30")
    assert serves(place).champions["action"].digest == first.digest


def test_no_data_says_how_to_get_some(tmp_path):
    from recognizer.home import Home

    with (
        pytest.raises(NotFound, match="recognizer ingest action"),
        open_night(Settings(home=Home(tmp_path / "empty")), NightRequest("action")),
    ):
        pass
