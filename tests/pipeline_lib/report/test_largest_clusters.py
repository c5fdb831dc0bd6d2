"""The largest clusters of duplicates, against a count by hand."""

from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
from published_stages import publish_tables

from pipeline_lib.report.largest_clusters import largest_clusters
from storage.manifests import PublishedStage
from storage.schemas import CLUSTERS, DUPLICATES
from storage.store import Store


def rows_of(stage: PublishedStage, table: str, schema: Any) -> list[dict[str, Any]]:
    return [row for file in stage.manifest.files(table) for row in stage.read(table, file.part, schema).to_pylist()]


def test_clusters_are_the_largest_first_and_say_what_is_kept_and_why_the_rest_is_not(made_run) -> None:
    members = rows_of(made_run.stages["dedup"], "clusters", CLUSTERS)
    duplicates = rows_of(made_run.stages["dedup"], "duplicates", DUPLICATES)
    urls = dict(zip(*(made_run.documents[name].to_pylist() for name in ("doc_id", "url")), strict=True))
    sizes = Counter(row["cluster_id"] for row in members)
    kept = defaultdict(list)
    for row in members:
        if row["kept"]:
            kept[row["cluster_id"]].append(row["doc_id"])

    shown = largest_clusters(made_run.stages, number=1_000)
    assert [row["cluster_id"] for row in shown] == sorted(sizes, key=lambda each: (-sizes[each], each))
    for row in shown:
        cluster = row["cluster_id"]
        removed = [each for each in duplicates if each["cluster_id"] == cluster]
        assert row["documents"] == sizes[cluster] == row["kept"] + row["removed"]
        assert (row["kept"], row["removed"]) == (len(kept[cluster]), len(removed))
        assert row["url"] in {urls[doc_id] for doc_id in kept[cluster]}
        for rule, number in Counter(each["rule"] for each in removed).items():
            assert f"{rule}: {number}" in row["why"]
        near = [each["similarity"] for each in removed if each["rule"] == "near_duplicate"]
        if near:
            assert f"similarity {min(near):.3f}" in row["why"]
    assert largest_clusters(made_run.stages, number=2) == shown[:2]


def test_what_an_earlier_stage_removed_counts_in_the_cluster_that_a_later_one_joins(made_run, tmp_path) -> None:
    """Two clusters of dedup, whose kept documents say the same in other words: one cluster of the semantic stage."""
    members = rows_of(made_run.stages["dedup"], "clusters", CLUSTERS)
    one, two = sorted({row["cluster_id"] for row in members})[:2]
    first, second = (next(r["doc_id"] for r in members if r["cluster_id"] == each and r["kept"]) for each in (one, two))
    joined = [
        {**row, "cluster_id": one, "kept": row["doc_id"] == first} for row in members if row["cluster_id"] in (one, two)
    ]
    removed = {
        **dict.fromkeys(DUPLICATES.names),
        "doc_id": second,
        "rule": "semantic_duplicate",
        "kept_id": first,
        "similarity": 0.91,
        "threshold": 0.85,
        "bands_shared": 0,
        "cluster_id": one,
    }
    semantic = publish_tables(
        Store(str(tmp_path)),
        "semantic",
        {
            "part-00000": {
                "clusters": (pa.Table.from_pylist(joined, CLUSTERS), CLUSTERS),
                "duplicates": (pa.Table.from_pylist([removed], DUPLICATES), DUPLICATES),
            }
        },
    )
    (row,) = largest_clusters({**made_run.stages, "semantic": semantic}, number=1_000)
    assert (row["documents"], row["kept"], row["removed"]) == (len(joined), 1, len(joined) - 1)
    assert "semantic_duplicate: 1, similarity 0.910" in row["why"]


def test_a_run_without_dedup_has_none(made_run) -> None:
    assert largest_clusters({"extract": made_run.stages["extract"]}, number=5) == []


def test_hostile_addresses_stay_one_line(hostile_run) -> None:
    for row in largest_clusters(hostile_run.stages, number=5):
        assert len(row["url"]) <= 200
        assert "\n" not in row["url"]
