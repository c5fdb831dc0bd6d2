"""WARC files, whole and damaged: no record is lost, and none is made up."""

import contextlib
import gzip
import io
import os
import zlib
from collections import Counter
from datetime import UTC, datetime

import pytest
from fastwarc.stream_io import BrotliWriter, Lz4Writer, ZstdWriter, zstd_train_dictionary_from_samples
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.crawl.record_bodies import UndecodableBody, decoded_body
from pipeline_lib.crawl.warc_records import BrokenRecord, Record, read_records

PAGE = b"<html><p>Hello</p></html>"


def warc_record(kind, block, url="http://a.example/", extra=b"", length=None):
    length = len(block) if length is None else length
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-05T10:20:30Z\r\n"
        f"Content-Type: application/http; msgtype={kind}\r\nContent-Length: {length}\r\n"
    )
    return header.encode() + extra + b"\r\n" + block + b"\r\n\r\n"


def response(body=PAGE, url="http://a.example/", http=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", extra=b""):
    return warc_record("response", http + body, url, extra)


def member(content):
    return gzip.compress(content, mtime=0)


def read(content, **parameters):
    return list(read_records(io.BytesIO(content), **parameters))


def outline(records):
    """Type of each record, or the reason why it is broken."""
    return [record.reason if isinstance(record, BrokenRecord) else record.record_type for record in records]


THREE = [
    warc_record("request", b"GET / HTTP/1.1\r\n\r\n"),
    response(),
    response(b"<html>" + bytes(range(256)) * 9 + b"</html>", "http://b.example/"),
]
THREE_MEMBERS = [member(record) for record in THREE]


def test_a_record_has_what_the_page_came_with():
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=koi8-r\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
    [record] = read(
        member(response(b"body", "http://a.example/x", http, b"WARC-Identified-Payload-Type: text/html\r\n"))
    )
    assert isinstance(record, Record)
    assert (record.record_type, record.url, record.status, record.body) == (
        "response",
        "http://a.example/x",
        200,
        b"body",
    )
    assert record.date == datetime(2026, 1, 5, 10, 20, 30, tzinfo=UTC)
    assert record.headers == {"content-type": "text/html; charset=koi8-r", "x-a": "1, 2"}
    assert record.payload_type == "text/html"


def test_offset_and_length_cut_the_record_out_of_the_file():
    content = b"".join(THREE_MEMBERS)
    records = read(content)
    assert [gzip.decompress(content[r.offset : r.offset + r.length]) for r in records] == THREE


FRAMES = [Lz4Writer, ZstdWriter]


@pytest.mark.parametrize("writer", FRAMES)
def test_a_record_in_a_frame_of_its_own_can_be_cut_out_of_the_file(writer):
    frames = [compressed(writer, record) for record in THREE]
    records = read(b"".join(frames))
    assert outline(records) == ["request", "response", "response"]
    assert [record.length for record in records] == [len(frame) for frame in frames]
    start = records[1].offset
    assert outline(read(b"".join(frames)[start : start + records[1].length])) == ["response"]


@pytest.mark.parametrize("writer", FRAMES)
def test_a_whole_file_in_one_frame_is_read_and_its_records_have_different_offsets(writer):
    content = compressed(writer, b"".join(THREE) * 5)
    records = read(content)
    assert outline(records) == ["request", "response", "response"] * 5
    assert len({record.offset for record in records}) == 15
    assert sum(record.length for record in records) == len(content)


@pytest.mark.parametrize("writer", FRAMES)
def test_frames_after_damage_are_found(writer):
    first, second, third = (compressed(writer, record) for record in THREE)
    place = len(second) // 2
    damaged = second[:place] + bytes([second[place] ^ 0x55]) + second[place + 1 :]
    records = read(first + damaged + third)
    assert outline(records)[0] == "request"
    assert records[-1].url == "http://b.example/"
    assert outline(read(first + b"lost and found" + third)) == ["request", "not_a_record", "response"]
    assert outline(read(first + b"\0" * 99 + third)) == ["request", "response"]
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert outline(read(skippable + first + skippable + third)) == ["request", "response"]


@pytest.mark.parametrize("writer", FRAMES)
def test_a_file_of_frames_cut_off_anywhere_says_that_a_record_is_truncated(writer):
    first, second, _ = (compressed(writer, record) for record in THREE)
    for cut in range(1, len(second)):
        found = outline(read(first + second[:cut]))
        assert found == ["request", "truncated_record"], cut


@pytest.mark.parametrize("is_compressed", [True, False])
def test_a_zstd_file_with_a_dictionary_is_read_with_it(is_compressed):
    pages = [response(f"<html>{number} words and {'more ' * number}</html>".encode()) for number in range(200)]
    dictionary = bytes(zstd_train_dictionary_from_samples(pages, 4096))
    first = compressed(
        lambda stream: ZstdWriter(stream, dictionary=dictionary, compress_dictionary_frame=is_compressed), pages[0]
    )
    later = [compressed(lambda stream: ZstdWriter(stream, dictionary=dictionary), page) for page in pages[1:9]]
    # the writer puts the dictionary before each; in a file it stands once
    frames = [frame[frame.index(ZSTD_MAGIC, frame_after_dictionary(frame)) :] for frame in later]
    records = read(first + b"".join(frames))
    assert outline(records) == ["response"] * 9
    assert [record.body for record in records] == [
        page.partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")[2][:-4] for page in pages[:9]
    ]


def frame_after_dictionary(content):
    return 8 + int.from_bytes(content[4:8], "little")


ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@pytest.mark.parametrize("writer", [None, Lz4Writer, ZstdWriter])
def test_a_file_that_is_plain_lz4_or_zstd_is_read_as_well(writer):
    content = b"".join(THREE) if writer is None else b"".join(compressed(writer, record) for record in THREE)
    records = read(content)
    assert outline(records) == ["request", "response", "response"]
    assert sum(record.length for record in records) == len(content)
    assert len({record.offset for record in records}) == 3


def compressed(writer, content):
    class Kept(io.BytesIO):
        def close(self):
            """Writers close what they write to, and its content would go."""

    kept = Kept()
    stream = writer(kept)
    stream.write(content)
    stream.close()
    return kept.getvalue()


def test_a_file_cut_off_anywhere_gives_all_records_before_the_cut_and_says_that_one_is_truncated():
    kinds = ["request", "response", "response"]
    for whole in range(3):
        before = b"".join(THREE_MEMBERS[:whole])
        assert outline(read(before)) == kinds[:whole]
        assert outline(read(before + THREE_MEMBERS[whole][:1])) == [*kinds[:whole], "not_a_record"]
        for cut in range(2, len(THREE_MEMBERS[whole])):
            found = outline(read(before + THREE_MEMBERS[whole][:cut]))
            assert found == [*kinds[:whole], "truncated_record"], cut


def test_a_plain_file_cut_off_anywhere_gives_all_records_before_the_cut():
    content = b"".join(THREE)
    for cut in range(len(content)):
        found = outline(read(content[:cut]))
        whole = sum(len(b"".join(THREE[: number + 1])) - 4 <= cut for number in range(3))  # -4: the blank lines after
        assert found[:whole] == ["request", "response", "response"][:whole], cut
        assert all(kind in ("truncated_record", "not_a_record") for kind in found[whole:]), (cut, found)


@pytest.mark.parametrize("place", range(0, len(THREE_MEMBERS[1]), 3))
def test_a_flipped_bit_costs_one_record_at_most(place):
    damaged = bytearray(THREE_MEMBERS[1])
    damaged[place] ^= 0x10
    records = read(THREE_MEMBERS[0] + bytes(damaged) + THREE_MEMBERS[2])
    assert outline(records)[0] == "request"
    assert isinstance(records[-1], Record)
    assert records[-1].url == "http://b.example/"
    for record in records[1:-1]:
        # what survives is what was written: nothing damaged passes for whole
        assert isinstance(record, BrokenRecord) or record.body == PAGE


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (member(b""), []),  # fastwarc alone stops here without a word
        (b"\0" * 512, []),  # padding
        (b"lost and found", ["not_a_record"]),
        (member(b"<html>no WARC</html>"), ["not_a_record"]),
        (member(warc_record("response", b"short", length=99_999_999_999)), ["truncated_record"]),
        (member(warc_record("response", b"short", length="many")), ["bad_warc_header"]),
        (member(warc_record("response", b"short", length=-5)), ["bad_warc_header"]),
        (member(response(extra=b"X: " + b"y" * 100_000 + b"\r\n")), ["bad_warc_header"]),
        (member(response(b"x" * 3_000_000)), ["body_too_large"]),
    ],
)
def test_what_is_wrong_between_two_records_is_told_and_passed(between, expected):
    records = read(THREE_MEMBERS[1] + between + THREE_MEMBERS[2], max_body_bytes=1_000_000)
    assert outline(records) == ["response", *expected, "response"]
    assert records[-1].url == "http://b.example/"


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (b"", []),
        (b"\r\n\n\r\n", []),
        (b"\0\0\0\n", []),
        (b"lost and found\r\n", ["not_a_record"]),
        (b"lost WARC/1.0 and found\r\n", ["not_a_record"]),
        (b"WARC/1.0\r\nWARC-Type: response\r\n\r\nno length\r\n", ["bad_warc_header"]),
        (warc_record("response", b"short", length=-5), ["bad_warc_header"]),
        (b"WARC/1.0\r\n" + b"X: y\r\n" * 40_000, ["bad_warc_header"]),
        (response(b"x" * 3_000_000), ["body_too_large"]),
        (warc_record("metadata", b"longer than it says", length=6), ["metadata", "not_a_record"]),
    ],
)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_what_is_no_record_is_counted_where_nothing_separates_records(between, expected, is_compressed):
    content = THREE[1] + between + THREE[2]
    records = read(member(content) if is_compressed else content, max_body_bytes=1_000_000)
    assert outline(records) == ["response", *expected, "response"]
    assert records[-1].url == "http://b.example/"


