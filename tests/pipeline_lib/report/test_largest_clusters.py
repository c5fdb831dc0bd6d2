"""The largest clusters of duplicates, against a count by hand."""

from collections import Counter, defaultdict
from typing import Any

from pipeline_lib.report.largest_clusters import largest_clusters
from storage.manifests import PublishedStage
from storage.schemas import CLUSTERS, DUPLICATES


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


def test_a_run_without_dedup_has_none(made_run) -> None:
    assert largest_clusters({"extract": made_run.stages["extract"]}, number=5) == []


def test_hostile_addresses_stay_one_line(hostile_run) -> None:
    for row in largest_clusters(hostile_run.stages, number=5):
        assert len(row["url"]) <= 200
        assert "\n" not in row["url"]
