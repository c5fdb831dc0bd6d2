"""The faults that every run of the tests sees to: kills, a flipped byte, a signal."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from command import Command
from dead_process import dead_process
from tiny_runs import TOKENS, arguments, shard_digests, undisturbed

from storage.runs import NAME_TAKEN

__all__ = ["undisturbed"]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]  # several runs in a test, on machines that are busy


def records(gristmill: Command) -> list[Path]:
    """Records of runs that say more than that their name is taken."""
    return [path for path in gristmill.store.glob("runs/*/run.json") if path.stat().st_size > len(NAME_TAKEN)]


def test_kill_9_in_stage_after_stage_changes_no_byte(gristmill, tiny_crawl, undisturbed) -> None:
    """Killed while extract, dedup and tokens publish, and once more when all of it was there already."""

    def published(pattern: str) -> Callable[[], bool]:
        return lambda: any(gristmill.store.glob(pattern))

    command = arguments(tiny_crawl, *TOKENS, "--workers", "2")
    for pattern in ("stages/extract/*/parts/*.json", "stages/dedup/*/*/*", "stages/tokens/*/*/*"):
        assert gristmill.kill_when(published(pattern), *command), f"ended before {pattern} appeared"
    done = gristmill(*command)
    assert done.code == 0, done.err
    shown = gristmill("show", "--json").json()
    assert shown["corpus_digest"] == undisturbed["shown"]["corpus_digest"]
    assert shard_digests(gristmill.store) == undisturbed["shards"]
    assert not list(gristmill.store.glob("stages/**/*.partial"))
    runs_before = len(records(gristmill))
    assert gristmill.kill_when(lambda: len(records(gristmill)) > runs_before, *command)
    done = gristmill(*command)
    assert done.code == 0, done.err
    assert gristmill("show", "--json").json()["corpus_digest"] == undisturbed["shown"]["corpus_digest"]
    statuses = [run["status"] for run in gristmill("runs", "--json").json()["runs"]]
    assert statuses == ["interrupted"] * 3 + ["completed", "interrupted", "completed"]


def test_a_second_run_reuses_everything_and_a_flipped_byte_is_found_named_and_mended(
    gristmill, tiny_crawl, undisturbed
) -> None:
    shutil.copytree(undisturbed["gristmill"].store, gristmill.store)
    command = arguments(tiny_crawl, *TOKENS, "--workers", "1", "--runner", "threads")
    assert gristmill(*command).code == 0
    shown = gristmill("show", "--json").json()
    assert [stage["name"] for stage in shown["stages"] if not stage["reused"]] == []

    whole = {}
    for stage, pattern in (("extract", "documents/part-00002.parquet"), ("corpus", "train/part-00001.parquet")):
        (path,) = gristmill.store.glob(f"stages/{stage}/*/{pattern}")
        whole[path] = path.read_bytes()
        path.write_bytes(whole[path][:1000] + bytes([whole[path][1000] ^ 1]) + whole[path][1001:])
    done = gristmill(*command)
    assert done.code == 0, done.err
    for path, content in whole.items():
        assert f"{path.stem} is damaged" in done.err
        assert path.read_bytes() == content
    shown = gristmill("show", "--json").json()
    assert shown["corpus_digest"] == undisturbed["shown"]["corpus_digest"]
    assert [stage["name"] for stage in shown["stages"] if not stage["reused"]] == ["extract", "corpus"]


def test_a_killed_worker_costs_no_run_and_what_it_was_writing_goes(gristmill, tiny_crawl, undisturbed) -> None:
    def kill_a_worker() -> bool:
        begun = next(gristmill.store.glob("stages/extract/*/*"), None)
        if begun is None:
            return False
        for process in psutil.process_iter(["cmdline", "environ"]):
            words = process.info["cmdline"] or []
            environment = process.info["environ"] or {}
            if "flows.engines.worker" in words and environment.get("GRISTMILL_STORE") == str(gristmill.store):
                process.kill()
                unfinished = f".part-00000.parquet.{dead_process().mark()}-abcd1234.partial"
                (begun.parent / unfinished).write_bytes(b"half a file")
                return True
        return False

    # signal 0 does nothing to the run itself: the condition has killed a worker
    command = arguments(tiny_crawl, *TOKENS, "--workers", "2")
    killed = False

    def once() -> bool:
        nonlocal killed
        killed = killed or kill_a_worker()
        return False

    gristmill.kill_when(once, *command, number=signal.SIGCONT)
    assert killed
    assert list(gristmill.store.rglob("*.partial")) == []
    shown = gristmill("show", "--json").json()
    assert shown["status"] == "completed"
    assert shown["corpus_digest"] == undisturbed["shown"]["corpus_digest"]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_and_the_end_signal_stop_cleanly_and_the_next_run_continues(
    gristmill, tiny_crawl, undisturbed, number: int
) -> None:
    command = arguments(tiny_crawl, *TOKENS, "--workers", "2")
    begun = lambda: any(gristmill.store.glob("stages/extract/*/parts/*.json"))  # noqa: E731
    assert gristmill.kill_when(begun, *command, number=number)
    assert gristmill("show", "--json").json()["status"] == "interrupted"
    assert gristmill(*command).code == 0
    assert gristmill("show", "--json").json()["corpus_digest"] == undisturbed["shown"]["corpus_digest"]
