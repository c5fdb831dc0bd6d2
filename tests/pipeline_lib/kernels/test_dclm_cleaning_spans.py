import re

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.dclm_cleaning import IP, NEWLINES, URL, cleaning_spans

DOMAINS = ("com", "co", "uk", "th", "ik", "орг", "भारतम्", "vermögen")

SPACES, SCHEME = r"\s{0,10}", r"(?:(?:https|http|ftp)://)"
REST = r"[\w()@:%+.~#?&/=-]*"
URLS = re.compile(
    rf"{SPACES}{SCHEME}?[a-zA-Z0-9_@:%.+~#=-]{{1,256}}\."
    rf"(?:{'|'.join(sorted(DOMAINS, key=len, reverse=True))})\b(?a:{REST})"
)
IPS = re.compile(rf"{SPACES}\b{SCHEME}?(?:(?:[0-2][0-9][0-9]|[0-9][0-9]?)\.){{3}}[0-9](?a:{REST})")

pieces = st.sampled_from(
    [
        *("http://", "https://", "ftp://", "://", ".", ".", ".com", ".co", ".uk", ".th", ".орг", ".भारतम्", ".vermögen"),
        *("a", "foo", "x" * 255, "x" * 256, "x" * 257, "/p?q=1&r", "(", ")", "_", "-", "The ", "é", "ı", "猫"),
        *(" ", " " * 9, " " * 11, "\n", "\n\n\n", "\u2003", "\u0301", "\x00", "\ufffd"),
        *("1.2.3.4", "10.", "256.", "299.", "300.", "9"),
    ]
)
texts = st.lists(st.one_of(pieces, st.text(max_size=2)), max_size=20).map("".join)


def slowly_cleaned(text: str, gated: bool) -> str:
    if not gated or re.match("|".join(DOMAINS), text, re.IGNORECASE):
        text = URLS.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", IPS.sub("", text))


def spans_of(text: str, *, gated: bool = False) -> list[list[int]]:
    found = cleaning_spans(
        *string_buffers(pa.array(["cut off.com", text], pa.large_string()).slice(1)),
        top_level_domains=DOMAINS,
        remove_urls=True,
        only_where_domain_begins_text=gated,
        remove_ips=True,
        max_newlines=2,
    )
    assert set(found[:, 0].tolist()) <= {0}
    return found[:, 1:].tolist()


def cleaned(text: str, *, gated: bool = False) -> str:
    left, upto = b"", 0
    for start, end, _ in spans_of(text, gated=gated):
        assert upto <= start < end
        left += text.encode()[upto:start]
        upto = end
    return (left + text.encode()[upto:]).decode()


@given(texts, st.booleans())
@example("x" * 255 + ".com" + ".co", False)
@example("x" * 257 + ".com", False)
@example("http://" + "x" * 256 + ".com", False)
@example("a\n\n foo.com\n\n\nb", False)
@example("10.20 foo.com .30.40", False)
@example("ftp://1.2.3.4/x http://9.9.9.9", False)
@example("x://1.2.3.4 xhttp://1.2.3.4", False)
@example("aıTH", True)
@example("İK foo.com", True)
@example("a.भारतम् a.भारतम्x", False)
def test_what_is_left_is_what_regular_expressions_leave(text: str, gated: bool) -> None:
    assert cleaned(text, gated=gated) == slowly_cleaned(text, gated)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see www.foo.co.uk/a?b=(c)#d, or", "see, or"),
        ("see  http://foo.com\n and", "see\n and"),
        ("the end.com", "the"),  # no space after a full stop
        ("mail me@foo.com now", "mail now"),
        ("foo.COM foo.comic foo.com_", "foo.COM foo.comic foo.com_"),  # domains are of lower case, and end with a word
        ("at 127.0.0.1:8080/x!", "at!"),
        ("version 1.2.3 and 1.2.3.400.5", "version 1.2.3 and"),
        ("300.1.2.3 v1.2.3.4", "300.1.2.3 v1.2.3.4"),
        ("a\n\nb\n\n\n\nc", "a\n\nb\n\nc"),
        ("foo.com", ""),
        ("", ""),
    ],
)
def test_addresses_and_newlines_go(text: str, left: str) -> None:
    assert cleaned(text) == left


def test_without_a_domain_at_the_start_web_addresses_stay() -> None:
    assert cleaned("The foo.com page", gated=True) == "The page"
    assert cleaned("A foo.com page 1.2.3.4", gated=True) == "A foo.com page"


def test_each_step_looks_at_what_the_one_before_left() -> None:
    text = "a\n\n foo.com\n\nb 10.20 foo.com.30.40"
    assert [span[2] for span in spans_of(text)] == [URL, URL]
    assert [span[2] for span in spans_of("a\n 1.2.3.4\n\nb")] == [IP]
    joined = "a\n\né.1.2.3.4\n\n\nb"
    assert [span[2] for span in spans_of(joined)] == [IP, NEWLINES]


@pytest.mark.parametrize("text", ["x" * 10_000_000, "." * 1_000_000, "a." * 500_000, "1." * 500_000, " " * 1_000_000])
def test_hostile_texts_take_linear_time(text: str) -> None:
    spans_of(text)
