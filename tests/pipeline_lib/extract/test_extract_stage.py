"""The extract stage: every record of a WARC file is a document or has a reason."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from pipeline_lib.crawl.warc_records import read_records
from pipeline_lib.extract.candidates import host_of
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.sniffing import looks_like_html
from storage.schemas import DOCUMENTS, REJECTED_RECORDS, document_id

PART = "part-00000"
WARC_PATH = "crawl-data/TEST/segments/0/warc/a.warc.gz"
TEXT = "The mill stands at the river and grinds what the farmers bring. " * 5
PAGE = f"<html><head><title>The\n mill</title></head><body><p>{TEXT}</p></body></html>".encode()
HTML = "Content-Type: text/html"


def record(kind, block, url="http://a.example/", headers=""):
    return (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-05T10:20:30.987654Z\r\n"
        f"Content-Type: application/http; msgtype={kind}\r\n{headers}Content-Length: {len(block)}\r\n\r\n"
    ).encode() + block + b"\r\n\r\n"  # fmt: skip


def response(body=PAGE, http=HTML, status="200 OK", **options):
    return record("response", f"HTTP/1.1 {status}\r\n{http}\r\n\r\n".encode() + body, **options)


CASES = [
    (record("warcinfo", b"software: test\r\n"), "record_warcinfo"),
    (record("request", b"GET / HTTP/1.1\r\n\r\n"), "record_request"),
    (response(), None),
    (record("metadata", b"fetchTimeMs: 3\r\n"), "record_metadata"),
    (record("revisit", b"HTTP/1.1 200 OK\r\n\r\n"), "record_revisit"),
    (record("conversion", TEXT.encode()), "not_text"),
    (response(status="301 Moved"), "status_301"),
    (response(status="404 Not Found"), "status_404"),
    (record("response", b""), "no_http_header"),
    (response(http="Content-Type: image/png"), "not_html"),
    (response(http="Content-Type: application/xhtml+xml; charset=utf-8"), None),
    (response(http="Content-Type: text/plain", headers="WARC-Identified-Payload-Type: text/html\r\n"), None),
    (response(headers="WARC-Identified-Payload-Type: application/pdf\r\n"), "not_html"),
    (response(http="Server: none"), None),  # nobody names a type, but it looks like a page
    (response(b"%PDF-1.7 ...", http="Server: none"), "not_html"),
    (response(b" \n "), "empty_page"),
    (response(b"<html><body></body></html>"), "no_main_text"),
    (response("<p>\u200b\xad</p>".encode()), "no_main_text"),
    (response(bytes((7 * i * i + i) % 256 for i in range(4_000))), "undecodable"),
    (response(b"<div>" * 20_000), "too_deeply_nested"),
    (response(b"<select>" + b"<option>" * 30_000), "markup_too_costly"),
    (response(b"<p>" + b"word " * 60_000), "page_too_large"),
    (response(b"<p>" + b"word " * 300_000), "body_too_large"),
    (response(gzip.compress(b"<p>" + b"word " * 300_000), f"{HTML}\r\nContent-Encoding: gzip"), "body_too_large"),
    (response(b"\x1f\x8b...", f"{HTML}\r\nContent-Encoding: gzip"), "bad_content_encoding"),
    (response(b"\x1f\x9d...", f"{HTML}\r\nContent-Encoding: compress"), "unsupported_encoding"),
    (response(b"5\r\nhello\r\n!", f"{HTML}\r\nTransfer-Encoding: chunked"), "bad_transfer_encoding"),
    (response(gzip.compress(PAGE), f"{HTML}\r\nContent-Encoding: gzip"), None),
]


@pytest.fixture
def mixed(tmp_path):
    """A file with all of the cases, one that is damaged, and one that the file's end cuts off."""
    path = tmp_path / "mixed.warc.gz"
    damaged = bytearray(gzip.compress(response()))
    damaged[len(damaged) // 2] ^= 0xFF
    members = [gzip.compress(content) for content, _ in CASES]
    path.write_bytes(b"".join([*members, bytes(damaged), gzip.compress(response())[:-30]]))
    return path


def test_every_record_is_a_document_or_has_its_reason(mixed, extract):
    published, stage = extract(mixed, max_page_bytes=280_000, max_body_bytes=1_100_000)
    documents = stage.read("documents", PART, DOCUMENTS).to_pylist()
    rejected = stage.read("rejected", PART, REJECTED_RECORDS).to_pylist()
    with mixed.open("rb") as stream:
        offsets = [found.offset for found in read_records(stream, 1_100_000)]
    reasons = {row["warc_offset"]: row["reason"] for row in rejected} | {row["warc_offset"]: None for row in documents}
    expected = [*(reason for _, reason in CASES), "bad_compression", "truncated_record"]
    assert [reasons[offset] for offset in offsets] == expected
    assert sorted(reasons) == offsets
    account = published.account
    assert (account.documents_in, account.documents_out) == (len(expected), expected.count(None))
    assert account.dropped == Counter(reason for reason in expected if reason)
    assert (account.unit_in, account.unit_out) == ("records", "documents")


def test_a_document_says_where_it_is_from(mixed, extract):
    published, stage = extract(mixed)
    first = stage.read("documents", PART, DOCUMENTS).to_pylist()[0]
    content = mixed.read_bytes()[first["warc_offset"] : first["warc_offset"] + first["warc_length"]]
    assert gzip.decompress(content) == CASES[2][0]
    assert first["doc_id"] == document_id(WARC_PATH, first["warc_offset"])
    assert first["fetched_at"] == datetime(2026, 1, 5, 10, 20, 30, 987_000, tzinfo=UTC)
    assert (first["url"], first["host"], first["warc_path"]) == ("http://a.example/", "a.example", WARC_PATH)
    assert (first["mime"], first["charset"], first["language"]) == ("text/html", "utf-8", "en")
    assert (first["title"], first["text"]) == ("The mill", TEXT.strip())
    assert 0.5 < first["language_score"] <= 1.0
    metrics = published.metrics
    for counts in ("charset_sources", "languages", "extractors"):
        assert sum(metrics[counts].values()) == published.account.documents_out
    assert metrics["bytes_in"] > metrics["bytes_out"] > 0
    json.dumps(metrics)


def test_two_runs_publish_the_same_bytes(mixed, extract):
    (first, _), (second, _) = extract(mixed), extract(mixed)
    assert [record.sha256 for record in first.files] == [record.sha256 for record in second.files]


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://[broken", ""),
        ("http://a.example/\xff\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), ""),
        ("dns:a.example", "WARC-Identified-Payload-Type: text/html\r\n"),
        ("<http://a.example/>", "X-\x00: \x01\r\n"),
        ("", ""),
    ],
)
def test_strange_headers_make_rows_that_can_be_written(url, headers, tmp_path, extract):
    path = tmp_path / "strange.warc.gz"
    path.write_bytes(
        gzip.compress(response(url=url, headers=headers).replace(b"2026-01-05T10:20:30.987654Z", b"yesterday"))
    )
    _, stage = extract(path)
    [row] = stage.read("documents", PART, DOCUMENTS).to_pylist()
    assert row["fetched_at"] is None
    assert row["text"] == TEXT.strip()


