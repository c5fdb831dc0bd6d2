"""What `gristmill why` tells people of a page whose lines were taken out, or that was nothing else."""

from flows.why_told import describe_fate

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


def test_edits_are_told_by_stage_and_rule():
    edits = [{"stage": "lines", "rule": "repeated_line", "count": 3, "bytes": 1200}]
    told = describe_fate(CAPTURE["url"], None, [{**CAPTURE, "edits": edits, "repeated": None}])
    assert "  lines      3 x repeated_line, 1,200 bytes" in told.split("\n")


def test_a_page_of_nothing_but_repeated_lines_is_told_to_be_dropped():
    decision = {"rule": "only_repeated_lines", "value": 2.0, "threshold": None, "evidence": None}
    told = describe_fate(CAPTURE["url"], None, [{**CAPTURE, "repeated": decision}])
    assert "  lines      dropped: only_repeated_lines (2)" in told.split("\n")
