"""Evaluation items in the corpus, both ways: which documents hold an item, and which items a document holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from pipeline_lib.decontaminate.figures import SetFigures, set_figures
from pipeline_lib.privacy.stage import mask_addresses
from pipeline_lib.report.blocks import Block, Cell, Column, Row, Section, Table
from pipeline_lib.report.drawing import PART, read_drawn, recorded_privacy
from pipeline_lib.report.excerpts import one_line
from pipeline_lib.report.quantities import count
from pipeline_lib.survivors import apply_edits
from storage.manifests import PublishedStage
from storage.schemas import DOCUMENTS, EVALUATION_ITEMS, EVALUATION_MATCHES

_ITEMS, _DOCUMENTS, _EACH = 12, 20, 3
_URL_CHARS, _EXCERPT_CHARS, _ITEM_CHARS = 120, 160, 200
_ITEM = ["set", "item"]
_DOCUMENT = [PART, "doc_id"]

Stages = Mapping[str, PublishedStage]


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """What the section shows.

    Attributes:
        figures: by set; `in_shards`: likewise of the token shards, None where these were not looked through.
        items: the items that documents hold most of: set, item, text, share, documents, and as `found` the best of
            these: url, share, matched, of, excerpt.
        documents: the documents that hold most of an item: url, share, items, and as `found` the best of these: set,
            item, share, excerpt.
    """

    figures: Mapping[str, SetFigures]
    in_shards: Mapping[str, SetFigures] | None
    threshold: float
    action: str
    num_documents: int
    num_contaminated: int
    items: Sequence[Mapping[str, Any]]
    documents: Sequence[Mapping[str, Any]]


def find_contamination(inputs: Stages) -> Contamination:
    """Inputs: evaluation-items, decontaminate, extract, and contamination and privacy where they are there."""
    items, decontaminate = inputs["evaluation-items"], inputs["decontaminate"]
    parts = [part.metrics for part in decontaminate.manifest.parts]
    best_items = _best(decontaminate, _ITEM, _DOCUMENT, _ITEMS)
    best_documents = _best(decontaminate, _DOCUMENT, _ITEM, _DOCUMENTS)
    of_items = _matches_of(decontaminate, best_items, _ITEM, _DOCUMENT)
    of_documents = _matches_of(decontaminate, best_documents, _DOCUMENT, _ITEM)
    shown = pl.concat([of_items, of_documents]).select(_DOCUMENT).unique()
    urls = _urls(inputs, shown.rows())
    of_items, of_documents = _masked(of_items, inputs), _masked(of_documents, inputs)
    texts = _texts(items, best_items)
    return Contamination(
        figures=set_figures(items, decontaminate),
        in_shards=set_figures(items, inputs["contamination"]) if "contamination" in inputs else None,
        threshold=decontaminate.manifest.parameters["threshold"],
        action=decontaminate.manifest.parameters["action"],
        num_documents=sum(part["documents_with_a_match"] for part in parts),
        num_contaminated=sum(part["documents_contaminated"] for part in parts),
        items=[
            {
                **row,
                "text": texts[row["set"], row["item"]],
                "documents": row["number"],
                "found": [{**each, "url": urls.get(each["doc_id"], "")} for each in _rows_of(of_items, row, _ITEM)],
            }
            for row in best_items.iter_rows(named=True)
        ],
        documents=[
            {
                **row,
                "url": urls.get(row["doc_id"], ""),
                "items": row["number"],
                "found": _rows_of(of_documents, row, _DOCUMENT),
            }
            for row in best_documents.iter_rows(named=True)
        ],
    )


def contamination_section(found: Contamination) -> Section:
    done = "dropped" if found.action == "drop" else "kept and reported"
    blocks: list[Block] = [_sets_table(found)]
    if found.items:
        blocks.append(_items_table(found))
    if found.documents:
        blocks.append(_documents_table(found))
    looked_for = sum(figures.compared for figures in found.figures.values())
    held = sum(len(figures.items_held) for figures in found.figures.values())
    return Section(
        name="contamination",
        title="Evaluation items in the corpus",
        summary=(
            f"{count(looked_for)} items of {count(len(found.figures))} evaluation sets were looked for. "
            f"{count(held)} were found in {count(found.num_contaminated)} documents, each with at least "
            f"{found.threshold:g} of the item's n-grams; these documents were {done}. {count(found.num_documents)} "
            "documents have an n-gram or more of some item."
        ),
        blocks=blocks,
    )


def _sets_table(found: Contamination) -> Table:
    titles = ["Items", "Looked for", "With a match", "Found", "Documents with a match", "Documents that hold one"]
    if found.in_shards is not None:
        titles.append("In the token shards")
    rows = []
    for name, figures in found.figures.items():
        numbers = [
            figures.items,
            figures.compared,
            len(figures.items_matched),
            len(figures.items_held),
            figures.documents_matched,
            figures.documents_contaminated,
        ]
        if found.in_shards is not None:
            numbers.append(found.in_shards[name].documents_contaminated)
        rows.append(Row(cells=[Cell(text=one_line(name, 60)), *(Cell(text=count(number)) for number in numbers)]))
    return Table(
        title="Evaluation sets",
        columns=[Column(title="Set"), *(Column(title=title, numeric=True) for title in titles)],
        rows=rows,
        note=(
            "Items that are not looked for have too few words. An item is found where a document has at least "
            f"{found.threshold:g} of its n-grams, or of those of one of its longer fields."
        ),
    )


def _items_table(found: Contamination) -> Table:
    rows = []
    for item in found.items:
        name = f"{item['set']}:{item['item']}"
        rows.append(
            Row(
                cells=[
                    Cell(text=one_line(name, 60), code=True),
                    Cell(text=one_line(item["text"], _ITEM_CHARS)),
                    Cell(text=f"{item['share']:.2f}"),
                    Cell(text=count(item["documents"])),
                ]
            )
        )
        rows += [
            Row(
                cells=[
                    Cell(text=one_line(each["url"], _URL_CHARS), crawled=True),
                    Cell(text=one_line(each["excerpt"], _EXCERPT_CHARS), crawled=True),
                    Cell(text=f"{each['share']:.2f}"),
                    Cell(text=""),
                ],
                inner=True,
            )
            for each in item["found"]
        ]
    return Table(
        title="Items, and the documents that have most of them",
        columns=[
            Column(title="Item, document"),
            Column(title="Text"),
            Column(title="Share", numeric=True),
            Column(title="Documents", numeric=True),
        ],
        rows=rows,
        note="Of a document, the longest passage that it has in common with the item.",
        folded=True,
    )


def _documents_table(found: Contamination) -> Table:
    rows = []
    for document in found.documents:
        rows.append(
            Row(
                cells=[
                    Cell(text=one_line(document["url"], _URL_CHARS), crawled=True),
                    Cell(text=""),
                    Cell(text=f"{document['share']:.2f}"),
                    Cell(text=count(document["items"])),
                ]
            )
        )
        rows += [
            Row(
                cells=[
                    Cell(text=one_line(f"{each['set']}:{each['item']}", 60), code=True),
                    Cell(text=one_line(each["excerpt"], _EXCERPT_CHARS), crawled=True),
                    Cell(text=f"{each['share']:.2f}"),
                    Cell(text=""),
                ],
                inner=True,
            )
            for each in document["found"]
        ]
    return Table(
        title="Documents, and the items that they have most of",
        columns=[
            Column(title="Document, item"),
            Column(title="Text"),
            Column(title="Share", numeric=True),
            Column(title="Items", numeric=True),
        ],
        rows=rows,
        folded=True,
    )


def _tables(decontaminate: PublishedStage) -> Iterator[pl.DataFrame]:
    """The matches, a part at a time, with `part`."""
    for record in decontaminate.manifest.files("matches"):
        if record.rows:
            table = decontaminate.read("matches", record.part, EVALUATION_MATCHES)
            yield pl.DataFrame(pl.from_arrow(table)).with_columns(pl.lit(record.part).alias(PART))


def _best(decontaminate: PublishedStage, keys: list[str], others: list[str], number: int) -> pl.DataFrame:
    """The keys with the greatest share: `share`, and as `number` how many others they match."""
    best = pl.DataFrame(schema={**dict.fromkeys(keys, pl.String), "share": pl.Float64, "number": pl.Int64})
    for matches in _tables(decontaminate):
        of_part = matches.group_by(keys).agg(
            pl.col("share").max(), pl.struct(others).n_unique().cast(pl.Int64).alias("number")
        )
        best = pl.concat([best, of_part]).group_by(keys).agg(pl.col("share").max(), pl.col("number").sum())
        if PART in keys:  # no other part has more of these
            best = _first(best, keys, number)
    return _first(best, keys, number)


def _first(best: pl.DataFrame, keys: list[str], number: int) -> pl.DataFrame:
    descending = [True, True, *([False] * len(keys))]
    return best.sort(["share", "number", *keys], descending=descending).head(number)


def _matches_of(
    decontaminate: PublishedStage, chosen: pl.DataFrame, keys: list[str], others: list[str]
) -> pl.DataFrame:
    """The best few matches of each of the chosen, best first."""
    columns = [*_DOCUMENT, *_ITEM, "share", "matched", "of", "excerpt"]
    kept = [matches.join(chosen, on=keys, how="semi").select(columns) for matches in _tables(decontaminate)]
    if not kept:
        text = dict.fromkeys([*_DOCUMENT, *_ITEM, "excerpt"], pl.String)
        return pl.DataFrame(schema={name: text.get(name, pl.Float64) for name in columns})
    ordered = pl.concat(kept).sort(["share", *others], descending=[True, *([False] * len(others))])
    return ordered.group_by(keys, maintain_order=True).head(_EACH).select(columns)


def _rows_of(matches: pl.DataFrame, row: Mapping[str, Any], keys: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = matches.filter(*(pl.col(key) == row[key] for key in keys)).to_dicts()
    return found


def _masked(matches: pl.DataFrame, inputs: Stages) -> pl.DataFrame:
    """With addresses in the excerpts masked, as in the corpus."""
    texts = pa.table(
        {
            "doc_id": pa.array([str(row) for row in range(matches.height)], pa.string()),
            "text": matches["excerpt"].to_arrow().cast(pa.large_string()),
        }
    )
    masked = apply_edits(texts, mask_addresses(texts, recorded_privacy(inputs)))
    return matches.with_columns(pl.Series("excerpt", masked["text"].to_pylist(), pl.String))


def _urls(inputs: Stages, documents: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    wanted = sorted((part, doc_id) for part, doc_id in documents)
    found = read_drawn(inputs["extract"], "documents", DOCUMENTS, ("url",), wanted)
    return dict(zip(found["doc_id"].to_pylist(), found["url"].to_pylist(), strict=True))


def _texts(items: PublishedStage, chosen: pl.DataFrame) -> dict[tuple[str, str], str]:
    table = pl.DataFrame(pl.from_arrow(items.read("items", "all", EVALUATION_ITEMS, columns=["set", "item", "text"])))
    return {(row[0], row[1]): row[2] for row in table.join(chosen, on=_ITEM, how="semi").iter_rows()}
