"""Runs with every stage there is, disturbed on purpose, and what has to hold of the run after."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from command import Command, Finished

_ORPHAN_SECONDS = 30  # for a worker to notice that its run is gone, on a busy machine
_KNOWN_FOLDERS = {"stages", "runs", "indexes", "prefect", "leases", "plans", "exclusions", "rolls"}
# What these publish says how long something took, or which run it was.
_TIMED_TABLES = {("train", "log"), ("report", "report"), ("export", "huggingface")}


def everything(crawl: Path, evaluation: Path) -> list[str]:
    """The arguments of a run that has all stages, down to a model of a moment's training."""
    settings = [
        f"source.paths={crawl}",
        "lines.enabled=true",
        "lines.max_documents=2",
        "semantic.enabled=true",
        "dedup_index=chaos",
        f"decontamination.evaluation_sets={evaluation}",
        "tokenizer.vocab_size=400",
        "corpus.validation_ratio=0.2",
        "training.steps=6",
        "training.context=64",
        "training.batch_tokens=512",
        "training.micro_batch_tokens=512",
        "training.model.preset=test",
        "training.checkpoint_every=2",
        "evaluation.max_bytes=20000",
        "evaluation.max_new_tokens=8",
    ]
    return ["run", "minicrawl", *(word for setting in settings for word in ("--set", setting)), "--workers", "2"]


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """A run that nobody disturbed.

    Attributes:
        stages: names, in the order in which they were published.
        seconds: by stage, what it took.
        accounts: by stage, counts in and out, and dropped by reason.
        contents: by stage and file, the digest of what it says.
    """

    store: Path
    arguments: list[str]
    corpus_digest: str
    stages: list[str]
    seconds: dict[str, float]
    accounts: dict[str, Any]
    contents: dict[str, dict[str, str]]


def undisturbed_run(gristmill: Command, arguments: list[str]) -> Undisturbed:
    done = gristmill(*arguments)
    assert done.code == 0, done.err
    shown = gristmill("show", "--json").json()
    return Undisturbed(
        store=gristmill.store,
        arguments=arguments,
        corpus_digest=shown["corpus_digest"],
        stages=[stage["name"] for stage in shown["stages"]],
        seconds={stage["name"]: stage["seconds"] for stage in shown["stages"]},
        accounts=_accounts(shown),
        contents=_contents(gristmill.store, shown),
    )


def expect_the_same(gristmill: Command, calm: Undisturbed) -> Finished:
    """Run once more, disturbed by nobody: it ends well, with the same bytes and counts, and leaves no litter."""
    done = gristmill(*calm.arguments)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    shown = gristmill("show", "--json").json()
    assert shown["status"] == "completed"
    assert shown["corpus_digest"] == calm.corpus_digest
    assert _accounts(shown) == calm.accounts
    assert _contents(gristmill.store, shown) == calm.contents
    assert sorted(gristmill.store.rglob("*.partial")) == []
    assert {path.name for path in gristmill.store.iterdir()} <= _KNOWN_FOLDERS
    assert orphans(gristmill) == []
    return done


def copy_until(calm: Undisturbed, stage: str, store: Path) -> None:
    """A store in which everything before a stage is published, and nothing from there on."""
    for name in calm.stages[: calm.stages.index(stage)]:
        shutil.copytree(calm.store / "stages" / name, store / "stages" / name)


def orphans(gristmill: Command) -> list[str]:
    """Command lines of processes that work on a store though its run has ended; waits a while for them to notice."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while found := [" ".join(each.cmdline()) for each in processes_of(gristmill)]:
        if time.monotonic() > deadline:
            return found
        time.sleep(0.2)
    return []


def processes_of(gristmill: Command) -> Iterator[psutil.Process]:
    """Processes that a run on this store has started, or that are it; not the servers, which outlive runs."""
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            words = " ".join(process.cmdline())
            if environment.get("GRISTMILL_STORE") != str(gristmill.store) or process.status() == psutil.STATUS_ZOMBIE:
                continue
        except psutil.Error:
            continue  # it has ended, or belongs to somebody else
        if "prefect" not in words and "http.server" not in words and "uvicorn" not in words:
            yield process


def _accounts(shown: dict[str, Any]) -> dict[str, Any]:
    return {
        stage["name"]: [stage["documents_in"], stage["documents_out"], stage["dropped"]] for stage in shown["stages"]
    }


def _contents(store: Path, shown: dict[str, Any]) -> dict[str, dict[str, str]]:
    contents = {}
    for stage in shown["stages"]:
        manifest = json.loads((store / "stages" / stage["name"] / stage["key"] / "manifest.json").read_text())
        contents[stage["name"]] = {
            file["path"]: file["content"]
            for part in manifest["parts"]
            for file in part["files"]
            if (stage["name"], file["table"]) not in _TIMED_TABLES
        }
    return contents
