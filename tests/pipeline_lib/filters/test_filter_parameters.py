from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline_lib.filters.custom import CustomRule
from pipeline_lib.filters.parameters import FilterParameters, signal_parameters
from pipeline_lib.filters.rule_sets import RULE_SET_NAMES, SIGNALS_OF
from pipeline_lib.filters.rules.c4 import C4LineRules, C4Rules
from pipeline_lib.filters.rules.fineweb_quality import FineWebQualityRules
from pipeline_lib.filters.rules.gopher_quality import GopherQualityRules
from pipeline_lib.filters.rules.gopher_repetition import GopherRepetitionRules
from pipeline_lib.filters.rules.length import LengthRules

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


def test_the_measured_part_tells_what_is_measured_before_and_after_edits_in_one_spelling() -> None:
    measured = signal_parameters(DEFAULT)
    assert measured.rules == ("c4", "fineweb_quality")
    assert measured.also_measure == ("length", "gopher_repetition", "gopher_quality")
    assert signal_parameters(measured) == measured
    assert signal_parameters(replace(DEFAULT, rules=("fineweb_quality", "c4"))).rules == ("c4",)


def test_every_rule_reads_a_signal_that_is_measured() -> None:
    everything = replace(DEFAULT, rules=RULE_SET_NAMES, length=LengthRules(max_chars=9999))
    read = {column for condition in everything.conditions() for column in condition.columns}
    assert read <= {"language", *everything.signals()}
    assert len(everything.signals()) == len(set(everything.signals()))


def test_every_rule_set_has_its_key_and_names_its_signals_after_itself() -> None:
    for name in RULE_SET_NAMES:
        assert all(condition.rule.startswith(f"{name}.") for condition in DEFAULT.rule_set(name).conditions())
        assert all(signal.startswith(f"{name}_") for signal in SIGNALS_OF[name])


def test_a_rule_of_ones_own_has_its_signals_measured() -> None:
    rule = CustomRule(name="shouting", drop_where="gopher_quality_num_words < 80")
    filters = FilterParameters(rules=(), also_measure=(), custom=(rule,))
    assert filters.measured() == ("gopher_quality",)
    assert [condition.rule for condition in filters.conditions()] == ["custom.shouting"]
    assert signal_parameters(filters) == signal_parameters(FilterParameters(rules=("gopher_quality",), also_measure=()))


def test_rules_of_ones_own_are_asked_where_the_order_says_custom() -> None:
    rule = CustomRule(name="short", drop_where="num_chars < 80")
    first = FilterParameters(rules=("custom", "length"), custom=(rule,)).conditions()
    last = FilterParameters(rules=("length",), custom=(rule,)).conditions()
    assert [each.rule for each in first] == ["custom.short", "length.too_short"]
    assert [each.rule for each in last] == ["length.too_short", "custom.short"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rules": ["c4", "c4"]}, "c4 more than once"),
        ({"rules": ["gopher"]}, "gopher_quality"),  # the known names
        ({"words": "spacy"}, "whitespace"),
        ({"custom": [{"name": "a", "drop_where": "num_word < 5"}]}, "gopher_quality_num_words"),  # the nearest
        ({"custom": [{"name": "a", "drop_where": "1 < 5"}]}, "names no signal"),
        ({"custom": [{"name": "a", "drop_where": "num_chars + 5"}]}, "expected a yes or no"),
        ({"custom": [{"name": "a", "drop_where": "language < 5"}]}, "custom rule 'a'"),
        ({"custom": [{"name": "a", "drop_where": "num_chars <"}]}, "no expression"),
        ({"custom": [{"name": "A b", "drop_where": "num_chars < 5"}]}, "lower-case"),
        ({"custom": [{"name": "a", "drop_where": "num_chars < 5"}] * 2}, "'a' more than once"),
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
