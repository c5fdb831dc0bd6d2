import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.dedup.doc_ids import format_doc_ids, parse_doc_ids

ids = st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), max_size=6)


@given(ids, st.integers(0, 6))
def test_a_doc_id_comes_back_as_it_was_and_sorts_as_it_did(texts, start):
    column = pa.array(["x", *texts], pa.string())[1:][start:]
    numbers = parse_doc_ids(column, "here")
    assert format_doc_ids(numbers).equals(pa.array(texts[start:], pa.string()))
    assert [tuple(each) for each in sorted(map(tuple, numbers.tolist()))] == [
        (int(text[:16], 16), int(text[16:], 16)) for text in sorted(texts[start:])
    ]


@pytest.mark.parametrize("wrong", ["", "0" * 31, "0" * 33, "G" + "0" * 31, "A" + "0" * 31, "é" + "0" * 30])
def test_what_is_no_doc_id_is_named(wrong):
    with pytest.raises(ValueError, match=f"here: expected a doc_id of 32 lower-case hex digits, found '{wrong}'"):
        parse_doc_ids(pa.array(["0" * 32, wrong]), "here")
