"""The CDX index as a service: `<server>/<crawl>-index?url=…&output=json`, answered in pages of lines.

For small questions: it is one service for everybody. A 404 says that there are no captures, once the server has shown
that it knows the crawl. Source: https://github.com/webrecorder/pywb/wiki/CDX-Server-API.
"""

import json
from collections.abc import Iterator
from urllib.parse import urlencode

from pipeline_lib.crawl.cdx_lines import server_rows
from pipeline_lib.crawl.crawls import list_crawls, resolve_crawl
from pipeline_lib.crawl.index_query import IndexQuery, Target
from pipeline_lib.crawl.index_rows import Answer, IndexUnavailable, choose, in_ranges
from pipeline_lib.crawl.range_reader import RangeReader, failure_reason, is_missing, joined_url

_MAX_PAGES = 100_000
_MAX_SHOWN = 200


def answers_from_server(reader: RangeReader, index_server: str, crawl: str, query: IndexQuery) -> Iterator[Answer]:
    """What the index server says to a query, page by page.

    Raises:
        UnknownCrawl: the server has no such crawl.
        IndexUnavailable: it refuses the question, or answers with something else than captures.
        OSError: it cannot be reached.
    """
    for target in query.targets():
        question = _question(index_server, crawl, target)
        num_pages = _num_pages(reader, question, index_server, crawl)
        for page in range(num_pages):
            content = _asked(reader, f"{question}&page={page}")
            if content is None:
                continue
            rows, num_unreadable = server_rows(content)
            if num_unreadable and not len(rows):
                raise IndexUnavailable(
                    f"{question}&page={page}: expected captures as JSON lines, found {content[:_MAX_SHOWN]!r}; try "
                    "again later, or ask the index files (source.index.kind=cdx)"
                )
            rows = rows.filter(in_ranges(rows["urlkey"], list(target.ranges)))
            yield choose(rows, query, num_unreadable)


def _question(index_server: str, crawl: str, target: Target) -> str:
    arguments = {"url": target.url, "matchType": target.match, "output": "json"}
    return f"{joined_url(index_server, f'{crawl}-index')}?{urlencode(arguments)}"


def _num_pages(reader: RangeReader, question: str, index_server: str, crawl: str) -> int:
    content = _asked(reader, f"{question}&showNumPages=true")
    if content is None:  # no such crawl, or nothing in it
        resolve_crawl(list_crawls(reader, index_server), crawl)
        return 0
    try:
        answer = json.loads(content)
        num_pages = answer["pages"] if isinstance(answer, dict) else answer
    except (ValueError, KeyError, RecursionError):
        num_pages = None
    if not isinstance(num_pages, int) or not 0 <= num_pages <= _MAX_PAGES:
        raise IndexUnavailable(
            f'{question}&showNumPages=true: expected a number of pages such as {{"pages": 1}}, found '
            f"{content[:_MAX_SHOWN]!r}; is {index_server} an index server?"
        )
    return num_pages


def _asked(reader: RangeReader, url: str) -> bytes | None:
    """The answer; None where there are no captures."""
    try:
        return reader.read(url)
    except OSError as error:
        if is_missing(error):
            return None
        if failure_reason(error) == "fetch_http_400":
            raise IndexUnavailable(f"the index server refuses the question {url}: {error}") from error
        raise
