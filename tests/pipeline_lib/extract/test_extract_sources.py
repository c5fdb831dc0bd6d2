"""What extraction makes of sources that are not whole WARC files: ranges, WET, tables of texts, broken streams."""

import gzip
import io
import json
from collections import Counter
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.remote import FetchFailed, Remote
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.stage import source_items
from pipeline_lib.text_files.opening import TextFileError
from storage.schemas import DOCUMENTS, REJECTED_RECORDS, document_id

PART = "part-00000"
WARC_PATH = "crawl-data/TEST/segments/0/warc/a.warc.gz"
TEXT = "The mill stands at the river and grinds what the farmers bring. " * 5


def record(kind, block, url, headers=""):
    return (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-05T10:20:30Z\r\n"
        f"{headers}Content-Length: {len(block)}\r\n\r\n"
    ).encode() + block + b"\r\n\r\n"  # fmt: skip


def response(number, http="", body=None):
    body = f"<html><title>Page {number}</title><body><p>{TEXT}</p></body></html>" if body is None else body
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{http}\r\n{body}"
    url = f"https://a.example/{number}"
    return record("response", http.encode(), url, "Content-Type: application/http; msgtype=response\r\n")


MEMBERS = [gzip.compress(response(number), mtime=0) for number in range(6)]
STARTS = [sum(map(len, MEMBERS[:number])) for number in range(7)]


@pytest.fixture
def crawl(tmp_path):
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(MEMBERS))
    return path


def documents(stage):
    return stage.read("documents", PART, DOCUMENTS).to_pylist()


def rejected(stage):
    return stage.read("rejected", PART, REJECTED_RECORDS).to_pylist()


def test_ranges_give_the_documents_that_the_whole_file_gives(crawl, extract_sources):
    _, whole = extract_sources([{"url": str(crawl)}])
    rows = [
        {"url": str(crawl), "position": STARTS[first], "offset": STARTS[first], "length": STARTS[end] - STARTS[first]}
        for first, end in ((0, 2), (2, 3), (3, 6))
    ]
    _, ranges = extract_sources(rows)
    assert documents(ranges) == documents(whole)
    assert [row["warc_offset"] for row in documents(whole)] == STARTS[:6]


def test_kept_ranges_have_the_offsets_of_the_file_that_they_are_from(tmp_path, extract_sources):
    kept = tmp_path / "kept"
    kept.write_bytes(MEMBERS[4] + MEMBERS[1])
    rows = [
        {"url": str(kept), "position": 0, "offset": STARTS[4], "length": len(MEMBERS[4])},
        {"url": str(kept), "position": len(MEMBERS[4]), "offset": STARTS[1], "length": len(MEMBERS[1])},
    ]
    _, stage = extract_sources(rows)
    assert [(row["title"], row["warc_offset"], row["warc_length"], row["doc_id"]) for row in documents(stage)] == [
        (f"Page {number}", STARTS[number], len(MEMBERS[number]), document_id(WARC_PATH, STARTS[number]))
        for number in (4, 1)
    ]


def test_only_wanted_records_of_a_range_are_read_and_those_that_are_not_there_are_counted(crawl, extract_sources):
    wanted = [STARTS[4], STARTS[1], STARTS[2] + 7, STARTS[5] + 9]
    row = {"url": str(crawl), "position": STARTS[1], "offset": STARTS[1], "length": STARTS[6] - STARTS[1]}
    record, stage = extract_sources([{**row, "wanted": wanted}])
    assert [row["title"] for row in documents(stage)] == ["Page 1", "Page 4"]
    assert [(row["warc_offset"], row["warc_length"], row["reason"]) for row in rejected(stage)] == [
        (STARTS[2] + 7, 0, "record_not_found"),
        (STARTS[5] + 9, 0, "record_not_found"),
    ]
    assert record.account.documents_in == 4


def test_a_store_path_is_a_source(crawl, tmp_path, extract_sources):
    store = tmp_path / "store" / "stages" / "fetch" / "k" / "raw"
    store.mkdir(parents=True)
    (store / "a").write_bytes(crawl.read_bytes())
    _, stage = extract_sources([{"url": "store:stages/fetch/k/raw/a", "position": STARTS[5], "offset": STARTS[5]}])
    assert [row["title"] for row in documents(stage)] == ["Page 5"]


class Breaking(io.BytesIO):
    def __init__(self, content, end, error):
        super().__init__(content)
        self.end = end
        self.error = error

    def read(self, size=-1):
        if self.tell() >= self.end:
            raise self.error
        return super().read(min(size, self.end - self.tell()))


class Cut(Remote):
    """A server that gives the members up to a byte, and then no more."""

    def open(self, url, start=0, length=-1, *, fingerprint=""):
        return Breaking(b"".join(MEMBERS), STARTS[3] + 60, FetchFailed("no more", "fetch_short_body", url))


