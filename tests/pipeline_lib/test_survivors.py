from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_stages import doc_id, document_row, publish_tables

from pipeline_lib.survivors import MisplacedEdit, Trail, apply_edits, read_survivors
from storage.manifests import PublishedStage
from storage.schemas import DECISIONS, DOCUMENTS, DUPLICATES, EDITS
from storage.store import Store

PART = "part-00000"

characters = st.characters(codec="utf-8") | st.sampled_from("aé猫𝒳\x00\u0301\n")
Edit = tuple[int, int, str]


@st.composite
def edited_texts(draw: st.DrawFn) -> tuple[str, list[Edit]]:
    """A text and its edits, in characters: ordered, not overlapping, perhaps empty or touching."""
    text = draw(st.text(characters, max_size=20))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return text, [(start, end, draw(st.text(characters, max_size=4))) for start, end in pairs]


def sliced(text: str, edits: list[Edit]) -> str:
    for start, end, replacement in reversed(edits):
        text = text[:start] + replacement + text[end:]
    return text


def documents_table(texts: list[str]) -> pa.Table:
    return pa.Table.from_pylist([document_row(number, text=text) for number, text in enumerate(texts)], DOCUMENTS)


def edits_table(edits: list[tuple[int, int, int, str]], step: int = 0) -> pa.Table:
    """Edits of document number, byte positions and replacement."""
    rows = [
        {
            "doc_id": doc_id(number),
            "step": step,
            "rule": "test.rule",
            "start": start,
            "end": end,
            "replacement": replacement,
        }
        for number, start, end, replacement in edits
    ]
    return pa.Table.from_pylist(rows, EDITS)


@settings(deadline=None)  # the first example compiles
@given(st.lists(edited_texts(), max_size=5), st.randoms(use_true_random=False))
def test_edits_are_slices_replaced_whatever_the_order_of_the_documents(
    documents: list[tuple[str, list[Edit]]], random: Random
) -> None:
    by_document = [
        [
            (number, len(text[:start].encode()), len(text[:end].encode()), replacement)
            for start, end, replacement in edits
        ]
        for number, (text, edits) in enumerate(documents)
    ]
    by_document.append([(99, 0, 1_000, "of a document that is not there")])
    random.shuffle(by_document)
    table = documents_table([text for text, _ in documents])
    edited = apply_edits(table, edits_table([edit for edits in by_document for edit in edits]))
    assert edited["text"].to_pylist() == [sliced(text, edits) for text, edits in documents]
    assert edited.drop_columns("text").equals(table.drop_columns("text"))
    assert edited.schema == table.schema


def test_positions_of_a_later_step_are_those_in_the_text_that_the_step_before_left() -> None:
    first = edits_table([(0, 0, 4, ""), (1, 0, 1, "AB")], step=0)
    second = edits_table([(0, 0, 1, "R"), (1, 1, 2, "C")], step=1)
    edited = apply_edits(documents_table(["the rest", "xyz"]), pa.concat_tables([first, second]))
    assert edited["text"].to_pylist() == ["Rest", "ACyz"]


@pytest.mark.parametrize(
    "edits",
    [
        [(0, 0, 6, "")],  # the text has 5 bytes
        [(0, -1, 2, "")],
        [(0, 3, 2, "")],
        [(0, 0, 3, ""), (0, 2, 4, "")],
        [(0, 3, 4, ""), (0, 0, 1, "")],
    ],
)
def test_edits_made_for_another_text_are_refused(edits: list[tuple[int, int, int, str]]) -> None:
    with pytest.raises(MisplacedEdit, match="another text"):
        apply_edits(documents_table(["héla", "a longer text after it"]), edits_table(edits))


def published(store: Store, stage: str, table: str, rows: pa.Table, schema: pa.Schema) -> PublishedStage:
    return publish_tables(store, stage, {PART: {table: (rows, schema)}})


def test_survivors_are_what_no_stage_dropped_with_the_edits_in_their_order(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    ids = [doc_id(number) for number in range(4)]
    documents = published(store, "extract", "documents", documents_table(["zero", "one", "two", "three"]), DOCUMENTS)
    signals = published(store, "signals", "edits", edits_table([(0, 0, 1, "h"), (3, 0, 5, "THREE!")]), EDITS)
    privacy = published(store, "privacy", "edits", edits_table([(3, 5, 6, "?")]), EDITS)
    decision = {"doc_id": ids[1], "rule": "length.too_short", "value": 3.0, "threshold": 4.0, "evidence": None}
    judge = published(store, "judge", "decisions", pa.Table.from_pylist([decision], DECISIONS), DECISIONS)
    duplicate = {
        "doc_id": ids[2],
        "rule": "exact_duplicate",
        "kept_id": ids[0],
        "similarity": 1.0,
        "threshold": 0.8,
        "bands_shared": 14,
        "cluster_id": ids[0],
    }
    dedup = published(store, "dedup", "duplicates", pa.Table.from_pylist([duplicate], DUPLICATES), DUPLICATES)

    trail = Trail(documents=documents, edits=(signals, privacy), drops=(judge, dedup))
    survivors = read_survivors(trail, PART)
    assert survivors["doc_id"].to_pylist() == [ids[0], ids[3]]
    assert survivors["text"].to_pylist() == ["hero", "THREE?"]
    assert survivors.schema.names == DOCUMENTS.names
    assert read_survivors(trail, PART, ["text", "url"]).column_names == ["text", "url"]
    assert read_survivors(Trail(documents=documents), PART, ["text"])["text"].to_pylist() == [
        "zero",
        "one",
        "two",
        "three",
    ]
