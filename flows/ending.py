"""Tidying up in Prefect: rows that still travel when a flow ends, and flow runs whose process died."""

import time
from collections.abc import Sequence
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Crashed

_WAIT_SECONDS = 30
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
            answer = httpx.post(f"{api}/task_runs/count", json=wanted, timeout=10)
        except httpx.HTTPError:
            return False  # the run's results do not depend on what the UI shows
        if answer.status_code == 200 and answer.json() >= expected:
            return True
        time.sleep(0.2)
    return False


def crash_flow_runs(flow_run_ids: Sequence[str]) -> None:
    """Show flow runs whose process is gone as crashed: nobody else would, and they would run for ever."""
    with get_client(sync_client=True) as client:
        for flow_run_id in flow_run_ids:
            try:
                found = client.read_flow_run(UUID(flow_run_id))
            except ObjectNotFound:
                continue  # recorded on another server, or its database is gone
            if found.state is not None and not found.state.is_final():
                client.set_flow_run_state(found.id, Crashed(message="its process ended without a word"), force=True)
