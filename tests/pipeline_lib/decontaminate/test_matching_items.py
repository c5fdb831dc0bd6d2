"""What counts as holding an item: the rule, on tables."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline_lib.decontaminate.evaluation_files import ItemText
from pipeline_lib.decontaminate.items import EvaluationItems, build_items, open_items, write_index
from pipeline_lib.decontaminate.matching import (
    MATCHES_A_DOCUMENT,
    count_documents,
    decide,
    find_hits,
    match_items,
)
from pipeline_lib.decontaminate.parameters import NgramParameters

NGRAMS = NgramParameters(ngram=5, min_words=3)
QUESTION = "natalia sold clips to forty eight of her friends in april how many altogether"  # 14 words, 10 5-grams
ANSWER = "she sold half as many in may so that makes seventy two"  # 12 words, 8 5-grams


def items_of(*items: tuple[str, dict[str, str]], ngrams: NgramParameters = NGRAMS) -> EvaluationItems:
    return build_items([("set", ItemText(name, tuple(fields.items()))) for name, fields in items], ngrams)


def table(*texts: str) -> pa.Table:
    ids = pa.array([f"doc{row}" for row in range(len(texts))], pa.string())
    return pa.table({"doc_id": ids, "text": pa.array(texts, pa.large_string())})


def matched(documents: pa.Table, items: EvaluationItems) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = match_items(documents, find_hits(documents, items), items).table.to_pylist()
    return rows


GSM = items_of(("7", {"question": QUESTION, "answer": ANSWER}))


@pytest.mark.parametrize(
    ("text", "matched_of", "fields"),
    [
        (QUESTION, (10, 10), "question"),
        (QUESTION.upper().replace(" ", ", "), (10, 10), "question"),
        (ANSWER, (8, 8), "answer"),
        (f"{ANSWER} {QUESTION}", (10, 10), "question"),  # the first of the equal ones
        (" ".join(QUESTION.split()[:9]), (5, 10), "question"),
        (" ".join(QUESTION.split()[:5]), (1, 10), "question"),
        (QUESTION.replace("april", "march"), (6, 10), "question"),  # 5-grams with april are gone, 9 to 11
        (" ".join(QUESTION.split()[:4]), None, None),
        (" ".join(reversed(QUESTION.split())), None, None),
        ("", None, None),
    ],
)
def test_the_share_is_that_of_the_field_of_which_most_is_there(
    text: str, matched_of: tuple[int, int] | None, fields: str | None
) -> None:
    rows = matched(table("nothing here", text), GSM)
    if matched_of is None:
        assert rows == []
        return
    (row,) = rows
    assert (row["doc_id"], row["set"], row["item"], row["fields"]) == ("doc1", "set", "7", fields)
    assert (row["matched"], row["of"], row["share"]) == (*matched_of, matched_of[0] / matched_of[1])


def test_a_match_says_where_the_longest_passage_stands() -> None:
    begin = "é it is said that "
    (row,) = matched(table(f"{begin}{QUESTION.title()}? And then: {' '.join(QUESTION.split()[:6])}"), GSM)
    assert (row["start"], row["end"]) == (len(begin.encode()), len(begin.encode()) + len(QUESTION))
    assert (row["excerpt"], row["longest"]) == (QUESTION.title(), 10)


def test_a_longer_passage_is_cut_to_an_excerpt() -> None:
    words = " ".join(f"wörd{number}" for number in range(200))
    (row,) = matched(table(words), items_of(("1", {"q": words})))
    assert row["matched"] == 196
    assert len(str(row["excerpt"]).encode()) <= 240
    assert words.startswith(str(row["excerpt"]))


@pytest.mark.parametrize(
    ("item", "text", "is_found"),
    [
        ("three little words", "just three little words here", True),
        ("three little words", "just three little birds here", False),
        ("two words", "two words", False),  # fewer than min_words
        ("four words and more", "four words and less", False),
    ],
)
def test_items_shorter_than_an_ngram_are_found_as_a_whole(item: str, text: str, is_found: bool) -> None:
    rows = matched(table(text), items_of(("1", {"q": item})))
    assert [(row["matched"], row["of"]) for row in rows] == ([(1, 1)] if is_found else [])


def test_short_fields_are_taken_together_with_those_behind_them() -> None:
    choices = "a core\na shell\na cloud"
    item = {"question": "what is an atom", "choices": choices, "explanation": ANSWER, "answer": "a core"}
    items = items_of(("1", item))
    assert items.pieces["fields"].to_pylist() == ["question+choices", "explanation"]
    rows = matched(table("What is an atom? A core? A shell? A cloud?", "What is an atom?"), items)
    assert [(row["doc_id"], row["share"]) for row in rows] == [("doc0", 1.0)]


def test_items_with_the_same_text_are_all_named_and_looked_for_once() -> None:
    items = items_of(("a", {"context": QUESTION, "q": ANSWER}), ("b", {"context": QUESTION}), ("c", {"q": ANSWER}))
    assert items.num_pieces == 2
    rows = matched(table(QUESTION), items)
    assert [row["item"] for row in rows] == ["a", "b"]


def test_documents_with_the_share_or_more_are_contaminated_and_the_best_item_is_the_evidence() -> None:
    items = items_of(("7", {"q": QUESTION}), ("8", {"q": ANSWER}))
    half = " ".join(QUESTION.split()[:9])
    found = match_items(
        documents := table(half, f"{half}. {ANSWER}", " ".join(QUESTION.split()[:8]), ANSWER),
        find_hits(documents, items),
        items,
    ).table
    decisions = decide(found, 0.5).to_pylist()
    assert [(row["doc_id"], row["value"], row["threshold"]) for row in decisions] == [
        ("doc0", 0.5, 0.5),
        ("doc1", 1.0, 0.5),
        ("doc3", 1.0, 0.5),
    ]
    assert {row["rule"] for row in decisions} == {"contaminated"}
    assert decisions[0]["evidence"] == f"set:7 (q) {half}"
    assert decisions[1]["evidence"] == f"set:8 (q) {ANSWER}"
    assert len(decide(found, 0.51)) == 2


def test_common_ngrams_are_counted_by_document_and_do_not_count() -> None:
    items = items_of(("7", {"q": QUESTION}))
    start = " ".join(QUESTION.split()[:5])
    documents = table(f"{start} {start} {start}", start, QUESTION)
    hits = find_hits(documents, items)
    counts = count_documents(hits, items.num_ngrams)
    assert sorted(counts.tolist()) == [1] * 9 + [3]
    rows = match_items(documents, hits, items, (counts > 2).nonzero()[0]).table.to_pylist()
    assert [(row["doc_id"], row["matched"], row["of"]) for row in rows] == [("doc2", 9, 10)]


def test_a_document_with_a_whole_benchmark_has_its_best_matches_and_a_count_of_the_rest() -> None:
    generator = random.Random(1)
    questions = [" ".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(150)]
    items = items_of(*((str(number), {"q": question}) for number, question in enumerate(questions)))
    partly = [" ".join(question.split()[:8]) for question in questions[:60]]
    documents = table(" 1 ".join([*partly, *questions[60:]]), questions[3])
    found = match_items(documents, find_hits(documents, items), items)
    first = [row for row in found.table.to_pylist() if row["doc_id"] == "doc0"]
    assert len(first) == MATCHES_A_DOCUMENT
    assert found.left_out == 150 - MATCHES_A_DOCUMENT
    assert [row["share"] for row in first] == [1.0] * 90 + [0.5] * 10
    assert [row["item"] for row in first] == [str(number) for number in [*range(60, 150), *range(10)]]
    assert len(found.table) == MATCHES_A_DOCUMENT + 1


def test_neither_the_order_of_documents_nor_batches_change_a_match(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["x " * 50 + QUESTION, "", ANSWER, "short", QUESTION + ANSWER] * 3
    documents = table(*texts)
    whole = matched(documents, GSM)
    monkeypatch.setattr("pipeline_lib.decontaminate.matching._BATCH_BYTES", 1)
    assert matched(documents, GSM) == whole
    turned = matched(documents.take(list(range(14, -1, -1))), GSM)
    assert sorted(map(str, turned)) == sorted(map(str, whole))


def test_an_index_that_was_written_finds_the_same(tmp_path: Path) -> None:
    write_index(GSM, tmp_path / "index.arrow")
    again = open_items(GSM.items, GSM.pieces, tmp_path / "index.arrow")
    documents = table(QUESTION, ANSWER, "none")
    assert matched(documents, again) == matched(documents, GSM) != []
    write_index(again, tmp_path / "again.arrow")
    assert (tmp_path / "again.arrow").read_bytes() == (tmp_path / "index.arrow").read_bytes()
