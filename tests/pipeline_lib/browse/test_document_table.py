"""The table of a run's documents: every document once, with what became of it, whatever stages the run has."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from published_stages import document_row, publish_tables

from pipeline_lib.browse.documents import Fate, read_document_table
from pipeline_lib.browse.published import PublishedTables
from storage.schemas import DECISIONS, DOCUMENTS, DUPLICATES, EDITS
from storage.store import Store


def test_every_document_has_its_place_its_names_and_its_fate(browsed_run, published, table):
    documents = browsed_run.documents.to_pylist()
    assert len(table) == len(documents)
    for position, document in enumerate(documents):
        doc_id = document["doc_id"]
        assert table.find(doc_id) == position
        assert table.doc_id(position) == doc_id
        part, row = table.place(position)
        assert part == document["part"]
        (found,) = published.rows("extract", "documents", part, DOCUMENTS, ["doc_id", "url"], [row]).to_pylist()
        assert found == {"doc_id": doc_id, "url": document["url"]}
        for names, column in ((table.hosts, "host"), (table.languages, "language"), (table.files, "warc_path")):
            assert names.names[int(names.codes[position])].as_py() == document[column]
        fate = table.fate_of(position)
        if doc_id in browsed_run.dropped:
            assert fate == Fate(kept=False, stage="judge", rule=browsed_run.dropped[doc_id])
        elif doc_id in browsed_run.duplicates:
            assert (fate.stage, fate.kept) == ("dedup", False)
        else:
            assert fate.kept
            assert fate.rule in ("train", "validation")


def test_a_duplicate_is_in_the_cluster_of_the_one_kept_and_others_are_alone(browsed_run, table):
    for doc_id, kept_id in browsed_run.duplicates.items():
        assert table.cluster[table.find(doc_id)] == table.cluster[table.find(kept_id)] >= 0
    sizes = Counter(table.cluster.tolist())
    clustered = {*browsed_run.duplicates, *browsed_run.duplicates.values()}
    assert sizes[-1] == len(table) - len(clustered)


def test_the_editors_of_each_document_are_known(browsed_run, table):
    edited = browsed_run.documents["doc_id"].to_pylist()
    assert table.editors == (("signals", "c4.too_few_words"),)
    rows = np.flatnonzero(table.edited).tolist()
    # of each part of 60 documents, every seventh
    assert [edited[row] for row in rows] == [*edited[:60:7], *edited[60::7]]


@pytest.mark.parametrize("last", ["extract", "signals", "judge", "dedup", "privacy"])
def test_an_unfinished_run_has_a_table_too(browsed_run, last):
    names = list(browsed_run.stages)
    stages = {name: browsed_run.stages[name] for name in names[: names.index(last) + 1]}
    table = read_document_table(PublishedTables(stages))
    assert len(table) == browsed_run.documents.num_rows
    assert not table.has_corpus
    fates = Counter(table.fate_of(position).key for position in range(len(table)))
    dropped = len(browsed_run.dropped) if "judge" in stages else 0
    dropped += len(browsed_run.duplicates) if "dedup" in stages else 0
    assert fates["kept"] == len(table) - dropped


def test_a_run_without_documents_has_an_empty_table():
    table = read_document_table(PublishedTables({}))
    assert len(table) == 0
    assert table.find("0" * 32) is None
    assert table.order("mixed").tolist() == table.order("host").tolist() == []


def test_who_is_dropped_first_is_dropped_for_that(tmp_path):
    store = Store(str(tmp_path))
    document = document_row(0, text="a")
    doc_id = document["doc_id"]
    dropped = {"doc_id": doc_id, "rule": "first", "value": None, "threshold": None, "evidence": None}
    duplicate = {
        "doc_id": doc_id,
        "rule": "exact_duplicate",
        "kept_id": doc_id,
        "kept_run": None,
        "similarity": 1.0,
        "threshold": 1.0,
        "bands_shared": 0,
        "cluster_id": doc_id,
    }
    tables = {
        "extract": {"documents": ([document], DOCUMENTS)},
        "judge": {"decisions": ([dropped], DECISIONS)},
        "dedup": {"duplicates": ([duplicate], DUPLICATES), "edits": ([], EDITS)},
    }
    stages = {
        name: publish_tables(
            store,
            name,
            {"p": {each: (pa.Table.from_pylist(rows, schema), schema) for each, (rows, schema) in t.items()}},
        )
        for name, t in tables.items()
    }
    table = read_document_table(PublishedTables(stages))
    assert table.fate_of(0).key == "judge:first"


def test_rows_come_in_the_order_they_are_asked_for_and_only_their_row_groups_are_read(tmp_path):
    documents = [document_row(number, text="word " * 50_000) for number in range(600)]
    tables = {"p": {"documents": (pa.Table.from_pylist(documents, DOCUMENTS), DOCUMENTS)}}
    published = PublishedTables({"extract": publish_tables(Store(str(tmp_path)), "extract", tables)})
    wanted = [599, 0, 7, 7, 300]
    found = published.rows("extract", "documents", "p", DOCUMENTS, ["url"], wanted)["url"].to_pylist()
    assert found == [documents[row]["url"] for row in wanted]

    def groups_with(rows: list[int]) -> list[tuple[int, pa.Table]]:
        return list(published.row_groups("extract", "documents", "p", DOCUMENTS, ["url"], rows))

    groups = groups_with(list(range(600)))
    assert len(groups) > 3
    assert [url for _, group in groups for url in group["url"].to_pylist()] == [each["url"] for each in documents]
    assert [first for first, _ in groups_with([0, 1, 599])] == [0, groups[-1][0]]
