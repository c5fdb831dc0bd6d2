"""Tidying up in Prefect: rows that still travel when a flow ends, and flow runs whose process died."""

import contextlib
import time
from collections.abc import Sequence

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Crashed, Failed

from flows.flow_run_names import FLOW_NAME, RUN_TAG
from storage.runs import Run, UnknownRun, load_run
from storage.store import Store

_WAIT_SECONDS = 30
_MAX_SETTLED = 200  # flow runs, of those that run: more than a server has
_ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


def wait_for_task_rows(flow_run_id: str, expected: int) -> bool:
    """Wait, within a bound, until the API shows `expected` task runs of a flow run as ended.

    Its recorder works on a queue: a flow that ends at once leaves rows behind that the UI never shows.
    """
    api = PREFECT_API_URL.value()
    if api is None:
        return False
    wanted = {"task_runs": {"flow_run_id": {"any_": [flow_run_id]}, "state": {"type": {"any_": _ENDED}}}}
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = httpx.post(f"{api}/task_runs/count", json=wanted, timeout=5)
        except httpx.HTTPError:
            return False  # the run's results do not depend on what the UI shows
        if answer.status_code == 200 and answer.json() >= expected:
            return True
        time.sleep(0.2)
    return False


def settle_flow_runs(store: Store, dead: Sequence[Run]) -> None:
    """Show flow runs as ended whose runs have ended: their process is gone, or the server was when it ended.

    Args:
        dead: runs of this store whose process is gone; others are known by their flow runs' tags.
    """
    known = {run.flow_run_id: run for run in dead}
    with contextlib.suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
        running = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW_NAME])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
            ),
            limit=_MAX_SETTLED,
        )
        for flow_run in running:
            run = known.get(str(flow_run.id)) or _run_of(store, flow_run)
            if run is not None and run.status != "running":
                client.set_flow_run_state(flow_run.id, _state(run), force=True)


def _run_of(store: Store, flow_run: FlowRun) -> Run | None:
    """The run of a flow run, by its tag; None where it is of another store."""
    run_id = next((tag.removeprefix(RUN_TAG) for tag in flow_run.tags if tag.startswith(RUN_TAG)), None)
    if run_id is None:
        return None
    try:
        run = load_run(store, run_id)
    except UnknownRun:
        return None
    return run if run.flow_run_id == str(flow_run.id) else None


def _state(run: Run) -> State[None]:
    if run.status == "completed":
        return Completed(message="ended while nobody could take note of it; all of it is in the store")
    if run.status == "failed":
        return Failed(message=run.error)
    return Crashed(message=run.error)
