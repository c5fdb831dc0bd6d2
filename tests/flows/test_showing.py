"""What is sent to Prefect's server while a run works, and that a server which is slow or gone costs the run nothing."""

import socket
import time
from uuid import UUID, uuid4

import httpx
import pytest


@pytest.fixture
def flow_run_id(prefect_server: str) -> str:
    """A flow run that nobody works on."""
    flow = httpx.post(f"{prefect_server}/flows/", json={"name": "shown"}).json()
    created = httpx.post(f"{prefect_server}/flow_runs/", json={"flow_id": flow["id"], "name": "nameless"})
    return str(created.json()["id"])


def artifacts_of(api: str, flow_run_id: str) -> dict[str, dict[str, object]]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}}}
    found = httpx.post(f"{api}/artifacts/filter", json=wanted, timeout=60).json()
    return {each["key"]: each for each in found}


def test_name_tags_and_artifacts_arrive_and_a_bar_is_one_artifact_that_grows(prefect_server, flow_run_id) -> None:
    from flows.showing import Showing  # here: it imports Prefect, whose settings the server's fixture makes

    warnings: list[str] = []
    showing = Showing(flow_run_id, warnings.append)
    showing.flow_run(name="demo corpus-1a2b3c4d", tags=["goal:corpus"])
    showing.artifact("scores", "markdown", "| a | b |", "Scores.")
    for done in range(101):
        showing.progress("extract", done, 100, "7 MB fetched")
    showing.progress("dedup", 0, 1)  # one part: its task is shown to run
    showing.close()
    assert warnings == []
    found = httpx.get(f"{prefect_server}/flow_runs/{flow_run_id}").json()
    assert (found["name"], found["tags"]) == ("demo corpus-1a2b3c4d", ["goal:corpus"])
    artifacts = artifacts_of(prefect_server, flow_run_id)
    assert sorted(artifacts) == ["progress-extract", "scores"]
    assert artifacts["scores"]["data"] == "| a | b |"
    assert artifacts["progress-extract"]["data"] == 100.0
    assert artifacts["progress-extract"]["description"] == "**extract**: 100 of 100, 7 MB fetched"


def test_what_a_server_refuses_is_said_once_and_the_rest_arrives(prefect_server, flow_run_id) -> None:
    from flows.showing import Showing

    warnings: list[str] = []
    showing = Showing(str(uuid4()), warnings.append)
    showing.flow_run(name="of a flow run that the server lost with its database")
    showing.close()
    assert len(warnings) == 1
    showing = Showing(flow_run_id, warnings.append)
    showing.flow_run(tags=["goal:corpus"])
    showing.close()
    assert httpx.get(f"{prefect_server}/flow_runs/{flow_run_id}").json()["tags"] == ["goal:corpus"]


@pytest.mark.parametrize("answers", [False, True])
def test_a_server_that_is_gone_or_hangs_costs_the_run_no_time_and_one_warning(
    prefect_server, monkeypatch, answers: bool
) -> None:
    from flows import showing as module

    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 2.0)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if answers:
            listener.listen(100)  # takes connections, and never says a word
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        warnings: list[str] = []
        showing = module.Showing(str(UUID(int=1)), warnings.append)
        monkeypatch.setattr(module, "get_client", lambda **given: client_of(address, **given))
        began = time.monotonic()
        for done in range(1, 1001):
            showing.progress(f"stage-{done % 10}", done, 1000)
        showing.flow_run(name="nobody reads it")
        assert time.monotonic() - began < 1.0
        wait_for(lambda: showing.is_lost)
        showing.close()
        assert time.monotonic() - began < 20.0
    assert len(warnings) == 1
    assert "the run goes on" in warnings[0]
    assert showing.is_lost


def client_of(address: str, httpx_settings: dict[str, object], sync_client: bool) -> object:
    """Prefect's client for another address than that of the settings."""
    from prefect.client.orchestration import SyncPrefectClient

    return SyncPrefectClient(address, httpx_settings=httpx_settings)


def wait_for(is_so) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_without_a_flow_run_nothing_is_sent() -> None:
    from flows.showing import Showing

    warnings: list[str] = []
    showing = Showing(None, warnings.append)
    showing.flow_run(name="of nobody")
    showing.artifact("scores", "markdown", "", "")
    showing.progress("extract", 1, 2)
    showing.close()
    assert warnings == []
