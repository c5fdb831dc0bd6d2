"""The command that is shown fetches exactly one record, wherever it is."""

import gzip
import shlex
import subprocess

import pytest
from crawl_server import CrawlServer
from published_stages import WARC_PATH, document_row

from pipeline_lib.crawl.record_places import RecordPlace, record_place
from storage.store import Store

RECORDS = [f"WARC/1.0 record {number}".encode() * (number + 1) for number in range(3)]
NAME = "it's a crawl; $(false).warc.gz"  # what a shell would trip over


@pytest.fixture
def members(tmp_path):
    """A file of gzip members, and where each begins."""
    packed = [gzip.compress(record) for record in RECORDS]
    (tmp_path / NAME).write_bytes(b"".join(packed))
    starts = [sum(map(len, packed[:number])) for number in range(len(packed))]
    return list(zip(starts, map(len, packed), strict=True))


def run(command):
    return subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("kind", ["path", "http", "other"])
def test_the_command_prints_the_record_and_nothing_else(tmp_path, members, kind, number):
    start, length = members[number]
    with CrawlServer(tmp_path) as server:
        address = {
            "path": str(tmp_path / NAME),
            "http": f"{server.url}/it's%20a%20crawl;%20$(false).warc.gz",
            "other": f"local://{tmp_path / NAME}",
        }[kind]
        assert run(RecordPlace(url=address, start=start, length=length).command()) == RECORDS[number]


def test_a_file_that_is_not_compressed_is_not_decompressed(tmp_path):
    (tmp_path / "crawl.warc").write_bytes(b"0123456789")
    assert run(RecordPlace(url=str(tmp_path / "crawl.warc"), start=3, length=4).command()) == b"3456"


def test_object_stores_are_asked_by_their_own_programs():
    s3 = RecordPlace(url="s3://bucket/a b/c.warc.gz", start=10, length=5).command()
    assert " ".join(shlex.split(s3)[:5]) == "aws s3api get-object --bucket bucket"
    assert shlex.split(s3)[5:10] == ["--key", "a b/c.warc.gz", "--range", "bytes=10-14", "record.warc.gz"]
    assert RecordPlace(url="gs://b/c.warc", start=10, length=5).command() == "gcloud storage cat -r 10-14 gs://b/c.warc"


def source(**changes):
    row = {"kind": "warc", "warc_path": WARC_PATH, "url": "/a.warc.gz", "position": 0, "offset": 0, "length": -1}
    return row | changes


def document(offset, **changes):
    return document_row(0, warc_offset=offset, warc_length=10, **changes)


def test_a_record_is_where_its_range_was_read_from():
    sources = [
        source(warc_path="another", offset=0),
        source(url="http://a/", offset=100, position=100, length=50),
        source(url="http://b/", offset=150, position=7, length=50),
    ]
    assert record_place(document(120), sources) == RecordPlace(url="http://a/", start=120, length=10)
    assert record_place(document(150), sources) == RecordPlace(url="http://b/", start=7, length=10)
    assert record_place(document(200), sources) is None


def test_a_record_that_was_kept_is_in_the_store(tmp_path):
    store = Store(str(tmp_path))
    found = record_place(document(30), [source(url="store:stages/a.warc.gz", offset=20, position=5, length=40)], store)
    assert found == RecordPlace(url=f"{tmp_path}/stages/a.warc.gz", start=15, length=10)


def test_a_row_of_a_file_of_texts_is_no_record():
    assert record_place(document(3), [source(kind="texts")]) is None
