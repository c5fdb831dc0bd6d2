"""`judge`, `train-classifier` and `train-perplexity` on files as people have them."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from flows.cli import main

PROSE = (
    "Grandmother mended the curtain before anyone else in the house was awake. "
    "A carpenter from the next village measured our doorway and shook his head. "
    "The neighbour said that blue paint would have lasted longer than green. "
    "Nobody noticed how late the clock had become since the end of spring. "
    "Bakers carry their baskets uphill with both hands, even when it rains. "
    "To explain a long equation, our teacher drew three apples on the wall."
)
SHORT = "Too short to say anything."
TEXTS = {"good": PROSE, "short": SHORT, "shop": "buy now " * 60, "empty": ""}


def gristmill(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def documents(path: Path) -> Path:
    return write_lines(path, [{"id": name, "text": text} for name, text in TEXTS.items()])


def test_judge_says_of_every_document_what_it_was_measured_at_and_why_it_goes(tmp_path: Path) -> None:
    done = gristmill("judge", documents(tmp_path / "docs.jsonl.gz"), "--rules", "fineweb", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    judged = pl.read_parquet(tmp_path / "out" / "docs.parquet")
    assert dict(zip(judged["id"], judged["rejected_by"], strict=True)) == {
        "good": None,
        "short": "gopher_repetition.top_2gram_chars",
        "shop": "gopher_repetition.top_2gram_chars",
        "empty": "gopher_repetition.empty",
    }
    assert judged["num_chars"].to_list() == [len(text) for text in TEXTS.values()]
    assert judged["gopher_quality_num_words"].to_list()[0] == len(PROSE.split())
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["documents_in"], summary["documents_kept"]) == (4, 1)
    assert "1 kept (25.0%)" in done.stdout


def test_judge_gives_the_same_for_the_same_documents_in_another_format_and_by_more_workers(tmp_path: Path) -> None:
    table = pa.table({"text": list(TEXTS.values()) * 50, "doc_id": [f"{k}" for k in range(4 * 50)]})
    pq.write_table(table, tmp_path / "docs.parquet", row_group_size=7)
    write_lines(
        tmp_path / "lines.jsonl", [{"text": row["text"], "id": int(row["doc_id"])} for row in table.to_pylist()]
    )
    for number, (name, workers) in enumerate([("docs.parquet", "1"), ("docs.parquet", "3"), ("lines.jsonl", "2")]):
        out = tmp_path / f"out{number}"
        done = gristmill("judge", tmp_path / name, "--rules", "c4", "--out", out, "--workers", workers, "--with-text")
        assert done.exit_code == 0, done.stderr
    one, three, lines = (
        pl.read_parquet(tmp_path / f"out{number}" / f"{name}.parquet")
        for number, name in enumerate(["docs", "docs", "lines"])
    )
    assert one.equals(three)
    assert one.equals(lines)
    assert one["text"].to_list()[0] == PROSE


def test_rules_from_a_file_mix_presets_thresholds_and_expressions(tmp_path: Path) -> None:
    rules = tmp_path / "mine.yaml"
    rules.write_text(
        "preset: gopher-quality\n"
        "gopher_quality: {min_words: 5, min_stop_words: null}\n"
        "custom: [{name: nothing_new, drop_where: gopher_quality_mean_word_chars < 3.6}]\n"
    )
    done = gristmill("judge", documents(tmp_path / "docs.jsonl"), "--rules", rules, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rejected_by"] == {"custom.nothing_new": 1, "gopher_quality.too_few_words": 1}


def test_languages_are_those_of_the_file_or_else_identified(tmp_path: Path) -> None:
    german = "Der Zimmermann aus dem Nachbardorf hat unsere Tür gemessen und den Kopf geschüttelt."
    rows: list[dict[str, Any]] = [{"text": PROSE}, {"text": german}]
    write_lines(tmp_path / "plain.jsonl", rows)
    write_lines(tmp_path / "stated.jsonl", [row | {"language": "en", "language_score": 0.9} for row in rows])
    done = gristmill(
        "judge", tmp_path / "plain.jsonl", tmp_path / "stated.jsonl", "--rules", "none", "--set", "rules=[language]",
        "--set", "language.min_score=null", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = [
        pl.read_parquet(tmp_path / "out" / f"{name}.parquet")["rejected_by"].to_list() for name in ("plain", "stated")
    ]
    assert found == [[None, "language.other_language"], [None, None]]


@pytest.mark.parametrize(
    ("content", "arguments", "complaint"),
    [
        (b'{"id": 1, "text": 5}\n', [], "docs.jsonl, line 1"),
        (b'{"text": "a"}\n{"text": null}\n', [], "line 2"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', [], "line 2"),
        (b'{"text": "a"}\nnonsense\n', [], "line 2"),
        (b'{"body": "a"}\n', [], "body"),
        (b"", [], "docs.jsonl"),
        (b'{"text": "a"}\n', ["--rules", "finweb"], "did you mean 'fineweb'"),
        (b'{"text": "a"}\n', ["--set", "gopher_quality.min_words=many"], "gopher_quality.min_words"),
        (
            b'{"text": "a"}\n',
            ["--set", "custom=[{name: x, drop_where: nonsense < 3}]"],
            "no signal is called 'nonsense'",
        ),
        (b'{"text": "a"}\n', ["--set", "rules=[classifier]", "--set", "classifier.model=nowhere"], "nowhere"),
        (b'{"text": "a"}\n', ["--set", "rules=[url]", "--set", "url.domains=[nowhere.txt]"], "nowhere.txt"),
    ],
)
def test_bad_input_is_one_message_that_names_file_row_or_key_and_nothing_is_written(
    tmp_path: Path, content: bytes, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "docs.jsonl").write_bytes(content)
    done = gristmill("judge", tmp_path / "docs.jsonl", "--out", tmp_path / "out", *arguments)
    assert done.exit_code == 2, (done.exit_code, done.stderr)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["docs.jsonl"]


def test_a_rule_about_urls_needs_urls(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("bad-pages.com\n")
    rules = ["--rules", "none", "--set", "rules=[url]", "--set", f"url.domains=[{tmp_path / 'list.txt'}]"]
    without = gristmill("judge", documents(tmp_path / "docs.jsonl"), *rules, "--out", tmp_path / "out")
    assert without.exit_code == 2
    assert "needs a column `url`" in without.stderr
    write_lines(
        tmp_path / "urls.jsonl",
        [{"text": "a", "url": "https://www.bad-pages.com/x"}, {"text": "a", "url": "https://good-pages.com/"}],
    )
    done = gristmill("judge", tmp_path / "urls.jsonl", *rules, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert pl.read_parquet(tmp_path / "out" / "urls.parquet")["rejected_by"].to_list() == ["url.listed_domain", None]


def test_a_trained_classifier_and_a_perplexity_model_are_signals_like_any_other(tmp_path: Path) -> None:
    nouns = ["baker", "clock", "river", "teacher", "window", "garden", "letter", "doctor"]
    good = [{"text": f"The {a} told the {b} a story about number {n}."} for n in range(3) for a in nouns for b in nouns]
    spam = [{"text": f"BUY {a} cheap {b} click here {n} !!!"} for n in range(3) for a in nouns for b in nouns]
    write_lines(tmp_path / "good.jsonl", good)
    write_lines(tmp_path / "spam.jsonl", spam)
    out = tmp_path / "quality"
    trained = gristmill(
        "train-classifier",
        "--positive",
        tmp_path / "good.jsonl",
        "--negative",
        tmp_path / "spam.jsonl",
        "--out",
        out,
        "--json",
    )
    assert trained.exit_code == 0, trained.stderr
    assert json.loads(trained.stdout)["test"]["auc"] > 0.99
    counted = gristmill("train-perplexity", tmp_path / "good.jsonl", "--out", tmp_path / "grams")
    assert counted.exit_code == 0, counted.stderr
    write_lines(
        tmp_path / "new.jsonl", [{"text": "The sailor told the doctor a story."}, {"text": "BUY sailor click here !!!"}]
    )
    judged = gristmill(
        "judge", tmp_path / "new.jsonl", "--rules", "none", "--out", tmp_path / "judged",
        "--set", "rules=[classifier, perplexity]", "--set", f"classifier.model={out}",
        "--set", f"perplexity.model={tmp_path / 'grams'}", "--set", "perplexity.max_bits_per_byte=8",
    )  # fmt: skip
    assert judged.exit_code == 0, judged.stderr
    table = pl.read_parquet(tmp_path / "judged" / "new.parquet")
    assert table["rejected_by"].to_list() == [None, "classifier.low_score"]
    assert table["perplexity_bits_per_byte"][0] < table["perplexity_bits_per_byte"][1]