def test_a_connection_that_fails_leaves_the_records_before_it():
    error = ConnectionResetError("gone")

    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= end:
                raise error
            return super().read(min(size, 1_000, end - self.tell()))

    for pieces in (THREE_MEMBERS, THREE):
        end = len(pieces[0]) + len(pieces[1]) + 50
        found = []
        with pytest.raises(ConnectionResetError):  # noqa: PT012 (what came before counts)
            for record in read_records(Failing(b"".join(pieces))):
                found.append(record)  # noqa: PERF402
        assert outline(found) == ["request", "response"]
        blank_lines = 4 if pieces is THREE else 0  # may or may not have come after the last
        assert found[0].length == len(pieces[0])
        assert found[1].length in (len(pieces[1]), len(pieces[1]) - blank_lines)


def test_records_that_share_one_gzip_member_are_all_read_and_have_different_offsets():
    records = read(member(b"".join(THREE) * 5) + THREE_MEMBERS[0])
    assert outline(records) == ["request", "response", "response"] * 5 + ["request"]
    assert len({record.offset for record in records}) == 16


def test_a_record_cut_into_several_gzip_members_is_one_record():
    record = response(b"<html>" + os.urandom(40_000).hex().encode())
    pieces = [member(record[start : start + 20_000]) for start in range(0, len(record), 20_000)]
    records = read(b"".join([*pieces, THREE_MEMBERS[0]]))
    assert outline(records) == ["response", "request"]
    assert records[0].body == record[record.index(b"<html>") : -4]


