"""The whole mill on a store elsewhere that fails one request in five and lists what was there a while ago."""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from command import Command
from failing_store import FAULTS, FailingStore
from moto.server import ThreadedMotoServer

CORPUS = ("--set", "tokenizer.vocab_size=400", "--set", "corpus.validation_ratio=0.2", "--set", "dedup_index=weekly")
MODEL = (
    "fetch.mode=keep", "tokens.num_shards=2", "training.steps=6", "training.context=64", "training.batch_tokens=512",
    "training.micro_batch_tokens=512", "training.model.preset=test", "training.checkpoint_every=2",
    "evaluation.max_bytes=20000", "evaluation.max_new_tokens=8",
)  # fmt: skip
WORKERS = ("--workers", "2", "--runner", "threads")
# the client's own attempts, which are slow, are for other tests: here every failure reaches the store's
IMPATIENCE = json.dumps(
    {"config_kwargs": {"read_timeout": 20, "connect_timeout": 20, "retries": {"total_max_attempts": 1}}}
)

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1800)]  # a store like this one is slow


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The command on a bucket behind a failing proxy, in which a run went all the way to a model."""

    gristmill: Command
    proxy: FailingStore
    url: str


@pytest.fixture(scope="module")
def elsewhere(tiny_crawl: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    upstream = f"http://{host}:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    bucket = f"mill-{secrets.token_hex(4)}"
    boto3.client(
        "s3", endpoint_url=upstream, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    ).create_bucket(Bucket=bucket)
    faults = [fault for fault in FAULTS if fault != "stall"]
    with FailingStore(upstream=upstream, share=0.2, seed=7, faults=faults, stale_seconds=3600.0) as proxy:
        url = f"s3://{bucket}/mill"
        environment = {
            **os.environ,
            **keys,
            "GRISTMILL_STORE": url,
            "AWS_ENDPOINT_URL": proxy.url,
            "FSSPEC_S3": IMPATIENCE,
        }
        gristmill = Command(store=folder / "none", environment=environment)
        settings = [word for each in MODEL for word in ("--set", each)]
        done = gristmill("run", "minicrawl", "--set", f"source.paths={tiny_crawl}", *CORPUS, *settings, *WORKERS)
        assert done.code == 0, done.err
        failed = sum(proxy.counts[fault] for fault in faults)
        assert failed > 0.15 * proxy.counts["passed"]
        assert proxy.counts["stale"]
        proxy.share = 0.05
        yield Elsewhere(gristmill=gristmill, proxy=proxy, url=url)
    server.stop()


def shown(gristmill: Command, *arguments: str) -> dict[str, Any]:
    done = gristmill(*arguments, "--json")
    assert done.code == 0, done.err
    return done.json()


def test_the_corpus_is_that_of_a_calm_store(elsewhere: Elsewhere, gristmill: Command, tiny_crawl: Path) -> None:
    done = gristmill(
        "run", "minicrawl", "--set", f"source.paths={tiny_crawl}", *CORPUS, "--set", "goal=corpus", *WORKERS
    )
    assert done.code == 0, done.err
    here, there = (shown(each, "show") for each in (gristmill, elsewhere.gristmill))
    assert here["corpus_digest"] == there["corpus_digest"]
    accounts = [
        {stage["name"]: (stage["documents_in"], stage["documents_out"], stage["dropped"]) for stage in run["stages"]}
        for run in (here, there)
    ]
    for name in set(accounts[0]) - {"report"}:
        assert accounts[0][name] == accounts[1][name]


def test_every_verb_reads_a_store_elsewhere(elsewhere: Elsewhere) -> None:
    gristmill = elsewhere.gristmill
    run = shown(gristmill, "show")
    assert {"val_bits_per_byte", "xz_bits_per_byte"} <= set(run["metrics"])
    assert all(path.startswith(elsewhere.url) for path in run["paths"].values())
    (listed,) = shown(gristmill, "runs")["runs"]  # listings are still those of before the run
    assert listed["run_id"] == run["run_id"]
    (capture,) = shown(gristmill, "why", "site0.invalid/0.html")["captures"]
    traced = shown(
        gristmill, "trace", "latest", "--token", str(capture["tokens"]["first_token"]), "--split", capture["split"]
    )
    assert traced["document"]["doc_id"] == capture["doc_id"]
    record = traced["document"]["record"]
    assert record["url"].startswith(f"{elsewhere.url}/stages/fetch/")
    key = record["url"].removeprefix("s3://").split("/", 1)[1]
    assert f"--key {key} --range bytes={record['start']}-{record['start'] + record['length'] - 1} " in record["command"]
    assert shown(gristmill, "generate", "latest", "The miller", "--max-tokens", "4")["continuation"]
    assert shown(gristmill, "what-if", "latest", "--set", "filters.gopher_quality.min_words=80")
    (index,) = shown(gristmill, "indexes")["indexes"]
    assert (index["name"], index["runs"]) == ("weekly", 1)
    assert gristmill("report").out.strip() == run["paths"]["report"]


def test_what_lies_elsewhere_is_made_again_here_and_equal(elsewhere: Elsewhere) -> None:
    answer = shown(elsewhere.gristmill, "verify", "latest", "--sample", "1", *WORKERS)
    assert answer["equal"], answer
    stages = {stage["name"]: stage for stage in answer["stages"]}
    assert {"extract", "dedup", "corpus", "tokens", "train", "export"} <= set(stages)
    assert all(stage["status"] == "equal" and stage["bytes_checked"] > 0 for stage in stages.values())


def test_the_report_is_opened_as_a_copy(elsewhere: Elsewhere, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\ncp "${{1#file://}}" {tmp_path}/page.html\n')
    browser.chmod(0o755)
    environment = {**elsewhere.gristmill.environment, "BROWSER": f"{browser} %s"}
    done = Command(store=elsewhere.gristmill.store, environment=environment)("report", "--open")
    assert done.code == 0, done.err
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_same_run_again_finds_all_of_it_and_is_not_deduplicated_against_itself(
    elsewhere: Elsewhere, tiny_crawl: Path
) -> None:
    before = shown(elsewhere.gristmill, "show")
    done = elsewhere.gristmill(
        "run", "minicrawl", "--set", f"source.paths={tiny_crawl}", *CORPUS, "--set", "fetch.mode=keep",
        "--set", "goal=corpus", *WORKERS,
    )  # fmt: skip
    assert done.code == 0, done.err
    after = shown(elsewhere.gristmill, "show")
    assert after["run_id"] != before["run_id"]
    assert after["corpus_digest"] == before["corpus_digest"]
    assert all(stage["reused"] for stage in after["stages"] if stage["name"] not in ("index", "report"))
