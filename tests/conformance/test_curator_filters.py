"""Our decisions and reasons beside those of NeMo Curator's own English heuristics, on the pages of the mini crawl.

Every rule is asked alone, not only the first that drops a page. What anybody can check without the peer stands in
`tests/pipeline_lib/filters/test_curator_rules.py`.
"""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pytest
from peer_agreement import NEEDS_PEERS, BrokenRules, WriteLines, broken_rules, report_broken
from peer_process import PeerProcess

from flows.filter_settings import load_filters
from pipeline_lib.filters.measuring import Documents, measure

pytestmark = NEEDS_PEERS

FILTERS = load_filters("curator-english")


@pytest.fixture(scope="module")
def peer() -> Iterator[PeerProcess]:
    with PeerProcess("curator_filters.py") as process:
        yield process


@pytest.fixture(scope="module")
def ours(pages: pa.ChunkedArray) -> BrokenRules:
    return judged(pages)


def judged(pages: pa.ChunkedArray) -> BrokenRules:
    return broken_rules(measure(Documents(texts=pages), FILTERS).signals, FILTERS.conditions())


def renamed(broken: BrokenRules) -> BrokenRules:
    return [[f"curator_english.{rule}" for rule in each] for each in broken]


def test_no_rule_differs_where_the_first_of_equally_frequent_ngrams_counts(
    ours: BrokenRules, written: str, peer: PeerProcess
) -> None:
    theirs = renamed(peer.ask(documents=written, ties="first")["broken"])
    assert report_broken("curator_english", ours, theirs, FILTERS.conditions()) == []


def test_as_curator_is_only_rules_of_the_most_frequent_ngram_differ_and_only_where_several_are(
    pages: pa.ChunkedArray, ours: BrokenRules, written: str, peer: PeerProcess
) -> None:
    theirs = renamed(peer.ask(documents=written, ties="any")["broken"])
    for k in report_broken("curator_english, ties by hash seed", ours, theirs, FILTERS.conditions()):
        for rule in set(ours[k]) ^ set(theirs[k]):
            assert rule.startswith("curator_english.top_")
            length = int(rule.removeprefix("curator_english.top_")[0])
            assert num_most_frequent(pages[k].as_py(), length) > 1


def num_most_frequent(text: str, length: int) -> int:
    """How many n-grams share the first place."""
    words = text.split()
    counts = Counter(zip(*(words[start:] for start in range(length)), strict=False))
    highest = max(counts.values())
    return sum(count == highest for count in counts.values())


def test_blank_pages_are_dropped_where_curator_drops_them_or_fails(write_lines: WriteLines, peer: PeerProcess) -> None:
    blank = ["", " ", "\t\n \n", "\n", "\n\n\n"]
    theirs = renamed(peer.ask(documents=write_lines("text", blank))["broken"])
    ours = judged(pa.chunked_array([pa.array(blank, pa.large_string())]))
    print("\nfirst rule of blank pages, ours and Curator's:", [(m[0], t[0]) for m, t in zip(ours, theirs, strict=True)])
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[0] == other[0].removesuffix(": ZeroDivisionError")