@pytest.mark.parametrize("content", [b"not a WARC file at all\n" * 9, member(b"neither this\n" * 9), b"\x1f\x8b", b"{"])
def test_a_file_that_holds_no_record_is_one_reason(content):
    [record] = read(content)
    assert isinstance(record, BrokenRecord)
    assert (record.reason, record.offset, record.length) in (
        ("not_a_record", 0, len(content)),
        ("truncated_record", 0, len(content)),
    )


def test_an_empty_file_has_no_record():
    assert read(b"") == []


def test_damaged_lz4_is_a_reason_although_fastwarc_panics():
    content = bytearray(compressed(Lz4Writer, THREE[1]))
    for place in range(7, len(content)):
        damaged = bytes(content[:place]) + bytes([content[place] ^ 0xFF]) + bytes(content[place + 1 :])
        assert len(read(damaged)) >= 1


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), RuntimeError("payload incomplete")])
def test_a_connection_that_fails_is_no_damaged_record(error):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 40_000:
                raise error
            return super().read(min(size, 16_384))

    incompressible = response(os.urandom(60_000))
    for content in (member(incompressible) * 3, incompressible * 3):
        with pytest.raises(type(error), match=str(error)):
            list(read_records(Failing(content)))


@pytest.mark.parametrize(
    "http", [b"", b"<html>", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nC: " + b"x" * 40_000 + b"\r\n\r\n"]
)
def test_a_response_without_a_readable_http_header_has_no_status(http):
    [record] = read(member(response(b"", http=http)))
    assert isinstance(record, Record)
    assert record.status is None


def chunked(body, size=5):
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def raw_deflate(content):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ("", PAGE, PAGE),
        ("Transfer-Encoding: chunked", chunked(PAGE), PAGE),
        ("Transfer-Encoding: chunked", chunked(PAGE)[:-5], PAGE),  # the end of the chunks is missing
        ("Transfer-Encoding: chunked", PAGE, PAGE),  # the archive joined them already
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\nzz\r\nworld", "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked", b"ff\r\nhello", "bad_transfer_encoding"),
        ("Content-Encoding: gzip", member(PAGE), PAGE),
        ("Content-Encoding: x-gzip", member(PAGE[:9]) + member(PAGE[9:]), PAGE),
        ("Content-Encoding: gzip", PAGE, PAGE),  # the archive inflated it already
        ("Content-Encoding: gzip", member(PAGE)[:-9], "bad_content_encoding"),
        ("Content-Encoding: gzip", b"\x1f\x8bnonsense", "bad_content_encoding"),
        ("Content-Encoding: deflate", zlib.compress(PAGE), PAGE),
        ("Content-Encoding: deflate", raw_deflate(PAGE), PAGE),
        ("Content-Encoding: br", compressed(BrotliWriter, PAGE), PAGE),
        ("Content-Encoding: br", b"nonsense", "bad_content_encoding"),
        ("Content-Encoding: zstd", compressed(ZstdWriter, PAGE), PAGE),
        ("Content-Encoding: deflate, gzip", member(zlib.compress(PAGE)), PAGE),
        ("Content-Encoding: identity", PAGE, PAGE),
        ("Content-Encoding: utf-8", PAGE, PAGE),  # a frequent mistake
        ("Content-Encoding: compress", b"\x1f\x9d...", "unsupported_encoding"),
        ("Content-Encoding: " + "gzip," * 9, member(PAGE), "unsupported_encoding"),
        ("Content-Encoding: gzip\r\nTransfer-Encoding: chunked", chunked(member(PAGE)), PAGE),
        ("Content-Encoding: gzip", member(b"\0" * 5_000_000), "body_too_large"),
        ("Content-Encoding: deflate", zlib.compress(b"\0" * 5_000_000), "body_too_large"),
        ("Content-Encoding: br", compressed(BrotliWriter, b"\0" * 5_000_000), "body_too_large"),
        ("Content-Encoding: zstd", compressed(ZstdWriter, b"\0" * 5_000_000), "body_too_large"),
    ],
)
def test_encodings_are_undone_or_have_a_reason(headers, body, expected):
    http = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n" if headers else "HTTP/1.1 200 OK\r\n\r\n"
    [record] = read(member(response(body, http=http.encode())))
    try:
        found = decoded_body(record, max_body_bytes=1_000_000)
    except UndecodableBody as error:
        found = error.reason
    assert found == expected


