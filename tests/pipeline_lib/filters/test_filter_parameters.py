from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline_lib.filters.c4 import C4LineRules, C4Rules
from pipeline_lib.filters.fineweb_quality import FineWebQualityRules
from pipeline_lib.filters.gopher_quality import GopherQualityRules
from pipeline_lib.filters.gopher_repetition import GopherRepetitionRules
from pipeline_lib.filters.length import LengthRules
from pipeline_lib.filters.parameters import SIGNALS, FilterParameters, signal_parameters

DEFAULT = FilterParameters()


@pytest.mark.parametrize(
    "changed",
    [
        replace(DEFAULT, gopher_quality=GopherQualityRules(min_words=80, min_stop_words=None)),
        replace(DEFAULT, gopher_repetition=GopherRepetitionRules(max_top_2gram_char_ratio=0.5)),
        replace(DEFAULT, fineweb_quality=FineWebQualityRules(max_newlines_per_word=None)),
        replace(DEFAULT, c4=C4Rules(min_sentences=3, drop_curly_bracket=False)),
        replace(DEFAULT, rules=("gopher_quality", "gopher_repetition", "c4", "fineweb_quality")),
        replace(DEFAULT, length=LengthRules(min_chars=None)),
    ],
)
def test_thresholds_and_the_order_before_c4_measure_nothing_anew(changed: FilterParameters) -> None:
    assert changed != DEFAULT
    assert signal_parameters(changed) == signal_parameters(DEFAULT)


@pytest.mark.parametrize(
    "changed",
    [
        replace(DEFAULT, gopher_quality=GopherQualityRules(stop_words=("der", "die"))),
        replace(DEFAULT, fineweb_quality=FineWebQualityRules(short_line_chars=20)),
        replace(DEFAULT, c4=C4Rules(lines=C4LineRules(require_end_mark=True))),
        replace(DEFAULT, rules=("fineweb_quality", "c4")),
        replace(DEFAULT, rules=("c4", "gopher_quality", "fineweb_quality")),
        replace(DEFAULT, rules=("fineweb_quality",)),
    ],
)
def test_what_changes_signals_or_text_measures_anew(changed: FilterParameters) -> None:
    assert signal_parameters(changed) != signal_parameters(DEFAULT)


def test_fineweb_sees_the_text_that_c4_left_where_c4_stands_before_it() -> None:
    assert signal_parameters(DEFAULT).after_line_edits == ("fineweb_quality",)
    assert signal_parameters(replace(DEFAULT, rules=("fineweb_quality", "c4"))).after_line_edits == ()
    without_c4 = signal_parameters(replace(DEFAULT, rules=("fineweb_quality",)))
    assert (without_c4.after_line_edits, without_c4.publish_line_edits) == ((), False)


def test_every_rule_reads_a_signal_that_is_measured() -> None:
    everything = replace(DEFAULT, rules=("language", "length", *DEFAULT.rules[1:]), length=LengthRules(max_chars=9999))
    read = {getattr(condition, "signal", "language_score") for condition in everything.conditions()}
    assert read <= set(SIGNALS)
    assert len(SIGNALS) == len(set(SIGNALS))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rules": ["c4", "c4"]}, "c4 more than once"),
        ({"rules": ["gopher"]}, "gopher_quality"),  # the known names
        ({"words": "spacy"}, "whitespace"),
        ({"gopher_quality": {"min_word": 50}}, "min_word"),
        ({"gopher_quality": {"min_words": 100_001}}, "every page would be dropped"),
        ({"gopher_quality": {"min_words": "many"}}, "min_words"),
        ({"gopher_quality": {"min_stop_words": 3, "stop_words": ["the", "of"]}}, "stop_words lists 2"),
        ({"gopher_repetition": {"max_repeated_line_ratio": 30}}, "at most 1"),
        ({"c4": {"lines": {"min_words": -1}}}, "null to switch the rule off"),
        ({"language": {"min_score": float("nan")}}, "min_score"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(value: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(FilterParameters).validate_python(value)


def test_null_switches_a_threshold_off() -> None:
    value = {"gopher_quality": {"min_words": None}, "rules": ["gopher_quality"]}
    filters = TypeAdapter(FilterParameters).validate_python(value)
    assert "gopher_quality.too_few_words" not in [condition.rule for condition in filters.conditions()]
