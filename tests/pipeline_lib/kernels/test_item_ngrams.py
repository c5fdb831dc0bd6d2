import itertools
import random
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.item_ngrams import (
    ItemNgrams,
    count_item_words,
    find_item_ngrams,
    index_ngrams,
    match_pieces,
    passages,
    read_only,
)

NGRAM = 3

pieces_of_text = st.one_of(
    st.sampled_from(
        ["one", "Two", "THREE", "4", "4,", "55", "é", "e\u0301", "ß", "漢字", "ｶ", "ⅷ", "'", "-", "\u00ad"]
    ),
    st.text(st.sampled_from("aAéſ٣4 漢.\u0301\u200d🙂"), max_size=4),
)
texts = st.lists(pieces_of_text, max_size=14).map(" ".join)


def words(text: str) -> list[str]:
    """The words of a text, in plain Python."""
    marked = ""
    for character in text:
        category = unicodedata.category(character)
        if category in ("Mn", "Me", "Cf"):
            continue
        if category[0] in "PSZ" or category in ("Cc", "Co"):
            marked += " "
        elif unicodedata.decimal(character, None) is not None:
            marked += str(unicodedata.decimal(character))
        else:
            folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", character).casefold())
            folded = "".join(letter for letter in folded if unicodedata.category(letter) not in ("Mn", "Me", "Cf"))
            alone = any(name in unicodedata.name(character) for name in ("CJK", "KATAKANA"))
            marked += f" {folded} " if alone else folded
    return marked.split()


def ngrams(text: str, size: int) -> list[tuple[str, ...]]:
    found = words(text)
    return [tuple(found[at : at + size]) for at in range(len(found) - size + 1)]


def has_letter(gram: tuple[str, ...]) -> bool:
    return not all(word.isascii() and word.isdigit() for word in gram)


def indexed(pieces: Sequence[str], ngram: int = NGRAM) -> tuple[ItemNgrams, np.ndarray, np.ndarray]:
    data, offsets = string_buffers(pa.array(pieces, pa.large_string()))
    return index_ngrams(data, offsets, count_item_words(data, offsets, fold_tables()), ngram, fold_tables())


def found_in(column: Sequence[str], index: ItemNgrams) -> np.ndarray:
    return find_item_ngrams(*string_buffers(pa.array(column, pa.large_string())), index, fold_tables())


@given(st.lists(texts, min_size=1, max_size=3), st.lists(texts, max_size=4))
def test_every_place_with_the_words_of_an_item_is_found_and_no_other(column: list[str], pieces: list[str]) -> None:
    index, _, _ = indexed(pieces)
    wanted = {
        gram
        for piece in pieces
        for gram in ngrams(piece, min(NGRAM, len(words(piece))))
        if len(gram) and has_letter(gram)
    }
    expected = sorted(
        (row, word, gram)
        for row, text in enumerate(column)
        for size in (1, 2, 3)
        for word, gram in enumerate(ngrams(text, size))
        if gram in wanted
    )
    hits = found_in(column, index)
    known = {
        gram: tuple(words(bytes(index.text[start:end]).decode()))
        for gram, (start, end) in enumerate(zip(index.starts, index.ends, strict=True))
    }
    assert sorted((row, word, known[gram]) for row, word, gram, _, _ in hits.tolist()) == expected
    assert len(set(known.values())) == len(known) == len(wanted)  # each n-gram stands in the index once
    assert hits.tolist() == sorted(hits.tolist())
    for row, _, gram, start, end in hits.tolist():
        assert tuple(words(column[row].encode()[start:end].decode())) == known[gram]


@given(st.lists(texts, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=4))
def test_matches_are_counts_over_the_places_of_a_piece_and_the_longest_passage(
    column: list[str], pieces: list[str]
) -> None:
    index, gram_pieces, bounds = indexed(pieces)
    hits = found_in(column, index)
    found = match_pieces(hits, gram_pieces, bounds, np.ones(len(bounds) - 1, np.bool_), len(pieces))
    expected = {}
    for row, text in enumerate(column):
        for number, piece in enumerate(pieces):
            size = min(NGRAM, len(words(piece)))
            if not size:
                continue
            places = [gram for gram in ngrams(piece, size) if has_letter(gram)]
            here = ngrams(text, size)
            matched = sum(gram in here for gram in places)
            runs = "".join("x" if gram in places else " " for gram in here).split()
            if matched:
                expected[row, number] = (matched, max(map(len, runs)), size)
    assert {(row, piece) for row, piece, *_ in found.tolist()} == set(expected)
    assert len(found) == len(expected)
    for row, piece, matched, start, end, run in found.tolist():
        of_piece, longest, size = expected[row, piece]
        assert (matched, run) == (of_piece, longest)
        passage = words(column[row].encode()[start:end].decode())
        assert len(passage) == run + size - 1
        assert all(gram in ngrams(pieces[piece], size) for gram in ngrams(" ".join(passage), size))


