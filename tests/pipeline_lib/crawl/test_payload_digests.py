"""Digests of archived records: every spelling and reading that archives use, and damage that none of them fits."""

import base64
import gzip
import hashlib

import pytest

from pipeline_lib.crawl.payload_digests import digest_mismatch
from pipeline_lib.crawl.warc_records import BrokenRecord, Record, read_records

PAGE = b"<html>page</html>"
HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
LIMIT = 1 << 20


def record(body=PAGE, headers=None, **changes):
    values = {
        "record_type": "response",
        "url": "http://a.example/",
        "date": None,
        "offset": 0,
        "length": 0,
        "payload_type": None,
        "content_type": None,
        "truncated": False,
        "status": 200,
        "headers": headers or {},
        "body": body,
        "http_header": HEADER,
    }
    return Record(**{**values, **changes})


def base32(content, algorithm="sha1"):
    return base64.b32encode(hashlib.new(algorithm, content).digest()).decode()


@pytest.mark.parametrize(
    "spelling",
    [
        "sha1:" + base32(PAGE),
        "SHA1:" + base32(PAGE).lower(),
        "sha-1:" + base32(PAGE),
        "urn:sha1:" + base32(PAGE),
        "sha1:" + hashlib.sha1(PAGE).hexdigest(),
        "sha1:" + hashlib.sha1(PAGE).hexdigest().upper(),
        "sha1:" + base64.b64encode(hashlib.sha1(PAGE).digest()).decode(),
        "sha1:" + base64.urlsafe_b64encode(hashlib.sha1(PAGE).digest()).decode(),
        "sha256:" + hashlib.sha256(PAGE).hexdigest(),
        "sha256:" + base32(PAGE, "sha256"),
        "sha256:" + base32(PAGE, "sha256").rstrip("="),
        "md5:" + hashlib.md5(PAGE).hexdigest(),
        " sha1:" + base32(PAGE) + " ",
    ],
)
def test_every_spelling_of_a_digest_is_read(spelling):
    assert not digest_mismatch(record(payload_digest=spelling), LIMIT)
    assert digest_mismatch(record(PAGE + b"x", payload_digest=spelling), LIMIT)


@pytest.mark.parametrize("stated", [None, "", "sha1", "sha1:", "sha1:short", "crc32:12345678", "sha1:" + "é" * 32])
def test_what_no_digest_can_be_made_of_shows_no_damage(stated):
    assert not digest_mismatch(record(payload_digest=stated, block_digest=stated), LIMIT)


GZIPPED = gzip.compress(PAGE, mtime=0)
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GZIPPED), GZIPPED)
ENCODED = {"transfer-encoding": "chunked", "content-encoding": "gzip"}


@pytest.mark.parametrize("payload", [CHUNKED, GZIPPED, PAGE])
def test_the_payload_may_be_meant_with_or_without_its_encodings(payload):
    assert not digest_mismatch(record(CHUNKED, ENCODED, payload_digest="sha1:" + base32(payload)), LIMIT)


def test_one_digest_that_fits_is_enough():
    block, wrong = "sha1:" + base32(HEADER + PAGE), "sha1:" + base32(b"other")
    assert not digest_mismatch(record(block_digest=block, payload_digest=wrong), LIMIT)
    assert not digest_mismatch(record(block_digest=wrong, payload_digest="sha1:" + base32(PAGE)), LIMIT)
    assert digest_mismatch(record(block_digest=wrong), LIMIT)
    assert digest_mismatch(record(block_digest=wrong, payload_digest=wrong), LIMIT)


def test_records_that_are_not_all_there_show_no_damage():
    wrong = "sha1:" + base32(b"other")
    assert not digest_mismatch(record(truncated=True, block_digest=wrong, payload_digest=wrong), LIMIT)
    assert not digest_mismatch(record(b"", record_type="revisit", payload_digest=wrong), LIMIT)


def test_a_body_that_cannot_be_decoded_or_is_a_bomb_costs_nothing():
    wrong = "sha1:" + base32(b"other")
    assert digest_mismatch(record(b"no gzip", {"content-encoding": "gzip"}, payload_digest=wrong), LIMIT)
    bomb = gzip.compress(bytes(50 << 20), mtime=0)
    assert not digest_mismatch(record(bomb, {"content-encoding": "gzip"}, payload_digest=wrong), LIMIT)


def test_all_records_of_a_real_crawl_fit_their_digests_and_one_flipped_byte_shows(shared_data):
    path = min((shared_data / "minicc").rglob("CC-MAIN-2026*00001.warc.gz"))
    with path.open("rb") as stream:
        found = list(read_records(stream))
    stated = [each for each in found if isinstance(each, Record) and each.block_digest]
    assert len(stated) > 1000
    assert not any(digest_mismatch(each, LIMIT) for each in stated)
    page = next(each for each in stated if each.status == 200)
    assert page.http_header.startswith(b"HTTP/1.1 200")
    flipped = bytes([page.body[0] ^ 1]) + page.body[1:]
    assert digest_mismatch(record(flipped, page.headers, payload_digest=page.payload_digest), LIMIT)


def test_old_archives_state_digests_that_do_fit(shared_data):
    """Three records of these files are known to be damaged, on purpose or by an edit of their text."""
    mismatches = 0
    for path in sorted((shared_data / "warc_real").rglob("*.warc*")):
        with path.open("rb") as stream:
            for each in read_records(stream):
                if not isinstance(each, BrokenRecord):
                    mismatches += digest_mismatch(each, LIMIT)
    assert mismatches == 3
