"""Real items of GSM8K and XQuAD planted into real texts: which spellings of them are found, and what is not."""

import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline_lib.decontaminate.evaluation_files import find_sets
from pipeline_lib.decontaminate.items import EvaluationItems, read_sets
from pipeline_lib.decontaminate.matching import decide, find_hits, match_items
from pipeline_lib.decontaminate.parameters import DecontaminationParameters, EvaluationSet

PARAMETERS = DecontaminationParameters()
PLANTED_EACH = 40


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        for line in io.BytesIO(stream.read()):
            yield json.loads(line)


def part(text: str, share: float) -> str:
    """The beginning of a text that has this share of its 13-grams."""
    words = text.split()
    return " ".join(words[: 12 + round(share * (len(words) - 12))])


def every_tenth_word_changed(text: str) -> str:
    return " ".join("whatever" if at % 10 == 5 else word for at, word in enumerate(text.split()))


def dressed_up(text: str) -> str:
    return " ... ".join(
        f"**{word.strip('.,?!')}**;" if at % 3 else f"({word})\n" for at, word in enumerate(text.split())
    )


# name, what it makes of (question, answer), and whether the item is to be found
SPELLINGS: list[tuple[str, Callable[[str, str], str], bool]] = [
    ("as it is", lambda question, answer: f"{question}\n{answer}", True),
    ("in capitals", lambda question, answer: question.upper(), True),
    ("with other punctuation", lambda question, answer: dressed_up(question), True),
    ("with wide spaces", lambda question, answer: question.replace(" ", "\u00a0\u2003\t"), True),
    ("the answer alone", lambda question, answer: answer, True),
    ("two thirds of it", lambda question, answer: part(question, 0.67), True),
    ("a third of it", lambda question, answer: part(question, 0.33), False),
    ("in other words", lambda question, answer: every_tenth_word_changed(question), False),
]


@pytest.fixture(scope="module")
def carriers(shared_data: Path) -> list[str]:
    return [row["text"] for row in lines(shared_data / "text" / "en_mixed.jsonl.zst")]


def held(texts: list[str], items: EvaluationItems) -> dict[int, str]:
    """Text by number -> the best item that it holds."""
    ids = pa.array([str(number) for number in range(len(texts))], pa.string())
    documents = pa.table({"doc_id": ids, "text": pa.array(texts, pa.large_string())})
    matches = match_items(documents, find_hits(documents, items), items).table
    decisions = decide(matches, PARAMETERS.threshold)
    return {int(row["doc_id"]): row["evidence"].partition(":")[2].partition(" ")[0] for row in decisions.to_pylist()}


def planted_in(carrier: str, text: str) -> str:
    middle = carrier.find(" ", len(carrier) // 2)
    return f"{carrier[:middle]}\n{text}\n{carrier[middle:]}"


def test_gsm8k_is_found_however_it_is_spelled_and_nothing_else_is_dropped(
    shared_data: Path, carriers: list[str]
) -> None:
    path = shared_data / "eval" / "math_gsm8k" / "train.jsonl.zst"
    gsm8k = EvaluationSet(paths=(str(path),), fields=("question", "answer"))
    items = read_sets(find_sets([gsm8k]), PARAMETERS.ngrams())
    assert items.items.num_rows == 7473
    assert items.items["reason"].null_count > 7450  # a few are too short
    rows = list(lines(path))
    long = [
        number
        for number, row in enumerate(rows)
        if len(row["question"].split()) > 40 and len(row["answer"].split()) > 40
    ]
    chosen = random.Random(5).sample(long, len(SPELLINGS) * PLANTED_EACH)
    texts = list(carriers)
    expected: dict[int, str] = {}
    for place, number in enumerate(chosen):
        _, spell, is_found = SPELLINGS[place % len(SPELLINGS)]
        carrier = place * 13 % len(carriers)
        texts[carrier] = planted_in(texts[carrier], spell(rows[number]["question"], rows[number]["answer"]))
        if is_found:
            expected[carrier] = str(number + 1)
    assert held(carriers, items) == {}
    found = held(texts, items)
    wrong = {
        SPELLINGS[place % len(SPELLINGS)][0]
        for place in range(len(chosen))
        if found.get(place * 13 % len(carriers)) != expected.get(place * 13 % len(carriers))
    }
    assert wrong == set()
    assert found == expected


@pytest.mark.parametrize("language", ["en", "de", "zh", "ru", "ar", "hi"])
def test_xquad_is_read_as_it_lies_and_found_in_any_script(
    shared_data: Path, carriers: list[str], language: str
) -> None:
    path = shared_data / "eval" / "qa_xquad" / f"xquad.{language}.json.zst"
    squad = EvaluationSet(paths=(str(path),), items="data.paragraphs.qas", fields=("context", "question"))
    items = read_sets(find_sets([squad]), PARAMETERS.ngrams())
    assert items.items.num_rows == 786
    assert items.items["reason"].null_count == 786
    contexts = [
        (paragraph["qas"][0]["id"], paragraph["context"])
        for row in lines(path)
        for article in row["data"]
        for paragraph in article["paragraphs"]
    ][:60]
    texts = list(carriers[:200])
    expected = {}
    for place, (name, context) in enumerate(contexts):
        spelled = [context, context.upper(), context.replace(". ", " - ").replace("。", "\n")][place % 3]
        texts[3 * place] = planted_in(texts[3 * place], spelled)
        expected[3 * place] = name
    assert held(texts, items) == expected
