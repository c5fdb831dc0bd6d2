"""Duplicates: how alike, how many together, and pairs to look at: the kept text beside the one that was removed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Block, Cell, Column, Figure, Figures, Pair, Pairs, Row, Section, Side, Table
from pipeline_lib.report.drawing import draw, read_extracted
from pipeline_lib.report.excerpts import differing, one_line
from pipeline_lib.report.quantities import count, value
from pipeline_lib.report.samples import browse_command
from storage.manifests import PublishedStage
from storage.schemas import CLUSTERS, DUPLICATES

_NEAR = "near_duplicate"
_NUM_BINS = 50  # of similarity, 0.02 wide
_URL_CHARS = 120
# Cluster sizes that stand alone, then ranges: most clusters are pairs, and a few are large.
_SIZES = ((2, 2), (3, 3), (4, 4), (5, 8), (9, 16), (17, 64), (65, 256), (257, None))


@dataclass(frozen=True, kw_only=True)
class DuplicateFigures:
    """Counts over the whole corpus.

    `earlier`: of those removed, those in favour of what an earlier run kept, by its entry in the index.
    `similarities`: near-duplicates by similarity to the document kept, in bins of 1/50. `sizes`: clusters by number of
    documents.
    """

    removed: Mapping[str, int]
    earlier: Mapping[str, int]
    similarities: Sequence[int]
    sizes: Mapping[int, int]
    threshold: float | None


def removing_stages(inputs: Mapping[str, PublishedStage]) -> list[PublishedStage]:
    """The stages that remove duplicates, in order; the last one's clusters hold those of all."""
    return [inputs[name] for name in ("dedup", "semantic") if name in inputs]


def count_duplicates(stages: Sequence[PublishedStage]) -> DuplicateFigures:
    removed: Counter[str] = Counter()
    earlier: Counter[str] = Counter()
    similarities = np.zeros(_NUM_BINS, np.int64)
    threshold: float | None = None
    columns = ["rule", "kept_run", "similarity", "threshold"]
    for _, duplicates in _tables(stages, "duplicates", DUPLICATES, columns):
        for rule in pc.value_counts(duplicates["rule"]).to_pylist():
            removed[rule["values"]] += rule["counts"]
        for run in pc.value_counts(pc.drop_null(duplicates["kept_run"])).to_pylist():
            earlier[run["values"]] += run["counts"]
        near = duplicates.filter(pc.equal(duplicates["rule"], _NEAR))
        # the small amount keeps 0.8 in the bin that begins with it: 0.8 * 50 is a little less than 40 in binary
        bins = np.floor(near["similarity"].to_numpy() * _NUM_BINS + 1e-9).astype(np.int64)
        similarities += np.bincount(np.clip(bins, 0, _NUM_BINS - 1), minlength=_NUM_BINS)
        lowest = pc.min(near["threshold"]).as_py()
        if lowest is not None:
            threshold = lowest if threshold is None else min(threshold, lowest)
    ids = [table["cluster_id"] for _, table in _tables(stages[-1:], "clusters", CLUSTERS, ["cluster_id"])]
    sizes: Counter[int] = Counter()
    if ids:
        members = pc.value_counts(pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string()))
        for each in pc.value_counts(members.field("counts")).to_pylist():
            sizes[each["values"]] = each["counts"]
    return DuplicateFigures(
        removed=dict(removed),
        earlier=dict(earlier),
        similarities=similarities.tolist(),
        sizes=dict(sizes),
        threshold=threshold,
    )


