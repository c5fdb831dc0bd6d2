"""A store that fails one request in five, and lists what was there a while ago, is only slower."""

import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import boto3
import fsspec
import pytest
from failing_store import FAULTS, FailingStore

from storage.indexes import IndexEntry, index_names, publish_entry, read_entries
from storage.remote_calls import Patience, StoreUnavailable, may_pass, repeated
from storage.rolls import Roll
from storage.runs import Run, begin_run, find_run, list_runs
from storage.store import Store, StoreError


@pytest.fixture
def failing(s3_url, s3_server, monkeypatch):
    """A proxy before the S3 server; tests say what fails. The client gives up at once: it is ours that goes on."""
    monkeypatch.setattr("storage.remote_calls.PATIENCE", Patience(attempts=12, first_wait_seconds=0.01))
    with FailingStore(upstream=s3_server, share=0.0) as proxy:
        settings = {"read_timeout": 3, "connect_timeout": 3, "retries": {"total_max_attempts": 1}}
        monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": proxy.url, "config_kwargs": settings})
        yield proxy


@pytest.fixture
def store(failing, s3_url):
    return Store(s3_url)


def test_what_is_written_through_failures_is_read_back_whole(failing, store):
    failing.share, failing.faults = 0.2, [fault for fault in FAULTS if fault != "stall"]
    content = {f"folder/{number}": secrets.token_bytes(number * 5_000) for number in range(12)}
    for path, written in content.items():
        store.publish_bytes(path, written)
    for path, written in content.items():
        assert store.exists(path)
        assert store.size(path) == len(written)
        assert store.read_bytes(path) == written
        with store.local_copy(path) as copy:
            assert copy.read_bytes() == written
        with store.open_random(path) as stream:
            stream.seek(len(written) // 2)
            assert stream.read() == written[len(written) // 2 :]
    assert store.names("folder") == sorted(path.removeprefix("folder/") for path in content)
    store.remove("folder/0")
    assert not store.exists("folder/0")
    store.remove("folder")
    assert store.names("folder") == []
    assert sum(failing.counts[fault] for fault in FAULTS) > 10


def test_a_request_that_is_never_answered_is_asked_again(failing, store):
    store.publish_bytes("file", b"content")
    failing.share, failing.faults, failing.seed = 0.5, ["stall"], 3
    assert store.read_bytes("file") == b"content"


def test_a_large_file_in_many_requests_arrives_whole_though_parts_of_it_fail(failing, store, monkeypatch):
    monkeypatch.setattr(
        "s3fs.core.calculate_chunksize", lambda size, chunksize=None: 5 << 20
    )  # the least that S3 takes
    content = os.urandom(12 << 20)
    failing.share, failing.faults = 0.2, ["503", "reset", "lost_answer"]
    failing.is_struck = lambda method, path: "uploadId" in path or "partNumber" in path
    store.publish_bytes("large.bin", content)
    failing.share = 0.0
    assert failing.counts["passed"] > 3
    assert store.read_bytes("large.bin") == content


def test_an_upload_that_fails_for_good_publishes_nothing(failing, store, monkeypatch):
    monkeypatch.setattr("storage.remote_calls.PATIENCE", Patience(attempts=2, first_wait_seconds=0.01))
    store.publish_bytes("file", b"before")
    failing.share, failing.faults = 1.0, ["reset"]
    failing.is_struck = lambda method, path: method == "PUT"
    with pytest.raises(StoreUnavailable, match=r"writing file.*2 attempts"):
        store.publish_bytes("file", b"after")
    assert store.read_bytes("file") == b"before"


def test_refusals_and_absence_are_final(failing, store):
    with pytest.raises(FileNotFoundError):
        store.read_bytes("absent")
    assert not store.exists("absent")
    before = failing.counts["passed"]
    with pytest.raises(StoreError, match="--store"):
        Store("s3://no-such-bucket-of-ours/runs").check_writable()
    assert failing.counts["passed"] - before < 5


class Refused(Exception):
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": "Code"}}


class AzureRefused(Exception):
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status_code = status


def caused_by(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error, passes",
    [
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (FileExistsError(), False),
        (ValueError("a mistake of ours"), False),
        (OSError(28, "No space left on device"), False),
        (OSError("Forbidden: bucket"), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(16, "SlowDown"), True),
        (Refused(503), True),
        (Refused(501), False),
        (Refused(429), True),
        (Refused(400), False),
        (caused_by(OSError(22, "bad"), Refused(400)), False),
        (caused_by(OSError(5, "unknown"), Refused(502)), True),
        (AzureRefused(503), True),
        (AzureRefused(403), False),
    ],
)
def test_only_failures_that_may_pass_are_tried_again(error, passes):
    assert may_pass(error) == passes
    calls = []

    def fail_once():
        calls.append(1)
        if len(calls) == 1:
            raise error
        return "done"

    patience = Patience(first_wait_seconds=0.0)
    if passes:
        assert repeated("trying", fail_once, patience=patience) == "done"
    else:
        with pytest.raises(type(error) if isinstance(error, OSError) and error.errno is None else OSError):
            repeated("trying", fail_once, patience=patience)
        assert len(calls) == 1


def test_waits_grow_and_differ():
    waits = list(Patience(attempts=9, first_wait_seconds=1, longest_wait_seconds=16).waits())
    assert len(waits) == 8
    for number, wait in enumerate(waits):
        assert 0.5 * min(16, 2**number) <= wait <= min(16, 2**number)
    assert waits != list(Patience(attempts=9, first_wait_seconds=1, longest_wait_seconds=16).waits())


def test_of_several_writers_of_a_new_file_one_succeeds_though_answers_are_lost(failing, store):
    failing.share, failing.faults = 0.4, ["lost_answer", "503"]
    failing.is_struck = lambda method, path: method == "PUT"
    for number in range(6):
        path = f"file-{number}"
        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(lambda writer, path=path: store.create_bytes(path, f"by {writer}".encode()), range(4)))
        assert won.count(True) == 1
        assert store.read_bytes(path) == f"by {won.index(True)}".encode()


def test_a_roll_knows_what_a_listing_of_a_while_ago_does_not(failing, store):
    failing.stale_seconds = 60.0
    roll = Roll(store=store, name="runs")
    assert roll.names() == []
    assert store.names("runs") == []
    for number in range(9):
        store.publish_bytes(f"runs/{number}", b"")
        roll.add(f"{number}")
        assert roll.names() == [f"{each}" for each in range(number + 1)]
    assert store.names("runs") == []
    assert failing.counts["stale"] > 5


def test_a_server_without_conditions_is_written_to_all_the_same(failing, store):
    failing.knows_conditions = False
    assert store.create_bytes("file", b"first")
    assert not store.create_bytes("file", b"second")
    assert store.read_bytes("file") == b"first"


def index_entry(name):
    return IndexEntry(
        index="weekly", name=name, sequence=1, run_id=f"run-of-{name}", recipe_name="r", sources=name, rules="rules",
        stages={"index": "key"}, kept="digest", documents=1, bytes=1,
    )  # fmt: skip


def test_an_index_lacks_no_entry_that_a_listing_lacks_and_has_none_that_was_removed(failing, store):
    failing.stale_seconds = 60.0
    assert index_names(store) == []
    publish_entry(store, index_entry("first"))
    assert [entry.name for entry in read_entries(store, "weekly")] == ["first"]
    publish_entry(store, index_entry("second"))
    assert [entry.name for entry in read_entries(store, "weekly")] == ["first", "second"]
    assert "second.json" not in store.names("indexes/weekly")
    assert (index_names(store), store.names("indexes")) == (["weekly"], [])
    store.remove("indexes/weekly/first.json")
    assert "first.json" in store.names("indexes/weekly")
    assert [entry.name for entry in read_entries(store, "weekly")] == ["second"]


def test_the_newest_run_is_the_latest_though_a_listing_lacks_it(failing, store):
    failing.stale_seconds = 60.0
    for number in range(3):
        run = Run(
            run_id=f"run-{number}", recipe_name="r", recipe={}, recipe_digest="d", created_at=f"2026-01-0{number + 1}"
        )
        begin_run(store, run)
        assert find_run(store, "latest").run_id == run.run_id
        assert find_run(store, run.run_id).run_id == run.run_id
    assert [run.run_id for run in list_runs(store)] == ["run-0", "run-1", "run-2"]
    store.remove("runs/run-2")
    assert find_run(store, "latest").run_id == "run-1"


def test_names_added_at_once_are_all_on_the_roll(failing, store):
    failing.share, failing.faults, failing.stale_seconds = 0.1, ["503", "reset", "lost_answer"], 60.0
    names = [f"run-{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: Roll(store=store, name="runs").add(name), names))
    assert sorted(Roll(store=store, name="runs").names()) == sorted(names)


def test_uploads_that_nobody_goes_on_with_are_aborted(store, s3_url, s3_server, monkeypatch):
    client = boto3.client("s3", endpoint_url=s3_server)
    bucket = s3_url.split("/")[2]
    for key in ("runs/stages/a/file", "runs/stages/ab/file"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    with monkeypatch.context() as patch:  # this server says that all began in 2010
        patch.setattr("storage.remote_files._ABANDONED", timedelta(days=20_000))
        assert store.remove_unfinished("stages/a") == 0  # somebody may be writing right now
    assert store.remove_unfinished("stages/a") == 1
    assert [each["Key"] for each in client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["runs/stages/ab/file"]


def test_a_missing_package_names_the_extra(tmp_path):
    for verb, scheme, package, extra in (
        (["runs"], "s3", "s3fs", "s3"),
        (["indexes"], "gs", "gcsfs", "gs"),
        (["trace", "--token", "1"], "az", "adlfs", "az"),
    ):
        code = f"import sys; sys.modules['{package}'] = None\nfrom flows.cli import main\nmain()"
        done = subprocess.run(
            [sys.executable, "-c", code, *verb, "--store", f"{scheme}://bucket/x"],
            capture_output=True,
            text=True,
            cwd=Path.cwd(),
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert f"pip install 'gristmill[{extra}]'" in done.stderr