def test_a_compressed_page_that_the_crawler_cut_short_gives_what_there_is():
    body = member(PAGE * 1_000)[:-20]
    [record] = read(
        member(
            response(
                body, http=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", extra=b"WARC-Truncated: length\r\n"
            )
        )
    )
    found = decoded_body(record)
    assert found
    assert (PAGE * 1_000).startswith(found)


@given(
    st.binary(max_size=200),
    st.lists(st.sampled_from(["gzip", "deflate", "br", "zstd", "x", "", "identity"]), max_size=3),
)
def test_no_body_and_no_encoding_raise_anything_else(body, encodings):
    http = f"HTTP/1.1 200 OK\r\nContent-Encoding: {','.join(encodings)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    [record] = read(response(body, http=http.encode()))
    with contextlib.suppress(UndecodableBody):
        decoded_body(record, 10_000)


@given(
    st.lists(st.sampled_from(THREE_MEMBERS), max_size=5),
    st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=30), st.integers(0, 300)), max_size=3),
)
def test_any_damage_leaves_records_in_order_with_offsets_of_their_own(members, damages):
    content = b"".join(members)
    for place, inserted, removed in damages:
        content = content[:place] + inserted + content[place + removed :]
    records = read(content, max_body_bytes=1_000)
    assert sum(record.length for record in records) <= len(content)
    offsets = [record.offset for record in records if isinstance(record, Record)]
    assert offsets == sorted(set(offsets))


