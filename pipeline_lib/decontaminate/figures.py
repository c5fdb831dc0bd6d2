"""What was found of evaluation sets in a corpus, over all parts: for people and programs that look at a run."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.manifests import PublishedStage
from storage.schemas import EVALUATION_ITEMS, EVALUATION_MATCHES


@dataclass(kw_only=True)
class SetFigures:
    """Counts of one set.

    Attributes:
        items: in its files; `compared`: those that were looked for.
        items_matched: with an n-gram in some document; `items_held`: of which some document holds the share that the
            threshold says.
        documents_matched, documents_contaminated: documents likewise.
    """

    items: int
    compared: int
    items_matched: set[str] = field(default_factory=set)
    items_held: set[str] = field(default_factory=set)
    documents_matched: int = 0
    documents_contaminated: int = 0


def listed_figures(items: pa.Table) -> dict[str, SetFigures]:
    """Figures by set, in the order of the sets, before anything was looked for.

    Args:
        items: set, reason (of EVALUATION_ITEMS).
    """
    names = Counter(items["set"].to_pylist())
    compared = Counter(items.filter(pc.is_null(items["reason"]))["set"].to_pylist())
    return {name: SetFigures(items=count, compared=compared[name]) for name, count in names.items()}


def add_matches(figures: dict[str, SetFigures], matches: pa.Table, threshold: float) -> None:
    """Add the matches of documents of which nothing was added yet."""
    for name in matches["set"].unique().to_pylist():
        of_set = matches.filter(pc.equal(matches["set"], name))
        held = of_set.filter(pc.greater_equal(of_set["share"], threshold))
        each = figures[name]
        each.items_matched.update(of_set["item"].unique().to_pylist())
        each.items_held.update(held["item"].unique().to_pylist())
        each.documents_matched += len(of_set["doc_id"].unique())
        each.documents_contaminated += len(held["doc_id"].unique())


def set_figures(items: PublishedStage, matched: PublishedStage) -> dict[str, SetFigures]:
    """Figures by set over all parts.

    Args:
        items: `evaluation-items`.
        matched: `decontaminate` or `contamination`.
    """
    figures = listed_figures(items.read("items", "all", EVALUATION_ITEMS, columns=["set", "reason"]))
    for record in matched.manifest.files("matches"):
        columns = ["doc_id", "set", "item", "share"]
        matches = matched.read("matches", record.part, EVALUATION_MATCHES, columns=columns)
        add_matches(figures, matches, matched.manifest.parameters["threshold"])
    return figures


def figures_as_json(figures: dict[str, SetFigures]) -> dict[str, dict[str, int]]:
    return {
        name: {
            "items": each.items,
            "items_compared": each.compared,
            "items_with_a_match": len(each.items_matched),
            "items_held": len(each.items_held),
            "documents_with_a_match": each.documents_matched,
            "documents_contaminated": each.documents_contaminated,
        }
        for name, each in figures.items()
    }


def contamination_metrics(items: PublishedStage, decontaminate: PublishedStage) -> dict[str, Any]:
    """The metrics of a run."""
    figures = set_figures(items, decontaminate)
    contaminated = sum(part.metrics["documents_contaminated"] for part in decontaminate.manifest.parts)
    return {
        "contaminated_documents": contaminated,
        "evaluation_items_found": sum(len(each.items_held) for each in figures.values()),
        "contamination": figures_as_json(figures),
    }
