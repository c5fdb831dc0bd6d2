"""Ranges of bytes from disks, memory and a server, and failures that say what they are."""

import io

import fsspec
import pytest
from crawl_index import IndexHandler, PlainReader, served
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.range_reader import RangeFile, failure_reason, is_missing
from pipeline_lib.crawl.remote import Remote

REMOTE = Remote(FetchParameters(max_attempts=2, backoff_seconds=0.01, requests_per_second=1000))
CONTENT = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same file on a disk, in memory, on a server and on one that knows no ranges."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "file.bin").write_bytes(CONTENT)
    fsspec.filesystem("memory").pipe("/bucket/file.bin", CONTENT)
    with served(folder) as address, served(folder, ignores_ranges=True) as plain:
        yield [f"{folder}/file.bin", "memory://bucket/file.bin", f"{address}/file.bin", f"{plain}/file.bin"]


@pytest.mark.parametrize(("start", "length"), [(0, -1), (0, 10), (100, 50), (1000, -1), (5, 0), (1000, 24)])
def test_a_range_is_the_same_wherever_the_file_is(places, start, length):
    expected = CONTENT[start:] if length < 0 else CONTENT[start : start + length]
    for url in places[: 3 if length < 0 and start else 4]:
        assert REMOTE.read(url, start, length) == expected
        assert REMOTE.open(url, start, length).read() == expected


def test_what_is_not_there_is_missing_and_what_fails_has_a_reason(places, tmp_path):
    class Failing(IndexHandler):
        def do_GET(self):  # noqa: N802 (http.server calls it so)
            self._send(503, b"slow down")

    gone = [url.replace("file.bin", "none.bin") for url in places[:3]]
    for url in gone:
        with pytest.raises(OSError, match=r"none\.bin") as raised:
            REMOTE.read(url)
        assert is_missing(raised.value)
    with served(tmp_path, Failing) as address, pytest.raises(OSError, match=address) as failed:
        REMOTE.read(f"{address}/x")
    assert (failure_reason(failed.value), is_missing(failed.value)) == ("fetch_http_503", False)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9") as refused:
        REMOTE.describe("http://127.0.0.1:9/x")
    assert failure_reason(refused.value) == "fetch_connection"


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, 40), st.integers(-1, 60)), max_size=12))
def test_a_file_of_ranges_reads_as_a_file_in_memory_does(steps):
    class InMemory(PlainReader):
        def read(self, url, start=0, length=-1):
            return CONTENT[:50][start:] if length < 0 else CONTENT[:50][start : start + length]

    file, expected = RangeFile(InMemory(), "x", 50), io.BytesIO(CONTENT[:50])
    for whence, offset, size in steps:
        move = -offset if whence == 2 else offset
        assert file.seek(move, whence) == expected.seek(move, whence) == file.tell()
        assert file.read(size) == expected.read(size)


def test_a_file_that_is_shorter_than_the_server_said_is_a_failure(places):
    file = RangeFile(REMOTE, places[0], 1076)
    file.seek(1000)
    with pytest.raises(OSError, match="ends 52 bytes before byte 1076") as raised:
        file.read()
    assert failure_reason(raised.value) == "fetch_short_body"