WHOLE = ""
NO_WARC = "is no WARC file: one stretch without a record"
# Of each file: how many good records, the reasons of what is broken, and why that is right. The README's counts are
# those of another library; where they differ, the note says why.
REAL = {
    "archivesunleashed+aut/example.warc.gz": (822, [], WHOLE),
    "ukwa+webarchive-test-suite/sopa-wikipedia-homepage.warc.gz": (164, [], WHOLE),
    "ukwa+webarchive-test-suite/main-page.warc.gz": (151, [], WHOLE),
    "chatnoir-eu+chatnoir-resiliparse/clueweb-quirk.warc.gz": (30, [], "WARC/0.18, line feeds alone; whole"),
    "ukwa+webarchive-test-suite/post-blackout.warc.gz": (117, [], WHOLE),
    "allenai+dolma/sample-0000.warc.gz": (48, [], WHOLE),
    "chatnoir-eu+chatnoir-resiliparse/warcfile.warc.lz4": (50, [], WHOLE),
    "chatnoir-eu+chatnoir-resiliparse/warcfile.warc.gz": (50, [], WHOLE),
    "commoncrawl+whirlwind-python/whirlwind.warc": (4, [], WHOLE),
    "ukwa+webarchive-test-suite/IAH-urls-wget.warc.gz": (36, [], WHOLE),
    "ukwa+webarchive-test-suite/IAH-20080430204825-00000-blackbook-truncated.warc.gz": (
        23,
        [],
        "its name means the crawl, not the file: the last member is whole, and WARC/0.18",
    ),
    "commoncrawl+whirlwind-python/whirlwind.warc.gz": (4, [], WHOLE),
    "webrecorder+warcio/example-iana.org-chunked.warc": (3, [], WHOLE),
    "commoncrawl+whirlwind-python/whirlwind.warc.wet": (2, [], WHOLE),
    "iipc+jwarc/cc.warc.gz": (1, [], WHOLE),
    "webrecorder+warcio/example.warc": (6, [], WHOLE),
    "webrecorder+warcio/example.warc.gz": (6, [], WHOLE),
    "webrecorder+warcio/example-digest.warc": (4, [], WHOLE),
    "webrecorder+warcio/post-test.warc.gz": (6, [], WHOLE),
    "webrecorder+warcio/example-trunc.warc": (
        4,
        [],
        "the header of the third record promises two bytes more than its block has, and they are the blank line "
        "behind it: so the block has its length and the record after it is found; its body does not decode",
    ),
    "webrecorder+warcio/example-wget-bad-target-uri.warc.gz": (6, [], "angle brackets around URIs are taken off"),
    "commoncrawl+whirlwind-python/whirlwind.warc.wet.gz": (2, [], WHOLE),
    "facebookresearch+cc_net/sample.warc.txt": (
        3,
        ["not_a_record"] * 3,
        "edited by hand: each block is longer than its length says; what is beyond is no record, and not swallowed",
    ),
    "commoncrawl+whirlwind-python/whirlwind.warc.wat": (2, [], WHOLE),
    "webrecorder+warcio/example-bad-non-chunked.warc.gz": (6, [], "all records in one gzip member"),
    "webrecorder+warcio/example-bad.warc.gz.bad": (6, [], "members of several records; whole"),
    "webrecorder+warcio/example-resource.warc.gz": (3, [], WHOLE),
    "webrecorder+warcio/example-wrong-chunks.warc.gz": (2, [], "gzip members that begin in the middle of records"),
    "commoncrawl+whirlwind-python/whirlwind.warc.wat.gz": (2, [], WHOLE),
    "chatnoir-eu+chatnoir-resiliparse/block-sized-records.warc.lz4": (3, [], "types nobody knows, but whole"),
    "chatnoir-eu+chatnoir-resiliparse/block-sized-records.warc.gz": (3, [], "types nobody knows, but whole"),
    "webrecorder+warcio/example-space-in-target-uri.warc.gz": (2, [], WHOLE),
    "chatnoir-eu+chatnoir-resiliparse/clipped.warc.gz": (
        0,
        ["truncated_record"],
        "the file ends inside its only record; the README's library gives it out as if it were whole",
    ),
    "commoncrawl+whirlwind-python/CC-MAIN-2024-22.warc.paths.gz": (0, ["not_a_record"], NO_WARC),
    "webrecorder+warcio/example-space-in-url.arc": (0, ["not_a_record"], NO_WARC),
    "webrecorder+warcio/example.arc": (0, ["not_a_record"], NO_WARC),
    "webrecorder+warcio/example.arc.gz": (0, ["not_a_record"] * 2, "ARC, in two gzip members"),
    "webrecorder+warcio/bad.arc": (0, ["not_a_record"], NO_WARC),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_to_their_end(name, shared_data):
    path = shared_data / "warc_real" / name
    with path.open("rb") as stream:
        records = list(read_records(stream))
    num_good, broken, why = REAL[name]
    whole = [record for record in records if isinstance(record, Record)]
    assert len(whole) == num_good, why
    assert [record.reason for record in records if isinstance(record, BrokenRecord)] == broken, why
    assert sum(record.length for record in records) == path.stat().st_size
    assert len({record.offset for record in records}) == len(records)


def test_the_table_has_all_real_files(shared_data):
    folder = shared_data / "warc_real"
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "README.md"}
    assert found == REAL.keys()


# Bodies of real responses that cannot be decoded, of each file that has some.
UNDECODABLE = {"webrecorder+warcio/example-trunc.warc": {"bad_content_encoding": 1}}


def test_real_bodies_are_decoded(shared_data):
    found = {}
    for name in REAL:
        reasons = Counter()
        with (shared_data / "warc_real" / name).open("rb") as stream:
            for record in read_records(stream):
                if isinstance(record, Record) and record.status is not None:
                    try:
                        decoded_body(record)
                    except UndecodableBody as error:
                        reasons[error.reason] += 1
        if reasons:
            found[name] = dict(reasons)
    assert found == UNDECODABLE
