import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.filters.conditions import Membership
from pipeline_lib.filters.decide import count_broken, decide
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rules.gopher_quality import GopherQualityRules
from pipeline_lib.filters.rules.language import LanguageRules
from pipeline_lib.filters.rules.length import LengthRules
from storage.schemas import DECISIONS

LANGUAGE_AND_LENGTH = FilterParameters(
    rules=("language", "length"), language=LanguageRules(languages=("en", "de")), length=LengthRules(max_chars=1000)
)


def signals(*rows: tuple[str, float, float]) -> pl.DataFrame:
    """Documents with language, score and characters, numbered from 0."""
    languages, scores, chars = zip(*rows, strict=True) if rows else ((), (), ())
    return pl.DataFrame(
        {
            "doc_id": [f"{i:032x}" for i in range(len(rows))],
            "language": pl.Series(languages, dtype=pl.String),
            "language_score": pl.Series(scores, dtype=pl.Float64),
            "length_num_chars": pl.Series(chars, dtype=pl.Float64),
        }
    )


def test_a_decision_names_the_first_broken_rule_its_value_and_where_the_line_was() -> None:
    decisions = decide(
        signals(("en", 0.9, 500), ("fr", 0.2, 1), ("de", 0.65, 1), ("de", 0.66, 149), ("en", 1.0, 1001)),
        LANGUAGE_AND_LENGTH.conditions(),
    )
    assert decisions.columns == DECISIONS.names
    assert [(int(row[0], 16), *row[1:]) for row in decisions.rows()] == [
        (1, "language.other_language", None, None, "fr"),
        (2, "language.low_score", 0.65, 0.65, None),  # has to exceed the threshold
        (3, "length.too_short", 149.0, 150.0, None),
        (4, "length.too_long", 1001.0, 1000.0, None),
    ]


def test_another_order_names_another_reason() -> None:
    turned = FilterParameters(rules=("length", "language"))
    assert decide(signals(("fr", 0.2, 1)), turned.conditions())["rule"].to_list() == ["length.too_short"]


def test_without_rules_or_documents_nothing_is_dropped() -> None:
    assert decide(signals(("fr", 0.0, 0)), ()).height == 0
    assert decide(signals(), LANGUAGE_AND_LENGTH.conditions()).height == 0
    assert count_broken(signals(("fr", 0.0, 0)), ()) == {}


def test_no_language_named_allows_every_language_but_still_asks_for_the_score() -> None:
    anything = FilterParameters(rules=("language",), language=LanguageRules(languages=()))
    assert decide(signals(("fr", 0.9, 0), ("", 0.1, 0)), anything.conditions())["rule"].to_list() == [
        "language.low_score"
    ]


def test_every_rule_is_counted_whether_or_not_it_came_first() -> None:
    broken = count_broken(signals(("fr", 0.2, 1), ("en", 0.2, 1), ("en", 0.9, 500)), LANGUAGE_AND_LENGTH.conditions())
    assert broken == {
        "language.other_language": 1,
        "language.low_score": 2,
        "length.too_short": 2,
        "length.too_long": 0,
    }


def test_a_signal_that_is_not_there_is_named() -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="gopher_quality_num_words"):
        decide(signals(("en", 0.9, 1)), GopherQualityRules().conditions())


documents = st.tuples(
    st.sampled_from(["en", "de", "fr", ""]),
    st.sampled_from([0.0, 0.64, 0.65, 0.66, 1.0]),
    st.sampled_from([0.0, 149.0, 150.0, 1000.0, 1001.0]),
)


@settings(deadline=None)
@given(st.lists(documents, max_size=8), st.permutations(["language", "length"]))
def test_decisions_are_those_of_a_loop_over_the_conditions(
    rows: list[tuple[str, float, float]], order: list[str]
) -> None:
    filters = FilterParameters(
        rules=tuple(order),
        length=LengthRules(max_chars=1000),
    )
    table = signals(*rows)
    expected = []
    for row in table.iter_rows(named=True):
        for condition in filters.conditions():
            if isinstance(condition, Membership):
                broken, value = row[condition.column] not in condition.allowed, None
            else:
                value = row[condition.signal]
                broken = {
                    "<": value < condition.threshold,
                    "<=": value <= condition.threshold,
                    ">": value > condition.threshold,
                }[condition.comparison]
            if broken:
                expected.append((row["doc_id"], condition.rule, value, condition.threshold))
                break
    assert decide(table, filters.conditions()).select("doc_id", "rule", "value", "threshold").rows() == expected
