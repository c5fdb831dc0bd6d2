import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.filters.conditions import measured_part
from pipeline_lib.filters.rules.bad_words import BadWordsRules, check_lists, lists_digest, measure
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, DECIMAL, character_classes
from storage.wrong_request import WrongRequest

CLASSES = character_classes()
PHRASES = ("ass", "ass hole", "hole", "a-b", "&c", "дом", "été", "c++", "猫")
UNSPACED = ("猫", "3p", "猫が")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ldnoobw")
    (folder / "en").write_text("\n".join(PHRASES) + "\n", "utf-8")
    (folder / "de").write_text("MILF\nSCHEIßE\n", "utf-8")
    (folder / "ja").write_text("\n".join(UNSPACED) + "\nsm\n", "utf-8")
    (folder / "fr-CA").write_text("tabarnak\n", "utf-8")
    return folder


def counts(texts: list[str], rules: BadWordsRules, languages: list[str | None] | None = None) -> list[int]:
    column = pa.chunked_array([pa.array(["cut off", *texts], pa.large_string()).slice(1)])
    labels = None if languages is None else pa.chunked_array([pa.array(languages, pa.string())])
    return [int(count) for count in measure(Texts(column), rules, labels)["bad_words_count"]]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("ass", 1),
        ("ASS!", 1),
        ("class", 0),
        ("assess", 0),
        ("an ass, an Ass\nass", 3),
        ("ass ass", 2),  # one space between them is enough
        ("my_ass", 0),
        ("ass9", 0),
        ("ass\u0301", 1),  # a combining mark is no word character
        ("éass", 0),
        ("ass猫", 0),  # but an ideograph is
        ("ass hole", 2),  # where "ass" and "ass hole" begin, and where "hole" does
        ("a hole", 1),
        ("a-b", 1),
        ("&c", 1),
        ("x&c", 0),
        ("c++", 1),
        ("c+++", 1),
        ("c++x", 0),
        ("ДОМ. дома", 1),
        ("ÉTÉ", 1),
        ("e\u0301te\u0301", 0),
        ("ass\x00hole", 2),
        ("𝒜ass𝒜 ass𐍈 \U0001f600ass\U0001f600", 1),
    ],
)
def test_a_phrase_counts_where_it_stands_between_words(text: str, count: int, folder: Path) -> None:
    assert counts([text], BadWordsRules(lists=(str(folder / "en"),))) == [count]


def is_word(character: str) -> bool:
    return character == "_" or bool(CLASSES[ord(character)] & (ALPHABETIC | DECIMAL))


def starts(text: str, phrases: tuple[str, ...], *, between_words: bool) -> set[int]:
    found = set()
    for i in range(len(text)):
        for phrase in phrases:
            end = i + len(phrase)
            alone = not (i and is_word(text[i - 1])) and not (end < len(text) and is_word(text[end]))
            if text.startswith(phrase, i) and (alone or not between_words):
                found.add(i)
    return found


PIECES = "ass|ASS|hole|a-b|&|c|++|дом|ДОМ|été|猫|が|3p|SM| |  |\n|_|-|9|٣|²|é|\u0301|\u200b|\u0130|\x00|\ufffd|שלום|𝒳"
TEXTS = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=12).map("".join)


@given(st.lists(TEXTS, max_size=4))
@example(["x" * 300 + "ass", "ass" * 100, "ass " * 100])
def test_places_are_counted_as_a_plain_search_would(folder: Path, texts: list[str]) -> None:
    lower = pl.Series(texts, dtype=pl.String).str.to_lowercase().to_list()
    spaced = [starts(text, PHRASES, between_words=True) for text in lower]
    unspaced = [starts(text, UNSPACED, between_words=False) for text in lower]
    assert counts(texts, BadWordsRules(lists=(str(folder / "en"),))) == [len(each) for each in spaced]
    assert counts(texts, BadWordsRules(lists=(str(folder / "ja"),))) == [len(each) for each in unspaced]
    together = BadWordsRules(lists=(str(folder / "en"), str(folder / "ja")))
    assert counts(texts, together) == [len(a | b) for a, b in zip(spaced, unspaced, strict=True)]


@given(st.lists(TEXTS, max_size=4))
def test_a_text_has_bad_words_where_c4s_expression_finds_one(folder: Path, texts: list[str]) -> None:
    """But for numbers that are no decimal digits, which are word characters to Python and not to us, and for what the
    running Python's Unicode knows and the frozen table does not."""
    texts = ["".join(c for c in text if bool(re.match(r"\w", c)) == is_word(c)) for text in texts]
    expression = re.compile(rf"(?:\W|^)({'|'.join(map(re.escape, PHRASES))})(?:\W|$)")
    found = [count > 0 for count in counts(texts, BadWordsRules(lists=(str(folder / "en"),)))]
    lower = pl.Series(texts, dtype=pl.String).str.to_lowercase().to_list()
    assert found == [expression.search(text) is not None for text in lower]


