"""Records: what was written comes back, and what is not what was written is not taken for it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import parse_record, record_bytes

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
records = st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=6)


@given(records)
def test_a_record_comes_back_as_it_was(value) -> None:
    assert parse_record(record_bytes(value)) == value


@given(records, st.data())
def test_no_flipped_byte_gives_another_record(value, data) -> None:
    content = bytearray(record_bytes(value))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = parse_record(bytes(content))
    except ValueError:
        return
    assert found == value  # one kind of white space for another changes nothing


def test_keys_that_are_numbers_become_the_strings_that_json_has() -> None:
    assert parse_record(record_bytes({"by_length": {10: "a", 9: "b"}})) == {"by_length": {"10": "a", "9": "b"}}


def test_what_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        record_bytes({"loss": float("nan")})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, json.dumps({"version": 1}).encode()]
)
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (whichever of its messages)
        parse_record(content)
