"""Queries: what is refused at birth, and which keys a query stands for."""

import itertools
from datetime import date, datetime

import pytest

from pipeline_lib.crawl.index_query import CrawlSelection, IndexQuery, key_ranges


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "sql"}, "kind='sql': expected columnar, cdx, api"),
        ({"kind": "api"}, "kind=api answers for hosts, domains or urls only"),
        ({"hosts": ("https://example.com/",)}, "URLs belong into urls"),
        ({"domains": ("",)}, "no name of a domain"),
        ({"urls": ("example.com/*/news",)}, "a star stands at the end"),
        ({"urls": ("*",)}, "a star stands at the end"),
        ({"urls": ("https://example.com*",)}, r"write https://example\.com/\*"),
        ({"url_regex": "(news"}, "is no regular expression"),
        ({"languages": ("de",)}, "no ISO 639-3 code"),
        ({"language_match": "most"}, "expected main or any"),
        ({"since": "2026-13"}, "since='2026-13': expected a time"),
        ({"since": "last week"}, "expected a time"),
        ({"since": "2026-02", "until": "2026-01"}, "is after until"),
        ({"subsets": ()}, "subsets is empty"),
        ({"subsets": ("wat",)}, "expected warc, crawldiagnostics, robotstxt"),
        ({"max_records": 0}, "at least one record"),
    ],
)
def test_a_query_that_asks_for_nothing_that_can_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        IndexQuery(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crawl": "../CC"}, "expected an id such as CC-MAIN-2026-43"),
        ({"files": "wat"}, "expected warc or wet"),
        ({"first": 0}, "at least one file"),
        ({"every": 0}, "1 reads every file"),
        ({"sample": 0}, "at least one file"),
        ({"sample": 3, "first": 2}, "choose files by one of these"),
        ({"base_url": ""}, "cannot be empty"),
    ],
)
def test_a_selection_that_chooses_nothing_that_can_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CrawlSelection(**changes)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026", "20260101000000", "20261231235959"),
        ("2026-02", "20260201000000", "20260231235959"),  # no page was fetched on the 31st; the comparison is of text
        ("2026-02-03", "20260203000000", "20260203235959"),
        ("2026-02-03T04:05", "20260203040500", "20260203040559"),
        ("2026-02-03T04:05:06Z", "20260203040506", "20260203040506"),
        (date(2026, 2, 3), "20260203000000", "20260203235959"),
        (datetime(2026, 2, 3, 4, 5, 6), "20260203040506", "20260203040506"),
    ],
)
def test_a_time_includes_all_that_it_leaves_open(text, first, last):
    query = IndexQuery(since=text, until=text)
    assert (query.first_timestamp, query.last_timestamp) == (first, last)


def test_what_is_named_twice_or_inside_something_else_is_asked_once():
    query = IndexQuery(
        domains=("example.com", "EXAMPLE.com."),
        hosts=("www.example.com", "news.example.com", "example.org", "www.example.org"),
        urls=(
            "*.example.com",
            "http://example.com/news/*",
            "https://example.org",
            "other.example/a/*",
            "other.example/a/b",
        ),
    )
    assert [(target.match, target.url) for target in query.targets()] == [
        ("domain", "example.com"),
        ("prefix", "other.example/a/"),
        ("host", "example.org"),
    ]
    ranges = key_ranges(query.targets())
    assert all(one.end <= other.start for one, other in itertools.pairwise(ranges))


@pytest.mark.parametrize(
    ("query", "inside", "outside"),
    [
        (
            IndexQuery(hosts=("example.com",)),
            ["com,example)/", "com,example)/z?a"],
            ["com,example,www)/", "com,example-shop)/", "com,examples)/", "com,example:8080)/"],
        ),
        (
            IndexQuery(domains=("example.com",)),
            ["com,example)/", "com,example,a,b)/x", "com,example,a:8080)/"],
            ["com,example-shop)/", "com,examples)/", "com)/", "com,exampl,e)/"],
        ),
        (
            IndexQuery(urls=("https://example.com/news/*",)),
            ["com,example)/news/1", "com,example)/news/1?a=b"],
            ["com,example)/news", "com,example)/newsletter", "com,example,www)/news/1"],
        ),
        (
            IndexQuery(urls=("example.com/news",)),
            ["com,example)/news"],
            ["com,example)/news/1", "com,example)/news?a", "com,example)/new"],
        ),
    ],
)
def test_keys_of_a_query_are_those_of_what_it_names_and_no_others(query, inside, outside):
    ranges = key_ranges(query.targets())
    assert all(any(each.start <= key < each.end for each in ranges) for key in inside)
    assert not any(each.start <= key < each.end for each in ranges for key in outside)
