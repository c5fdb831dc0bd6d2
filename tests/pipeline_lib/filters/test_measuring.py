"""All rule sets together, on texts that nobody writes and every crawl has."""

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.filters.measuring import Documents, Measured, measure
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rule_sets import RULE_SET_NAMES, SIGNALS_OF
from pipeline_lib.filters.rules.url import UrlRules

EVERYTHING = FilterParameters(
    rules=("url", *(name for name in RULE_SET_NAMES if name not in ("url", "language"))),
    url=UrlRules(excluded_domains=("bad-pages.com",)),
)
IDLE = ("bad_words", "classifier", "perplexity")  # no list, no model

# combining marks, replaced bytes, NUL, right-to-left, CJK, all kinds of whitespace, and what rules look for
PIECES = (
    "a|the|of|e\u0301|\u0301\u0301|\ufffd|\x00|\x07|\x7f|שלום|\u202eabc\u202c|猫が座った|。|１|🙂|👩\u200d👩|\u200b|\ufeff|\U0010ffff"
    "|.|...|…|. . .|#|-|•|n't|://|http://x.com/a?b=c|www.|a@b.cc|1.2.3.4|::1|{|\"|(|[12]|[edit]|lorem ipsum"
    "|javascript"
    "|terms of use|Read more|Sign-in|items in cart|12 likes|SHOUTING"
    "| |  |\t|\n|\n\n|\n\n\n\n|\r|\r\n|\x0b|\x1c|\x85|\u00a0|\u2028|\u3000"
)
hostile = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=60).map("".join)


def measured(texts: list[str], filters: FilterParameters = EVERYTHING) -> Measured:
    column = pa.chunked_array([pa.array(texts, pa.large_string())])
    urls = pa.chunked_array([pa.array(["https://bad-pages.com/x"] * len(texts), pa.large_string())])
    return measure(Documents(texts=column, urls=urls), filters)


@settings(max_examples=25)  # each runs every rule set there is
@given(st.lists(hostile, min_size=1, max_size=4), st.sampled_from(["whitespace", "punct"]))
def test_what_is_measured_of_a_text_does_not_depend_on_the_texts_around_it(texts: list[str], words: str) -> None:
    filters = replace(EVERYTHING, words=words)  # type: ignore[arg-type]  # one of the two
    together = measured(texts, filters)
    assert list(together.signals) == list(filters.signals())
    assert together.texts.column.to_pylist() == [
        text for each in texts for text in measured([each], filters).texts.column.to_pylist()
    ]
    for row, text in enumerate(texts):
        alone = measured([text], filters).signals
        assert {name: values[row] for name, values in together.signals.items() if name != "language_score"} == {
            name: values[0] for name, values in alone.items() if name != "language_score"
        }


@settings(max_examples=60)
@given(hostile)
def test_every_signal_is_a_finite_number_from_0_on(text: str) -> None:
    for name, values in measured([text]).signals.items():
        if name == "language_score":
            continue  # nobody looked
        assert np.isfinite(values[0]), name
        assert values[0] >= 0, name


def test_a_slice_of_a_column_is_measured_as_the_column_is() -> None:
    texts = ["one two three", "", "猫が座った。" * 40, "the end of it, and that is all.\nSo it is.\n"]
    column = pa.array(["before", *texts, "after"], pa.large_string()).slice(1, len(texts))
    urls = pa.chunked_array([pa.array(["https://bad-pages.com/x"] * len(texts), pa.large_string())])
    sliced = measure(Documents(texts=pa.chunked_array([column]), urls=urls), EVERYTHING)
    whole = measured(texts)
    assert sliced.texts.column.to_pylist() == whole.texts.column.to_pylist()
    for name, values in whole.signals.items():
        np.testing.assert_array_equal(sliced.signals[name], values, err_msg=name)


@pytest.mark.parametrize(
    "unit",
    ["x", "x ", "猫", "\n", "x\n", "- ", "[", "[1", "http://", "a@", "1.", "(", "\u0301", "\x00", "...", "SHOUT. "],
)
def test_ten_megabytes_of_one_thing_take_no_longer_than_ten_of_anything_else(unit: str) -> None:
    text = unit * (10_000_000 // len(unit.encode()))
    measured([unit * 10])
    began = time.process_time()
    found = measured([text])
    assert time.process_time() - began < 60, "a kernel that is not linear would take hours"
    assert found.signals["num_bytes"][0] == len(text.encode())


def test_all_rule_sets_but_those_without_a_list_or_a_model_are_measured() -> None:
    assert set(EVERYTHING.measured()) == {name for name in RULE_SET_NAMES if SIGNALS_OF[name]} - set(IDLE)
