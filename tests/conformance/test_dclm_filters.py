"""Our texts, decisions and reasons beside those of DCLM's own code, on the pages of the mini crawl.

DCLM is no package: GRISTMILL_DCLM names a checkout of mlfoundations/dclm. Every quality and repetition rule is asked
alone, not only the first that drops a page. What anybody can check without the peer stands in
`tests/pipeline_lib/filters/test_dclm_rules.py` and `test_line_corrections.py`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from peer_agreement import NEEDS_PEERS, WriteLines, broken_rules, first, report, report_broken
from peer_process import PeerProcess

from flows.filter_settings import load_filters
from pipeline_lib.filters.conditions import Condition
from pipeline_lib.filters.measuring import Documents, Measured, measure

pytestmark = [
    *NEEDS_PEERS,
    pytest.mark.skipif(
        "GRISTMILL_DCLM" not in os.environ, reason="needs GRISTMILL_DCLM=<checkout of mlfoundations/dclm>"
    ),
]

JUDGES = ("dclm_quality", "dclm_repetition")
CLEANING = load_filters("none", ["rules=[dclm_cleaning]"])
CLEANING_ALL = load_filters("none", ["rules=[dclm_cleaning]", "dclm_cleaning.urls_only_where_domain_begins_text=false"])
# A top-level domain (.th), and a mark that is part of no address: before a page they make DCLM look into all of it.
LOOK_INTO = "the|"


@pytest.fixture(scope="module")
def peer() -> Iterator[PeerProcess]:
    with PeerProcess("dclm_filters.py") as process:
        yield process


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What we and DCLM make of the same pages, cleaned before or not."""

    name: str
    conditions: tuple[Condition, ...]
    ours: Measured
    theirs: dict[str, Any]


@pytest.fixture(scope="module", params=[True, False], ids=["cleaned pages", "pages as they are"])
def judged(request: pytest.FixtureRequest, pages: pa.ChunkedArray, written: str, peer: PeerProcess) -> Judged:
    cleaning = ["dclm_cleaning"] if request.param else []
    filters = load_filters("none", [f"rules=[{', '.join([*cleaning, *JUDGES, 'line_corrections'])}]"])
    return Judged(
        name="cleaned pages" if request.param else "pages as they are",
        conditions=filters.conditions(),
        ours=measure(Documents(texts=pages), filters),
        theirs=peer.ask(documents=written, clean=request.param, judge=True),
    )


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
    # more newlines than extraction leaves
    before = [text.replace("\n\n", "\n\n\n\n") for text in pages.to_pylist()]
    texts = pa.chunked_array([pa.array(before, pa.large_string())])
    marked = write_lines("text", (LOOK_INTO + text for text in before))
    theirs = [text.removeprefix(LOOK_INTO) for text in peer.ask(documents=marked, clean=True, judge=False)["cleaned"]]
    measured = measure(Documents(texts=texts), CLEANING_ALL)
    print(f"\nedits: {measured.edits[0].counts()}")
    assert num_different("dclm_cleaning, all pages", measured.texts.column.to_pylist(), theirs, before) == 0


def test_no_quality_or_repetition_rule_differs(judged: Judged) -> None:
    conditions = [each for each in judged.conditions if each.rule.startswith(JUDGES)]
    ours = broken_rules(judged.ours.signals, conditions)
    assert all(text.split() for text in judged.theirs["cleaned"]), "pages without words break other rules here"
    assert report_broken(f"dclm, {judged.name}", ours, judged.theirs["broken"], conditions) == []


def test_line_corrections_leave_the_same_text_and_drop_the_same_pages(judged: Judged) -> None:
    name = f"line_corrections, {judged.name}"
    print(f"\nedits: {judged.ours.edits[-1].counts()}")
    ours = judged.ours.texts.column.to_pylist()
    assert num_different(name, ours, judged.theirs["corrected"], judged.theirs["cleaned"]) == 0
    conditions = [each for each in judged.conditions if each.rule.startswith("line_corrections.")]
    assert report(name, first(broken_rules(judged.ours.signals, conditions)), judged.theirs["correction"]) == 0