def test_a_file_that_is_no_warc_file_is_one_rejected_row(tmp_path, extract):
    path = tmp_path / "notes.txt"
    path.write_text("This is no crawl.\n" * 100)
    published, stage = extract(path)
    [row] = stage.read("rejected", PART, REJECTED_RECORDS).to_pylist()
    assert (row["reason"], row["warc_offset"], row["warc_length"], row["url"]) == ("not_a_record", 0, 1_800, None)
    assert stage.read("documents", PART, DOCUMENTS).num_rows == 0
    assert published.account.dropped == {"not_a_record": 1}


@pytest.mark.parametrize(
    ("body", "is_html"),
    [
        (b"<!DOCTYPE html>", True),
        (b"\xef\xbb\xbf \n<HTML lang=en>", True),
        (b"<!-- one --><!-- two -->\n<head>", True),
        (b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", True),
        (b"<rss version='2.0'>", False),
        (b"<abbr>", False),
        (b'{"a": "<html>"}', False),
        (b"<!--" * 300, False),
        (b"<!---->" * 200, False),
        (b"", False),
    ],
)
def test_a_page_without_a_type_is_known_by_how_it_begins(body, is_html):
    assert looks_like_html(body) == is_html


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://User:pw@WWW.Example.COM:8080/a?b", "www.example.com"),
        ("http://[::1]:80/", "::1"),
        ("http://bücher.example/", "bücher.example"),
        ("http://[", ""),
        ("urn:isbn:1", ""),
        ("", ""),
    ],
)
def test_the_host_is_lower_case_and_bare(url, host):
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"extractor": "readability"}, "extractor='readability': expected hybrid"),
        ({"min_main_ratio": 1.5}, "min_main_ratio=1.5"),
        ({"max_page_bytes": 0}, "max_page_bytes=0"),
        ({"max_depth": 5_000}, "max_depth=5000"),
        ({"max_page_bytes": 1 << 30}, "exceeds max_body_bytes"),
        ({"max_trafilatura_tags": -1}, "max_trafilatura_tags=-1"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        ExtractParameters(**parameters)


def test_real_pages_become_documents_in_their_languages(extract, shared_data):
    path = next((shared_data / "minicc").glob("crawl-data/*/segments/*/warc/*-00008.warc.gz"))
    published, stage = extract(path)
    account, metrics = published.account, published.metrics
    responses = account.documents_in - account.dropped["record_request"] - account.dropped["record_metadata"] - 1
    assert account.dropped["record_warcinfo"] == 1
    assert account.documents_out > 0.9 * (responses - account.dropped.get("not_html", 0))
    assert max(metrics["languages"], key=metrics["languages"].get) == "en"
    table = stage.read("documents", PART, DOCUMENTS)
    assert len(set(table["doc_id"].to_pylist())) == table.num_rows
    assert not any("\r" in text or "\xa0" in text or not text.strip() for text in table["text"].to_pylist())


@pytest.mark.parametrize(
    "name", ["archivesunleashed+aut/example.warc.gz", "chatnoir-eu+chatnoir-resiliparse/clipped.warc.gz"]
)
def test_real_archives_are_accounted_for(name, extract, shared_data):
    published, stage = extract(shared_data / "warc_real" / name)
    rows = stage.read("rejected", PART, REJECTED_RECORDS).num_rows + stage.read("documents", PART, DOCUMENTS).num_rows
    assert rows == published.account.documents_in
