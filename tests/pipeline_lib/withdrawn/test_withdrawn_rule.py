"""Which documents are withdrawn, against a rule that asks one document and one thing on the list at a time."""

from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.dedup.canonical_url import canonical_url
from pipeline_lib.withdrawn.rule import Matcher, Withdrawn, decisions
from pipeline_lib.withdrawn.targets import canonical_host, parse_target, spellings
from storage.exclusions import Exclusion

Document = tuple[str, str]  # URL, file


def host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def documents_table(documents: list[Document], chunks: int = 1) -> pa.Table:
    columns = {
        "doc_id": [str(number) for number in range(len(documents))],
        "url": [url for url, _ in documents],
        "host": [host_of(url) for url, _ in documents],
        "warc_path": [path for _, path in documents],
    }
    kinds = {"doc_id": pa.string()}
    table = pa.table({name: pa.array(values, kinds.get(name, pa.large_string())) for name, values in columns.items()})
    size = max(1, -(-len(documents) // chunks))
    return pa.concat_tables([table.slice(start, size) for start in range(0, max(1, len(documents)), size)])


def is_withdrawn_by(document: Document, exclusion: Exclusion) -> bool:
    url, path = document
    match exclusion.kind:
        case "file":
            return path == exclusion.value
        case "domain":
            labels, above = canonical_host(host_of(url)).split("."), exclusion.value.split(".")
            return labels[-len(above) :] == above
        case "url":
            forms = [canonical_url(each) for each in spellings(exclusion.value)]
            return url == exclusion.value or (canonical_url(url) is not None and canonical_url(url) in forms)


def withdrawn_by(document: Document, listed: list[Exclusion]) -> list[Exclusion]:
    """All that withdraws a document, the widest first."""
    order = {"domain": 0, "file": 1, "url": 2}
    found = [each for each in listed if is_withdrawn_by(document, each)]
    return sorted(found, key=lambda each: (order[each.kind], each.value.count(".") if each.kind == "domain" else 0))


labels = st.sampled_from(["a", "b", "www", "example", "org", "bücher", "xn--bcher-kva", "BÜCHER", "A"])
names = st.lists(labels, min_size=1, max_size=5).map(".".join)
addresses = st.sampled_from(["10.0.0.1", "1.10.0.0.1", "[::1]", "[0:0::1]", "[2001:DB8::1]"])
hosts = st.builds("{}{}".format, names, st.sampled_from(["", "."])) | addresses
urls = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["http://", "https://", "HTTP://", "ftp://", ""]),
    st.sampled_from(["", "me@", "me:secret@", "org@"]),
    hosts,
    st.sampled_from(["", ":80", ":8080", ":"]),
    st.sampled_from(["", "/", "/a", "/a/", "/A", "/a?utm_source=x", "/a#b", "/?b=1&a=2", "/ü", "/b?http://a.org"]),
) | st.sampled_from(["", "http://", "http://[", "a b", "dns:a"])
documents = st.lists(st.tuples(urls, st.sampled_from(["f.warc.gz", "g.warc.gz", "a/f.warc.gz"])), max_size=12)
exclusions = st.lists(
    st.builds(Exclusion, st.just("domain"), names.map(canonical_host) | st.sampled_from(["10.0.0.1", "::1"]))
    | st.builds(Exclusion, st.just("file"), st.sampled_from(["f.warc.gz", "warc.gz"]))
    | st.builds(
        lambda url: parse_target(url, "url"), urls.filter(lambda url: canonical_url(url) is not None or "ftp:" in url)
    ),
    max_size=6,
    unique=True,
)


@settings(deadline=None)  # the first example compiles
@given(documents, exclusions, st.integers(1, 3))
def test_a_document_is_withdrawn_by_what_names_it_the_widest_first(listed_documents, listed, chunks) -> None:
    matcher = Matcher(Withdrawn.of(listed))
    found = matcher.find(documents_table(listed_documents, chunks))
    for document, place in zip(listed_documents, found.tolist(), strict=True):
        expected = withdrawn_by(document, listed)
        if place < 0:
            assert not expected
        else:
            first = matcher.listed[place]
            assert first in expected
            assert (first.kind, first.value.count(".")) == (expected[0].kind, expected[0].value.count(".")) or (
                first.kind == expected[0].kind != "domain"
            )


