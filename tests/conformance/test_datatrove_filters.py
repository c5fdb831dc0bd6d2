"""Our decisions and reasons beside those of datatrove's own classes, on the real pages of the mini crawl.

The expectations are made by running the peer: `make conformance` installs it in an environment of its own. What
anybody can check without it stands in `tests/pipeline_lib/filters/test_rule_sets.py`.
"""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from peer_agreement import NEEDS_PEERS, Reasons, reasons, report
from peer_process import PeerProcess

from flows.filter_settings import load_filters
from pipeline_lib.filters.measuring import Documents, measure

pytestmark = NEEDS_PEERS

# datatrove 0.10: what its filters answer, and what that is called here.
REASONS = {
    "gopher_repetition: empty": "gopher_repetition.empty",
    "gopher_repetition: dup_para_frac": "gopher_repetition.repeated_paragraphs",
    "gopher_repetition: dup_para_char_frac": "gopher_repetition.repeated_paragraph_chars",
    "gopher_repetition: dup_line_frac": "gopher_repetition.repeated_lines",
    "gopher_repetition: dup_line_char_frac": "gopher_repetition.repeated_line_chars",
    **{f"gopher_repetition: top_{n}_gram": f"gopher_repetition.top_{n}gram_chars" for n in (2, 3, 4)},
    **{f"gopher_repetition: duplicated_{n}_n_grams": f"gopher_repetition.repeated_{n}gram_chars" for n in range(5, 11)},
    "gopher_quality: gopher_short_doc": "gopher_quality.too_few_words",
    "gopher_quality: gopher_long_doc": "gopher_quality.too_many_words",
    "gopher_quality: gopher_below_avg_threshold": "gopher_quality.words_too_short",
    "gopher_quality: gopher_above_avg_threshold": "gopher_quality.words_too_long",
    "gopher_quality: gopher_too_many_hashes": "gopher_quality.too_many_hash_signs",
    "gopher_quality: gopher_too_many_ellipsis": "gopher_quality.too_many_ellipses",
    "gopher_quality: gopher_too_many_bullets": "gopher_quality.too_many_bullet_lines",
    "gopher_quality: gopher_too_many_end_ellipsis": "gopher_quality.too_many_ellipsis_lines",
    "gopher_quality: gopher_below_alpha_threshold": "gopher_quality.too_few_alphabetic_words",
    "gopher_quality: gopher_enough_stop_words": "gopher_quality.too_few_stop_words",
    "c4: lorem_ipsum": "c4.lorem_ipsum",
    "c4: curly_bracket": "c4.curly_bracket",
    "c4: too_few_sentences": "c4.too_few_sentences",
    "fineweb_quality: empty": "fineweb_quality.empty",
    "fineweb_quality: line_punct_ratio": "fineweb_quality.too_few_end_marks",
    "fineweb_quality: short_line_ratio": "fineweb_quality.too_many_short_lines",
    "fineweb_quality: char_dup_ratio": "fineweb_quality.repeated_line_chars",
    "fineweb_quality: list_ratio": "fineweb_quality.too_many_newlines",
}


@pytest.fixture(scope="module")
def peer() -> Iterator[PeerProcess]:
    with PeerProcess("datatrove_filters.py") as process:
        yield process


def renamed(theirs: Reasons) -> Reasons:
    return [None if reason is None else REASONS[reason.replace("_with_end_marks", "")] for reason in theirs]


@pytest.mark.parametrize("name", ["gopher_repetition", "gopher_quality", "fineweb_quality"])
def test_no_decision_and_no_reason_differs_with_the_same_words(
    name: str, pages: pa.ChunkedArray, written: str, peer: PeerProcess
) -> None:
    ours = reasons(pages, load_filters(name.replace("_", "-")))
    theirs = peer.ask(documents=written, first=0, last=len(pages), filters=[name], words="whitespace")
    assert report(name, ours, renamed(theirs["reasons"])) == 0


@pytest.mark.parametrize(("preset", "suffix"), [("c4-fineweb", ""), ("c4", "_with_end_marks")])
def test_c4_leaves_the_same_text_and_drops_the_same_pages(
    preset: str, suffix: str, pages: pa.ChunkedArray, written: str, peer: PeerProcess
) -> None:
    job = {"documents": written, "first": 0, "last": len(pages), "words": "whitespace"}
    filters = load_filters(preset)
    lines = peer.ask(**job, filters=[f"c4_lines{suffix}"], edited=True)
    left = measure(Documents(texts=pages), filters).texts.column.to_pylist()
    assert sum(mine != other for mine, other in zip(left, lines["edited"], strict=True)) == 0

    theirs = renamed(peer.ask(**job, filters=[f"c4{suffix}"])["reasons"])
    ours = reasons(pages, filters)
    differ = report(preset, ours, theirs)
    bracket = {"c4.lorem_ipsum", "c4.curly_bracket"}
    for mine, other in zip(ours, theirs, strict=True):
        assert ((mine in bracket) == (other in bracket)) or "c4.too_few_sentences" in (mine, other)
    assert differ <= 0.005 * len(pages), "the sentence count is ours, not spaCy's: at least 99.5 % agree"


@pytest.mark.parametrize(
    "filters",
    [
        ("gopher_repetition",),
        ("gopher_quality",),
        ("c4", "fineweb_quality"),
        ("gopher_repetition", "gopher_quality", "c4", "fineweb_quality"),
    ],
)
def test_with_punct_words_97_of_100_decisions_are_those_of_the_default_words(
    filters: tuple[str, ...], pages: pa.ChunkedArray, written: str, peer: PeerProcess
) -> None:
    settings = load_filters("fineweb", [f"rules=[{', '.join(filters)}]"], "punct")
    ours = reasons(pages, settings)
    answer = peer.ask(documents=written, first=0, last=len(pages), filters=filters, words="default")
    theirs = renamed(answer["reasons"])
    report(f"punct, {' '.join(filters)}", ours, theirs)
    same = sum((mine is None) == (other is None) for mine, other in zip(ours, theirs, strict=True))
    print(f"  same decision: {same / len(pages):.4f}")
    assert same >= 0.97 * len(pages)
