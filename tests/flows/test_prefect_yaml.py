"""The deployments for teams: what they name is there, their parameters fit, and a worker completes one."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows.recipe import Recipe, load_recipe
from flows.server import stop_server
from storage.runs import list_runs
from storage.store import Store

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "prefect.yaml"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["deployments"]
POOL = "gristmill"


def flow_of(deployment: dict[str, Any]) -> Any:
    module, _, name = deployment["entrypoint"].rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_a_deployments_parameters_fit_its_flow_and_its_recipe_loads(deployment) -> None:
    given = deployment["parameters"]
    assert flow_of(deployment).validate_parameters(given)["recipe"] == given["recipe"]
    recipe = load_recipe(given["recipe"], given["overrides"])
    assert isinstance(recipe, Recipe)
    assert recipe.description
    assert deployment["work_pool"]["name"] == POOL


def test_each_parameter_says_in_the_ui_what_it_is() -> None:
    schema = flow_of(DEPLOYMENTS[0]).parameters.model_dump()
    assert {name for name, each in schema["properties"].items() if not each.get("description")} == set()
    assert schema["required"] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_completes_a_run_of_a_deployment(tmp_path: Path, tiny_crawl: Path, prefect_server: str) -> None:
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "GRISTMILL_FOLDER": str(tmp_path),
        "PREFECT_CLI_PROMPT": "false",
        "PYTHONWARNINGS": "default",
    }

    def prefect(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *words],
            env=environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    prefect("work-pool", "create", "--type", "process", "--overwrite", POOL)
    prefect("deploy", "--all")
    store = tmp_path / "store"
    parameters = {
        "overrides": f'["source.paths={tiny_crawl}", "goal=corpus"]',
        "store": f'"{store}"',
        "workers": "1",
        "runner": '"threads"',
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        words = [word for name, value in parameters.items() for word in ("--param", f"{name}={value}")]
        told = prefect("deployment", "run", "scheduled-gristmill/minicrawl", *words)
        flow_run_id = told.split("/runs/flow-run/")[1].split()[0]
        deadline = time.monotonic() + 400
        while True:
            state = httpx.get(f"{prefect_server}/flow_runs/{flow_run_id}").json()["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                break
            assert time.monotonic() < deadline, state
            time.sleep(1)
    finally:
        worker.terminate()
        worker.wait(60)
        stop_server(store / "prefect")  # the one for report pages
    (run,) = list_runs(Store(str(store)))
    assert (state["type"], run.status) == ("COMPLETED", "completed"), state
    assert run.run_id in state["message"]