@pytest.mark.parametrize(
    ("item", "text", "is_found"),
    [
        ("How many clips did Natalia sell?", "HOW MANY -- clips, did\n\nNatalia SELL", True),
        ("How many clips did Natalia sell?", "how many clips did Natália sell", True),
        ("How many clips did Natalia sell?", "how many clips did Natalia's sell", False),
        ("She sold 48 clips", "she sold 48 clips", True),
        ("She sold 48 clips", "she sold 84 clips", False),  # numbers make an item of arithmetic another one
        ("She sold ４８ clips", "she sold 48 clips", True),
        ("naïve Straße", "NAIVE STRASSE", True),
        ("小猫坐在垫子上", "小猫 坐在垫子上", True),
        ("小猫坐在垫子上", "小狗坐在垫子上", False),
        ("1 2 3 4 5", "1 2 3 4 5", False),  # no letter
        ("", "anything", False),
    ],
)
def test_what_counts_as_the_words_of_an_item(item: str, text: str, is_found: bool) -> None:
    index, _, _ = indexed([item], ngram=20)
    assert (len(found_in([f"before {text} after"], index)) == 1) == is_found


def test_where_a_hash_leads_the_words_are_compared() -> None:
    item = "the quick brown fox"
    index, _, _ = indexed([item])
    assert len(found_in([item], index)) == 2
    other = np.frombuffer(b"the quick brown cat", np.uint8)
    misled = read_only(index._replace(text=other))  # the hash of "quick brown fox" now leads to "quick brown cat"
    assert [hit[1] for hit in found_in([item], misled).tolist()] == [0]


@pytest.mark.parametrize("length", [509, 510, 511, 512, 513, 1022, 1023, 3000])
def test_texts_longer_than_any_inner_buffer_are_read_whole(length: int) -> None:
    generator = random.Random(length)
    text = [generator.choice(["red", "green", "漢", "Ω", "x1"]) + str(generator.randint(0, 9)) for _ in range(length)]
    pieces = [" ".join(text[at : at + 20]) for at in range(0, length - 20, 7)]
    index, _, _ = indexed(pieces, ngram=13)
    found = found_in([" ".join(text)], index)
    wanted = {gram for piece in pieces for gram in ngrams(piece, 13)}
    expected = [word for word, gram in enumerate(ngrams(" ".join(text), 13)) if gram in wanted]
    assert found[:, 1].tolist() == expected


def test_ngrams_that_do_not_count_are_as_if_they_were_not_there() -> None:
    index, gram_pieces, bounds = indexed(["a b c d e f"])
    hits = found_in(["a b c d e f"], index)
    counted = np.ones(len(bounds) - 1, np.bool_)
    counted[hits[1, 2]] = False
    ((_, _, matched, start, end, run),) = match_pieces(hits, gram_pieces, bounds, counted, 1).tolist()
    assert (matched, run, start, end) == (3, 2, len("a b "), len("a b c d e f"))


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3))
def test_bytes_that_are_no_utf8_are_read_within_their_bounds(values: list[bytes]) -> None:
    index, _, _ = indexed(["a", "b a", "\ufffd a b"])
    data = np.frombuffer(b"".join(values) + b"\x99", np.uint8)
    together = find_item_ngrams(data, np.cumsum([0, *map(len, values)]), index, fold_tables())
    alone = [
        (row, *hit[1:])
        for row, value in enumerate(values)
        for hit in find_item_ngrams(
            np.frombuffer(value + b"\xf0\x9f", np.uint8), np.array([0, len(value)]), index, fold_tables()
        ).tolist()
    ]
    assert [tuple(hit) for hit in together.tolist()] == alone


def test_passages_are_cut_before_a_character() -> None:
    data, offsets = string_buffers(pa.array(["xx", "one é two"], pa.large_string()))
    rows, starts = np.array([1, 1, 0]), np.array([0, 4, 0])
    out, bounds = passages(data, offsets, rows, starts, np.array([10, 6, 2]), 5)
    assert [bytes(out[start:end]).decode() for start, end in itertools.pairwise(bounds)] == [
        "one ",
        "é",
        "xx",
    ]
