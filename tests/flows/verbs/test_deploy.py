"""Files for clusters: they are well formed, their commands are commands of ours, and the batch script runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from command import Command
from prefect.utilities.templating import apply_values, find_placeholders
from run_processes import left_after, workers_of

from flows.cli import main
from flows.verbs.deploy import FILES

pytestmark = pytest.mark.timeout(1200)


def printed(what: str) -> str:
    done = CliRunner().invoke(main, ["deploy", what])
    assert done.exit_code == 0, done.output
    return done.output


def parsed(words: list[str]) -> click.Context:
    """A command line of ours as far as it can be read without running it: verbs, options and their values."""
    assert words[0] == "gristmill"
    verb, *rest = words[1:]
    # A verb keeps the help option it first gave, with the names that this context's parent says.
    whole = click.Context(main, info_name="gristmill", **main.context_settings)
    command = main.get_command(whole, verb)
    assert command is not None, f"no verb {verb}"
    return command.make_context(verb, list(rest), parent=whole)


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["spec"]["template"]["spec"]["containers"]
    return found


@pytest.fixture(scope="module")
def kubernetes() -> dict[tuple[str, str], dict[str, Any]]:
    documents = [each for each in yaml.safe_load_all(printed("kubernetes")) if each]
    assert all(each["apiVersion"] for each in documents)
    return {(each["kind"], each["metadata"]["name"]): each for each in documents}


def test_every_packaged_file_is_printed_and_explained() -> None:
    packaged = {each.name for each in (resources.files("flows") / "deploy").iterdir() if each.is_file()}
    assert packaged - {"__init__.py"} == set(FILES.values())
    for what in set(FILES) - {"readme"}:
        assert f"gristmill deploy {what}" in printed("readme")
        assert printed(what).strip()


def test_yaml_has_no_faults_of_form(tmp_path: Path) -> None:
    file = tmp_path / "kubernetes.yaml"
    file.write_text(printed("kubernetes"))
    rules = "{extends: default, rules: {line-length: {max: 120}, braces: {max-spaces-inside: 0}}}"
    linted = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert linted.returncode == 0, linted.stdout


def test_the_job_runs_a_command_of_ours_against_the_scheduler_that_is_deployed_beside_it(kubernetes) -> None:
    (run,) = containers(kubernetes["Job", "gristmill"])
    context = parsed([*run["command"], *run["args"]])
    host, port = context.params["dask_address"].removeprefix("tcp://").split(":")
    service = kubernetes["Service", host]["spec"]
    assert service["ports"][0]["port"] == int(port)
    assert context.params["runner"] == "dask"
    scheduler = kubernetes["Deployment", host]
    assert service["selector"].items() <= scheduler["spec"]["template"]["metadata"]["labels"].items()
    assert f"--port={service['ports'][0]['targetPort']}" in containers(scheduler)[0]["args"]
    (worker,) = containers(kubernetes["Deployment", "gristmill-worker"])
    assert context.params["dask_address"] in worker["args"]
    assert worker["envFrom"] == run["envFrom"]  # the same store
    # what a worker may use fits into its pod
    (bound,) = [each for each in context.params["overrides"] if each.startswith("resources.worker_memory_bytes=")]
    assert int(bound.split("=")[1]) <= 3 << 30
    assert worker["resources"]["limits"]["memory"] == "4Gi"


def test_the_overrides_in_the_job_are_keys_of_a_recipe(kubernetes) -> None:
    from flows.recipe import load_recipe

    (run,) = containers(kubernetes["Job", "gristmill"])
    context = parsed([*run["command"], *run["args"]])
    recipe = load_recipe(context.params["recipe"], context.params["overrides"])
    assert recipe.resources.worker_memory_bytes == 3 << 30


def test_dask_knows_the_options_that_its_pods_are_started_with(kubernetes) -> None:
    for name in ("gristmill-scheduler", "gristmill-worker"):
        (container,) = containers(kubernetes["Deployment", name])
        verb, *words = container["args"]
        known = subprocess.run(
            [sys.executable, "-m", *container["command"], verb, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for word in words:
            assert not word.startswith("--") or word.split("=")[0] in known, word


def test_only_pods_of_the_run_reach_scheduler_and_workers(kubernetes) -> None:
    policy = kubernetes["NetworkPolicy", "gristmill"]["spec"]
    chosen = policy["podSelector"]["matchLabels"]
    for each in kubernetes.values():
        if each["kind"] in ("Deployment", "Job"):
            assert chosen.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    assert [source["podSelector"]["matchLabels"] for rule in policy["ingress"] for source in rule["from"]] == [chosen]
    assert policy["policyTypes"] == ["Ingress"]


def test_the_work_pool_template_is_taken_by_prefect_and_fills_completely(gristmill, prefect_server, tmp_path) -> None:
    file = tmp_path / "pool.json"
    file.write_text(printed("prefect-work-pool"))
    made = subprocess.run(
        [sys.executable, "-m", "prefect", "work-pool", "create", f"mill-{os.getpid()}", "--type", "kubernetes",
         "--base-job-template", str(file)],
        env=gristmill.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    template = json.loads(file.read_text())
    variables = template["variables"]["properties"]
    assert {each.name for each in find_placeholders(template["job_configuration"])} == set(variables)
    given = {name: variable["default"] for name, variable in variables.items() if "default" in variable}
    given |= {"command": ["prefect", "flow-run", "execute"], "env": [], "labels": {}, "name": "run"}
    job = apply_values(template["job_configuration"], given)["job_manifest"]
    assert job["kind"] == "Job"
    (container,) = containers(job)
    assert container["args"] == ["prefect", "flow-run", "execute"]
    assert container["resources"] == {"limits": {"memory": "8Gi"}, "requests": {"cpu": "1", "memory": "4Gi"}}


def test_the_image_is_built_with_extras_that_exist_and_warmed_up_by_a_command_of_ours() -> None:
    dockerfile = printed("docker")
    extras = re.search(r"^ARG EXTRAS=(.*)$", dockerfile, re.MULTILINE)
    assert extras is not None
    project = Path(__file__).resolve().parents[3] / "pyproject.toml"
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[", project.read_text(), re.MULTILINE), extra
    for command in re.findall(r"gristmill (?:run|ui) [^\\&\n]*", dockerfile):
        if " run " in command:
            parsed(command.split())
    assert "ENTRYPOINT" not in dockerfile  # Prefect starts runs with a command of its own


def test_commands_in_the_instructions_are_commands_of_ours() -> None:
    for command in re.findall(r"gristmill deploy ([a-z-]+)", printed("readme")):
        assert command in FILES


def test_the_batch_script_is_sound_shell_and_asks_for_its_arguments(gristmill, tmp_path: Path) -> None:
    script = tmp_path / "gristmill.sbatch"
    script.write_text(printed("slurm"))
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", str(script)], check=False).returncode == 0
    done = subprocess.run(
        ["bash", str(script)], env=gristmill.environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "usage: sbatch" in done.stderr
    without_store = {name: value for name, value in gristmill.environment.items() if name != "GRISTMILL_STORE"}
    done = subprocess.run(
        ["bash", str(script), "demo"], env=without_store, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode != 0
    assert "export GRISTMILL_STORE" in done.stderr


def stand_ins(folder: Path) -> Path:
    """What a Slurm cluster and an installation put on the path: here all of it runs on this machine."""
    folder.mkdir()
    programs = {
        # one process for each task, as srun starts them; it ends when all have ended, and takes them along
        "srun": (
            'tasks=1\nwhile [ "${1#--}" != "$1" ]; do\n'
            "  case $1 in --ntasks=*) tasks=${1#--ntasks=} ;; --kill-on-bad-exit=0) ;; *) exit 2 ;; esac\n"
            "  shift\ndone\n"
            "trap 'kill $(jobs -p) 2>/dev/null' TERM\n"
            'for task in $(seq "$tasks"); do "$@" & done\nwait\nwait\n'
        ),
        "scontrol": 'echo "$@" > scontrol.asked\n',
        "sbatch": 'export SLURM_JOB_ID=7 SLURM_NTASKS=2 SLURM_MEM_PER_CPU=4096 SLURM_CPUS_PER_TASK=1\nexec bash "$@"\n',
        "gristmill": f'exec {sys.executable} -m flows.cli "$@"\n',
        "dask": f'exec {sys.executable} -m dask "$@"\n',
        "python": f'exec {sys.executable} "$@"\n',
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}")
        (folder / name).chmod(0o755)
    return folder


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """The batch script, submitted to what stands in for Slurm on this machine."""

    folder: Path
    command: list[str]
    environment: dict[str, str]


@pytest.fixture
def slurm(gristmill: Command, tiny_crawl: Path, tmp_path: Path) -> Slurm:
    folder = tmp_path / "submitted"
    folder.mkdir()
    script = folder / "gristmill.sbatch"
    script.write_text(printed("slurm"))
    return Slurm(
        folder=folder,
        command=["sbatch", str(script), *arguments(tiny_crawl)],
        environment={**gristmill.environment, "PATH": f"{stand_ins(tmp_path / 'bin')}:{os.environ['PATH']}"},
    )


def arguments(crawl: Path) -> list[str]:
    return ["minicrawl", "--set", f"source.paths={crawl}", "--set", "goal=corpus"]


@pytest.mark.slow
def test_the_batch_script_runs_a_scheduler_workers_and_the_run_and_cleans_up(
    gristmill, tiny_crawl, tmp_path, slurm: Slurm
) -> None:
    done = subprocess.run(
        slurm.command, env=slurm.environment, cwd=slurm.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = gristmill("show", "--json").json()
    assert shown["status"] == "completed"
    assert left_after(gristmill.store, seconds=10) == []
    assert not list(slurm.folder.glob("*.scheduler.json"))
    assert not (slurm.folder / "scontrol.asked").exists()
    other = str(tmp_path / "plain")
    plain = gristmill("run", *arguments(tiny_crawl), "--runner", "threads", "--workers", "2", "--store", other)
    assert plain.code == 0, plain.err
    assert gristmill("show", "--store", other, "--json").json()["corpus_digest"] == shown["corpus_digest"]


@pytest.mark.slow
def test_the_batch_script_stops_in_good_order_before_its_time_is_up_and_queues_itself_again(
    gristmill, slurm: Slurm
) -> None:
    job = subprocess.Popen(slurm.command, env=slurm.environment, cwd=slurm.folder, stderr=subprocess.DEVNULL)
    while not workers_of(gristmill.store):
        assert job.poll() is None
        time.sleep(0.1)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=120) != 0
    assert (slurm.folder / "scontrol.asked").read_text().split() == ["requeue", "7"]
    assert gristmill("show", "--json").json()["status"] == "interrupted"
    assert left_after(gristmill.store, seconds=10) == []
