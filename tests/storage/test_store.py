"""A store publishes files whole or not at all, on a folder, in memory and on S3."""

import dataclasses
import os
import signal
import subprocess
import sys

import boto3
import pytest

from storage.processes import this_process
from storage.store import Store, StoreError


class Broken(Exception):
    pass


def write_half(store, path):
    with store.publishing(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise Broken


def test_what_is_published_is_read_back_and_listed(store):
    store.publish_bytes("stages/a/one.bin", b"1" * 1000)
    store.publish_bytes("stages/a/two.bin", b"")
    assert store.read_bytes("stages/a/one.bin") == b"1" * 1000
    assert store.size("stages/a/one.bin") == 1000
    assert store.size("stages/a/two.bin") == 0
    assert store.names("stages/a") == ["one.bin", "two.bin"]
    assert store.names("stages") == ["a"]
    assert store.names("nowhere") == []
    with store.open("stages/a/one.bin") as stream:
        stream.seek(990)
        assert stream.read() == b"1" * 10
    with store.local_copy("stages/a/one.bin") as path:
        assert path.read_bytes() == b"1" * 1000


def test_an_exception_while_writing_leaves_nothing(store):
    with pytest.raises(Broken):
        write_half(store, "folder/file.bin")
    assert not store.exists("folder/file.bin")
    assert store.names("folder") == []


def test_an_exception_while_writing_leaves_what_was_published_before(store):
    store.publish_bytes("folder/file.bin", b"before")
    with pytest.raises(Broken):
        write_half(store, "folder/file.bin")
    assert store.read_bytes("folder/file.bin") == b"before"
    assert store.names("folder") == ["file.bin"]


def test_publishing_again_replaces_the_file(store):
    store.publish_bytes("file.bin", b"a long first content")
    store.publish_bytes("file.bin", b"short")
    assert store.read_bytes("file.bin") == b"short"
    assert store.size("file.bin") == 5


def test_nothing_of_an_unfinished_file_can_be_seen(store):
    with store.publishing("folder/file.bin") as path:
        path.write_bytes(b"half")
        assert not store.exists("folder/file.bin")
        assert store.names("folder") == []
    assert store.names("folder") == ["file.bin"]


def test_what_another_process_publishes_is_seen_at_once(s3_url):
    store = Store(s3_url)
    store.publish_bytes("folder/one", b"1")
    assert store.names("folder") == ["one"]
    bucket = boto3.resource("s3").Bucket(s3_url.split("/")[2])
    bucket.put_object(Key="runs/folder/two", Body=b"2")
    bucket.put_object(Key="runs/folder/one", Body=b"longer")
    assert store.exists("folder/two")
    assert store.size("folder/one") == 6


def test_files_and_folders_are_removed_and_what_is_absent_is_no_error(store):
    store.publish_bytes("folder/one", b"1")
    store.publish_bytes("folder/deep/two", b"2")
    store.publish_bytes("other", b"3")
    store.remove("folder/one")
    assert not store.exists("folder/one")
    assert store.exists("folder/deep/two")
    store.remove("folder")
    assert not store.exists("folder/deep/two")
    store.remove("folder")
    assert store.read_bytes("other") == b"3"


def test_a_writable_store_passes_the_check_and_keeps_nothing_of_it(store):
    store.check_writable()
    assert store.names("") == []


def test_a_file_larger_than_one_s3_request_arrives_whole(s3_url):
    content = os.urandom(1 << 20) * 60  # above the 50 MB from which s3fs uploads in pieces
    store = Store(s3_url)
    store.publish_bytes("large.bin", content)
    assert store.size("large.bin") == len(content)
    assert store.read_bytes("large.bin") == content


def test_a_missing_file_is_not_found(store):
    with pytest.raises(FileNotFoundError):
        store.read_bytes("absent")
    with pytest.raises(FileNotFoundError):
        store.size("absent")
    with pytest.raises(FileNotFoundError), store.local_copy("absent") as path:
        path.read_bytes()


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../outside"])
def test_paths_cannot_leave_the_store(tmp_path, path):
    with pytest.raises(ValueError, match="relative"):
        Store(str(tmp_path)).publish_bytes(path, b"")


def test_a_relative_root_stays_where_it_was_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("here")
    store.publish_bytes("file", b"1")
    monkeypatch.chdir("/")
    assert store.read_bytes("file") == b"1"
    assert (tmp_path / "here" / "file").read_bytes() == b"1"


def test_a_store_that_cannot_be_written_says_so_and_how_to_name_another(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="--store"):
        Store(str(tmp_path / "file" / "store")).check_writable()


def test_an_absent_bucket_says_so_and_how_to_name_another(s3_url):
    with pytest.raises(StoreError, match="--store"):
        Store("s3://no-such-bucket-of-ours/runs").check_writable()


WRITE_AND_WAIT = """
import sys
from storage.store import Store

with Store(sys.argv[1]).publishing("folder/file.bin") as path:
    with path.open("wb") as stream:
        stream.write(b"half")
        stream.flush()
        print("writing", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing `folder/file.bin`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.chaos
@pytest.mark.parametrize("before", [None, b"before"])
def test_a_writer_killed_in_the_middle_publishes_nothing_and_its_rest_can_be_removed(tmp_path, writer, before):
    store = Store(str(tmp_path))
    if before is not None:
        store.publish_bytes("folder/file.bin", before)
    expected = [] if before is None else ["file.bin"]
    assert store.names("folder") == expected
    assert store.remove_unfinished("") == 0  # it lives: another run may be writing right now

    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert store.names("folder") == expected
    assert store.exists("folder/file.bin") == (before is not None)
    assert len(list((tmp_path / "folder").iterdir())) == len(expected) + 1
    assert store.remove_unfinished("") == 1
    assert [path.name for path in (tmp_path / "folder").iterdir()] == expected


@pytest.mark.parametrize("writer", ["another machine", "an earlier version"])
def test_what_a_writer_elsewhere_left_goes_when_nobody_touched_it_for_a_day(tmp_path, writer):
    """A pid of another machine says nothing here: it may be free, or given to somebody else."""
    elsewhere = dataclasses.replace(this_process(), machine="00000000", started="1").mark()
    mark = elsewhere if writer == "another machine" else "4194305"
    unfinished = tmp_path / f".file.bin.{mark}-abcd.partial"
    unfinished.write_bytes(b"half")
    store = Store(str(tmp_path))
    assert store.remove_unfinished("") == 0
    hours = 3600
    for age, removed in ((23 * hours, 0), (25 * hours, 1)):
        touched = unfinished.stat().st_mtime - age
        os.utime(unfinished, (touched, touched))
        assert store.remove_unfinished("") == removed
        unfinished.write_bytes(b"half")
