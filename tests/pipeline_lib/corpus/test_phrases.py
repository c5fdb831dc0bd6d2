"""A phrase is found wherever it stands, and nowhere else."""

import re
import secrets

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_stages import corpus_row, publish_splits

from pipeline_lib.corpus.phrases import NoPhrase, Phrase, occurrences
from storage.schemas import CORPUS
from storage.store import Store

texts = st.text(st.sampled_from("abA. \n\u3000é("), max_size=12)
phrases = st.builds(Phrase, text=texts.filter(str.strip), any_space=st.booleans(), ignore_case=st.booleans())


def published(parts):
    rows = [
        ([corpus_row(10 * number + at, text=text) for at, text in enumerate(part)], [])
        for number, part in enumerate(parts)
    ]
    return publish_splits(Store(f"memory://{secrets.token_hex(6)}"), rows)


def expected_spans(phrase, text):
    """By the characters of the text, one by one."""
    wanted = phrase.text
    pattern = re.escape(wanted)
    if phrase.any_space:
        pattern = r"\s+".join(map(re.escape, wanted.split()))
    flags = re.IGNORECASE if phrase.ignore_case else 0
    spans = [found.span() for found in re.finditer(pattern, text, flags)]
    return [(len(text[:start].encode()), len(text[:end].encode())) for start, end in spans]


@given(st.lists(st.lists(texts, max_size=4), min_size=1, max_size=3), phrases, st.integers(1, 5))
def test_the_first_occurrences_are_those_of_the_texts_in_order(parts, phrase, limit):
    found = occurrences(published(parts), "train", CORPUS, phrase, limit)
    expected = [
        (f"part-{number:05d}", row, *span)
        for number, part in enumerate(parts)
        for row, text in enumerate(part)
        for span in expected_spans(phrase, text)
    ]
    assert [(each.place.part, each.place.row, each.start, each.end) for each in found] == expected[:limit]


@given(st.lists(texts, max_size=6), phrases)
def test_the_scan_passes_over_no_text_that_holds_the_phrase(some, phrase):
    rows = phrase.rows(pa.chunked_array([pa.array(some, pa.large_string())])).to_pylist()
    assert {row for row, text in enumerate(some) if expected_spans(phrase, text)} <= set(rows)


@pytest.mark.parametrize("empty", [{"text": ""}, {"text": " \n", "any_space": True}])
def test_an_empty_phrase_is_refused(empty):
    with pytest.raises(NoPhrase, match="empty phrase"):
        Phrase(**empty)
