"""What somebody is told who asks for a night while another process runs one."""

import pytest

from flows.night import NightRequest
from flows.opening import open_night
from recognizer.errors import NightRunning
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
