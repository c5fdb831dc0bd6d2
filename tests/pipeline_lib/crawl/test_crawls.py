"""The list of crawls, as Common Crawl publishes it and as a server may have it."""

import json

import pytest
from crawl_index import PlainReader

from pipeline_lib.crawl.crawls import (
    CrawlListError,
    UnknownCrawl,
    crawls_between,
    dated_crawls,
    list_crawls,
    parse_crawls,
    resolve_crawl,
)
from pipeline_lib.crawl.index_query import CrawlSelection
from pipeline_lib.crawl.select_stage import resolved

LISTED = [
    {"id": "CC-MAIN-2025-30", "name": "July 2025 Index", "from": "2025-07-07T18:36:38", "to": "2025-07-20T20:56:29"},
    {"id": "CC-MAIN-2025-33", "name": "August 2025 Index", "from": "2025-08-02T22:09:07", "to": "2025-08-15T23:42:38"},
    {"id": "CC-MAIN-2024-51", "name": "December 2024 Index"},
    {"id": "CC-MAIN-2008-2009", "name": "ARC", "from": "2008-05-09T05:37:12", "to": "2009-01-09T20:58:29"},
]
NEWEST_FIRST = ["CC-MAIN-2025-33", "CC-MAIN-2025-30", "CC-MAIN-2024-51", "CC-MAIN-2008-2009"]


def parsed(listed=LISTED):
    return parse_crawls(json.dumps(listed).encode(), "the list")


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_crawl_comes_first_whatever_the_order_of_the_list(order):
    assert [crawl.crawl_id for crawl in parsed(LISTED[::order])] == NEWEST_FIRST


def test_common_crawls_own_list_is_read_whole(shared_data):
    recorded = (shared_data / "eval/commoncrawl/cdx_toolkit_mock/test_get_cc_endpoints.jsonl").read_text()
    content = json.loads(recorded.splitlines()[0])["response_text"].encode()
    crawls = parse_crawls(content, "collinfo.json")
    assert [crawl.crawl_id for crawl in crawls] == [entry["id"] for entry in json.loads(content)]
    assert len(crawls) == 115
    assert (crawls[0].name, crawls[0].first, crawls[0].last) == (
        "August 2025 Index",
        "2025-08-02T22:09:07",
        "2025-08-15T23:42:38",
    )


def test_latest_is_the_newest_and_ids_may_be_written_in_any_case():
    assert resolve_crawl(parsed(), "latest").crawl_id == "CC-MAIN-2025-33"
    assert resolve_crawl(parsed(), "cc-main-2025-30").crawl_id == "CC-MAIN-2025-30"


def ids(crawls):
    return [crawl.crawl_id for crawl in crawls]


@pytest.mark.parametrize(
    ("listed", "newest_first"),
    [
        # by the week in the id, whatever the list says of when it was fetched
        (
            [("CC-MAIN-2026-05", "2026-09-01"), ("CC-MAIN-2026-43", "2026-01-01")],
            ["CC-MAIN-2026-43", "CC-MAIN-2026-05"],
        ),
        # another collection is no later issue of the main one
        ([("CC-NEWS-2026-50", None), ("CC-MAIN-2026-43", None), ("CC-NEWS", "2027-01-01")], ["CC-MAIN-2026-43"]),
        # the oldest have a year, or two
        (
            [
                ("CC-MAIN-2008-2009", None),
                ("CC-MAIN-2012", None),
                ("CC-MAIN-2009-2010", None),
                ("CC-MAIN-2013-20", None),
            ],
            ["CC-MAIN-2013-20", "CC-MAIN-2012", "CC-MAIN-2009-2010", "CC-MAIN-2008-2009"],
        ),
        # a private server's own
        (
            [("INTRANET-2026-02", None), ("INTRANET-2026-10", None), ("trial", None)],
            ["INTRANET-2026-10", "INTRANET-2026-02"],
        ),
        ([("trial", None)], []),
    ],
)
def test_dated_crawls_are_in_the_order_of_their_ids(listed, newest_first):
    assert ids(dated_crawls(parsed([{"id": name, "to": to} for name, to in listed]))) == newest_first


def test_a_range_is_oldest_first_and_includes_both_ends():
    assert ids(crawls_between(parsed(), "CC-MAIN-2024-51", "latest")) == NEWEST_FIRST[2::-1]
    assert ids(crawls_between(parsed(), "cc-main-2025-30", "CC-MAIN-2025-30")) == ["CC-MAIN-2025-30"]


def test_a_range_that_is_none_is_refused():
    with pytest.raises(UnknownCrawl, match="CC-MAIN-2024-51 is older than CC-MAIN-2025-30"):
        crawls_between(parsed(), "CC-MAIN-2025-30", "CC-MAIN-2024-51")
    with pytest.raises(UnknownCrawl, match="none of the crawls has a date in its id: found trial"):
        crawls_between(parsed([{"id": "trial"}]), "trial", "latest")


def test_an_unknown_crawl_is_refused_with_the_nearest():
    with pytest.raises(UnknownCrawl, match=r"did you mean CC-MAIN-2025-30 or CC-MAIN-2025-33\?.*`gristmill crawls`"):
        resolve_crawl(parsed(), "CC-MAIN-2025-32")
    with pytest.raises(UnknownCrawl, match="the newest is CC-MAIN-2025-33"):
        resolve_crawl(parsed(), "https://x.example")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>503</html>", "expected a list of crawls as JSON, found b'<html>503"),
        (b'{"message": "no"}', "expected a list of crawls, found dict"),
        (b"[]", "names no crawl"),
        (b'[{"id": "../../etc"}, {"id": 3}, "x", {"name": "y"}]', "names no crawl"),
        (b"[" * 100_000, "expected a list of crawls"),
    ],
)
def test_what_is_no_list_of_crawls_is_a_clear_error(content, message):
    with pytest.raises(CrawlListError, match=message):
        parse_crawls(content, "the list")


def test_dates_that_are_none_are_left_out():
    (crawl,) = parsed([{"id": "C-1", "name": None, "from": "\x1b[31mred", "to": 7}])
    assert (crawl.first, crawl.last) == (None, None)


def test_a_server_that_does_not_answer_is_named_with_what_to_do():
    with pytest.raises(CrawlListError, match=r"127\.0\.0\.1:9/collinfo.json.*--index-server"):
        list_crawls(PlainReader(), "http://127.0.0.1:9")


def test_only_latest_needs_the_list(tmp_path):
    (tmp_path / "collinfo.json").write_text(json.dumps(LISTED))
    latest = CrawlSelection(index_server=str(tmp_path))
    assert resolved(latest, PlainReader()).crawl == "CC-MAIN-2025-33"
    named = CrawlSelection(crawl="CC-MAIN-2026-43", index_server="http://127.0.0.1:9")
    assert resolved(named, PlainReader()) == named
