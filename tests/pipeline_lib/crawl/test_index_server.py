"""The index as a service: pages, no captures, refusals, and answers that are none."""

import json
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest
from crawl_index import CRAWL, IndexHandler, PlainReader, as_server, invented_lines, served

from pipeline_lib.crawl.crawls import UnknownCrawl
from pipeline_lib.crawl.index_query import IndexQuery
from pipeline_lib.crawl.index_rows import IndexUnavailable
from pipeline_lib.crawl.index_server import answers_from_server
from pipeline_lib.crawl.range_reader import failure_reason

LINES = invented_lines()
EXAMPLE = IndexQuery(kind="api", domains=("example.com",), mimes=())


def ask(address, query=EXAMPLE, crawl=CRAWL):
    answers = list(answers_from_server(PlainReader(), address, crawl, query))
    dropped = +sum((answer.dropped for answer in answers), Counter())
    return [row for answer in answers for row in answer.records.rows()], len(answers), dropped


def test_all_pages_of_an_answer_are_read(tmp_path):
    with served(tmp_path, lines=LINES) as address:
        records, num_pages, dropped = ask(address)
    mine = [line for line in LINES if line.host.endswith("example.com")]
    assert num_pages == -(-len(mine) // IndexHandler.lines_per_page) > 1
    assert sorted(records) == sorted(line.place for line in mine if line.subset == "warc")
    assert not dropped


def test_no_captures_is_an_answer_and_no_such_crawl_is_not(tmp_path):
    nobody = IndexQuery(kind="api", hosts=("nobody.example",))
    with served(tmp_path, lines=LINES) as address:
        assert ask(address, nobody) == ([], 0, {})
        with pytest.raises(UnknownCrawl, match=rf"there is no crawl 'CC-MAIN-2026-02': did you mean {CRAWL}\?"):
            ask(address, nobody, "CC-MAIN-2026-02")


class _Failing(IndexHandler):
    """Answers pages as `page_answer` says."""

    page_answer: tuple[int, bytes] = (200, b"")

    def _answer(self, asked):
        if "showNumPages" in asked and self.page_answer[0] != 400:
            self._send(200, b'{"pages": 1, "pageSize": 5, "blocks": 1}')
        else:
            self._send(*self.page_answer)


def test_a_server_in_trouble_is_a_failure_and_never_an_empty_answer(tmp_path):
    served_badly = served(tmp_path, _Failing, page_answer=(503, b"slow down"))
    with served_badly as address, pytest.raises(OSError, match="-index") as raised:
        ask(address)
    assert failure_reason(raised.value) == "fetch_http_503"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((400, b'{"message": "Page 1 invalid: First Page is 0, Last Page is 0"}'), "refuses the question"),
        ((200, b"<html><body>maintenance</body></html>"), "expected captures as JSON lines, found b'<html>"),
        ((200, b'{"message": "something"}'), "expected captures as JSON lines"),
    ],
)
def test_what_is_no_answer_is_a_clear_error(tmp_path, answer, message):
    with served(tmp_path, _Failing, page_answer=answer) as address, pytest.raises(IndexUnavailable, match=message):
        ask(address)


def test_damaged_lines_among_good_ones_are_counted(tmp_path):
    good = as_server(next(line for line in LINES if line.subset == "warc" and line.host == "example.com"))
    content = f"{good}{{broken\n\n{good}[]\n" + json.dumps({"urlkey": "com,example)/", "timestamp": "soon"})
    with served(tmp_path, _Failing, page_answer=(200, content.encode())) as address:
        records, _, dropped = ask(address)
    assert len(records) == 2
    assert dropped == {"bad_index_line": 3}


def test_a_server_that_is_no_index_server_is_a_clear_error(tmp_path):
    class Anything(IndexHandler):
        def do_GET(self):  # noqa: N802 (http.server calls it so)
            self._send(200, b"<html>welcome</html>")

    with served(tmp_path, Anything) as address, pytest.raises(IndexUnavailable, match=r"is .* an index server\?"):
        ask(address)


def test_answers_recorded_from_common_crawls_server_are_understood(shared_data, tmp_path):
    """The server's own words: numbers of pages, captures with and without redirects, no captures."""
    recorded = [
        json.loads(line)
        for file in sorted((shared_data / "eval/commoncrawl/cdx_toolkit_mock").glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    answers = [each for each in recorded if each["url"].endswith("CC-MAIN-2025-33-index")]
    pages = next(each["response_text"] for each in answers if "showNumPages" in each["request_params"])
    captures = next(
        each["response_text"]
        for each in answers
        if each["request_params"]["url"] == "commoncrawl.org/*" and '"301"' in each["response_text"]
    )
    nothing = next(each for each in answers if each["response_status_code"] == 404)

    class Replaying(IndexHandler):
        def do_GET(self):  # noqa: N802 (http.server calls it so)
            asked = parse_qs(urlsplit(self.path).query)
            if "showNumPages" in asked:
                self._send(200, pages.encode())
            elif asked["matchType"] == ["exact"]:
                self._send(404, nothing["response_text"].encode())
            else:
                self._send(200, captures.encode())

    with served(tmp_path, Replaying) as address:
        query = IndexQuery(kind="api", urls=("commoncrawl.org/*",), statuses=(200,))
        records, num_pages, _ = ask(address, query, "CC-MAIN-2025-33")
        page = IndexQuery(kind="api", urls=("commoncrawl.org/thisurlneverdidexist",))
        assert ask(address, page, "CC-MAIN-2025-33") == ([], 0, {})
    rows = [json.loads(line) for line in captures.splitlines()]
    assert records == [
        (row["filename"], int(row["offset"]), int(row["length"]))
        for row in rows
        if row["status"] == "200" and "/warc/" in row["filename"]
    ]
    assert num_pages == 1
    assert len(records) >= 3
