"""Evaluation sets as people have them: JSON Lines and Parquet, any fields, and what is wrong with some."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline_lib.decontaminate.evaluation_files import find_sets, read_items
from pipeline_lib.decontaminate.items import read_sets
from pipeline_lib.decontaminate.parameters import EvaluationSet, NgramParameters
from storage.wrong_request import WrongRequest

NGRAMS = NgramParameters(ngram=5, min_words=3)
QUESTION = "Which best describes the structure of an atom?"


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def read(*paths: Path, **more: Any) -> list[tuple[str, dict[str, str]]]:
    (found,) = find_sets([EvaluationSet(paths=tuple(map(str, paths)), name="set", **more)])
    return [(item.item, dict(item.fields)) for item in read_items(found)]


@pytest.mark.parametrize(
    ("row", "fields", "expected"),
    [
        ({"question": QUESTION, "answer": "a core"}, ["question"], {"question": QUESTION}),
        (
            {"question": QUESTION, "answer": "a core"},
            ["answer", "question"],
            {"answer": "a core", "question": QUESTION},
        ),
        ({"choices": ["a", "b", ["c"]]}, ["choices"], {"choices": "a\nb\nc"}),
        (
            {"choices": {"label": ["A", "B"], "text": ["a core", "a shell"]}},
            ["choices.text"],
            {"choices.text": "a core\na shell"},
        ),
        (
            {"turns": [{"role": "user", "content": "hi"}, {"content": "you"}]},
            ["turns.content"],
            {"turns.content": "hi\nyou"},
        ),
        ({"answer": 72, "ok": True, "q": "how many"}, ["q", "answer", "ok"], {"q": "how many", "answer": "72"}),
        ({"q": "", "a": None, "b": "text"}, ["q", "a", "b"], {"b": "text"}),
        # without fields: all text, but no ids and no numbers
        (
            {"task_id": "t", "gold": 1, "q": "how many", "choices": ["one", "two"]},
            [],
            {"q": "how many", "choices": "one\ntwo"},
        ),
        ({"q": "half a pair: \ud83d"}, [], {"q": "half a pair: ?"}),
    ],
)
def test_the_text_of_an_item_is_that_of_its_fields(
    tmp_path: Path, row: dict[str, Any], fields: list[str], expected: dict[str, str]
) -> None:
    every = dict.fromkeys(("q", "a", "ok"), "x")  # so that no field is missing in all rows
    path = write(tmp_path / "set.jsonl", [row, every])
    assert read(path, fields=tuple(fields))[0][1] == expected


def test_json_lines_and_parquet_give_the_same_items(tmp_path: Path) -> None:
    rows = [{"question": f"{QUESTION} {n}", "choices": {"text": [f"core {n}", "shell"]}} for n in range(600)]
    write(tmp_path / "set.jsonl.gz", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    lines = read(tmp_path / "set.jsonl.gz", fields=("question", "choices.text"))
    assert lines == read(tmp_path / "set.parquet", fields=("question", "choices.text"))
    assert lines[599] == ("600", {"question": f"{QUESTION} 599", "choices.text": "core 599\nshell"})


def test_items_inside_a_row_have_the_fields_around_them(tmp_path: Path) -> None:
    squad = {
        "version": "1.1",
        "data": [
            {
                "title": "Atoms",
                "paragraphs": [
                    {"context": "One.", "qas": [{"id": "a", "question": "Q1"}, {"question": "Q2"}]},
                    {"context": "Two.", "qas": [{"id": "c", "question": "Q3", "context": "own"}]},
                ],
            }
        ],
    }
    path = write(tmp_path / "squad.json", [squad])
    assert read(path, items="data.paragraphs.qas", fields=("context", "question")) == [
        ("a", {"context": "One.", "question": "Q1"}),
        ("1.2", {"context": "One.", "question": "Q2"}),
        ("c", {"context": "own", "question": "Q3"}),
    ]


def test_sets_without_a_name_are_called_after_their_files_and_none_alike(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "test.jsonl", [{"q": QUESTION}])
    write(tmp_path / "a:b.jsonl", [{"q": QUESTION}])
    found = find_sets(
        [
            EvaluationSet(paths=(str(tmp_path / "*" / "test.jsonl"), str(tmp_path / "a:b.jsonl"))),
            EvaluationSet(paths=(str(tmp_path / "one" / "test.jsonl"),), name="test"),
        ]
    )
    assert [each.name for each in found] == ["test-2", "test-3", "a_b", "test"]


def test_the_items_of_a_set_of_several_files_say_which(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.jsonl", [{"q": QUESTION}]) for name in ("dev", "test")]
    assert [item for item, _ in read(*paths)] == ["dev/1", "test/1"]
    paths = [write(tmp_path / f"{name}.jsonl", [{"q": QUESTION, "key": "k"}]) for name in ("dev", "test")]
    assert [item for item, _ in read(*paths, id_field="key")] == ["dev/k", "test/k"]


@pytest.mark.parametrize(
    ("content", "settings", "complaint"),
    [
        (b'{"question": "a"}\n', {"fields": ("qestion",)}, "Is it 'question'?"),
        (b'{"question": "a"}\n{"b": 1}\n', {"fields": ("question", "choices.text")}, "has a field 'choices.text'"),
        (b'{"question": "a b"}\n{"question": ""}\n', {}, "none of its 2 items has 3 words"),
        (b'{"question": 5}\n', {"fields": ("question",)}, "none of its 1 items"),
        (b'{"data": {"qas": []}}\n', {"items": "data.qas"}, "has no items at 'data.qas'"),
        (b"\n\n", {}, "has no items"),
        (b"", {}, "empty"),
        (b"[1, 2]\n", {}, "begins with '\\['"),
        (b'{"question": "a"}\nnonsense\n', {}, "line 2"),
        (b'{"question": "\xff"}\n', {}, "not UTF-8"),
        (b"PAR1 and then nothing of the kind", {}, "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_set_is_said_with_its_file(
    tmp_path: Path, content: bytes, settings: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(content)
    with pytest.raises(WrongRequest, match=complaint) as raised:
        read_sets(find_sets([EvaluationSet(paths=(str(path),), **settings)]), NGRAMS)
    assert str(path) in str(raised.value)


def test_a_file_that_changed_since_it_was_found_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", [{"q": QUESTION}])
    found = find_sets([EvaluationSet(paths=(str(path),))])
    write(path, [{"q": QUESTION + " "}])
    with pytest.raises(WrongRequest, match="changed"):
        read_sets(found, NGRAMS)


def test_every_item_that_is_not_looked_for_has_a_reason(tmp_path: Path) -> None:
    rows = [
        {"q": QUESTION},
        {"q": ""},
        {"q": "?!"},
        {"q": "two words"},
        {"q": "1 2 3 4 5 6"},
        {"q": "three little words"},
    ]
    path = write(tmp_path / "set.jsonl", rows)
    items = read_sets(find_sets([EvaluationSet(paths=(str(path),))]), NGRAMS)
    assert items.items["reason"].to_pylist() == [None, "no_words", "no_words", "too_short", "no_letters", None]
    assert items.items["num_words"].to_pylist() == [8, 0, 0, 2, 6, 3]
