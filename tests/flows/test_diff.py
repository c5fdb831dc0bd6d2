"""What differs between two runs whose outputs were published by hand, so that each kind of difference is there."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from published_stages import corpus_row, doc_id, document_row, publish_tables

from flows.diff import RunDiff, describe_diff, diff_runs
from storage.accounts import Account
from storage.manifests import PublishedStage, publish_manifest
from storage.runs import EarlierRun, Run, StageOutcome
from storage.schemas import CORPUS, DECISIONS, DOCUMENTS, DUPLICATES, REJECTED_RECORDS, SOURCES
from storage.store import Store

Kept = Mapping[int, str]  # text by number


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def publish(store: Store, name: str, key: str, parts) -> PublishedStage:
    published = publish_tables(store, name, parts, key)
    publish_manifest(store, published.manifest)
    return published


def source_row(path: str, fingerprint: str = "sha256:0", wanted: list[int] | None = None) -> dict:
    return {
        "kind": "warc", "warc_path": path, "url": f"/somewhere/{path}", "position": 0, "offset": 0, "length": -1,
        "wanted": wanted, "bytes": 100, "fingerprint": fingerprint,
    }  # fmt: skip


def make_run(
    store: Store,
    key: str,
    kept: list[Kept],
    *,
    extracted: Kept | None = None,
    decisions: list[dict] | None = None,
    duplicates: list[dict] | None = None,
    rejected: list[dict] | None = None,
    sources: list[dict] | None = None,
    **changes,
) -> Run:
    """A run with a corpus of parts, and stages before it that dropped what is given, in the first part."""
    every = dict(extracted or {}) | {number: text for part in kept for number, text in part.items()}
    names = [f"part-{number:05d}" for number in range(len(kept))]

    def in_first(table: str, rows: list[dict] | None, schema: pa.Schema) -> dict:
        return {names[0]: {table: (pa.Table.from_pylist(rows or [], schema), schema)}}

    documents = pa.Table.from_pylist([document_row(number, text=text) for number, text in every.items()], DOCUMENTS)
    extract = in_first("rejected", rejected, REJECTED_RECORDS)
    extract[names[0]]["documents"] = (documents, DOCUMENTS)
    stages = {
        "fetch": publish(store, "fetch", key, in_first("sources", sources, SOURCES)),
        "extract": publish(store, "extract", key, extract),
        "judge": publish(store, "judge", key, in_first("decisions", decisions, DECISIONS)),
        "dedup": publish(store, "dedup", key, in_first("duplicates", duplicates, DUPLICATES)),
        "corpus": publish(
            store,
            "corpus",
            key,
            {
                name: {
                    "train": (
                        pa.Table.from_pylist([corpus_row(number, text=text) for number, text in part.items()], CORPUS),
                        CORPUS,
                    ),
                    "validation": (CORPUS.empty_table(), CORPUS),
                }
                for name, part in zip(names, kept, strict=True)
            },
        ),
    }
    account = Account(documents_in=0, documents_out=0)
    return Run(
        run_id=f"run-{key}", recipe_name="demo", recipe={"dedup": {"near": True}}, recipe_digest="",
        created_at="2026-01-01T00:00:00+00:00", status="completed",
        stages=[
            StageOutcome(name=name, key=stage.manifest.key, account=account, reused=False, seconds=0.0)
            for name, stage in stages.items()
        ],
        **changes,
    )  # fmt: skip


def look(store: Store, a: Run, b: Run, examples: int = 10) -> RunDiff:
    return diff_runs(store, a, b, examples=examples)


def test_the_fate_of_every_kind_of_lost_document(store) -> None:
    texts = {number: f"text {number}" for number in range(6)}
    a = make_run(store, "a", [texts])
    decision = {"doc_id": doc_id(1), "rule": "too_short", "value": 3.0, "threshold": 5.0, "evidence": None}
    duplicate = {
        "doc_id": doc_id(2), "rule": "near_duplicate", "kept_id": doc_id(0), "kept_run": None, "similarity": 0.9,
        "threshold": 0.8, "bands_shared": 1, "cluster_id": doc_id(0),
    }  # fmt: skip
    refused = {
        "warc_path": document_row(3)["warc_path"], "warc_offset": 3, "warc_length": 1, "record_type": "response",
        "url": None, "reason": "status_404",
    }  # fmt: skip
    b = make_run(
        store,
        "b",
        [{0: "text 0"}],
        extracted={number: texts[number] for number in (1, 2, 5)},
        decisions=[decision],
        duplicates=[duplicate],
        rejected=[refused],
    )
    found = look(store, a, b).documents
    assert found is not None
    assert (found.num_lost, found.num_gained, found.num_changed) == (5, 0, 0)
    fates = {each.doc_id: each.fate for each in found.lost}
    assert {name: fates[doc_id(1)][name] for name in ("stage", "rule", "value", "threshold")} == {
        "stage": "judge", "rule": "too_short", "value": 3.0, "threshold": 5.0,
    }  # fmt: skip
    assert (fates[doc_id(2)]["stage"], fates[doc_id(2)]["kept_url"]) == ("dedup", "https://site.example/0")
    assert fates[doc_id(3)] == {"stage": "extract", "rule": "status_404"}
    assert fates[doc_id(4)] == {"stage": "fetch", "rule": "not_read"}
    assert fates[doc_id(5)] == {"stage": "corpus", "rule": "empty_after_edits"}
    told = describe_diff(look(store, a, b))
    assert "B: dropped at judge: too_short, 3, the line is at 5" in told
    assert "near_duplicate of https://site.example/0, similarity 0.900, the line is at 0.800" in told
    assert "B: was not read" in told


def test_texts_that_changed_are_shown_where_they_differ(store) -> None:
    long = "word " * 500
    a = make_run(store, "a", [{0: "same", 1: f"{long}before {long}"}, {2: "equal part"}])
    b = make_run(store, "b", [{0: "same", 1: f"{long}after {long}"}, {2: "equal part"}])
    found = look(store, a, b).documents
    assert found is not None
    assert (found.num_lost, found.num_gained, found.num_changed) == (0, 0, 1)
    (changed,) = found.changed
    assert changed.doc_id == doc_id(1)
    assert changed.texts is not None
    assert "before" in changed.texts[0]
    assert "after" in changed.texts[1]
    assert max(map(len, changed.texts)) < 120


def test_documents_that_only_moved_between_parts_are_no_difference(store) -> None:
    a = make_run(store, "a", [{0: "a", 1: "b"}, {2: "c"}])
    b = make_run(store, "b", [{2: "c", 1: "b"}, {0: "a"}])
    assert not look(store, a, b).differs
    assert "nothing differs" in describe_diff(look(store, a, b))


def test_source_files_gained_lost_and_changed(store) -> None:
    before = [source_row("same"), source_row("lost"), source_row("new", "sha256:1"), source_row("fewer", wanted=[1, 2])]
    after = [source_row("new", "sha256:2"), source_row("same"), source_row("gained"), source_row("fewer", wanted=[2])]
    a, b = make_run(store, "a", [{}], sources=before), make_run(store, "b", [{}], sources=after)
    inputs = look(store, a, b).inputs
    assert inputs is not None
    assert (inputs.gained, inputs.lost, inputs.changed) == (["gained"], ["lost"], ["fewer", "new"])
    assert (inputs.num_gained, inputs.num_lost, inputs.num_changed) == (1, 1, 2)
    assert "changed 2: fewer, new" in describe_diff(look(store, a, b))


def test_what_only_one_of_the_runs_knew_of_is_named(store) -> None:
    earlier = [EarlierRun(entry=name, run_id=f"run-{name}", kept="") for name in ("week-1", "week-2")]
    a = make_run(store, "a", [{}], earlier=earlier[:1], exclusions=["old"])
    b = make_run(store, "b", [{}], earlier=earlier, exclusions=["old", "new"])
    found = look(store, a, b)
    assert found.differs
    assert [(each.name, each.a, each.b) for each in found.known] == [
        ("deduplicated against", [], ["week-2"]), ("withdrawn", [], ["new"]),
    ]  # fmt: skip
    assert "deduplicated against, by B only: week-2" in describe_diff(found)


def test_what_is_not_in_the_store_any_more_is_said_and_the_rest_is_compared(store) -> None:
    a = make_run(store, "a", [{0: "a"}], metrics={"val_bits_per_byte": 1.5})
    b = make_run(store, "b", [{1: "b"}], metrics={"val_bits_per_byte": 1.25})
    store.remove("stages/corpus/b/manifest.json")
    found = look(store, a, b)
    assert found.documents is None
    assert any("stage corpus of run run-b is not compared" in note for note in found.notes)
    assert "1.5000         1.2500      -0.2500" in describe_diff(found)


def test_no_example_is_shown_where_none_is_asked_for_and_the_numbers_are_of_all(store) -> None:
    a = make_run(store, "a", [dict.fromkeys(range(20), "x")])
    b = make_run(store, "b", [{}])
    assert [len(look(store, a, b, examples=number).documents.lost) for number in (0, 2, 50)] == [0, 2, 20]
    assert look(store, a, b, examples=0).documents.num_lost == 20
