"""Fields of JSON lines against Python's own parser."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.kernels.json_lines import (
    BOOLEAN,
    ESCAPED_TEXT,
    MAX_DEPTH,
    MISSING,
    NESTED,
    NO_OBJECT,
    NULL,
    NUMBER,
    TEXT,
    copy_ranges,
    copy_values,
    find_fields,
    find_lines,
)

NAMES = ("text", "id", "ünï")


class Number(str):
    """As it is spelled."""

    __slots__ = ()


def parsed(line: bytes, names: tuple[str, ...] = NAMES) -> list[tuple[int, str]]:
    """What each field of a line is, and the text or number it holds."""
    content = np.frombuffer(line, np.uint8)
    bounds = np.array([0]), np.array([len(line)])
    encoded = [name.encode() for name in names]
    kinds = np.empty((len(names), 1), np.uint8)
    spans = np.empty((len(names), 1, 2), np.int64)
    offsets = np.cumsum([0, *map(len, encoded)])
    find_fields(content, *bounds, np.frombuffer(b"".join(encoded), np.uint8), offsets, kinds, spans)
    wanted = np.array([TEXT, ESCAPED_TEXT, NUMBER], np.uint8)
    found = []
    for field in range(len(names)):
        target, value_offsets = np.empty(len(line), np.uint8), np.empty(2, np.int64)
        size = copy_values(content, kinds[field], spans[field], wanted, target, value_offsets)
        kind = int(kinds[field, 0])
        found.append((TEXT if kind == ESCAPED_TEXT else kind, bytes(target[:size]).decode()))
    return found


def expected(line: bytes, names: tuple[str, ...] = NAMES) -> list[tuple[int, str]]:
    """The same by Python's parser."""
    try:
        row = json.loads(line.decode(), parse_int=Number, parse_float=Number, parse_constant=Number)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        return [(NO_OBJECT, "")] * len(names)
    return [described(row, name) for name in names]


def described(row: dict[str, Any], name: str) -> tuple[int, str]:
    value = row.get(name, MISSING)
    if value is MISSING:
        return MISSING, ""
    if isinstance(value, Number):
        return NUMBER, str(value)
    if isinstance(value, str):
        return TEXT, value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return {type(None): NULL, bool: BOOLEAN, list: NESTED, dict: NESTED}[type(value)], ""


texts = st.text(st.characters(exclude_categories=()), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from(NAMES) | texts, values, max_size=5)
layouts = st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", " :\r ")])


@given(row=objects, ascii_only=st.booleans(), separators=layouts)
def test_fields_are_those_of_pythons_parser(row: dict[str, Any], ascii_only: bool, separators: tuple[str, str]) -> None:
    line = json.dumps(row, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "surrogatepass")
    assert parsed(line) == expected(line)


@given(row=values, ascii_only=st.booleans(), at=st.integers(0), put=st.binary(max_size=2), cut=st.integers(0, 2))
@example(row={"text": "é"}, ascii_only=False, at=11, put=b"", cut=1)
def test_of_damaged_lines_the_same_are_refused(row: Any, ascii_only: bool, at: int, put: bytes, cut: int) -> None:
    line = json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    at %= len(line) + 1
    line = line[:at] + put + line[at + cut :]
    assert parsed(line) == expected(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b" {\t} \r\n",
        b"{}}",
        b"{} {}",
        b"[]",
        b'"text"',
        b"{,}",
        b'{"text":"a",}',
        b'{"text" "a"}',
        b'{"text":}',
        b'{"text":1 2}',
        b"{'text':1}",
        b'{text:"a"}',
        b'{"text":"a"',
        b'{"text":"a',
        b'{"text":"a\\',
        b'{"text":"\\u00',
        b'{"text":"\\u00e4\\uD83D\\uDE00\\ud83d\\/\\b\\f\\n\\r\\t\\"\\\\"}',
        b'{"text":"\\ude00\\ud83d"}',
        b'{"text":"\\x41"}',
        b'{"text":"tab\there"}',
        b'{"text":"\x7f"}',
        b'{"text":"first","text":"last"}',
        b'{"text":"first","text":[]}',
        b'{"te\\u0078t":"escaped key","\\u00fcn\\u00ef":2}',
        b'{"Text":"other case","textt":1,"tex":2}',
        b'{"inner":{"text":"not this"},"list":[{"text":1}]}',
        b'{"id":[1,[2,{}],{"a":[]}],"text":"x"}',
        b'{"id":[1,]}',
        b'{"id":[,1]}',
        b'{"id":[}]}',
        b'{"id":{"a":1]}',
        b'{"id":-}',
        b'{"id":-0}',
        b'{"id":01}',
        b'{"id":1.}',
        b'{"id":.5}',
        b'{"id":1e5,"text":1E+05}',
        b'{"id":1e}',
        b'{"id":+1}',
        b'{"id":-1.5e-300}',
        b'{"id":123456789012345678901234567890}',
        b'{"id":NaN,"text":-Infinity}',
        b'{"id":Infinity}',
        b'{"id":nan}',
        b'{"id":-NaN}',
        b'{"id":tru}',
        b'{"id":truex}',
        b'{"id":true,"text":false,"\xc3\xbcn\xc3\xaf":null}',
        b'\xef\xbb\xbf{"id":1}',
        b'{"id":"\xc3"}',
        b'{"id":"\xed\xa0\x80"}',
        b'{"id":"\xc0\x80"}',
        b'{"id":"\xf4\x90\x80\x80"}',
        b'{"id":"\xf0\x9f\x98\x80 \xef\xbf\xbf"}',
        b'{"id":"\xe2\x82"}',
        b'{"id":1}\x00',
        b'{"id":\xc2\xa01}',
    ],
)
def test_what_is_json_and_what_is_none(line: bytes) -> None:
    assert parsed(line) == expected(line)


def test_depth_has_a_limit() -> None:
    def nested(depth: int) -> bytes:
        return b'{"id":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b',"text":"x"}'

    assert parsed(nested(MAX_DEPTH))[:2] == [(TEXT, "x"), (NESTED, "")]
    assert parsed(nested(MAX_DEPTH + 1)) == [(NO_OBJECT, "")] * 3


@given(st.lists(st.sampled_from([b"{}", b" ", b"\t\r\x0b\x0c", b"", b"a" * 9, b"\xc2\x85", b"\x00"])), st.booleans())
def test_lines_are_what_stands_between_line_feeds_and_is_not_blank(lines: list[bytes], ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    starts, ends = find_lines(np.frombuffer(data, np.uint8))
    found = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    assert [line.rstrip(b"\n") for line in found] == [line for line in data.split(b"\n") if line.strip()]


def test_many_lines_are_found() -> None:
    data = b"".join(b"%d\n" % number for number in range(5000))
    starts, ends = find_lines(np.frombuffer(data, np.uint8))
    assert [int(data[start:end]) for start, end in zip(starts, ends, strict=True)] == list(range(5000))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted), max_size=8))
def test_ranges_are_copied_one_after_another(bounds: list[list[int]]) -> None:
    data = bytes(range(40))
    target = np.empty(sum(end - start for start, end in bounds), np.uint8)
    copy_ranges(np.frombuffer(data, np.uint8), np.array(bounds, np.int64).reshape(-1, 2), target)
    assert bytes(target) == b"".join(data[start:end] for start, end in bounds)
