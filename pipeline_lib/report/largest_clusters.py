"""The clusters that duplicates come in the most: which document is kept, how many are not, and why."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.report.clusters import removing_stages
from pipeline_lib.report.drawing import read_drawn
from pipeline_lib.report.excerpts import one_line
from storage.manifests import PublishedStage
from storage.schemas import CLUSTERS, DOCUMENTS, DUPLICATES

_URL_CHARS = 200


def largest_clusters(inputs: Mapping[str, PublishedStage], *, number: int) -> list[dict[str, Any]]:
    """The clusters of the most documents, largest first, then by id.

    Keys: documents, kept (how many of them), removed, why (each rule with the number that it removed, and for
    near-duplicates how similar they were verified to be), url (of one that is kept), cluster_id.
    """
    stages = removing_stages(inputs)
    if not stages:
        return []
    sizes = _largest(stages[-1], number)
    wanted = pa.array(sizes, pa.string())
    kept: dict[str, list[tuple[str, str]]] = defaultdict(list)
    members = [pa.schema([CLUSTERS.field(name) for name in ("doc_id", "cluster_id")]).empty_table()]
    for record in stages[-1].manifest.files("clusters"):
        table = stages[-1].read("clusters", record.part, CLUSTERS)
        table = table.filter(pc.is_in(table["cluster_id"], value_set=wanted))
        members.append(table.select(["doc_id", "cluster_id"]).replace_schema_metadata())
        for row in table.filter(table["kept"]).to_pylist():
            kept[row["cluster_id"]].append((record.part, row["doc_id"]))
    first = {cluster: min(places, key=lambda place: place[1]) for cluster, places in kept.items()}
    documents = read_drawn(inputs["extract"], "documents", DOCUMENTS, ("url",), first.values())
    urls = {row["doc_id"]: row["url"] for row in documents.to_pylist()}
    reasons = _reasons(stages, pa.concat_tables(members))
    return [
        {
            "documents": sizes[cluster],
            "kept": len(kept[cluster]),
            "removed": sum(removed for removed, _, _ in reasons[cluster].values()),
            "why": ", ".join(_reason(rule, *reasons[cluster][rule]) for rule in sorted(reasons[cluster])),
            "url": one_line(urls.get(first[cluster][1], ""), _URL_CHARS) if cluster in first else "",
            "cluster_id": cluster,
        }
        for cluster in sizes
    ]


def _largest(stage: PublishedStage, number: int) -> dict[str, int]:
    """The clusters of the most documents, with how many they have, largest first, then by id."""
    counted = []
    for record in stage.manifest.files("clusters"):
        ids = stage.read("clusters", record.part, CLUSTERS, columns=["cluster_id"])["cluster_id"]
        counts = pc.value_counts(ids)
        counted.append(pa.table({"cluster": counts.field("values"), "documents": counts.field("counts")}))
    if not counted:
        return {}
    summed = pa.concat_tables(counted).group_by("cluster").aggregate([("documents", "sum")])
    order = [("documents_sum", "descending"), ("cluster", "ascending")]
    rows = summed.take(pc.select_k_unstable(summed, min(number, len(summed)), order)).to_pylist()
    return {row["cluster"]: row["documents_sum"] for row in rows}


def _reasons(stages: Sequence[PublishedStage], members: pa.Table) -> dict[str, dict[str, tuple[int, float, float]]]:
    """By cluster and rule: how many it removed, and the least and greatest similarity (NaN where none was taken).

    Args:
        members: doc_id and cluster_id, of the last stage's clusters: what an earlier stage removed is in clusters of
            other names there.
    """
    doc_ids, cluster_ids = members["doc_id"].combine_chunks(), members["cluster_id"].combine_chunks()
    found: dict[str, dict[str, tuple[int, float, float]]] = defaultdict(dict)
    for stage in stages:
        for record in stage.manifest.files("duplicates"):
            table = stage.read("duplicates", record.part, DUPLICATES, columns=["doc_id", "rule", "similarity"])
            places = pc.index_in(table["doc_id"], value_set=doc_ids)
            table = table.append_column("cluster", cluster_ids.take(places.combine_chunks()))
            table = table.filter(pc.is_valid(table["cluster"]))
            grouped = table.group_by(["cluster", "rule"]).aggregate(
                [("similarity", "count", pc.CountOptions(mode="all")), ("similarity", "min"), ("similarity", "max")]
            )
            for row in grouped.to_pylist():
                number, least, most = found[row["cluster"]].get(row["rule"], (0, np.nan, np.nan))
                found[row["cluster"]][row["rule"]] = (
                    number + row["similarity_count"],
                    float(np.fmin(least, np.nan if row["similarity_min"] is None else row["similarity_min"])),
                    float(np.fmax(most, np.nan if row["similarity_max"] is None else row["similarity_max"])),
                )
    return found


def _reason(rule: str, number: int, least: float, most: float) -> str:
    if rule == "exact_duplicate" or np.isnan(least):
        return f"{rule}: {number:,}"
    return f"{rule}: {number:,}, similarity {least:.3f}{f' to {most:.3f}' if most > least else ''}"
