"""Records that do not have the digests they state: fetched once more where there is a server, and else rejected."""

import io

import pytest
from crawl_server import CrawlServer

from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.remote import Remote
from pipeline_lib.crawl.verified_records import verified
from pipeline_lib.crawl.warc_records import BrokenRecord, Record, read_records
from pipeline_lib.crawl.warc_writing import Capture, write_warc

MAX_BYTES = 1 << 20


@pytest.fixture(scope="module")
def archive():
    """A WARC file with digests: a page, one gzip member each record."""
    stream = io.BytesIO()
    write_warc(
        stream, "C", 0, [Capture("http://a.example/", "200 OK", (("Content-Type", "text/html"),), b"<p>whole</p>")]
    )
    return stream.getvalue()


def page_of(content):
    return next(each for each in read_records(io.BytesIO(content)) if each.record_type == "response")


def damaged(archive):
    """The page as it came: with another byte in its body."""
    page = page_of(archive)
    assert isinstance(page, Record)
    return Record(**{name: getattr(page, name) for name in Record.__slots__} | {"body": b"<p>whale</p>"})


def source(url):
    return {"url": url, "position": 0, "offset": 0, "length": -1}


def test_a_record_that_fits_its_digest_is_taken_as_it_is(archive):
    page = page_of(archive)
    assert verified(page, source("/disk/a.warc.gz"), MAX_BYTES, None) is page


def test_a_record_damaged_on_its_way_is_what_the_server_gives_when_asked_again(archive, tmp_path):
    (tmp_path / "a.warc.gz").write_bytes(archive)
    with CrawlServer(tmp_path) as server:
        found = verified(damaged(archive), source(f"{server.url}/a.warc.gz"), MAX_BYTES, Remote(FetchParameters()))
    assert found == page_of(archive)


@pytest.mark.parametrize("served", [True, False])
def test_a_record_that_stays_damaged_is_counted_as_that(archive, tmp_path, served):
    # the server has nothing to mend it with: the file is gone, or it is on this machine
    with CrawlServer(tmp_path) as server:
        url = f"{server.url}/a.warc.gz" if served else "/disk/a.warc.gz"
        found = verified(damaged(archive), source(url), MAX_BYTES, Remote(FetchParameters()))
    page = page_of(archive)
    assert found == BrokenRecord(
        record_type="response", url="http://a.example/", offset=page.offset, length=page.length, reason="bad_digest"
    )
