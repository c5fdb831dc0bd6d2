"""Our texts, decisions and reasons beside those of DCLM's own code, on the pages of the mini crawl.

DCLM is no package: GRISTMILL_DCLM names a checkout of mlfoundations/dclm. Every quality and repetition rule is asked
alone, not only the first that drops a page. What anybody can check without the peer stands in
`tests/pipeline_lib/filters/test_rule_sets.py`.
"""

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from peer_agreement import NEEDS_PEERS, WriteLines, broken_rules, first, report, report_broken
from peer_process import PeerProcess

from flows.filter_settings import load_filters
from pipeline_lib.filters.measuring import Documents, measure

pytestmark = [
    *NEEDS_PEERS,
    pytest.mark.skipif(
        "GRISTMILL_DCLM" not in os.environ, reason="needs GRISTMILL_DCLM=<checkout of mlfoundations/dclm>"
    ),
]

JUDGES = "dclm_quality, dclm_repetition"
CLEANING = load_filters("none", ["rules=[dclm_cleaning]"])
CLEANING_ALL = load_filters("none", ["rules=[dclm_cleaning]", "dclm_cleaning.urls_only_where_domain_begins_text=false"])
BY_CLEANED = {
    True: load_filters("none", [f"rules=[dclm_cleaning, {JUDGES}, line_corrections]"]),
    False: load_filters("none", [f"rules=[{JUDGES}, line_corrections]"]),
}

# A top-level domain (.th), and a mark that is part of no address: before a page they make DCLM look into all of it.
LOOK_INTO = "the|"


@pytest.fixture(scope="module")
def peer() -> Iterator[PeerProcess]:
    with PeerProcess("dclm_filters.py") as process:
        yield process


@pytest.fixture(scope="module", params=[True, False], ids=["cleaned pages", "pages as they are"])
def answer(request: pytest.FixtureRequest, written: str, peer: PeerProcess) -> dict[str, Any]:
    return {"clean": request.param, **peer.ask(documents=written, clean=request.param, judge=True)}


def num_different(name: str, ours: list[str], theirs: list[str], before: list[str]) -> int:
    changed = sum(text != old for text, old in zip(theirs, before, strict=True))
    differ = sum(mine != other for mine, other in zip(ours, theirs, strict=True))
    print(f"\n{name}: {len(ours)} documents, {changed} changed, {differ} texts differ")
    return differ


def test_cleaning_leaves_the_same_text(pages: pa.ChunkedArray, written: str, peer: PeerProcess) -> None:
    theirs = peer.ask(documents=written, clean=True, judge=False)["cleaned"]
    measured = measure(Documents(texts=pages), CLEANING)
    print(f"\nedits: {measured.edits[0].counts()}")
    ours = measured.texts.column.to_pylist()
    assert num_different("dclm_cleaning", ours, theirs, pages.to_pylist()) == 0


def test_cleaning_of_all_pages_leaves_the_same_text_as_where_dclm_looks_into_all(
    pages: pa.ChunkedArray, write_lines: WriteLines, peer: PeerProcess
) -> None:
    before = pages.to_pylist()
    marked = write_lines("text", (LOOK_INTO + text for text in before))
    theirs = [text.removeprefix(LOOK_INTO) for text in peer.ask(documents=marked, clean=True, judge=False)["cleaned"]]
    measured = measure(Documents(texts=pages), CLEANING_ALL)
    print(f"\nedits: {measured.edits[0].counts()}")
    assert num_different("dclm_cleaning, all pages", measured.texts.column.to_pylist(), theirs, before) == 0


def test_no_quality_or_repetition_rule_differs(pages: pa.ChunkedArray, answer: dict[str, Any]) -> None:
    filters = BY_CLEANED[answer["clean"]]
    conditions = [each for each in filters.conditions() if each.rule.startswith(("dclm_quality.", "dclm_repetition."))]
    ours = broken_rules(measure(Documents(texts=pages), filters).signals, conditions)
    # a page without words has no lines either; DCLM says that it repeats everything, we say that it is empty
    with_words = [k for k, text in enumerate(answer["cleaned"]) if text.split()]
    print(f"\npages without words: {len(pages) - len(with_words)}")
    assert [first(ours)[k] for k in range(len(pages))] == first(answer["broken"])
    differ = report_broken(
        f"dclm, cleaned: {answer['clean']}",
        [ours[k] for k in with_words],
        [answer["broken"][k] for k in with_words],
        conditions,
    )
    assert differ == []


def test_line_corrections_leave_the_same_text_and_drop_the_same_pages(
    pages: pa.ChunkedArray, answer: dict[str, Any]
) -> None:
    filters = BY_CLEANED[answer["clean"]]
    measured = measure(Documents(texts=pages), filters)
    name = f"line_corrections, cleaned: {answer['clean']}"
    print(f"\nedits: {measured.edits[-1].counts()}")
    assert num_different(name, measured.texts.column.to_pylist(), answer["corrected"], answer["cleaned"]) == 0
    conditions = [each for each in filters.conditions() if each.rule.startswith("line_corrections.")]
    ours = first(broken_rules(measured.signals, conditions))
    assert report(name, ours, answer["correction"]) == 0
