"""Runs on the tiny crawl, and what every other run of the same recipe has to equal."""

from pathlib import Path
from typing import Any

import pytest
from command import Command

TOKENS = (
    "--set", "goal=tokens", "--set", "tokenizer.vocab_size=400", "--set", "corpus.validation_ratio=0.2",
)  # fmt: skip
MODEL = (
    *TOKENS[2:], "--set", "training.steps=6", "--set", "training.context=64", "--set", "training.batch_tokens=512",
    "--set", "training.micro_batch_tokens=512", "--set", "training.model.preset=test",
    "--set", "evaluation.max_bytes=20000", "--set", "evaluation.max_new_tokens=8",
)  # fmt: skip


def arguments(crawl: Path, *more: str) -> list[str]:
    return ["run", "minicrawl", "--set", f"source.paths={crawl}", *more]


@pytest.fixture(scope="module")
def undisturbed(tiny_crawl: Path, shared_gristmill: Command) -> dict[str, Any]:
    """A calm run with one worker: what every other run must equal."""
    gristmill = shared_gristmill
    done = gristmill(*arguments(tiny_crawl, *TOKENS, "--workers", "1", "--runner", "threads"))
    assert done.code == 0, done.err
    shown = gristmill("show", "--json").json()
    return {"shown": shown, "shards": shard_digests(gristmill.store), "gristmill": gristmill}


def shard_digests(store: Path) -> dict[str, bytes]:
    return {path.name + path.parent.name: path.read_bytes() for path in sorted(store.glob("stages/tokens/*/*/*.arrow"))}
