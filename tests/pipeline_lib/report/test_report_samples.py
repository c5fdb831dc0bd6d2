"""Which documents are shown, and what the funnel, the bytes and the rules say of all of them."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.seeded_hash import seeded_hash
from pipeline_lib.report.clusters import count_duplicates, duplicate_pairs
from pipeline_lib.report.composition import compose, edits_table
from pipeline_lib.report.drawing import draw
from pipeline_lib.report.funnel import funnel_rows
from pipeline_lib.report.rules import distribution, rules_table
from pipeline_lib.report.samples import rejected_rows, sample_rows
from pipeline_lib.report.volumes import measure_volumes

names = st.lists(st.text("abc", min_size=1, max_size=4), unique=True, max_size=30)


@settings(deadline=None)
@given(names, st.lists(st.integers(0, 30), max_size=4), st.integers(1, 8), st.integers(0, 3))
def test_what_is_drawn_does_not_depend_on_how_documents_are_cut_into_parts(doc_ids, cuts, number, seed):
    kinds = [doc_id[0] for doc_id in doc_ids]
    edges = [0, *sorted(min(cut, len(doc_ids)) for cut in cuts), len(doc_ids)]
    parts = [
        (
            f"part-{at}",
            pa.table({"doc_id": pa.array(doc_ids[a:b], pa.string()), "kind": pa.array(kinds[a:b], pa.string())}),
        )
        for at, (a, b) in enumerate(itertools.pairwise(edges))
    ]

    hashes = dict(zip(doc_ids, seeded_hash(pa.array(doc_ids, pa.string()), seed, "test").tolist(), strict=True))
    ordered = sorted(doc_ids, key=hashes.__getitem__)
    drawn = draw(parts, number=number, seed=seed, purpose="test")
    assert drawn["doc_id"].to_pylist() == ordered[:number]
    of_kinds = draw(parts, number=number, seed=seed, purpose="test", each="kind")
    expected = [each for kind in "abc" for each in [doc_id for doc_id in ordered if doc_id[0] == kind][:number]]
    assert of_kinds["doc_id"].to_pylist() == expected
    place = {doc_id: part for part, table in parts for doc_id in table["doc_id"].to_pylist()}
    assert of_kinds["part"].to_pylist() == [place[doc_id] for doc_id in expected]


def test_samples_show_kept_documents_and_dropped_ones_with_rule_value_and_threshold(made_run):
    rows = sample_rows(made_run.stages, num_kept=5, num_per_rule=1, seed=0, excerpt_chars=80)

    kept = [row for row in rows if row["verdict"] == "kept"]
    dropped = [row for row in rows if row["verdict"] == "dropped"]
    gone = {*made_run.dropped, *made_run.duplicates}
    assert len(kept) == 5
    assert not gone & {row["doc_id"] for row in kept}
    assert sorted(row["rule"] for row in dropped) == sorted(set(made_run.dropped.values()))
    assert all(made_run.dropped[row["doc_id"]] == row["rule"] for row in dropped)
    assert all(row["value"] == pytest.approx(0.123456789) and row["threshold"] is not None for row in dropped)
    for row in rows:
        text = made_run.text_of(row["doc_id"])
        shown = row["text"].removesuffix("\u2026")
        assert shown[-30:] in text


def test_records_that_became_no_document_are_shown_by_reason_commonest_first(made_run):
    rows = rejected_rows(made_run.stages, per_reason=2, seed=0)
    assert [row["reason"] for row in rows] == ["request", "request", "not_html", "not_html"]
    assert {row["record_type"] for row in rows} == {"request", "response"}


def test_pairs_show_the_document_that_was_kept_beside_the_one_removed(made_run):
    pairs = duplicate_pairs(made_run.stages, number=8, seed=0)

    assert len(pairs) == 8
    assert len({pair["cluster_id"] for pair in pairs}) == 8
    assert [pair["rule"] for pair in pairs] == ["near_duplicate"] * 6 + ["exact_duplicate"] * 2
    for pair in pairs:
        assert made_run.duplicates[pair["removed"]["doc_id"]] == pair["kept"]["doc_id"]
        assert pair["kept"]["text"] == made_run.text_of(pair["kept"]["doc_id"])
        assert pair["cluster_size"] == 2


def test_duplicates_are_counted_by_similarity_and_cluster_size(made_run):
    figures = count_duplicates([made_run.stages["dedup"]])
    assert figures.removed == {"near_duplicate": 12, "exact_duplicate": 12}
    assert sum(figures.similarities) == 12
    assert sum(figures.similarities[:40]) == 0
    assert figures.sizes == {2: 24}
    assert figures.threshold == 0.8


def test_the_funnel_has_a_row_for_every_stage_in_the_order_of_the_walk(made_run):
    manifests = {name: stage.manifest for name, stage in reversed(made_run.stages.items())}
    rows = funnel_rows({**manifests, "unheard-of": manifests["judge"]})

    assert [row["stage"] for row in rows] == [*made_run.stages, "unheard-of"]
    judge = next(row for row in rows if row["stage"] == "judge")
    assert (judge["in"], judge["out"], judge["dropped"], judge["dropped_percent"]) == (120, 96, 24, 20.0)
    assert "gopher_repetition.empty: 2" in judge["reasons"]
    assert all(row["in"] == row["out"] + row["dropped"] for row in rows if row["unit_in"] == row["unit_out"])


def test_bytes_add_up_as_documents_do(made_run):
    volumes = measure_volumes(made_run.stages)
    sizes = {row["doc_id"]: len(row["text"].encode()) for row in made_run.documents.to_pylist()}

    assert volumes["extract"].bytes_out == volumes["judge"].bytes_in == sum(sizes.values())
    assert volumes["extract"].dropped == {"request": 6 * 300, "not_html": 4 * 300}
    assert sum(volumes["judge"].dropped.values()) == sum(sizes[doc_id] for doc_id in made_run.dropped)
    assert sum(volumes["dedup"].dropped.values()) == sum(sizes[doc_id] for doc_id in made_run.duplicates)
    assert volumes["judge"].bytes_out == volumes["dedup"].bytes_in
    assert volumes["corpus"].bytes_in == volumes["dedup"].bytes_out == volumes["corpus"].bytes_out
    assert volumes["corpus"].edited == 0


def test_the_composition_of_the_corpus_is_that_of_all_parts(made_run):
    composition = compose(made_run.stages["corpus"].manifest)
    assert composition.total.documents == 72 == sum(tally.documents for tally in composition.hosts.values())
    assert composition.splits["validation"].documents == 8
    assert sum(composition.lengths) == 72
    assert {*composition.languages} == {"en", "de", "ja"}


def test_edits_are_counted_by_rule_and_documents(made_run):
    (row,) = edits_table(made_run.stages).rows
    assert [cell.text for cell in row.cells] == ["c4.too_few_words", "signals", "18", "18", "144 B", "0 B"]


def test_every_rule_is_listed_with_its_threshold_whether_or_not_it_dropped_anything(made_run):
    rows = {
        row.cells[0].text: [cell.text for cell in row.cells[1:]]
        for row in rules_table(made_run.stages["judge"].manifest).rows
    }
    assert rows["gopher_quality.too_few_words"] == ["num_words \u2265 50", "18", "15.0 %", "0"]
    assert rows["gopher_repetition.empty"][-1] == "2"
    assert rows["language.other_language"][0] == "language one of en"


@given(
    st.lists(st.floats(0, 1e6, allow_nan=False) | st.just(float("nan")), max_size=50),
    st.lists(st.floats(0, 1e6, allow_nan=False), max_size=2),
)
def test_a_histogram_counts_every_document_once(values, thresholds):
    found = distribution(np.array(values, np.float64), thresholds)

    finite = [value for value in values if value == value]
    if found is None:
        assert len(set(finite)) <= 2
        return
    assert sum(found.counts) == len(finite)
    assert list(found.edges) == sorted(set(found.edges))
    assert np.isfinite(found.edges).all()
    assert all(found.edges[0] <= line <= found.edges[-1] for line in found.thresholds)
