import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.filters.custom import CustomCondition, CustomRule, ExpressionError, columns_of, parse_expression

TABLE = pl.DataFrame({"a": [1.0, 5.0, 9.0, None], "b": [2.0, 2.0, 2.0, 2.0], "language": ["en", "de", "fr", "en"]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < 5", [True, False, False, False]),
        ("a < 5 or b == 2", [True, True, True, True]),
        ("1 < a <= 5", [False, True, False, False]),
        ("not a < 5", [False, True, True, False]),
        ("pl.col('a') < 5", [True, False, False, False]),
        ("(pl.col('a') < 5) | ~(pl.col('language') == 'en')", [True, True, True, False]),
        ("pl.col('language').is_in(['de', 'fr']) & (a * b > 10)", [False, False, True, False]),
        ("language not in ['en']", [False, True, True, False]),
        ("a.is_between(1, 5, closed='none')", [False, False, False, False]),
        ("a.is_null()", [False, False, False, True]),
        ("max(a, b) - min(a, b) >= 3", [False, True, True, False]),
        ("abs(a - 6) < 2", [False, True, False, False]),
        ("a / b > 4", [False, False, True, False]),
        ("a - -b > 10", [False, False, True, False]),
    ],
)
def test_an_expression_drops_where_it_is_true_and_nowhere_else(text: str, expected: list[bool]) -> None:
    assert TABLE.select(CustomCondition(rule="custom.x", expression=text).broken()).to_series().to_list() == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__",
        "a.map_elements(print)",
        "pl.read_parquet('/etc/passwd')",
        "pl.col('a').meta",
        "a.mean() > 3",  # depends on which documents share a part
        "a.shift(1) > 3",
        "a.over('b') > 1",
        "[x for x in a]",
        "lambda: a",
        "a if b else a",
        "f'{a}'",
        "a[0]",
        "a := 3",
        "exec('a')",
        "a <",
        "",
        "a < 3; b",
        "(" * 3000 + "a" + ")" * 3000,
        "-" * 100_000 + "a",
        "a\x00",
    ],
)
def test_what_is_more_than_an_expression_over_one_document_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text)


def test_what_an_expression_looks_at_is_its_evidence() -> None:
    condition = CustomCondition(rule="custom.x", expression="b > 1 and a < 6")
    assert condition.columns == ("a", "b")
    assert TABLE.select(condition.evidence()).to_series().to_list()[:2] == ["a=1.0, b=2.0", "a=5.0, b=2.0"]


def test_a_rule_that_cannot_be_read_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"custom rule 'mine': .*mean"):
        CustomRule(name="mine", drop_where="a.mean() < 3")


numbers = st.integers(-5, 5).map(float)
expressions = st.recursive(
    st.sampled_from(["a < 1", "b >= 0", "a == b", "a + b > 2", "a * 2 <= b"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda each: f"({each[0]} {each[1]} {each[2]})"),
        inner.map(lambda each: f"(not {each})"),
    ),
    max_leaves=6,
)


@given(expressions, st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5))
def test_expressions_say_what_python_says(text: str, rows: list[tuple[float, float]]) -> None:
    table = pl.DataFrame(rows, schema={"a": pl.Float64, "b": pl.Float64}, orient="row")
    found = table.select(CustomCondition(rule="custom.x", expression=text).broken()).to_series().to_list()
    assert found == [eval(text, {"a": a, "b": b}) for a, b in rows]
    assert set(columns_of(text)) <= {"a", "b"}
