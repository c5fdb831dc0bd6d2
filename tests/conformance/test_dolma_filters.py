"""Our signals and reasons beside those of Dolma's own taggers, on the pages of the mini crawl.

Dolma's taggers give scores; its mixer drops documents by them (`configs/dolma-v1_6/mixing/cc-head.yaml`), in a
language of paths that holds nothing but the thresholds. So the peer's scores are compared, and what our thresholds
make of them. What anybody can check without the peer stands in `tests/pipeline_lib/filters/test_dolma_rules.py`.
"""

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pytest
from peer_agreement import NEEDS_PEERS, WriteLines, broken_rules, report_broken
from peer_process import PeerProcess

from flows.filter_settings import load_filters
from pipeline_lib.filters.conditions import Bound
from pipeline_lib.filters.measuring import Documents, measure

pytestmark = NEEDS_PEERS

GOPHER = load_filters("dolma", ["rules=[dolma_gopher]"])
LINES = load_filters("dolma", ["rules=[c4]"])

# Dolma's names of our signals.
NAMES = {
    "dolma_gopher_num_words": "word_count",
    "dolma_gopher_median_word_chars": "median_word_length",
    "dolma_gopher_symbol_word_ratio": "symbol_to_word_ratio",
    "dolma_gopher_alphabetic_word_ratio": "fraction_of_words_with_alpha_character",
    "dolma_gopher_num_stop_words": "required_word_count",
    "dolma_gopher_bullet_line_ratio": "fraction_of_lines_starting_with_bullet_point",
    "dolma_gopher_ellipsis_line_ratio": "fraction_of_lines_ending_with_ellipsis",
    "dolma_gopher_repeated_line_ratio": "fraction_of_duplicate_lines",
    "dolma_gopher_repeated_line_chars_per_word_char": "fraction_of_characters_in_duplicate_lines",
    **{f"dolma_gopher_top_{n}gram_char_ratio": f"fraction_of_characters_in_most_common_{n}grams" for n in range(2, 5)},
    **{
        f"dolma_gopher_repeated_{n}gram_char_ratio": f"fraction_of_characters_in_duplicate_{n}grams"
        for n in range(5, 11)
    },
}


@pytest.fixture(scope="module")
def peer() -> Iterator[PeerProcess]:
    with PeerProcess("dolma_filters.py") as process:
        yield process


@pytest.fixture(scope="module")
def cut(written: str, peer: PeerProcess) -> list[str]:
    """The pages as Dolma judges them: without the lines that end in no mark."""
    edited: list[str] = peer.ask(documents=written, tagger="c4_lines")["edited"]
    return edited


def signals_of(scores: dict[str, list[float | None]]) -> pl.DataFrame:
    """Scores under our names; a text too short for an n-gram has none there, and so breaks no rule."""
    columns = {ours: scores[theirs] for ours, theirs in NAMES.items()}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64)).fill_null(0.0)


@pytest.mark.parametrize("edited", [False, True], ids=["pages as they are", "without lines that end in no mark"])
def test_no_signal_and_no_rule_differs(
    edited: bool, pages: pa.ChunkedArray, cut: list[str], write_lines: WriteLines, written: str, peer: PeerProcess
) -> None:
    texts = pa.chunked_array([pa.array(cut, pa.large_string())]) if edited else pages
    answer = peer.ask(documents=write_lines("text", cut) if edited else written, tagger="gopher")
    theirs = signals_of(answer["scores"])
    ours = pl.DataFrame(measure(Documents(texts=texts), GOPHER).signals).select(theirs.columns)
    differ = {name: int((ours[name] != theirs[name]).sum()) for name in ours.columns}
    print(f"\ndolma_gopher, edited: {edited}; signals that differ: { {k: n for k, n in differ.items() if n} }")
    assert set(differ.values()) == {0}

    conditions = GOPHER.conditions()
    broken = broken_rules(ours, conditions)
    assert report_broken("dolma_gopher", broken, broken_rules(theirs, conditions), conditions) == []

    # its mixer sees scores with five decimals, so that what exceeds a threshold by less does not exceed it there
    bounds = {each.rule: each for each in conditions if isinstance(each, Bound)}
    as_mixed = broken_rules(signals_of(answer["rounded"]), conditions)
    for k in report_broken("dolma_gopher, scores rounded", broken, as_mixed, conditions):
        for rule in set(broken[k]) ^ set(as_mixed[k]):
            assert abs(ours[bounds[rule].signal][k] - bounds[rule].threshold) <= 0.5e-5


def test_the_same_lines_are_left(pages: pa.ChunkedArray, cut: list[str]) -> None:
    left = measure(Documents(texts=pages), LINES).texts.column.to_pylist()
    # Dolma leaves the whitespace around lines
    theirs = ["\n".join(line.strip() for line in text.split("\n")).strip() for text in cut]
    differ = sum(mine != other for mine, other in zip(left, theirs, strict=True))
    print(f"\ndolma, lines: {len(left)} documents, {sum(map(bool, cut))} with a line left, {differ} differ")
    assert differ == 0
