from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from published_stages import doc_id, document_row, publish_stage, publish_tables

from pipeline_lib.filters.parameters import FilterParameters, signal_parameters
from pipeline_lib.filters.stage import judge_part, signals_part
from pipeline_lib.survivors import Trail, read_survivors
from storage.accounts import Account
from storage.manifests import Part, PartWriter, PublishedStage, StageAddress
from storage.schemas import DECISIONS, DOCUMENTS, EDITS, signals_schema
from storage.store import Store

PART = Part(name="part-00000")
PROSE = [
    "Grandmother mended the curtain before anyone else in the house was awake.",
    "A carpenter from the next village measured our doorway and shook his head.",
    "The neighbour said that blue paint would have lasted longer than green.",
    "Nobody noticed how late the clock had become since spring.",
    "Bakers carry their baskets uphill with both hands, even when it rains.",
    "To explain a long equation, our teacher drew three apples on the wall.",
]
GOOD = "[1]\r\n".join(PROSE) + "\n\nWe use cookies to improve this site."
HOSTILE = "\x00\u2028\u0301[1]{\x85" * 20


def extracted(store: Store, texts: list[tuple[str, str, float]]) -> PublishedStage:
    """The extract stage with documents of text, language and score."""
    rows = [
        document_row(number, language=language, language_score=score, text=text)
        for number, (text, language, score) in enumerate(texts)
    ]
    documents = pa.Table.from_pylist(rows, DOCUMENTS)
    return publish_tables(store, "extract", {PART.name: {"documents": (documents, DOCUMENTS)}})


def filtered(
    folder: Path, texts: list[tuple[str, str, float]], filters: FilterParameters
) -> tuple[PublishedStage, PublishedStage, PublishedStage]:
    """The stages extract, signals and judge."""
    store = Store(str(folder))
    extract = extracted(store, texts)
    inputs = {"extract": extract}
    signals = publish_stage(
        store, "signals", [PART], lambda part, out: signals_part(part, inputs, out, signal_parameters(filters))
    )
    judge = publish_stage(
        store, "judge", [PART], lambda part, out: judge_part(part, {**inputs, "signals": signals}, out, filters)
    )
    return extract, signals, judge


def rows(stage: PublishedStage, table: str, schema: pa.Schema) -> list[dict[str, Any]]:
    return stage.read(table, PART.name, schema).to_pylist()


TEXTS = [(GOOD, "en", 0.99), (GOOD, "fi", 0.99), (PROSE[0], "en", 0.99), (HOSTILE, "en", 0.99), ("", "en", 0.99)]


def test_documents_in_are_documents_out_plus_dropped_by_reason(tmp_path: Path) -> None:
    _, signals, judge = filtered(tmp_path, TEXTS, FilterParameters())
    assert signals.manifest.account == Account(documents_in=5, documents_out=5)
    assert judge.manifest.account == Account(
        documents_in=5,
        documents_out=1,
        dropped={
            "language.other_language": 1,
            "gopher_repetition.empty": 1,
            "gopher_repetition.top_2gram_chars": 2,
        },
    )
    dropped = [row["doc_id"] for row in rows(judge, "decisions", DECISIONS)]
    assert dropped == [doc_id(number) for number in (1, 2, 3, 4)]
    assert judge.manifest.metrics["broken"]["gopher_quality.too_few_words"] == 3


def test_every_signal_is_kept_for_every_document(tmp_path: Path) -> None:
    _, signals, _ = filtered(tmp_path, TEXTS, FilterParameters())
    table = signals.read("signals", PART.name, signals_schema(list(FilterParameters().signals())))
    assert table.num_rows == len(TEXTS)
    assert table["num_chars"].to_pylist() == [len(text) for text, _, _ in TEXTS]
    assert table["num_bytes"].to_pylist() == [len(text.encode()) for text, _, _ in TEXTS]
    assert table["gopher_quality_num_words"].to_pylist()[1] == table["gopher_quality_num_words"].to_pylist()[0] > 50


def test_survivors_have_the_text_that_c4_left(tmp_path: Path) -> None:
    extract, signals, judge = filtered(tmp_path, TEXTS, FilterParameters())
    survivors = read_survivors(Trail(documents=extract, edits=(signals,), drops=(judge,)), PART.name, ["text"])
    assert survivors["text"].to_pylist() == ["\n".join(PROSE)]
    assert {row["rule"] for row in rows(signals, "edits", EDITS)} >= {"c4.citation", "c4.whitespace", "c4.line_policy"}
    assert signals.manifest.metrics["edits"]["c4.citation"] == 10  # five in each of two documents
    assert signals.manifest.metrics["removed_bytes"]["c4.citation"] == 30


def test_a_recipe_without_c4_edits_nothing_and_measures_fineweb_on_the_extracted_text(tmp_path: Path) -> None:
    without = FilterParameters(rules=("fineweb_quality",))
    _, plain, _ = filtered(tmp_path / "plain", TEXTS, without)
    _, edited, _ = filtered(tmp_path / "edited", TEXTS, FilterParameters())
    assert rows(plain, "edits", EDITS) == []
    name = "fineweb_quality_num_lines"
    schema = signals_schema(list(FilterParameters().signals()))
    assert rows(plain, "signals", schema)[0][name] == 7
    assert rows(edited, "signals", schema)[0][name] == 6  # the line about cookies is gone
    assert rows(plain, "signals", schema)[0]["c4_num_kept_lines"] == 6


def test_a_part_without_documents_is_no_error(tmp_path: Path) -> None:
    _, signals, judge = filtered(tmp_path, [], FilterParameters())
    assert signals.manifest.account == judge.manifest.account == Account(documents_in=0, documents_out=0)
    assert rows(judge, "decisions", DECISIONS) == []


def test_signals_of_other_documents_are_refused(tmp_path: Path) -> None:
    _, signals, _ = filtered(tmp_path / "a", TEXTS, FilterParameters())
    other = extracted(Store(str(tmp_path / "b")), TEXTS[:2])
    writer = PartWriter(store=Store(str(tmp_path / "b")), address=StageAddress(stage="judge", key="k"), part=PART.name)
    with pytest.raises(ValueError, match="not those of the extracted documents"):
        judge_part(PART, {"extract": other, "signals": signals}, writer, FilterParameters())


def test_a_changed_threshold_decides_anew_from_the_same_signals(tmp_path: Path) -> None:
    strict = FilterParameters()
    extract, signals, _ = filtered(tmp_path, TEXTS, strict)
    loose = replace(strict, rules=("gopher_quality",), gopher_quality=replace(strict.gopher_quality, min_words=5))
    writer = PartWriter(store=Store(str(tmp_path)), address=StageAddress(stage="judge", key="loose"), part=PART.name)
    account = judge_part(PART, {"extract": extract, "signals": signals}, writer, loose).account
    assert account.dropped == {
        "gopher_quality.too_few_words": 1,
        "gopher_quality.too_few_alphabetic_words": 1,
        "gopher_quality.too_few_stop_words": 1,
    }
