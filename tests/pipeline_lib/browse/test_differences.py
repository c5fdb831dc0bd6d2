"""Differences between two texts: complete, shortest where that is asked, and found in bounded time."""

import time

from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.browse.differences import differences

texts = st.lists(st.sampled_from(["the", "mill", "wheel", "water", "\n\n"]), max_size=12).map(" ".join)


@given(texts, texts)
def test_both_texts_are_told_whole_and_what_is_marked_the_same_is(left, right):
    found = differences(left, right)
    assert "".join(each.left for each in found) == left
    assert "".join(each.right for each in found) == right
    for each in found:
        assert each.is_same == (each.left == each.right)


def longest_common(left: list[str], right: list[str]) -> int:
    """The oracle: the usual table of longest common subsequences, quadratic."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for x, ours in enumerate(left):
        for y, theirs in enumerate(right):
            table[x + 1][y + 1] = table[x][y] + 1 if ours == theirs else max(table[x][y + 1], table[x + 1][y])
    return table[-1][-1]


@given(st.lists(st.sampled_from("abc"), max_size=10), st.lists(st.sampled_from("abc"), max_size=10))
def test_no_more_is_marked_than_has_to_be(left, right):
    # words and the spaces between them are tokens alike: compare on texts whose tokens are words and single spaces
    ours, theirs = [w for c in left for w in (c, " ")], [w for c in right for w in (c, " ")]
    found = differences("".join(ours), "".join(theirs))
    same = sum(len(each.left) for each in found if each.is_same)
    assert same == longest_common(ours, theirs)


def test_a_changed_word_is_found_in_a_long_text():
    words = [f"word{number}" for number in range(20_000)]
    changed = [*words[:10_000], "other", *words[10_001:]]
    (before, middle, after) = differences(" ".join(words), " ".join(changed))
    assert (middle.left, middle.right) == ("word10000", "other")
    assert before.is_same
    assert after.is_same


def test_texts_that_have_nothing_in_common_take_no_longer_than_a_person_waits():
    began = time.process_time()
    found = differences(" ".join(["a b"] * 20_000), " ".join(["b c a"] * 20_000))
    assert time.process_time() - began < 20
    assert "".join(each.right for each in found) == " ".join(["b c a"] * 20_000)
