"""Digests say what a table holds, and nothing about how it is held."""

import datetime
import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.digests import canonical_json, joined_digest, table_digest, value_digest

# For each type, values to draw from; the first two must not be equal.
KINDS = {
    "string": (pa.string(), ["", "a", "é日", "a\x00"]),
    "large_string": (pa.large_string(), ["", "a", "é日", "a\x00"]),
    "binary": (pa.binary(), [b"", b"a", b"\xff\x00"]),
    "fixed_binary": (pa.binary(2), [b"ab", b"cd"]),
    "int64": (pa.int64(), [0, 1, -1, 2**62]),
    "uint16": (pa.uint16(), [0, 1, 65535]),
    "float64": (pa.float64(), [0.0, 1.5, float("inf")]),
    "float32": (pa.float32(), [0.0, 1.5]),
    "bool": (pa.bool_(), [False, True]),
    "timestamp": (
        pa.timestamp("ms", tz="UTC"),
        [datetime.datetime(2026, 1, day, tzinfo=datetime.UTC) for day in (1, 2)],
    ),
    "date": (pa.date32(), [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)]),
    "list": (pa.list_(pa.int32()), [[], [1], [1, 2], [None]]),
    "large_list": (pa.large_list(pa.uint16()), [[], [1], [1, 2, 3]]),
    "fixed_list": (pa.list_(pa.uint32(), 2), [[1, 2], [3, 4]]),
    "struct": (pa.struct([("a", pa.int32()), ("b", pa.string())]), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["a", "b"]),
}
kinds = st.sampled_from(sorted(KINDS))


@st.composite
def columns(draw):
    """A type and nullable values of it."""
    kind, values = KINDS[draw(kinds)]
    return kind, draw(st.lists(st.sampled_from(values) | st.none(), max_size=12))


@settings(deadline=None)  # the first example starts Arrow's memory pool
@given(columns(), st.lists(st.integers(0, 12), max_size=3), st.integers(0, 3), st.integers(0, 3))
def test_chunks_slices_and_surroundings_do_not_change_a_digest(column, cuts, before, after):
    kind, values = column
    expected = table_digest(pa.table({"x": pa.array(values, kind)}))
    cuts = [0, *sorted(cuts), len(values)]
    chunks = [pa.array(values[start:end], kind) for start, end in itertools.pairwise(cuts)]
    assert table_digest(pa.table({"x": pa.chunked_array(chunks, kind)})) == expected
    padding = [value for value in values if value is not None][:1] or [None]
    wide = pa.array([*padding * before, *values, *padding * after], kind)
    assert table_digest(pa.table({"x": wide.slice(before, len(values))})) == expected


def through_parquet(table):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=5, store_schema=True)
    return pq.read_table(pa.BufferReader(sink.getvalue()))


@settings(deadline=None)
@given(columns())
def test_ipc_does_not_change_a_digest(column):
    kind, values = column
    table = pa.table({"x": pa.array(values, kind)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    assert table_digest(pa.ipc.open_stream(sink.getvalue()).read_all()) == table_digest(table)


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize("repeats", [0, 1, 9])
def test_parquet_does_not_change_a_digest(name, repeats):
    kind, values = KINDS[name]
    table = pa.table({"x": pa.array([*values, None] * repeats, kind)})
    assert table_digest(through_parquet(table)) == table_digest(table)


@given(kinds, st.data())
def test_tables_with_other_values_have_other_digests(name, data):
    kind, values = KINDS[name]
    lists = st.lists(st.sampled_from(values) | st.none(), max_size=6)
    first, second = data.draw(lists), data.draw(lists)
    digests = [table_digest(pa.table({"x": pa.array(each, kind)})) for each in (first, second)]
    assert (digests[0] == digests[1]) == (first == second)


def test_names_types_and_order_of_columns_count():
    tables = [
        {"a": pa.array([1], pa.int64()), "b": pa.array([1], pa.int64())},
        {"b": pa.array([1], pa.int64()), "a": pa.array([1], pa.int64())},
        {"a": pa.array([1], pa.int32()), "b": pa.array([1], pa.int64())},
        {"a": pa.array(["1"], pa.string()), "b": pa.array([1], pa.int64())},
        {"a": pa.array(["1"], pa.large_string()), "b": pa.array([1], pa.int64())},
    ]
    assert len({table_digest(pa.table(table)) for table in tables}) == len(tables)


def test_what_stands_under_a_null_does_not_count():
    clean = pa.array([1, None, 3], pa.int64())
    dirty = pa.Array.from_buffers(
        pa.int64(), 3, [pa.py_buffer(b"\x05"), pa.py_buffer(np.array([1, 999, 3], np.int64).tobytes())]
    )
    assert clean.equals(dirty)
    assert table_digest(pa.table({"x": clean})) == table_digest(pa.table({"x": dirty}))


def test_metadata_does_not_count():
    table = pa.table({"x": [1]})
    assert table_digest(table) == table_digest(table.replace_schema_metadata({"made": "today"}))


def test_text_moved_over_a_border_of_rows_or_columns_changes_a_digest():
    tables = [{"a": ["ab", "c"], "b": ["", ""]}, {"a": ["a", "bc"], "b": ["", ""]}, {"a": ["ab", ""], "b": ["c", ""]}]
    assert len({table_digest(pa.table(table)) for table in tables}) == len(tables)


def test_an_unknown_type_is_refused_and_not_passed_over():
    with pytest.raises(TypeError, match="map"):
        table_digest(pa.table({"x": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}))


def test_values_with_the_same_meaning_have_one_digest():
    assert value_digest({"b": [1, 2.5, None], "a": "é"}) == value_digest({"a": "é", "b": [1, 2.5, None]})
    assert value_digest([1, 2]) != value_digest([2, 1])
    assert value_digest("1") != value_digest(1)
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        value_digest(float("nan"))


def test_joined_digests_depend_on_order_and_on_borders():
    assert len({joined_digest(each) for each in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], [])}) == 5
