"""The Prefect flow `nightly`: one Prefect task per step, thin around the plain functions of `steps`.

Our own store says what is true about a night (a killed run stays "Running" on Prefect's page), so nothing is cached
by Prefect: each step knows by its own mark whether it was done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import steps
from flows.environment import prepare_environment
from flows.night import NightRequest, NightResult, NightRun, note_failure
from flows.opening import open_night
from recognizer.errors import StorageError
from recognizer.night import Step
from recognizer.settings import Settings, load_settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

# A locked database or a store that is away for a moment is worth a second try; a bad model is not.
RETRY_DELAYS = (2, 10, 30)


def _outside_reason(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StorageError | ConnectionError | TimeoutError)


TASKS = {
    step: task(
        name=step.value,
        retries=len(RETRY_DELAYS),
        retry_delay_seconds=list(RETRY_DELAYS),
        retry_condition_fn=_outside_reason,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(work)
    for step, work in steps.WORK.items()
}


@flow(name="nightly", flow_run_name="{task}", persist_result=False, log_prints=False, validate_parameters=True)
def nightly(
    task: str, seed: int | None = None, accept_new_labels: bool = False, night: str | None = None
) -> dict[str, Any]:
    """Retrain one task, judge the candidate and promote it when it passed.

    Args:
        task: the task to retrain.
        seed: train with another seed than params.yaml says.
        accept_new_labels: let a snapshot with another class list replace the champion.
        night: local date YYYY-MM-DD of the night; empty for the present one.
    """
    request = NightRequest(task, night=night, seed=seed, accept_new_labels=accept_new_labels)
    settings = load_settings()
    with open_night(settings, request) as run:
        if isinstance(run, NightResult):
            return run.as_dict()
        return go_through(run).as_dict()


def go_through(run: NightRun, works: Any = None) -> NightResult:
    """Take the night through its steps; its end is in the store whatever happens, short of a kill."""
    works = TASKS if works is None else works
    try:
        for step in Step:
            result = works[step](run)
            if isinstance(result, NightResult):
                return result
    except Exception as error:
        note_failure(run.store, run.row, error, run.lease)
        raise
    raise AssertionError("the last step ends the night")


def run_nightly(settings: Settings, request: NightRequest) -> NightResult:
    """Run one night through Prefect in this process.

    Uses the server that PREFECT_API_URL names, or one that Prefect starts; see `prefect_server` for a better one.
    """
    prepare_environment(settings)
    plain = nightly(
        task=request.task,
        seed=request.seed,
        accept_new_labels=request.accept_new_labels,
        night=request.night,
    )
    return NightResult.from_dict(plain)
