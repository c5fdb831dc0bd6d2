"""What the corpus is made of: languages, hosts, document lengths, and edits that were made in texts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Block, Cell, Column, Figure, Figures, Row, Section, Table
from pipeline_lib.report.excerpts import one_line
from pipeline_lib.report.quantities import count, share, size, unit_of
from pipeline_lib.report.readings import counts, group, number
from pipeline_lib.survivors import TRAIL
from storage.manifests import Manifest, PublishedStage
from storage.schemas import EDITS

_SPLITS = ("train", "validation")
_NAME_CHARS = 60
_OTHERS = "all others"


@dataclass(kw_only=True)
class Tally:
    documents: int = 0
    bytes: int = 0

    def add(self, figures: Any) -> None:
        self.documents += int(number(figures, "documents") or 0)
        self.bytes += int(number(figures, "bytes") or 0)


@dataclass(kw_only=True)
class Composition:
    """Figures of a corpus, added up over its parts. `lengths[i]`: documents of 2**i to 2**(i + 1) - 1 characters.

    A part names its largest hosts only; what the others have is in `other_hosts`.
    """

    splits: dict[str, Tally] = field(default_factory=dict)
    languages: dict[str, Tally] = field(default_factory=dict)
    hosts: dict[str, Tally] = field(default_factory=dict)
    other_hosts: Tally = field(default_factory=Tally)
    lengths: list[int] = field(default_factory=list)

    @property
    def total(self) -> Tally:
        total = Tally()
        for tally in self.splits.values():
            total.add(vars(tally))
        return total


def compose(corpus: Manifest) -> Composition:
    """Add up the figures that the corpus stage took of its parts."""
    composition = Composition()
    for part in corpus.parts:
        for split in _SPLITS:
            figures = group(part.metrics, split)
            if not figures:
                continue
            composition.splits.setdefault(split, Tally()).add(figures)
            for language, of_language in group(figures, "languages").items():
                composition.languages.setdefault(language, Tally()).add(of_language)
            for host, of_host in group(figures, "hosts").items():
                composition.hosts.setdefault(host, Tally()).add(of_host)
            composition.other_hosts.add(group(figures, "other_hosts"))
            counted = counts(figures, "length_histogram")
            composition.lengths += [0] * (len(counted) - len(composition.lengths))
            for exponent, documents in enumerate(counted):
                composition.lengths[exponent] += documents
    return composition


def corpus_section(
    composition: Composition, edits: Table | None, more: Sequence[Block], *, top_hosts: int, top_languages: int
) -> Section:
    total = composition.total
    figures = [
        _shares_figure(composition.languages, Tally(), total, top_languages, name="languages", one="Language"),
        _lengths_figure(composition.lengths),
        _shares_figure(
            composition.hosts, composition.other_hosts, total, top_hosts, name="hosts", one="Host", wide=True
        ),
    ]
    blocks: list[Block] = [Figures(figures=[figure for figure in figures if figure is not None])]
    if composition.splits:
        blocks.append(_splits_table(composition))
    if edits is not None:
        blocks.append(edits)
    held_out = composition.splits.get("validation", Tally())
    return Section(
        name="corpus",
        title="Corpus",
        summary=(
            f"{count(total.documents)} documents with {size(total.bytes)} of text, of which "
            f"{count(held_out.documents)} ({size(held_out.bytes)}) are held out for validation. "
            "The split is by duplicate cluster, so that no near-duplicate is on both sides."
        ),
        blocks=[*blocks, *more],
    )


def edits_table(stages: Mapping[str, PublishedStage]) -> Table | None:
    """What was cut out of or masked in texts, by rule; None where no stage edits."""
    rows = []
    editing = [name for name in TRAIL if name in stages and stages[name].manifest.files("edits")]
    for name in editing:
        edits, removed, added = Counter[str](), Counter[str](), Counter[str]()
        documents: Counter[str] = Counter()
        for record in stages[name].manifest.files("edits"):
            table = stages[name].read("edits", record.part, EDITS)
            table = table.append_column("removed", pc.subtract(table["end"], table["start"]))
            table = table.append_column("added", pc.binary_length(table["replacement"]))
            grouped = table.group_by("rule").aggregate(
                [("removed", "count"), ("removed", "sum"), ("added", "sum"), ("doc_id", "count_distinct")]
            )
            for row in grouped.to_pylist():
                edits[row["rule"]] += row["removed_count"]
                removed[row["rule"]] += row["removed_sum"]
                added[row["rule"]] += row["added_sum"]
                documents[row["rule"]] += row["doc_id_count_distinct"]
        for rule, edited in sorted(edits.items(), key=lambda item: (-item[1], item[0])):
            rows.append(
                Row(
                    cells=[
                        Cell(text=rule, code=True),
                        Cell(text=name),
                        Cell(text=count(documents[rule])),
                        Cell(text=count(edited)),
                        Cell(text=size(removed[rule])),
                        Cell(text=size(added[rule])),
                    ]
                )
            )
    if not editing:
        return None
    return Table(
        title="Edits in texts",
        columns=[
            Column(title="Rule"),
            Column(title="Stage"),
            *(Column(title=title, numeric=True) for title in ("Documents", "Edits", "Cut out", "Put in")),
        ],
        rows=rows,
        note=(
            "Lines that C4's rules remove, and private data that is masked; made in every document that was looked "
            "at, also in those that were dropped later."
            if rows
            else "No text was edited."
        ),
    )


def _splits_table(composition: Composition) -> Table:
    total = composition.total
    return Table(
        title="Splits",
        columns=[
            Column(title="Split"),
            *(Column(title=title, numeric=True) for title in ("Documents", "Text", "Share of text", "Mean text")),
        ],
        rows=[
            Row(
                cells=[
                    Cell(text=split),
                    Cell(text=count(tally.documents)),
                    Cell(text=size(tally.bytes)),
                    Cell(text=share(tally.bytes, total.bytes)),
                    Cell(text=size(tally.bytes / tally.documents) if tally.documents else ""),
                ]
            )
            for split, tally in composition.splits.items()
        ],
    )


def _shares_figure(
    tallies: Mapping[str, Tally],
    others: Tally,
    total: Tally,
    limit: int,
    *,
    name: str,
    one: str,
    wide: bool = False,
) -> Figure | None:
    """The names with most text; all that are not named are one bar at the end."""
    if not tallies:
        return None
    ordered = sorted(tallies.items(), key=lambda item: (-item[1].bytes, item[0]))
    rest = Tally(documents=others.documents, bytes=others.bytes)
    for _, tally in ordered[limit:]:
        rest.add(vars(tally))
    shown = [(one_line(key, _NAME_CHARS) or "unknown", tally) for key, tally in ordered[:limit]]
    if rest.documents:
        shown.append((_OTHERS, rest))
    unit, factor = unit_of(max(tally.bytes for _, tally in shown))
    rows = [
        {
            "name": key,
            "text": tally.bytes / factor,
            "documents": tally.documents,
            "share": tally.bytes / (total.bytes or 1),
        }
        for key, tally in shown
    ]
    return Figure(
        name=name,
        title=f"{one}s by text",
        wide=wide,
        specification=charts.bars(
            rows,
            x=("text", f"Text ({unit})", ",.3~r"),
            y="name",
            hover=[("documents", "Documents", ",d"), ("share", "Share of text", ".1%")],
        ),
        table=Table(
            columns=[
                Column(title=one),
                *(Column(title=each, numeric=True) for each in ("Documents", "Text", "Share of text")),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=key, crawled=True),
                        Cell(text=count(tally.documents)),
                        Cell(text=size(tally.bytes)),
                        Cell(text=share(tally.bytes, total.bytes)),
                    ]
                )
                for key, tally in shown
            ],
        ),
    )


def _lengths_figure(lengths: Sequence[int]) -> Figure | None:
    if not any(lengths):
        return None
    first = next(exponent for exponent, documents in enumerate(lengths) if documents)
    last = max(exponent for exponent, documents in enumerate(lengths) if documents)
    rows: list[dict[str, Any]] = [
        {"length": f"{_short(1 << exponent)}\u2013{_short((2 << exponent) - 1)}", "documents": lengths[exponent]}
        for exponent in range(first, last + 1)
    ]
    return Figure(
        name="lengths",
        title="Documents by length",
        specification=charts.columns(rows, x=("length", "Characters"), y=("documents", "Documents", ",d")),
        table=Table(
            columns=[Column(title="Characters"), Column(title="Documents", numeric=True)],
            rows=[Row(cells=[Cell(text=row["length"]), Cell(text=count(row["documents"]))]) for row in rows],
        ),
    )


def _short(number: int) -> str:
    return f"{number:,}" if number < 10_000 else f"{number // 1024}k" if number < 1 << 20 else f"{number // (1 << 20)}M"