def range_of_members(**changes):
    source = {"kind": "warc", "warc_path": WARC_PATH, "url": "http://a.example/a.warc.gz", "position": 0}
    length = sum(map(len, MEMBERS))
    return source | {"offset": 1_000, "length": length, "bytes": -1, "wanted": None, "fingerprint": ""} | changes


def test_where_a_stream_breaks_for_good_the_rest_is_one_row():
    found = list(source_items(Cut(FetchParameters()), range_of_members(), ExtractParameters()))
    assert [candidate.offset for candidate, _ in found] == [1_000 + start for start in STARTS[:4]]
    assert [candidate.reason for candidate, _ in found] == [None, None, None, "fetch_short_body"]
    last = found[-1][0]
    assert (last.length, last.url) == (STARTS[6] - STARTS[3], None)


def test_where_a_stream_breaks_for_good_every_record_that_was_wanted_behind_is_a_row():
    wanted = [1_000 + STARTS[number] for number in (1, 3, 5)]
    found = list(source_items(Cut(FetchParameters()), range_of_members(wanted=wanted), ExtractParameters()))
    assert [(candidate.offset, candidate.reason) for candidate, _ in found] == [
        (wanted[0], None),
        (wanted[1], "fetch_short_body"),
        (wanted[2], "fetch_short_body"),
    ]


@pytest.mark.parametrize(
    ("parameters", "source"), [({"on_give_up": "fail"}, {}), ({}, {"url": "/disk/a.warc.gz"})], ids=["fail", "disk"]
)
def test_a_loss_that_the_recipe_or_a_disk_does_not_forgive_ends_the_part(parameters, source):
    with pytest.raises(FetchFailed, match="no more"):
        list(source_items(Cut(FetchParameters(**parameters)), range_of_members(**source), ExtractParameters()))


def test_another_error_of_a_stream_is_no_reason():
    class Reset(Remote):
        def open(self, url, start=0, length=-1, *, fingerprint=""):
            return Breaking(b"", 0, ConnectionResetError("try again"))

    with pytest.raises(ConnectionResetError):
        list(source_items(Reset(FetchParameters()), range_of_members(), ExtractParameters()))


def test_opt_outs_are_counted_by_kind(tmp_path, extract_sources):
    def with_meta(name, content):
        return f"<html><head><meta name={name} content={content}></head><body><p>{TEXT}</p></body></html>"

    path = tmp_path / "a.warc"
    path.write_bytes(
        b"".join(
            [
                response(0),
                response(1, "X-Robots-Tag: googlebot: noindex\r\nX-Robots-Tag: noai\r\n"),
                response(2, "TDM-Reservation: 1\r\n"),
                response(3, body=with_meta("robots", "noindex")),
                response(4, body=with_meta("tdm-reservation", "1")),
                response(5).replace(b"a.example", b"b.example"),
                response(6, "X-Robots-Tag: googlebot: noindex\r\n"),
            ]
        )
    )
    record, stage = extract_sources([{"url": str(path)}], opt_outs=opt_outs(domains=("b.example",)))
    assert record.account.dropped == {
        "opt_out_robots_header": 1,
        "opt_out_tdm_header": 1,
        "opt_out_robots_meta": 1,
        "opt_out_tdm_meta": 1,
        "opt_out_domain": 1,
    }
    assert [row["title"] for row in documents(stage)] == ["Page 0", "Page 6"]


def opt_outs(**parameters):
    from pipeline_lib.extract.opt_outs import OptOutParameters

    return OptOutParameters(**parameters)


def test_text_that_a_crawl_has_extracted_becomes_documents_as_it_is(tmp_path, extract_sources):
    text = "Die Mühle steht am Fluß und mahlt, was die Bauern bringen.\u200b\n<p>kein Tag</p>\n" * 9
    plain = "Content-Type: text/plain\r\n"
    path = tmp_path / "a.warc.wet.gz"
    path.write_bytes(
        b"".join(
            gzip.compress(each)
            for each in (
                record("warcinfo", b"x", "x"),
                record("conversion", text.encode(), "https://a.example/de", plain),
                record("conversion", b" \r\n", "https://a.example/blank", plain),
                record("conversion", b"\xff\xfe\x00\x01" * 99, "https://a.example/garbage", plain),
                record("conversion", b"GIF89a", "https://a.example/image", "Content-Type: image/gif\r\n"),
            )
        )
    )
    record_, stage = extract_sources([{"url": str(path)}])
    [row] = documents(stage)
    assert (row["url"], row["mime"], row["charset"], row["language"]) == (
        "https://a.example/de",
        "text/plain",
        "utf-8",
        "de",
    )
    assert row["text"] == text.replace("\u200b", "").strip("\n")
    assert record_.account.dropped == {"record_warcinfo": 1, "empty_text": 1, "undecodable": 1, "not_text": 1}
    assert record_.metrics["extractors"] == {"none": 1}


