import re

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.character_counts import character_counts

LINK = re.compile(r"https?://(?:[A-Za-z0-9$\-_@.&+/:=?#~!*(),]|%[0-9A-Fa-f]{2})+")

PIECES = (
    "http|https|://|http://a|https://b.c/d?e=f#g|%41|%4|%G1|%|HTTP://x|hhttp://y|~|;|a|Z|7|１|٣|!|?|,|.|-|猫|שלום|\ufffd"
    "|\u0301|\x00|{|}|[|]|(|)|⟨|⟩|\n|\r|\t|\x08| |\u00a0|\u2028"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=40).map("".join)


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4))
@example(["https://", "http://%", "http://%41%4", "http", "https:/"])
@example(["http://ahttp://b http://c"])
def test_characters_are_counted_by_kind(documents: list[str]) -> None:
    column = pa.array(["cut off http://", *documents], pa.large_string()).slice(1)
    found = character_counts(*string_buffers(column))
    for i, text in enumerate(documents):
        assert found.num_chars[i] == len(text)
        assert found.num_plain[i] == len(re.findall(r"[a-zA-Z0-9\n?!,.]", text))
        assert found.num_digits[i] == len(re.findall("[0-9]", text))
        assert found.num_whitespace[i] == sum(character in "\t\n\r\b " for character in text)
        assert found.num_brackets[i] == sum(character in "{}[]()⟨⟩" for character in text)
        assert found.num_link_chars[i] == sum(map(len, LINK.findall(text)))


@pytest.mark.parametrize(
    ("text", "link_chars"),
    [
        ("see https://example.org/a-b?c=d#e, then", len("https://example.org/a-b?c=d#e,")),
        ("http://", 0),  # nothing follows
        ("HTTP://example.org", 0),  # lower case only
        ("http://a;b", len("http://a")),
        ("http://a%2Fb%2", len("http://a%2Fb")),
    ],
)
def test_a_link_ends_with_the_first_character_that_is_none_of_it(text: str, link_chars: int) -> None:
    assert character_counts(*string_buffers(pa.array([text]))).num_link_chars.tolist() == [link_chars]


def test_ten_megabytes_of_one_link_are_counted_once() -> None:
    found = character_counts(*string_buffers(pa.array(["http://" * 1_500_000])))
    assert found.num_link_chars.tolist() == found.num_chars.tolist() == [10_500_000]