@settings(deadline=None)
@given(documents, exclusions)
def test_what_counts_for_no_document_can_be_left_out_of_the_list(listed_documents, listed) -> None:
    """So that a run's stage depends on no more of the store's list than what withdraws its own documents."""
    table = documents_table(listed_documents)
    whole = Matcher(Withdrawn.of(listed))
    found = whole.find(table)
    needed = Matcher(Withdrawn.of({whole.listed[place] for place in found.tolist() if place >= 0}))
    assert [needed.listed[place] if place >= 0 else None for place in needed.find(table).tolist()] == [
        whole.listed[place] if place >= 0 else None for place in found.tolist()
    ]


@pytest.mark.parametrize(
    ("word", "url", "is_meant"),
    [
        ("example.org", "https://example.org/", True),
        ("example.org", "https://a.b.example.org:8080/x", True),
        ("example.org", "https://example.org./", True),
        ("example.org", "https://notexample.org/", False),
        ("example.org", "https://example.org.evil.test/", False),
        ("example.org", "https://evil.test/?u=https://example.org/", False),
        ("example.org", "https://example.org@evil.test/", False),
        ("www.example.org", "https://example.org/", False),  # a host is what it is
        ("example.org", "https://ex%61mple%2Eorg/", True),
        ("bücher.example", "https://b%C3%BCcher.example/", True),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "https://shop.BÜCHER.example/", True),
        ("10.0.0.1", "http://10.0.0.1:81/", True),
        ("10.0.0.1", "http://110.0.0.1/", False),
        ("::1", "http://[0:0:0:0:0:0:0:1]/", True),
        ("https://example.org/a", "http://www.example.org/a/?utm_campaign=x", True),
        ("https://example.org/a", "https://example.org/a#part", True),
        ("https://example.org/a", "https://example.org/A", False),
        ("https://example.org/a", "https://example.org/a?page=2", False),
        ("https://example.org/a", "https://sub.example.org/a", False),
        ("https://example.org/", "https://example.org", True),
        ("https://example.org/", "https://example.org/a", False),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a", True),
        ("https://xn--bcher-kva.example/a", "https://bücher.example/a", True),
    ],
)
def test_what_goes_with_a_page_or_a_domain(word: str, url: str, is_meant: bool) -> None:
    assert (Matcher(Withdrawn.of([parse_target(word)])).find(documents_table([(url, "f")])) >= 0).tolist() == [is_meant]


def test_an_empty_list_withdraws_nothing_and_no_documents_are_no_matter() -> None:
    assert Matcher(Withdrawn()).find(documents_table([("https://example.org/", "f")])).tolist() == [-1]
    whole = Matcher(Withdrawn(domains=("example.org",), files=("f",), urls=("example.org/a",)))
    assert whole.find(documents_table([])).tolist() == []


def test_decisions_name_the_rule_and_what_withdrew_the_document() -> None:
    listed_documents = [
        ("https://a.org/", "f"),
        ("https://b.org/x", "f"),
        ("https://c.org/", "g"),
        ("https://d.org/", "h"),
    ]
    matcher = Matcher(Withdrawn(domains=("a.org",), files=("g",), urls=("b.org/x",)))
    table = documents_table(listed_documents)
    rows = decisions(table["doc_id"], matcher.find(table), matcher.listed).to_pylist()
    assert [(row["doc_id"], row["rule"], row["evidence"]) for row in rows] == [
        ("0", "withdrawn_domain", "a.org"),
        ("1", "withdrawn_url", "b.org/x"),
        ("2", "withdrawn_file", "g"),
    ]


def test_a_long_list_is_looked_up_in_a_few_tables_of_hashes() -> None:
    """100,000 pages and domains against 100,000 documents: no work for each pair, and no Python for each document."""
    pages = tuple(f"site{number % 1000}.example/page/{number}" for number in range(100_000))
    domains = tuple(f"d{number}.example" for number in range(100_000))
    matcher = Matcher(Withdrawn(domains=domains, urls=pages))
    listed_documents = [
        (f"http://site{number * 2 % 1000}.example/page/{number * 2}/", "f") for number in range(100_000)
    ]
    found = matcher.find(documents_table(listed_documents))
    assert np.count_nonzero(found >= 0) == 50_000
