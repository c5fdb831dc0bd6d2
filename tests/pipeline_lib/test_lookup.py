"""A document is found by its URL as people type it, and by its id, in whichever part it is."""

import functools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_stages import doc_id, document_row, publish_tables

from pipeline_lib.lookup import Place, plain_url, rows_of_documents, rows_of_url, urls_of_host
from storage.schemas import DOCUMENTS, REJECTED_RECORDS
from storage.store import Store

HOSTS = st.sampled_from(["a.example", "www.a.example", "A.Example", "b.a.example", "a.example:8080", "me@a.example"])
PATHS = st.sampled_from(["", "/", "//", "/x", "/x/", "/X", "/x.html", "/x+y(1)", "/[x]", "/a.example", "/xx"])
TAILS = st.sampled_from(["", "?", "?q=1", "?q=1/", "?Q=1", "#part", "?q=1#part", "?u=http://a.example/x"])
HOSTS_OF_THREE = ("www.a.example", "a.example.org", "b.example")
SCHEMES = st.sampled_from(["http://", "https://", "HTTP://"])
urls = st.builds(lambda *pieces: "".join(pieces), SCHEMES, HOSTS, PATHS, TAILS)
typed = urls | st.builds(lambda *pieces: "".join(pieces), HOSTS, PATHS, TAILS)


def published(store, parts):
    tables = {
        f"part-{number:05d}": {
            "documents": (pa.Table.from_pylist([document_row(**row) for row in rows], schema=DOCUMENTS), DOCUMENTS)
        }
        for number, rows in enumerate(parts)
    }
    return publish_tables(store, "extract", tables)


@functools.cache
def memory_store():
    return Store("memory://lookup")


@given(st.lists(st.lists(urls, max_size=6), min_size=1, max_size=3), typed)
def test_the_rows_of_a_url_are_those_whose_plain_form_is_equal(parts, asked):
    stage = published(memory_store(), [[{"url": url} for url in part] for part in parts])
    expected = [
        Place(part=f"part-{number:05d}", row=row)
        for number, part in enumerate(parts)
        for row, url in enumerate(part)
        if plain_url(url) == plain_url(asked)
    ]
    assert rows_of_url(stage, "documents", DOCUMENTS, asked) == expected


@pytest.mark.parametrize("asked", ["a.example/x", "http://a.example/x/", "https://www.a.example/x", "www.A.example/x"])
def test_what_people_leave_out_is_found_all_the_same(tmp_path, asked):
    rows = [{"url": "https://www.a.example/x/"}, {"url": "https://a.example/X"}, {"url": "https://b.a.example/x"}]
    stage = published(Store(str(tmp_path)), [rows])
    assert rows_of_url(stage, "documents", DOCUMENTS, asked) == [Place(part="part-00000", row=0)]


def test_records_without_a_url_are_passed_over(tmp_path):
    row = {"warc_path": "w", "warc_offset": 0, "warc_length": 1, "record_type": "unknown", "reason": "fetch_timeout"}
    rows = pa.Table.from_pylist([{**row, "url": None}, {**row, "url": "http://a.example/"}], schema=REJECTED_RECORDS)
    stage = publish_tables(Store(str(tmp_path)), "extract", {"all": {"rejected": (rows, REJECTED_RECORDS)}})
    assert rows_of_url(stage, "rejected", REJECTED_RECORDS, "a.example") == [Place(part="all", row=1)]
    assert rows_of_url(stage, "rejected", REJECTED_RECORDS, "") == []


def test_documents_are_found_by_id_in_any_part_and_only_where_they_are_looked_for(tmp_path):
    parts = [[{"number": 10 * part + row} for row in range(4)] for part in range(3)]
    stage = published(Store(str(tmp_path)), parts)
    find = functools.partial(rows_of_documents, stage, "documents", DOCUMENTS)
    assert find([doc_id(3), doc_id(21), doc_id(99)]) == {
        doc_id(3): Place(part="part-00000", row=3),
        doc_id(21): Place(part="part-00002", row=1),
    }
    assert find([doc_id(21)], ["part-00000", "no such part"]) == {}
    assert find([]) == {}


def test_documents_of_a_host_are_counted_and_some_named(tmp_path):
    rows = [{"url": f"https://{host}/{n}"} for n in range(4) for host in HOSTS_OF_THREE]
    stage = published(Store(str(tmp_path)), [rows, rows])
    number, some = urls_of_host(stage, "documents", DOCUMENTS, "a.example", 3)
    assert (number, some) == (8, ["https://www.a.example/0", "https://www.a.example/1", "https://www.a.example/2"])
