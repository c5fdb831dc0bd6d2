"""One question to all kinds of index: the same records, and the same account of all others."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from crawl_index import (
    CRAWL,
    Line,
    PlainReader,
    invented_lines,
    matches,
    read_lines,
    served,
    write_table,
    write_zipnum,
)

from pipeline_lib.crawl.columnar_index import answers_from_table
from pipeline_lib.crawl.index_query import IndexQuery
from pipeline_lib.crawl.index_server import answers_from_server
from pipeline_lib.crawl.zipnum import answers_from_zipnum

MINICC = "CC-MAIN-2025-00"


@pytest.fixture(scope="module", params=["invented", "minicc"])
def index(request, tmp_path_factory):
    """The lines of a crawl, and a server of its index in every form."""
    root = tmp_path_factory.mktemp("mirror")
    if request.param == "invented":
        crawl, lines = CRAWL, invented_lines()
        write_zipnum(root, crawl, [line.text for line in lines], lines_per_member=10, num_files=3)
        write_table(root, crawl, lines)
    else:
        crawl = MINICC
        real = request.getfixturevalue("shared_data") / "minicc/cc-index/collections" / crawl / "indexes"
        lines = read_lines(real)
        folder = root / f"cc-index/collections/{crawl}"
        folder.mkdir(parents=True)
        (folder / "indexes").symlink_to(real)
        write_table(root, crawl, lines, rows_per_group=500)
    with served(root, lines=lines, crawl=crawl, lines_per_page=37 if crawl == CRAWL else 900) as address:
        yield lines, crawl, address


def answered(kind, crawl, address, query):
    reader = PlainReader()
    match kind:
        case "cdx":
            answers = list(answers_from_zipnum(reader, address, crawl, query))
        case "columnar":
            answers = list(answers_from_table(reader, address, crawl, query))
        case "api":
            answers = list(answers_from_server(reader, address, crawl, query))
    found = [row for answer in answers for row in answer.records.iter_rows()]
    return sorted(found), sum(answer.rows for answer in answers), +sum((each.dropped for each in answers), Counter())


def by_looking(lines: list[Line], query: IndexQuery):
    """Every line looked at, one filter after the other."""
    found, rows, dropped = [], 0, Counter()
    named = [(url, "host") for url in query.hosts] + [(url, "domain") for url in query.domains]
    named += [(url.removesuffix("*"), "prefix" if url.endswith("*") else "exact") for url in query.urls]
    for line in lines:
        if line.subset not in query.subsets or (named and not any(matches(line, *each) for each in named)):
            continue
        rows += 1
        value = line.value
        spoken = value.get("languages", "").split(",")
        spoken = spoken if query.language_match == "any" else spoken[:1]
        if int(value["status"]) not in query.statuses:
            dropped["other_status"] += 1
        elif query.mimes and value["mime-detected"] not in query.mimes:
            dropped["other_mime"] += 1
        elif query.languages and not set(spoken) & set(query.languages):
            dropped["other_language"] += 1
        elif not (
            (query.since or "0").replace("-", "")
            <= line.timestamp
            <= (query.until or "").replace("-", "").ljust(14, "9")
        ):
            dropped["outside_dates"] += 1
        elif query.url_regex and not re.search(query.url_regex, value["url"]):
            dropped["other_url"] += 1
        else:
            found.append(line.place)
    return sorted(found), rows, dropped


QUERIES = [
    IndexQuery(hosts=("example.com",)),
    IndexQuery(hosts=("www.example.com", "zebra.museum"), mimes=()),
    IndexQuery(domains=("example.com",)),
    IndexQuery(domains=("co.uk", "museum"), hosts=("a.co.uk",)),
    IndexQuery(urls=("example.com/news/*", "https://example.com/about", "http://example.org/zebra*")),
    IndexQuery(urls=("example.com/*",), subsets=("crawldiagnostics", "warc"), statuses=(404, 301, 200), mimes=()),
    IndexQuery(domains=("com", "org"), languages=("deu", "fra"), since="2026-01-05", until="2026-01-20"),
    IndexQuery(domains=("com",), languages=("fra", "eng"), language_match="any", url_regex="^https://.*(news|shop)"),
    IndexQuery(hosts=("nowhere.example",)),
    # of the mini crawl
    IndexQuery(hosts=("docs.python.org", "www.kernel.org")),
    IndexQuery(domains=("org",), languages=("rus",)),
    IndexQuery(domains=("uk", "fr", "ru", "debian.org"), statuses=(200, 404), subsets=("warc", "crawldiagnostics")),
    IndexQuery(urls=("https://www.debian.org/*",), until="2025-01-05"),
    IndexQuery(domains=("jp", "gr"), mimes=("application/xml",)),
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_every_kind_of_index_gives_the_records_and_the_account_that_looking_at_every_line_gives(index, query):
    lines, crawl, address = index
    expected = by_looking(lines, query)
    for kind in ("cdx", "columnar", "api"):
        assert answered(kind, crawl, address, replace(query, kind=kind)) == expected, kind


@pytest.mark.parametrize("kind", ["cdx", "columnar"])
def test_what_is_asked_of_no_host_is_asked_of_the_whole_crawl(index, kind):
    lines, crawl, address = index
    query = IndexQuery(kind=kind, languages=("deu",))
    expected = by_looking(lines, query)
    assert len(expected[0]) > 10
    assert answered(kind, crawl, address, query) == expected


def test_the_questions_of_this_test_find_something_in_each_crawl(index):
    lines = index[0]
    assert sum(len(by_looking(lines, query)[0]) > 0 for query in QUERIES) >= 5
