"""A page of the list: the documents of a view, and the links to all other views from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.browse.documents import DocumentTable, Fate, Order
from pipeline_lib.browse.pages import Choices, Facet, Link, Listed, ListPage, RunHead
from pipeline_lib.browse.published import PublishedTables
from pipeline_lib.browse.selection import Choice, Selection, names_like
from pipeline_lib.browse.views import FILTERS, View
from pipeline_lib.privacy.stage import mask_addresses
from pipeline_lib.report.excerpts import Segments, one_line
from pipeline_lib.report.quantities import count
from pipeline_lib.survivors import apply_edits
from storage.schemas import DOCUMENTS

PAGE_DOCUMENTS = 50

_URL_CHARS, _TITLE_CHARS, _NAME_CHARS = 160, 140, 80
_EXCERPT_CHARS = 140  # before the passage, and after it
_MOST_FOUND, _MOST_SUGGESTED = 50, 8
_MOST_BYTES = 256 << 20  # of text that one search looks through
_TITLES = {
    "fate": "What became of it",
    "host": "Host",
    "language": "Language",
    "file": "Source file",
    "edited": "Edits",
}
_WORDS = {"kept": "Kept", "dropped": "Dropped", "any": "Edited"}
_ORDERS: Mapping[Order, str] = {"source": "as found", "mixed": "mixed", "host": "by host"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """Documents whose text has a phrase, with the passage; `looked_through`: so many of the selection were read.

    `goes_on`: the position from which on they were not; None: all were.
    """

    positions: Sequence[int]
    excerpts: Sequence[Segments]
    looked_through: int
    goes_on: int | None


def list_page(
    head: RunHead, view: View, published: PublishedTables, table: DocumentTable, selection: Selection
) -> ListPage:
    """The page `view.page` of a selection."""
    first = (view.page - 1) * PAGE_DOCUMENTS
    positions = selection.positions[first : first + PAGE_DOCUMENTS].tolist()
    total = len(selection.positions)
    shown = f"{count(first + 1)} to {count(first + len(positions))} of " if positions else ""
    return ListPage(
        head=head,
        summary=f"{shown}{_documents(total)}{_of_all(total, table)}",
        documents=listed(published, table, positions, view),
        note=_nothing_note(view, table, total, first),
        suggestions=[] if total else _suggestions(view, table),
        previous=replace(view, page=view.page - 1).list_address() if view.page > 1 else None,
        following=replace(view, page=view.page + 1).list_address() if first + PAGE_DOCUMENTS < total else None,
        choices=_choices(view, selection),
    )


def found_page(
    head: RunHead, view: View, published: PublishedTables, table: DocumentTable, selection: Selection, found: Found
) -> ListPage:
    """What a search in the texts of a selection (in the order of the sources) found."""
    total = len(selection.positions)
    before = int(np.searchsorted(selection.positions, view.after))
    looked_through = "all" if not before and found.goes_on is None else (
        f"{count(before + 1)} to {count(before + found.looked_through)} of the"
    )  # fmt: skip
    return ListPage(
        head=head,
        summary=(
            f"{count(len(found.positions))} found in {looked_through} {_documents(total)}"
            if total
            else "No document to look through"
        ),
        documents=[
            replace(each, excerpt=excerpt)
            for each, excerpt in zip(listed(published, table, found.positions, view), found.excerpts, strict=True)
        ],
        note="" if found.positions else "None of these texts has it.",
        previous=replace(view, after=0).list_address() if view.after else None,
        following=None if found.goes_on is None else replace(view, after=found.goes_on).list_address(),
        following_label="Look further",
        choices=_choices(replace(view, after=0), selection),
    )


def search_texts(published: PublishedTables, table: DocumentTable, selection: Selection, view: View) -> Found:
    """Look for a phrase in the extracted texts of a selection, in upper or lower case, within a bound of text.

    Passages are shown with addresses masked.

    Args:
        selection: in the order of the sources.
    """
    positions = selection.positions[np.searchsorted(selection.positions, view.after) :]
    hits: list[int] = []
    excerpts: list[Segments] = []
    num_bytes = looked_through = 0
    parts = np.searchsorted(table.starts, positions, side="right") - 1
    for number in np.unique(parts).tolist():
        start = int(table.starts[number])
        rows = positions[parts == number] - start
        part = table.parts[number]
        columns = ["doc_id", "text"]
        for first, group in published.row_groups("extract", "documents", part, DOCUMENTS, columns, rows):
            wanted = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + group.num_rows)]
            texts = group.take(pa.array(wanted - first))
            num_bytes += group.nbytes  # also what is not looked at has been read
            has = np.flatnonzero(pc.match_substring(texts["text"], view.phrase, ignore_case=True).to_numpy())
            room = _MOST_FOUND - len(hits)
            documents = texts.take(pa.array(has[:room]))
            masked = (
                apply_edits(documents, mask_addresses(documents, published.privacy)) if len(documents) else documents
            )
            excerpts += [passage(text, view.phrase) for text in masked["text"].to_pylist()]
            hits += (wanted[has[:room]] + start).tolist()
            if len(has) >= room or num_bytes > _MOST_BYTES:
                last = int(has[room - 1]) if len(has) >= room else len(wanted) - 1
                looked_through += last + 1
                rest = looked_through < len(positions)
                goes_on = int(positions[looked_through]) if rest else None
                return Found(positions=hits, excerpts=excerpts, looked_through=looked_through, goes_on=goes_on)
            looked_through += len(wanted)
    return Found(positions=hits, excerpts=excerpts, looked_through=looked_through, goes_on=None)


def passage(text: str, phrase: str) -> Segments:
    """The phrase where a text first has it, with what stands around it; nothing where it was masked."""
    at = text.casefold().find(phrase.casefold())
    if at < 0:
        return ()
    # folding may change lengths before that place, so the passage is looked for once more where it is shown
    begin = max(0, at - _EXCERPT_CHARS)
    around = text[begin : at + len(phrase) + _EXCERPT_CHARS]
    inside = at - begin
    before, there, after = around[:inside], around[inside : inside + len(phrase)], around[inside + len(phrase) :]
    return (
        (f"{'…' if begin else ''}{_flat(before)}", False),
        (_flat(there), True),
        (f"{_flat(after)}{'…' if at + len(phrase) + _EXCERPT_CHARS < len(text) else ''}", False),
    )


def listed(
    published: PublishedTables, table: DocumentTable, positions: Sequence[int], view: View, here: int | None = None
) -> list[Listed]:
    """Documents as lists show them, in the order of `positions`; reads the row groups that they are in."""
    places = [table.place(position) for position in positions]
    by_part: dict[str, list[int]] = {}
    for part, row in places:
        by_part.setdefault(part, []).append(row)
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for part, rows in by_part.items():
        columns = published.rows("extract", "documents", part, DOCUMENTS, ["title", "url"], rows)
        for row, title, url in zip(rows, columns["title"].to_pylist(), columns["url"].to_pylist(), strict=True):
            found[part, row] = (title, url)
    # what was found in a text is looked for there no more: of that list, nobody knows the next one
    context = replace(view, phrase="", where="title") if view.searches_texts else view
    documents = []
    for position, place in zip(positions, places, strict=True):
        title, url = found[place]
        doc_id, fate = table.doc_id(position), table.fate_of(position)
        documents.append(
            Listed(
                doc_id=doc_id,
                address=context.document_address(doc_id),
                title=one_line(title, _TITLE_CHARS) or "Without a title",
                url=one_line(url, _URL_CHARS),
                language=one_line(table.languages.names[int(table.languages.codes[position])].as_py(), 20),
                verdict=verdict_of(fate),
                is_kept=fate.kept,
                is_here=position == here,
            )
        )
    return documents


def verdict_of(fate: Fate) -> str:
    """What became of a document, in a word or two."""
    if fate.kept:
        return f"kept, {fate.rule}" if fate.rule else "kept"
    return fate.rule.rpartition(".")[2].replace("_", " ")


def _choices(view: View, selection: Selection) -> Choices:
    """What every list has beside its documents."""
    filters = {name: getattr(view.filters, name) for name in FILTERS}
    chosen = [
        Link(label=_label(name, value), address=view.with_filter(name, "").list_address())
        for name, value in filters.items()
        if value
    ]
    if view.phrase:
        without = replace(view, phrase="", where="title", page=1, after=0)
        place = "text" if view.where == "text" else "title or URL"
        chosen.append(Link(label=f"{place} has “{one_line(view.phrase, _NAME_CHARS)}”", address=without.list_address()))
    plain = replace(view, phrase="", where="title", page=1, after=0)
    orders = [
        Link(label=label, address=replace(view, order=order, page=1).list_address(), is_chosen=view.order == order)
        for order, label in _ORDERS.items()
    ]
    return Choices(
        facets=[_facet(view, name, selection) for name in FILTERS if selection.choices[name]],
        chosen=chosen,
        orders=[] if view.searches_texts else orders,
        phrase=view.phrase,
        where=view.where,
        hidden=plain.parameters(),
    )


def _facet(view: View, name: str, selection: Selection) -> Facet:
    choices = selection.choices[name]
    hidden = selection.num_choices[name] - len(choices)
    return Facet(
        title=_TITLES[name],
        name=name if name in ("host", "language", "file") and (hidden > 0 or not choices) else "",
        links=[_link(view, name, choice) for choice in choices],
        note=f"and {count(hidden)} more" if hidden > 0 else "",
        is_folded=name == "file" and not view.filters.file,
    )


def _link(view: View, name: str, choice: Choice) -> Link:
    value = "" if choice.is_chosen else choice.key
    label = _WORDS.get(choice.key, choice.key)
    if name in ("fate", "edited") and ":" in choice.key:
        stage, _, rule = choice.key.partition(":")
        label = rule if name == "fate" else f"{stage}: {rule}"
    if name == "file":
        label = label.rpartition("/")[2]
    return Link(
        label=one_line(label, _NAME_CHARS) or "none",
        address=view.with_filter(name, value).list_address(),
        count=choice.count,
        is_chosen=choice.is_chosen,
        depth=choice.depth,
    )


def _label(name: str, value: str) -> str:
    words = {"fate": "", "host": "host ", "language": "language ", "file": "file ", "edited": "edited by "}
    said = _WORDS.get(value, value).replace(":", ": ") if name in ("fate", "edited") else value
    return f"{words[name]}{one_line(said, _NAME_CHARS)}" if value != "any" else "edited"


def _nothing_note(view: View, table: DocumentTable, total: int, first: int) -> str:
    """Why a page is empty, and what would not be."""
    if total and first >= total:
        return f"There is no page {count(view.page)}: the last one is {count(-(-total // PAGE_DOCUMENTS))}."
    if total:
        return ""
    for name, column in (("host", table.hosts), ("file", table.files)):
        value = getattr(view.filters, name)
        if value and column.code(value) < 0:
            others = " These have it in their name:" if names_like(column, value, 1) else ""
            return f"No document of this run has the {name} {one_line(value, 120)}.{others}"
    return "No document is like that." if len(table) else "The run has extracted no document yet."


def _suggestions(view: View, table: DocumentTable) -> list[Link]:
    """Hosts and files whose names hold what was typed for one."""
    return [
        Link(label=one_line(each, 120), address=view.with_filter(name, each).list_address())
        for name, column in (("host", table.hosts), ("file", table.files))
        if (value := getattr(view.filters, name)) and column.code(value) < 0
        for each in names_like(column, value, _MOST_SUGGESTED)
    ]


def _documents(number: int) -> str:
    return f"{count(number)} document{'' if number == 1 else 's'}"


def _of_all(number: int, table: DocumentTable) -> str:
    return f", of {count(len(table))} in the run" if number != len(table) else ""


def _flat(text: str) -> str:
    return one_line(f"|{text}|", 4 * _EXCERPT_CHARS)[1:-1]
