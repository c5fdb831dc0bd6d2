"""What a team sees of a run in Prefect's UI, asked of its API, and in the trackers that the recipe names."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from command import Command, command_in
from wandb_file import read_wandb_file

# An embedding of a person's own: it logs and warns in the worker that calls it.
EMBEDDER = """
import logging
import warnings
import zlib

import numpy as np


def embed(texts):
    logging.getLogger("embedder").warning("%d texts came", len(texts))
    for _ in range(3):
        warnings.warn("vectors are not normalised", stacklevel=1)
    return np.stack([np.random.default_rng(zlib.crc32(text.encode())).normal(size=64) for text in texts])
"""
SETTINGS = (
    "--set", "semantic.enabled=true", "--set", "semantic.embedding=noisy_embedder:embed",
    "--set", "tokenizer.vocab_size=400", "--set", "corpus.validation_ratio=0.2", "--set", "training.steps=6",
    "--set", "training.context=64", "--set", "training.batch_tokens=512", "--set", "training.micro_batch_tokens=512",
    "--set", "training.model.preset=test", "--set", "evaluation.max_bytes=20000", "--set",
    "evaluation.max_new_tokens=8",
)  # fmt: skip

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # of MLflow with its database
]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A run, and what the API of Prefect's server says of it."""

    command: Command
    arguments: list[str]
    err: str
    record: dict[str, Any]
    flow_run: dict[str, Any]
    artifacts: dict[str, dict[str, Any]]
    task_runs: list[dict[str, Any]]
    logs: list[dict[str, Any]]

    @property
    def folder(self) -> Path:
        return self.command.store / "runs" / self.record["run_id"]


def look(command: Command, arguments: list[str], api: str) -> Watched:
    done = command(*arguments)
    assert done.code == 0, done.err
    records = [json.loads(path.read_text()) for path in command.store.glob("runs/*/run.json")]
    record = max(records, key=lambda each: each["created_at"])
    flow_run_id = record["flow_run_id"]
    of_run = {"flow_run_id": {"any_": [flow_run_id]}}
    artifacts = ask(api, "artifacts/filter", {"artifacts": of_run})
    return Watched(
        command=command,
        arguments=arguments,
        err=done.err,
        record=record,
        flow_run=httpx.get(f"{api}/flow_runs/{flow_run_id}").json(),
        artifacts={each["key"]: each for each in artifacts},
        task_runs=ask(api, "task_runs/filter", {"task_runs": of_run, "limit": 200, "sort": "END_TIME_DESC"})[::-1],
        logs=ask(api, "logs/filter", {"logs": of_run, "limit": 200}),
    )