def duplicate_pairs(inputs: Mapping[str, PublishedStage], *, number: int, seed: int) -> list[dict[str, Any]]:
    """Removed documents beside the ones kept in their place, one of a cluster, near-duplicates before exact ones;
    none of those that were removed in favour of what an earlier run kept.

    Keys: rule, similarity, threshold, bands_shared, cluster_id, cluster_size, kept and removed (each: doc_id, url,
    and text, whole, with addresses masked).
    """
    stages = removing_stages(inputs)
    # more than are shown: of a large cluster several may be drawn, and one is enough
    drawn = draw(
        (
            (part, duplicates.filter(pc.is_null(duplicates["kept_run"])))
            for part, duplicates in _tables(stages, "duplicates", DUPLICATES, DUPLICATES.names)
        ),
        number=4 * number,
        seed=seed,
        purpose="report duplicates",
        each="rule",
    )
    if drawn is None:
        return []
    one_each = {row["cluster_id"]: row for row in reversed(drawn.to_pylist())}
    near = [row for row in reversed(one_each.values()) if row["rule"] == _NEAR]
    exact = [row for row in reversed(one_each.values()) if row["rule"] != _NEAR]
    exact = exact[: max(number // 4, number - len(near))]  # all exact ones look alike
    chosen = [*near[: number - len(exact)], *exact]
    places, sizes = _members(stages[-1:], {row["cluster_id"] for row in chosen})
    documents = {doc_id for row in chosen for doc_id in (row["doc_id"], row["kept_id"])}
    wanted = [(places[doc_id], doc_id) for doc_id in sorted(documents) if doc_id in places]
    found = {row["doc_id"]: row for row in read_extracted(inputs, ("url", "text"), wanted).to_pylist()}
    return [
        {
            **{name: row[name] for name in ("rule", "similarity", "threshold", "bands_shared", "cluster_id")},
            "cluster_size": sizes[row["cluster_id"]],
            "kept": found[row["kept_id"]],
            "removed": found[row["doc_id"]],
        }
        for row in chosen
        if row["kept_id"] in found and row["doc_id"] in found
    ]


def duplicates_section(
    figures: DuplicateFigures,
    pairs: Sequence[Mapping[str, Any]],
    excerpt_chars: int,
    runs: Mapping[str, str],
    run_id: str = "",
) -> Section:
    """`runs`: ids of earlier runs by their entry in the index."""
    blocks: list[Block] = []
    drawn = [figure for figure in (_similarity_figure(figures), _sizes_figure(figures)) if figure is not None]
    if drawn:
        blocks.append(Figures(figures=drawn))
    if figures.removed:
        blocks.append(_rules_table(figures.removed))
    if figures.earlier:
        blocks.append(_earlier_table(figures.earlier, runs))
    if pairs:
        blocks.append(
            Pairs(
                title="Pairs",
                command=browse_command(run_id),
                pairs=[_pair(pair, excerpt_chars) for pair in pairs],
                note="Each text from a little before the first difference; what the other lacks is marked.",
            )
        )
    removed = sum(figures.removed.values())
    clusters = sum(figures.sizes.values())
    return Section(
        name="duplicates",
        title="Duplicates",
        summary=(
            f"{count(removed)} documents were removed in favour of another"
            f"{_of_them_for_earlier(sum(figures.earlier.values()))}, in {count(clusters)} clusters. "
            "A near-duplicate is removed only if a kept document was verified to be at least as similar as the "
            "threshold says (Jaccard similarity of word shingles)."
            if removed
            else "No document duplicates another."
        ),
        blocks=blocks,
    )


def _rules_table(removed: Mapping[str, int]) -> Table:
    return Table(
        title="Removed by rule",
        columns=[Column(title="Rule"), Column(title="Documents", numeric=True)],
        rows=[
            Row(cells=[Cell(text=rule, code=True), Cell(text=count(number))])
            for rule, number in sorted(removed.items(), key=lambda item: (-item[1], item[0]))
        ],
    )


def _of_them_for_earlier(number: int) -> str:
    return f" ({count(number)} of them in favour of one that an earlier run kept)" if number else ""


def _earlier_table(earlier: Mapping[str, int], runs: Mapping[str, str]) -> Table:
    return Table(
        title="Removed in favour of what earlier runs kept",
        columns=[Column(title="Entry of the index"), Column(title="Run"), Column(title="Documents", numeric=True)],
        rows=[
            Row(cells=[Cell(text=entry, code=True), Cell(text=runs.get(entry, "unknown")), Cell(text=count(number))])
            for entry, number in sorted(earlier.items(), key=lambda item: (-item[1], item[0]))
        ],
    )


def _similarity_figure(figures: DuplicateFigures) -> Figure | None:
    if not any(figures.similarities):
        return None
    first = next(at for at, number in enumerate(figures.similarities) if number)
    if figures.threshold is not None:
        first = min(first, int(figures.threshold * _NUM_BINS + 1e-9))
    bins = [
        {"from": at / _NUM_BINS, "to": (at + 1) / _NUM_BINS, "count": figures.similarities[at]}
        for at in range(max(0, first - 1), _NUM_BINS)
    ]
    return Figure(
        name="similarity",
        title="Near-duplicates by similarity",
        specification=charts.histogram(
            bins,
            x="Jaccard similarity",
            y="Documents removed",
            lines=[] if figures.threshold is None else [figures.threshold],
            number_format=".2f",
        ),
        note="To the document that was kept; the dashed line is the threshold.",
        table=Table(
            columns=[Column(title="Similarity"), Column(title="Documents", numeric=True)],
            rows=[
                Row(cells=[Cell(text=f"{each['from']:.2f} to {each['to']:.2f}"), Cell(text=count(each["count"]))])
                for each in bins
                if each["count"]
            ],
        ),
    )


def _sizes_figure(figures: DuplicateFigures) -> Figure | None:
    rows: list[dict[str, Any]] = []
    for least, most in _SIZES:
        clusters = sum(
            number for size, number in figures.sizes.items() if size >= least and (most is None or size <= most)
        )
        name = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        if clusters:
            rows.append({"size": name, "count": clusters})
    if not rows:
        return None
    return Figure(
        name="cluster-sizes",
        title="Clusters by their number of documents",
        specification=charts.bars(rows, x=("count", "Clusters", ",d"), y="size"),
        table=Table(
            columns=[Column(title="Documents"), Column(title="Clusters", numeric=True)],
            rows=[Row(cells=[Cell(text=row["size"]), Cell(text=count(row["count"]))]) for row in rows],
        ),
    )


def _pair(pair: Mapping[str, Any], excerpt_chars: int) -> Pair:
    kept, removed = differing(pair["kept"]["text"], pair["removed"]["text"], excerpt_chars)
    details = [("threshold", value(pair["threshold"])), ("documents in the cluster", count(pair["cluster_size"]))]
    return Pair(
        title=pair["rule"] if pair["similarity"] is None else f"{pair['rule']}, similarity {pair['similarity']:.3f}",
        details=details if pair["rule"] == _NEAR else details[1:],
        sides=(
            Side(verdict="kept", url=one_line(pair["kept"]["url"], _URL_CHARS), segments=kept, tone="kept"),
            Side(verdict="removed", url=one_line(pair["removed"]["url"], _URL_CHARS), segments=removed, tone="dropped"),
        ),
    )


def _members(stages: Sequence[PublishedStage], clusters: set[str]) -> tuple[dict[str, str], Counter[str]]:
    """The part that each document of these clusters is in, and the clusters' sizes."""
    wanted = pa.array(sorted(clusters), pa.string())
    places: dict[str, str] = {}
    sizes: Counter[str] = Counter()
    for part, members in _tables(stages, "clusters", CLUSTERS, ["doc_id", "cluster_id"]):
        members = members.filter(pc.is_in(members["cluster_id"], value_set=wanted))
        places.update(dict.fromkeys(members["doc_id"].to_pylist(), part))
        sizes.update(members["cluster_id"].to_pylist())
    return places, sizes


def _tables(
    stages: Sequence[PublishedStage], name: str, schema: pa.Schema, columns: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    for stage in stages:
        for record in stage.manifest.files(name):
            yield record.part, stage.read(name, record.part, schema, columns=columns)