def test_each_document_is_searched_for_the_words_of_its_language(folder: Path) -> None:
    rules = BadWordsRules(folder=str(folder))
    text = "ass milf scheiße 3p猫が tabarnak sm"
    languages = ["en", "de", "ja", "fr-CA", "fr", "EN-us", "de_AT", "xx", None, ""]
    assert counts([text] * len(languages), rules, languages) == [1, 2, 2, 1, 0, 1, 2, 0, 0, 0]
    # what is listed for all languages goes with each language's own
    both = BadWordsRules(folder=str(folder), lists=(str(folder / "en"),))
    assert counts([text] * len(languages), both, languages) == [1, 3, 3, 2, 1, 1, 3, 1, 1, 1]


def test_lists_by_language_need_languages(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"filters\.bad_words\.folder"):
        measure(Texts(pa.chunked_array([["text"]])), BadWordsRules(folder=str(folder)))


def test_the_ratio_is_that_of_places_to_words(folder: Path) -> None:
    texts = Texts(pa.chunked_array([["one ass in five words", ""]]))
    signals = measure(texts, BadWordsRules(lists=(str(folder / "en"),)))
    assert signals["bad_words_ratio"].tolist() == [0.2, 0.0]


@pytest.mark.parametrize(
    ("thresholds", "reasons"),
    [
        ({}, ["bad_words.too_many", "bad_words.too_many", None]),
        ({"max_count": 1}, [None, "bad_words.too_many", None]),
        ({"max_count": None}, [None, None, None]),
        ({"max_count": None, "max_ratio": 0.5}, [None, "bad_words.too_dense", None]),
        ({"max_count": None, "max_ratio": 1.0}, [None, None, None]),
    ],
)
def test_thresholds_decide(thresholds, reasons, folder: Path) -> None:
    rules = BadWordsRules(lists=(str(folder / "en"),), **thresholds)
    assert measured_part(rules) == measured_part(BadWordsRules(lists=rules.lists))
    signals = pl.DataFrame(measure(Texts(pa.chunked_array([["an ass", "ass hole", "assess"]])), rules))
    broken = [pl.when(each.broken()).then(pl.lit(each.rule)) for each in rules.conditions()]
    found = signals.with_columns(reason=pl.coalesce(*broken, pl.lit(None, pl.String)))["reason"].to_list()
    assert found == reasons


def test_more_phrases_than_one_expression_holds_are_all_found(tmp_path: Path) -> None:
    (tmp_path / "en").write_text("".join(f"word{i:05}(x\n" for i in range(20_000)))
    assert counts(
        ["word00000(x", "word19999(x and word10000(x", "word20000(x"], BadWordsRules(lists=(f"{tmp_path}/en",))
    ) == [
        1,
        2,
        0,
    ]


def test_a_line_of_ten_megabytes_is_searched(folder: Path) -> None:
    text = "class assé " * 900_000 + "ass"
    assert counts([text, "ass"], BadWordsRules(lists=(str(folder / "en"),))) == [1, 1]


def test_wrong_lists_are_named_and_digests_follow_content(tmp_path: Path, folder: Path) -> None:
    check_lists(BadWordsRules(folder=str(folder), lists=(str(folder / "en"),)))
    with pytest.raises(WrongRequest, match=r"filters\.bad_words\.folder: there is no file"):
        check_lists(BadWordsRules(folder=str(tmp_path / "nowhere")))
    (tmp_path / "en").write_bytes(b"fine\n\xff\n")
    with pytest.raises(WrongRequest, match=r"filters\.bad_words\.lists: .*en, line 2: not UTF-8"):
        check_lists(BadWordsRules(lists=(str(tmp_path / "en"),)))
    before = lists_digest(BadWordsRules(folder=str(folder), lists=(str(tmp_path / "en"),)))
    assert sorted(before) == [
        *(f"filters.bad_words.folder/{name}" for name in ("de", "en", "fr-CA", "ja")),
        "filters.bad_words.lists/en",
    ]
    (tmp_path / "en").write_text("other\n")
    assert lists_digest(BadWordsRules(folder=str(folder), lists=(str(tmp_path / "en"),))) != before


def test_real_lists_find_what_c4s_expression_finds_in_real_texts(shared_data: Path) -> None:
    lists = shared_data / "eval" / "filters" / "ldnoobw"
    if not lists.is_dir():
        pytest.skip("needs ../shared/data/eval/filters: real lists")
    check_lists(BadWordsRules(folder=str(lists)))
    unpacked = pa.CompressedInputStream(str(shared_data / "text" / "en_mixed.jsonl.zst"), "zstd").read(4 << 20)
    texts = [json.loads(line)["text"] for line in unpacked.split(b"\n")[:-1]]
    phrases = [phrase for phrase in (lists / "en").read_text("utf-8").split("\n") if phrase]
    expression = re.compile(rf"(?:\W|^)({'|'.join(map(re.escape, phrases))})(?:\W|$)")
    found = np.array(counts(texts, BadWordsRules(lists=(str(lists / "en"),)))) > 0
    assert found.tolist() == [expression.search(text.lower()) is not None for text in texts]
    assert 0.01 < found.mean() < 0.9
