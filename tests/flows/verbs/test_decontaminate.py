"""`gristmill decontaminate` on files as people have them."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from flows.cli import main

QUESTIONS = [
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many?",
    "A robe takes two bolts of blue fiber and half that much white fiber. How many bolts in total does it take?",
    "Which of these is the largest city of the southern half of the continent, going by its number of people?",
]
PAGE = "The baker's shop opens at seven, and by eight most of the bread has gone to people who live around the corner."


def gristmill(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "quiz.jsonl", [{"question": text, "answer": n} for n, text in enumerate(QUESTIONS)])


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    texts = [
        PAGE,
        f"{PAGE} {QUESTIONS[0].upper()} {PAGE}",
        f"{PAGE} {' '.join(QUESTIONS[1].split()[:14])} {PAGE}",  # two of its 13-grams
        "",
        QUESTIONS[2],
    ]
    # ids that come twice, as files of others have them
    return write_lines(tmp_path / "docs.jsonl", [{"id": min(n, 3), "text": text} for n, text in enumerate(texts)])


def test_documents_that_hold_an_item_are_named_with_the_item_and_the_place(
    tmp_path: Path, evaluation: Path, documents: Path
) -> None:
    out = tmp_path / "out"
    done = gristmill("decontaminate", documents, "--against", evaluation, "--out", out, "--with-text")
    assert done.exit_code == 0, done.stderr
    decisions = pl.read_parquet(out / "decisions" / "docs.parquet")
    assert decisions.select("id", "rule", "value", "threshold").rows() == [
        ("1", "contaminated", 1.0, 0.5),
        ("3", "contaminated", 1.0, 0.5),
    ]
    assert decisions["evidence"][0].startswith("quiz:1 (question) NATALIA SOLD CLIPS TO 48")
    matches = pl.read_parquet(out / "matches" / "docs.parquet")
    assert matches.select("id", "set", "item", "matched").rows()[:2] == [("1", "quiz", "1", 10), ("2", "quiz", "2", 2)]
    start, end = matches.select("start", "end").row(0)
    assert (start, end) == (len(PAGE) + 1, len(PAGE) + len(QUESTIONS[0]))  # without the question mark
    kept = pl.read_parquet(out / "kept" / "docs.parquet")
    assert kept["id"].to_list() == ["0", "2", "3"]
    assert kept["text"].to_list()[2] == ""
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["documents_in"], summary["documents_kept"], summary["dropped"]) == (5, 3, {"contaminated": 2})
    assert summary["sets"]["quiz"] == {
        "items": 3,
        "items_compared": 3,
        "items_with_a_match": 3,
        "items_held": 2,
        "documents_with_a_match": 3,
        "documents_contaminated": 2,
    }
    assert "quiz: 3 items, 3 looked for, 2 found in 2 documents; 3 with a match in 3" in done.stdout


def test_the_same_is_found_in_another_format_and_by_more_workers(tmp_path: Path, evaluation: Path) -> None:
    texts = [f"{PAGE} {QUESTIONS[number % 3] if number % 7 == 0 else number}" for number in range(700)]
    pq.write_table(pa.table({"text": texts, "id": [str(n) for n in range(700)]}), tmp_path / "docs.parquet")
    write_lines(tmp_path / "lines.jsonl", [{"id": number, "text": text} for number, text in enumerate(texts)])
    for number, (name, workers) in enumerate([("docs.parquet", "1"), ("docs.parquet", "3"), ("lines.jsonl", "2")]):
        out = tmp_path / f"out{number}"
        done = gristmill(
            "decontaminate", tmp_path / name, "--against", evaluation, "--out", out, "--workers", workers,
            "--set", "ignore_common=50",
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
    one, three, lines = (
        [pl.read_parquet(tmp_path / f"out{number}" / table / f"{name}.parquet") for table in ("decisions", "matches")]
        for number, name in enumerate(["docs", "docs", "lines"])
    )
    assert one[0].height == 100
    assert all(left.equals(right) for left, right in zip(one, three, strict=True))
    assert all(left.equals(right) for left, right in zip(one, lines, strict=True))


def test_settings_are_those_of_a_recipe(tmp_path: Path, evaluation: Path, documents: Path) -> None:
    def found(name: str, *settings: str) -> dict[str, Any]:
        arguments = [each for setting in settings for each in ("--set", setting)]
        done = gristmill("decontaminate", documents, "--out", tmp_path / name, "--json", *arguments)
        assert done.exit_code == 0, done.stderr
        summary: dict[str, Any] = json.loads(done.stdout)
        return summary

    sets = f"evaluation_sets=[{{paths: {evaluation}, name: mine, fields: question}}]"
    assert found("a", sets, "threshold=0.2")["contaminated"] == 3
    assert found("b", sets, "decontamination.action=report")["dropped"] == {}
    assert found("c", f"evaluation_sets={evaluation}", "ngram=40")["contaminated"] == 2  # items as a whole
    assert found("d", sets, "ignore_common=1")["contaminated"] == 2
    write_lines(documents, [{"id": 1, "text": QUESTIONS[0]}, {"id": 2, "text": QUESTIONS[0]}])
    assert found("e", sets, "ignore_common=1")["contaminated"] == 0
    assert found("f", sets)["contaminated"] == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "add --against"),
        (["--against", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["--against", "{evaluation}", "--fields", "qestion"], "Is it 'question'?"),
        (["--against", "{evaluation}", "--fields", "answer"], "none of its 3 items has 8 words"),
        (["--against", "{evaluation}", "--set", "treshold=0.3"], "did you mean 'threshold'"),
        (["--against", "{evaluation}", "--set", "threshold=0"], "a share is above 0"),
        (["--against", "{evaluation}", "--set", "min_words=14"], "min_words"),
        (["--against", "{evaluation}", "--text-field", "body"], "there is no column 'body'"),
    ],
)
def test_a_wrong_request_is_one_message_and_nothing_is_written(
    tmp_path: Path, evaluation: Path, documents: Path, arguments: list[str], complaint: str
) -> None:
    before = sorted(tmp_path.iterdir())
    filled = [argument.format(evaluation=evaluation) for argument in arguments]
    done = gristmill("decontaminate", documents, "--out", tmp_path / "out", *filled)
    assert done.exit_code == 2, (done.exit_code, done.stderr)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_breaks_off_leaves_nothing(tmp_path: Path, evaluation: Path, documents: Path) -> None:
    with documents.open("ab") as stream:
        stream.write(b'{"id": 9, "text": \xff}\n')
    done = gristmill("decontaminate", documents, "--against", evaluation, "--out", tmp_path / "out")
    assert done.exit_code == 2, done.stderr
    assert "line 6" in done.stderr
    assert not (tmp_path / "out").exists()
