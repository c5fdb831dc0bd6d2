"""Real pages: the lines that go are those that a plain count says, and they are the frames of sites."""

from collections import defaultdict
from functools import cache
from urllib.parse import urlsplit

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from folded_words import words
from published_stages import document_row
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from pipeline_lib.extract.normalize import normalize
from pipeline_lib.repeated_lines.parameters import RepeatedLinesParameters

NUM_PAGES = 500


@pytest.fixture(scope="module")
def pages(shared_data):
    """Rows of DOCUMENTS: pages as somebody would extract them who does not look for the main text."""
    rows = []
    for file in sorted((shared_data / "minicc" / "crawl-data" / "CC-MAIN-2026-00").rglob("*.warc.gz")):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                body = record.reader.read()
                text = normalize(extract_plain_text(bytes_to_str(body, detect_encoding(body)), main_content=False))
                host = urlsplit(record.headers["WARC-Target-URI"]).hostname or ""
                rows.append(document_row(len(rows), host=host, text=text))
                if len(rows) == NUM_PAGES:
                    return rows
    return rows


@cache
def unit_of(line: str) -> tuple[str, ...]:
    return tuple(words(line, digits=False)) if len(line.strip()) >= RepeatedLinesParameters().min_chars else ()


def test_the_lines_that_go_are_those_on_many_pages_of_their_site(taken_out, pages):
    asked = RepeatedLinesParameters()
    per_host, having = defaultdict(int), defaultdict(int)
    for row in pages:
        per_host[row["host"]] += 1
        for unit in {unit_of(line) for line in row["text"].split("\n")} - {()}:
            having[row["host"], unit] += 1
    parts = {"a": pages[:200], "b": pages[200:210], "c": pages[210:]}
    with taken_out(parts, min_chars=asked.min_chars) as outcome:
        texts, dropped, examples = outcome.texts, outcome.decisions, outcome.examples
    num_removed = 0
    for row in pages:
        stays = []
        for line in filter(str.strip, row["text"].split("\n")):
            number = having.get((row["host"], unit_of(line)), 0)
            goes = number > asked.max_documents and number >= asked.min_share * per_host[row["host"]]
            num_removed += goes
            stays += [] if goes else [line]
        left = texts.get(row["doc_id"], "")
        assert [line for line in left.split("\n") if line.strip()] == stays
        assert "\n\n\n" not in left
        assert (row["doc_id"] in dropped) == (not stays and bool(row["text"].strip()))
    assert num_removed > 1000
    assert len(examples) == 100
    assert [each["documents"] for each in examples] == sorted((each["documents"] for each in examples), reverse=True)
