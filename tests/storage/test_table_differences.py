"""The first difference of two tables is the one that a look at every row and column finds."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.digests import table_digest
from storage.table_differences import (
    Difference,
    first_byte_difference,
    first_line_difference,
    first_table_difference,
    shortened,
)

SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("score", pa.float64()),
        ("text", pa.large_string()),
        ("tokens", pa.large_list(pa.uint16())),
        ("key", pa.list_(pa.uint32(), 2)),
        ("kept", pa.bool_()),
    ]
)
ROW = st.fixed_dictionaries(
    {
        "doc_id": st.sampled_from("abc"),
        "score": st.none() | st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]),
        "text": st.none() | st.sampled_from(["", "a", "ab", "ä"]),
        "tokens": st.none() | st.lists(st.integers(0, 2), max_size=3),
        "key": st.none() | st.lists(st.integers(0, 2), min_size=2, max_size=2),
        "kept": st.none() | st.booleans(),
    }
)
ROWS = st.lists(ROW, max_size=12)


def table(rows: list[dict], cut: int = 0) -> pa.Table:
    """The rows in two chunks, as parts of longer ones."""
    whole = pa.Table.from_pylist([*rows, *rows], SCHEMA)
    return pa.concat_tables([whole.slice(0, cut), whole.slice(cut, len(rows) - cut)])


def spelled(row: dict) -> list[str]:
    return [repr(row[name]) for name in SCHEMA.names]  # tells 0.0 from -0.0, and a NaN is itself


@given(ROWS, ROWS, st.booleans(), st.data())
def test_the_first_row_and_column_that_differ_are_named(rows, others, changed, data) -> None:
    if changed and rows:  # mostly equal ones
        others = [dict(row) for row in rows]
        place = data.draw(st.integers(0, len(rows) - 1))
        others[place] = data.draw(ROW)
    cuts = [data.draw(st.integers(0, len(each))) for each in (rows, others)]
    found = first_table_difference(table(rows, cuts[0]), table(others, cuts[1]))
    expected = next(
        (
            (place, name)
            for place, (row, other) in enumerate(zip(rows, others, strict=False))
            for name, one, two in zip(SCHEMA.names, spelled(row), spelled(other), strict=True)
            if one != two
        ),
        None,
    )
    if expected is not None:
        assert found is not None
        assert (found.what, found.place, found.column) == ("row", *expected)
        assert found.doc_id == rows[expected[0]]["doc_id"]
        assert found.published != found.recomputed
    elif len(rows) != len(others):
        assert found is not None
        assert (found.what, found.place) == ("rows", min(len(rows), len(others)))
    else:
        assert found is None


@given(ROWS, ROWS)
def test_no_difference_is_found_exactly_where_the_digests_are_equal(rows, others) -> None:
    one, other = table(rows), table(others)
    assert (first_table_difference(one, other) is None) == (table_digest(one) == table_digest(other))


def test_other_columns_are_named_before_any_row() -> None:
    found = first_table_difference(pa.table({"a": [1]}), pa.table({"a": ["1"]}))
    assert found is not None
    assert (found.what, found.published, found.recomputed) == ("columns", "a: int64", "a: string")


def test_long_values_are_shown_where_they_differ() -> None:
    text = "x" * 5000
    found = first_table_difference(pa.table({"text": [text + "a" + text]}), pa.table({"text": [text + "b" + text]}))
    assert found is not None
    for shown, letter in ((found.published, "a"), (found.recomputed, "b")):
        assert len(shown) < 100
        assert f"xxx{letter}xxx" in shown


@given(st.text("ab", max_size=30), st.text("ab", max_size=30), st.integers(1, 20))
def test_shortened_texts_differ_where_the_whole_ones_do(one, other, chars) -> None:
    cut = shortened(one, other, chars)
    assert max(map(len, cut)) <= chars + 2
    if one == other:
        assert cut[0] == cut[1]


@pytest.mark.parametrize(
    ("published", "recomputed", "place"),
    [(b"", b"", None), (b"abc", b"abc", None), (b"abc", b"abd", 2), (b"abc", b"ab", 2), (b"", b"a", 0)],
)
def test_the_first_byte_that_differs(published, recomputed, place) -> None:
    found = first_byte_difference(published, recomputed)
    assert (None if found is None else found.place) == place


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50))
def test_bytes_before_the_first_difference_are_equal_and_those_there_are_not(common, one, other) -> None:
    found = first_byte_difference(common + one, common + other)
    if found is None:
        assert one == other
    else:
        assert (common + one)[: found.place] == (common + other)[: found.place]
        assert (common + one)[found.place : found.place + 1] != (common + other)[found.place : found.place + 1]


def test_the_first_line_that_differs() -> None:
    assert first_line_difference(["a", "b"], ["a", "b"]) is None
    assert first_line_difference(["a", "b"], ["a", "c"]) == Difference(
        what="line", place=1, published="b", recomputed="c"
    )
    assert first_line_difference(["a"], ["a", "c"]) == Difference(what="line", place=1, published=None, recomputed="c")
