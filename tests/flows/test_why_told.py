"""What `gristmill why` tells people: by how much a page missed a line, who withdrew it, why it may not be there."""

from flows.why_told import describe_absence, describe_drop, describe_fate
from storage.runs import Run

RUN = Run(run_id="weekly-1", recipe_name="weekly", recipe={}, recipe_digest="d", created_at="2026-01-01")
CAPTURE = {
    "url": "https://a.example/",
    "warc_path": "crawl.warc.gz",
    "warc_offset": 0,
    "doc_id": "ab",
    "text_characters": 100,
    "language": "en",
    "language_score": 1.0,
    "charset": "utf-8",
    "edits": [],
}
DECISION = {
    "rule": "gopher_quality.too_few_words",
    "value": 37.0,
    "threshold": 50.0,
    "margin": -13.0,
    "unit": "words",
    "evidence": None,
}
ABSENCE = {
    "host": "a.example",
    "documents_of_host": 0,
    "urls_of_host": [],
    "asked_of_index": None,
    "is_host_asked_for": None,
    "sources": {"kind": "warc", "crawl": None, "files": None, "every": 1, "sample": None},
    "num_lost": 0,
    "lost": [],
}


def test_a_drop_is_told_with_the_distance_to_the_line_in_its_unit():
    told = describe_fate(CAPTURE["url"], RUN, [{**CAPTURE, "decision": DECISION}])
    assert "37 words, the line is at 50: 13 words below it" in told
    above = DECISION | {"rule": "gopher_quality.too_many_words", "value": 52.0, "margin": -2.0}
    assert "52 words, the line is at 50: 2 words above it" in describe_drop({"dropped": above | {"stage": "judge"}})


def test_a_drop_by_a_stage_without_words_of_its_own_is_told_by_its_rule_and_evidence():
    dropped = {"stage": "withdrawn", "rule": "withdrawn.domain", "value": None, "evidence": "a.example\n2026-03-01"}
    told = describe_fate(CAPTURE["url"], RUN, [{**CAPTURE, "dropped": dropped}])
    assert "  withdrawn  dropped: withdrawn.domain: a.example 2026-03-01" in told.split("\n")
    told = describe_fate(
        CAPTURE["url"], RUN, [{**CAPTURE, "dropped": {"stage": "corpus", "rule": "empty_after_edits"}}]
    )
    assert "  corpus     dropped: empty_after_edits" in told.split("\n")


def test_a_page_that_is_not_there_is_told_with_what_was_lost():
    lost = {"stage": "fetch", "warc_path": "b.warc.gz", "offset": 1234, "length": 9, "reason": "fetch_timeout"}
    told = describe_absence("https://a.example/x", RUN, ABSENCE | {"num_lost": 1, "lost": [lost]})
    assert "of a.example it has no document at all" in told
    assert "fetch: b.warc.gz from byte 1,234, fetch_timeout" in told


def test_a_page_that_is_not_there_is_told_with_what_was_asked_for():
    index = {"domains": ["b.example", "c.example"], "hosts": [], "urls": []}
    sources = ABSENCE["sources"] | {"kind": "commoncrawl", "crawl": "CC-MAIN-2026-43"}
    asked = {"asked_of_index": index, "is_host_asked_for": False, "sources": sources}
    told = describe_absence("https://a.example/x", RUN, ABSENCE | asked)
    assert "the index of CC-MAIN-2026-43 has of domains b.example, c.example: that host is not among them" in told
    some = describe_absence("x", RUN, ABSENCE | {"sources": ABSENCE["sources"] | {"files": 2}})
    assert "only some files of the crawl (source.files=2" in some