ROWS = [
    {"text": TEXT, "url": "https://a.example/1", "date": "2024-05-06T07:08:09Z", "title": "One"},
    {"text": None},
    {"text": ""},
    {"text": " \n"},
    {"text": TEXT + "two", "date": "yesterday"},
    {"text": TEXT + "three \u00a0 spaces", "url": "https://user@b.example/3"},
]


def check_texts(stage, source):
    found = documents(stage)
    assert [row["text"] for row in found] == [TEXT.strip(), TEXT + "two", TEXT + "three   spaces"]
    assert [row["warc_offset"] for row in found] == [0, 4, 5]
    assert [row["doc_id"] for row in found] == [document_id(source, row) for row in (0, 4, 5)]
    assert [row["url"] for row in found] == ["https://a.example/1", "", "https://user@b.example/3"]
    assert [row["host"] for row in found] == ["a.example", "", "b.example"]
    assert [row["title"] for row in found] == ["One", "", ""]
    assert [row["fetched_at"] for row in found] == [datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), None, None]
    assert {(row["mime"], row["charset"], row["language"]) for row in found} == {("text/plain", "utf-8", "en")}
    assert [(row["warc_offset"], row["reason"]) for row in rejected(stage)][:3] == [
        (1, "no_text"),
        (2, "empty_text"),
        (3, "empty_text"),
    ]


@pytest.mark.parametrize("compress", [None, gzip.compress, lambda content: pa.compress(content, "zstd", asbytes=True)])
def test_json_lines_become_documents_and_bad_rows_reasons(compress, tmp_path, extract_sources):
    lines = [json.dumps(row) for row in ROWS]
    bad = ['{"text": 7}', "[1]", '{"text": "cut off', "{}"]
    content = "\n".join([*lines, "", *bad]).encode()
    path = tmp_path / "texts.jsonl"
    path.write_bytes(content if compress is None else compress(content))
    record, stage = extract_sources([{"kind": "texts", "url": str(path), "warc_path": "texts.jsonl"}])
    check_texts(stage, "texts.jsonl")
    assert record.account.dropped == Counter(
        ["no_text", "empty_text", "empty_text", "text_not_string", "bad_json", "bad_json", "no_text"]
    )
    assert record.account.documents_in == 10


def test_parquet_becomes_documents(tmp_path, extract_sources):
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    for row in ({"position": 0}, {"length": path.stat().st_size}):
        _, stage = extract_sources([{"kind": "texts", "url": str(path), "warc_path": "t", **row}])
        check_texts(stage, "t")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([datetime(2024, 5, 6)], pa.timestamp("us")),
        ([date(2024, 5, 6)], pa.date32()),
        ([1_714_953_600], pa.int64()),
        ([1_714_953_600_000.0], pa.float64()),
        (["2024-05-06"], pa.string()),
        (["2024-05-06T02:00:00+02:00"], pa.large_string()),
    ],
)
def test_dates_are_read_in_the_forms_that_columns_have(values, kind, tmp_path, extract_sources):
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"text": [TEXT], "date": pa.array(values, kind)}), path)
    _, stage = extract_sources([{"kind": "texts", "url": str(path)}])
    assert documents(stage)[0]["fetched_at"] == datetime(2024, 5, 6, tzinfo=UTC)


def test_a_damaged_file_of_texts_gives_the_rows_before_the_damage(tmp_path, extract_sources):
    path = tmp_path / "texts.jsonl.gz"
    numbered = (json.dumps({"text": f"{number} {TEXT}"}) for number in range(40_000))
    path.write_bytes(gzip.compress("\n".join(numbered).encode())[:-200])
    record, stage = extract_sources([{"kind": "texts", "url": str(path)}])
    assert record.account.documents_out > 1_000
    assert [row["reason"] for row in rejected(stage)] == ["damaged_text_file"]
    assert rejected(stage)[0]["warc_offset"] == record.account.documents_out
    path.write_bytes(b"PAR1 and no more")
    record, _ = extract_sources([{"kind": "texts", "url": str(path)}])
    assert record.account.dropped == {"damaged_text_file": 1}


def test_a_table_without_the_column_of_texts_is_refused_with_the_likely_one(tmp_path, extract_sources):
    path = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"content": [TEXT]}), path)
    with pytest.raises(TextFileError, match="Is it 'content'"):
        extract_sources([{"kind": "texts", "url": str(path)}])
    _, stage = extract_sources([{"kind": "texts", "url": str(path)}], text_field="content")
    assert len(documents(stage)) == 1


def test_sources_of_all_kinds_stand_in_their_order(crawl, tmp_path, extract_sources):
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"{number} {TEXT}"}) for number in range(3)))
    rows = [
        {"url": str(crawl), "length": STARTS[1]},
        {"kind": "texts", "url": str(path), "warc_path": "texts.jsonl"},
        {"url": str(crawl), "position": STARTS[5], "offset": STARTS[5]},
    ]
    _, stage = extract_sources(rows)
    assert [row["warc_path"] for row in documents(stage)] == [WARC_PATH, *["texts.jsonl"] * 3, WARC_PATH]