def ask(api: str, what: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = httpx.post(f"{api}/{what}", json=body, timeout=60)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.fixture(scope="module")
def watched(tiny_crawl: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[Watched]:
    """A run to a model, by two worker processes, with all trackers."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "noisy_embedder.py").write_text(EMBEDDER)
    for command in command_in(folder):
        noisy = replace(command, environment={**command.environment, "PYTHONPATH": str(folder)})
        arguments = ["run", "minicrawl", "--set", f"source.paths={tiny_crawl}", *SETTINGS, "--workers", "2"]
        yield look(noisy, [*arguments, "--set", "tracking=[tensorboard,mlflow,wandb]"], prefect_server)


def test_the_flow_run_is_named_after_its_corpus_and_found_by_its_tags(watched: Watched) -> None:
    record, flow_run = watched.record, watched.flow_run
    assert flow_run["name"] == f"minicrawl corpus-{record['corpus_digest'][:8]}"
    assert {
        "recipe:minicrawl",
        f"recipe-digest:{record['recipe_digest'][:8]}",
        "goal:model",
        "source:warc",
        f"store:{watched.command.store}",
        f"run:{record['run_id']}",
        f"corpus:{record['corpus_digest'][:8]}",
        "reused:nothing",
    } <= set(flow_run["tags"])
    assert f"/flow-run/{record['flow_run_id']}" in watched.err.partition("fetch")[0]  # where to watch, from the start


def test_the_stages_are_in_order_and_their_parts_are_tasks(watched: Watched) -> None:
    names = [task["name"] for task in watched.task_runs]
    stages = [stage["name"] for stage in watched.record["stages"]]
    assert [name for name in names if "/" not in name] == stages
    assert sorted(name for name in names if name.startswith("extract/")) == [f"extract/part-{n:05d}" for n in range(4)]
    assert {task["state"]["type"] for task in watched.task_runs} == {"COMPLETED"}
    assert {tag for task in watched.task_runs for tag in task["tags"]} == set()  # see flows/flow_run_names.py


def test_progress_of_every_stage_with_several_parts_reaches_100(watched: Watched) -> None:
    progress = {key: each["data"] for key, each in watched.artifacts.items() if each["type"] == "progress"}
    assert {"progress-extract", "progress-judge", "progress-corpus", "progress-training"} <= set(progress)
    assert set(progress.values()) == {100.0}
    assert "4 of 4" in watched.artifacts["progress-extract"]["description"]


def test_artifacts_say_what_was_dropped_why_how_fast_and_where_all_of_it_is(watched: Watched) -> None:
    rows = {
        key: json.loads(watched.artifacts[key]["data"]) for key in ("funnel", "throughput", "samples", "duplicates")
    }
    funnel = {row["stage"]: row for row in rows["funnel"]}
    assert funnel["dedup"]["dropped"] == "6"
    assert funnel["dedup"]["reasons"] == "exact_duplicate: 3, near_duplicate: 3"
    throughput = {row["stage"]: row for row in rows["throughput"]}
    assert throughput["extract"]["reused"] == ""
    assert throughput["extract"]["cpu"].endswith("s")
    assert throughput["extract"]["per second"].endswith("records")
    assert {row["verdict"] for row in rows["samples"]} == {"kept", "dropped"}
    assert [(row["documents"], row["kept"], row["removed"]) for row in rows["duplicates"]] == [(4, 1, 3), (4, 1, 3)]
    assert {row["why"].partition(":")[0] for row in rows["duplicates"]} == {"exact_duplicate", "near_duplicate"}
    assert watched.artifacts["loss-curve"]["type"] == "image"
    assert "xz -9" in watched.artifacts["scores"]["data"]
    places = watched.artifacts["report"]["data"]
    for part in ("report.html", "run.json", "model.safetensors", "huggingface", watched.record["corpus_digest"]):
        assert part in places
    assert f"gristmill why URL --run {watched.record['run_id']}" in places


def test_what_a_worker_logs_and_warns_is_in_the_log_of_its_task_with_the_parts_name(watched: Watched) -> None:
    (task,) = [task for task in watched.task_runs if task["name"] == "embeddings/part-00001"]
    lines = [log["message"] for log in watched.logs if log["task_run_id"] == task["id"]]
    (counted,) = [line for line in lines if "texts came" in line]
    assert counted.startswith("part-00001: embedder: ")
    (warned,) = [line for line in lines if "vectors are not normalised" in line]
    assert warned.startswith("part-00001: py.warnings: ")
    assert [log["level"] for log in watched.logs if log["message"] == warned] == [30]
    assert "warning: embeddings/part-0000" in watched.err  # and once at the terminal
    assert watched.err.count("warning: embeddings") == 1


def test_all_trackers_show_the_curve(watched: Watched) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{watched.command.store}/mlflow/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("minicrawl").experiment_id])
    losses = {each.step: each.value for each in client.get_metric_history(run.info.run_id, "train/loss")}
    assert sorted(losses) == [1, 2, 3, 4, 5, 6]
    (file,) = watched.folder.glob("wandb/offline-run-*/*.wandb")
    assert dict(read_wandb_file(file)["history"]["train/loss"]) == losses
    assert dict(tensorboard_losses(watched)) == pytest.approx(losses)
    assert run.data.metrics["scores/val_bits_per_byte"] == watched.record["metrics"]["val_bits_per_byte"]
    assert run.data.metrics["pipeline/dedup/dropped/near_duplicate"] == 3
    assert run.data.tags["corpus_digest"] == watched.record["corpus_digest"]


def tensorboard_losses(watched: Watched) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(watched.folder / "tensorboard"))
    found.Reload()
    return [(each.step, each.value) for each in found.Scalars("train/loss")]


def test_a_run_that_reuses_everything_says_so_and_shows_the_whole_curve(watched: Watched, prefect_server: str) -> None:
    again = look(watched.command, [*watched.arguments[:-1], "tracking=tensorboard"], prefect_server)
    assert [stage["name"] for stage in again.record["stages"] if not stage["reused"]] == []
    assert again.flow_run["name"] == watched.flow_run["name"]
    assert "reused:everything" in again.flow_run["tags"]
    assert {task["state"]["name"] for task in again.task_runs} == {"Cached"}
    assert [key for key in again.artifacts if key.startswith("progress-")] == []
    assert {row["reused"] for row in json.loads(again.artifacts["throughput"]["data"])} == {"reused"}
    assert tensorboard_losses(again) == tensorboard_losses(watched)
    assert not (again.folder / "wandb").exists()
