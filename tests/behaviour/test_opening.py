"""What somebody is told who asks for a night while another process runs one, or without data."""

import pytest

from flows.ingestion import ingest_missing
from flows.night import NightRequest
from flows.opening import find_tasks, open_night
from recognizer.errors import NightRunning, NotFound, UsageError
from recognizer.home import Home
from recognizer.settings import Settings
from recognizer.store import leases, open_store, snapshots


@pytest.mark.parametrize(
    ("seed", "says"),
    [
        (None, "recognizer nightly action then hands out its result"),
        (5, "recognizer nightly action --seed 5 then hands out its result, or trains with this seed"),
    ],
)
def test_a_night_that_runs_elsewhere(tmp_path, seed, says):
    settings = Settings(home=Home(tmp_path))
    with open_store(settings.database_url) as store:
        snapshots.record(store, task="action", id="0" * 32, card={})
        with (
            leases.keep(store, "night/action", 60, holder="another host"),
            pytest.raises(NightRunning) as caught,
            open_night(settings, NightRequest("action", seed=seed)),
        ):
            pass
    assert caught.value.hint == f"wait until it has ended; {says}"


def test_a_night_of_generated_data_makes_them_once(tmp_path):
    settings = Settings(home=Home(tmp_path))
    (made,) = ingest_missing(settings, ["action"], 80)
    assert (made.new, made.kept, made.card.synthetic) == (True, False, True)
    assert sum(part.sequences for part in made.card.sets.values()) == 80
    (kept,) = ingest_missing(settings, ["action"])
    assert (kept.kept, kept.snapshot) == (True, made.snapshot)
    assert find_tasks(settings, ()) == ("action",)


@pytest.mark.parametrize(("tasks", "error"), [([], UsageError), (["action", "dance"], NotFound)])
def test_no_data_is_made_for_tasks_that_nobody_can_train(tmp_path, tasks, error):
    settings = Settings(home=Home(tmp_path / "home"))
    with pytest.raises(error) as caught:
        ingest_missing(settings, tasks, 80)
    assert caught.value.hint
    assert not (tmp_path / "home").exists()
