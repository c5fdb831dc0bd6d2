"""A whole run against an evaluation set: what it drops, that its shards are looked through, and how it says so."""

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tiny_crawl import NUM_FILES, PAGES_PER_FILE, english_sentences, paragraphs_of


def paragraphs() -> list[list[str]]:
    """Of each page of the tiny crawl."""
    rng = random.Random(7)
    sentences = english_sentences()
    return [paragraphs_of(rng, sentences) for _ in range(NUM_FILES * PAGES_PER_FILE)]


def stage_of(shown: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (stage for stage in shown["stages"] if stage["name"] == name)
    return found


@pytest.mark.slow
def test_a_run_drops_pages_that_hold_an_item_and_looks_through_its_shards(
    gristmill: Any, tiny_crawl: Path, tmp_path: Path
) -> None:
    pages = paragraphs()
    items = [
        {"id": "whole", "question": pages[10][0].upper().replace(" ", "  "), "answer": 4},
        {"id": "half", "question": f"{pages[41][1]} {' '.join(reversed(pages[41][2].split()))}"},
        {
            "id": "nowhere",
            "question": "An item of which no page of this small crawl of ours has ever had a single word run",
        },
    ]
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text("".join(json.dumps(item) + "\n" for item in items))
    sets = f"decontamination.evaluation_sets=[{{paths: {quiz}, fields: [question]}}]"
    command = [
        "run", "minicrawl", "--set", f"source.paths={tiny_crawl}", "--set", "goal=tokens", "--set",
        "tokenizer.vocab_size=400", "--set", "corpus.validation_ratio=0.2", "--workers", "1", "--runner", "threads",
        "--set", sets,
    ]  # fmt: skip
    done = gristmill(*command, "--set", "decontamination.threshold=0.8")
    assert done.code == 0, done.err
    shown = gristmill("show", "--json").json()
    assert stage_of(shown, "decontaminate")["dropped"] == {"contaminated": 1}
    assert stage_of(shown, "overlaps")["documents_in"] == stage_of(shown, "dedup")["documents_out"]
    assert stage_of(shown, "privacy")["documents_in"] == stage_of(shown, "decontaminate")["documents_out"]
    assert stage_of(shown, "contamination")["documents_in"] == stage_of(shown, "tokens")["documents_out"]
    assert shown["metrics"]["contaminated_documents"] == 1
    assert shown["metrics"]["contamination"]["quiz"]["items_with_a_match"] == 2
    corpus = pl.read_parquet(f"{shown['paths']['corpus']}/*/*.parquet")
    assert not corpus["text"].str.contains(pages[10][0], literal=True).any()

    fate = gristmill("why", "https://site1.invalid/10.html", "--json").json()["captures"][0]
    assert fate["contamination"]["rule"] == "contaminated"
    assert fate["contamination"]["evidence"].startswith(f"quiz:whole (question) {pages[10][0][:40]}")
    told = gristmill("why", "https://site1.invalid/10.html").out
    assert "dropped: contaminated: 1 of an item, the line is at 0.8" in told
    assert "quiz:half (question)" in gristmill("why", "https://site2.invalid/41.html").out
    report = Path(shown["paths"]["report"]).read_text(encoding="utf-8")
    assert "Evaluation items in the corpus" in report
    assert "quiz:whole" in report

    # another threshold looks for nothing anew; another content of the file does
    assert gristmill(*command, "--set", "decontamination.threshold=0.3").code == 0
    again = gristmill("show", "--json").json()
    assert [stage_of(again, name)["reused"] for name in ("evaluation-items", "overlaps", "decontaminate")] == [
        True,
        True,
        False,
    ]
    assert stage_of(again, "decontaminate")["dropped"] == {"contaminated": 2}
    quiz.write_text(json.dumps(items[2]) + "\n")
    assert gristmill(*command, "--set", "goal=corpus").code == 0
    changed = gristmill("show", "--json").json()
    assert [stage_of(changed, name)["reused"] for name in ("dedup", "evaluation-items", "overlaps")] == [
        True,
        False,
        False,
    ]
    assert stage_of(changed, "decontaminate")["dropped"] == {}

    # without sets there is no trace of it
    assert gristmill(*command[:-2], "--set", "goal=corpus").code == 0
    plain = gristmill("show", "--json").json()
    assert not {stage["name"] for stage in plain["stages"]} & {"evaluation-items", "overlaps", "decontaminate"}
