"""The page of one document: what became of it and why, its text with what was done to it, what it is a copy of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.browse.differences import Stretch, differences
from pipeline_lib.browse.documents import DocumentTable, Fate
from pipeline_lib.browse.edited_text import Edit, EditedText, Piece, Step, lay_edits, text_after
from pipeline_lib.browse.lists import PAGE_DOCUMENTS, listed, verdict_of
from pipeline_lib.browse.pages import Beside, DocumentPage, Listed, RunHead
from pipeline_lib.browse.published import PublishedTables
from pipeline_lib.browse.selection import Selection
from pipeline_lib.browse.views import View
from pipeline_lib.privacy.stage import mask_addresses
from pipeline_lib.report.blocks import Cell, Column, Row, Table
from pipeline_lib.report.excerpts import Segments, one_line
from pipeline_lib.report.quantities import count, size, value
from pipeline_lib.survivors import MisplacedEdit
from storage.schemas import DECISIONS, DOCUMENTS, DUPLICATES, EDITS, EVALUATION_MATCHES, signals_schema

# What rules asked of a document: rule, value, drops (what it drops, in words) and broken of each, from the signals and
# the document itself.
Asked = Callable[[Mapping[str, float], Mapping[str, Any]], Sequence[Mapping[str, Any]]]

_SHOWN_CHARS, _SHOWN_PIECES = 60_000, 10_000
_MEMBERS_SHOWN = 25
_MATCHES_SHOWN = 10
_WORTH_FOLDING = 80
_DIFFERENT_CHARS = 20_000  # of a stretch that only one of them has
_SAME_CHARS = 240  # of what two texts have in common, around each difference
_PRIVACY = "privacy"


def document_page(
    head: RunHead,
    view: View,
    published: PublishedTables,
    table: DocumentTable,
    selection: Selection,
    position: int,
    *,
    asked: Asked | None,
    earlier: Mapping[str, str],
) -> DocumentPage:
    """
    Args:
        asked: None where nothing was judged.
        earlier: ids of earlier runs by their entry in the index.
    """
    part, row = table.place(position)
    doc_id, fate = table.doc_id(position), table.fate_of(position)
    (document,) = published.rows("extract", "documents", part, DOCUMENTS, DOCUMENTS.names, [row]).to_pylist()
    duplicate = _duplicate(published, part, doc_id, fate)
    text, text_note = _text(published, part, document)
    is_cut = False
    if text is not None and not view.whole:
        text, is_cut = _beginning(text)
    members, members_note = _members(published, table, position, view)
    places = np.flatnonzero(selection.positions == position)
    at = int(places[0]) if len(places) else None
    neighbours = _neighbours(view, table, selection, at)
    page = 1 if at is None else at // PAGE_DOCUMENTS + 1
    return DocumentPage(
        head=head,
        doc_id=doc_id,
        title=one_line(document["title"], 200) or "Without a title",
        url=one_line(document["url"], 2_000),
        link=document["url"] if is_web_address(document["url"]) else None,
        verdict=verdict_of(fate),
        is_kept=fate.kept,
        sentence=_sentence(published, table, part, doc_id, fate, duplicate),
        details=_details(document, part, row),
        place=f"{count(at + 1)} of {count(len(selection.positions))}" if at is not None else "not in this list",
        back=replace(view, page=page, whole=False).list_address(doc_id),
        previous=neighbours[0],
        following=neighbours[1],
        text=text,
        text_note=text_note,
        whole_address=f"{view.document_address(doc_id)}{'&' if view.parameters() else '?'}whole=1" if is_cut else None,
        beside=_beside(published, table, view, part, document, fate, duplicate, earlier) if duplicate else None,
        members=members,
        members_note=members_note,
        tables=[*_matches(published, part, doc_id), *_rules(published, part, row, document, asked)],
    )


def is_web_address(url: str) -> bool:
    """Whether a browser may be sent there: what was crawled may claim any address."""
    return url.startswith(("http://", "https://")) and url.isprintable() and " " not in url


def fold_same(stretches: Sequence[Stretch], around: int = _SAME_CHARS) -> tuple[Segments, Segments]:
    """Two texts in segments that the other has not, or has; of long ones that both have, the ends."""
    ours: list[tuple[str, bool]] = []
    theirs: list[tuple[str, bool]] = []
    for number, stretch in enumerate(stretches):
        if not stretch.is_same:
            ours += [(_cut(stretch.left), True)] if stretch.left else []
            theirs += [(_cut(stretch.right), True)] if stretch.right else []
            continue
        text = stretch.left
        head = around if number else 0
        tail = around if number + 1 < len(stretches) else 0
        if len(text) > head + tail + _WORTH_FOLDING:
            before = text[:head].rpartition(" ")[0] or text[:head]
            after = (text[-tail:].partition(" ")[2] or text[-tail:]) if tail else ""
            folded = f"[…{count(len(text) - len(before) - len(after))} characters alike…]"
            text = " ".join(piece for piece in (before, folded, after) if piece)
        ours.append((text, False))
        theirs.append((text, False))
    return tuple(ours), tuple(theirs)


def _cut(text: str) -> str:
    return text if len(text) <= _DIFFERENT_CHARS else f"{text[:_DIFFERENT_CHARS]}…"


def steps_of(published: PublishedTables, part: str, doc_id: str, upto: str | None = None) -> list[Step]:
    """The steps that edited a document, in order; `upto`: those of the stages before that one."""
    steps = []
    for stage in published.trail:
        if stage == upto:
            break
        rows = published.of_document(stage, "edits", part, EDITS, doc_id)
        for step in sorted(pc.unique(rows["step"]).to_pylist()):
            edits = [
                Edit(start=edit["start"], end=edit["end"], replacement=edit["replacement"], rule=edit["rule"])
                for edit in rows.filter(pc.equal(rows["step"], step)).to_pylist()
            ]
            steps.append(Step(stage=stage, edits=edits, hides=stage == _PRIVACY))
    return steps


def _text(published: PublishedTables, part: str, document: Mapping[str, Any]) -> tuple[EditedText | None, str]:
    steps = steps_of(published, part, document["doc_id"])
    private = _private(published, document["doc_id"], document["text"])
    try:
        return lay_edits(document["text"], steps, private, _PRIVACY), ""
    except MisplacedEdit as error:
        return None, f"The text cannot be shown with its edits: {error}. Run again: the stages are checked and rebuilt."


def _private(published: PublishedTables, doc_id: str, text: str) -> list[Edit]:
    """Where addresses stand in a text, as the corpus masks them."""
    documents = pa.table({"doc_id": pa.array([doc_id]), "text": pa.array([text], pa.large_string())})
    masks = mask_addresses(documents, published.privacy).to_pylist()
    return [Edit(**{name: mask[name] for name in ("start", "end", "replacement", "rule")}) for mask in masks]


def _beginning(text: EditedText) -> tuple[EditedText, bool]:
    """As much of a text as a page shows at first, and whether anything was left out."""
    taken: list[Piece] = []
    left = _SHOWN_CHARS
    for piece in text.pieces:
        if len(piece.text) > left or len(taken) == _SHOWN_PIECES:
            return replace(text, pieces=[*taken, replace(piece, text=piece.text[:left])]), True
        taken.append(piece)
        left -= len(piece.text)
    return text, False


def _details(document: Mapping[str, Any], part: str, row: int) -> list[tuple[str, str]]:
    fetched = document["fetched_at"]
    details = [
        ("WARC", one_line(document["warc_path"], 300)),
        ("offset", count(document["warc_offset"])),
        ("record", size(document["warc_length"])),
        ("fetched", f"{fetched:%Y-%m-%d %H:%M} UTC" if fetched is not None else ""),
        ("published", one_line(document["published_at"] or "", 40)),
        ("language", f"{one_line(document['language'], 20)} ({document['language_score']:.2f})"),
        ("charset", one_line(document["charset"], 40)),
        ("type", one_line(document["mime"], 60)),
        ("characters", count(len(document["text"]))),
        ("part", f"{part}, row {count(row)}"),
        ("document", document["doc_id"]),
    ]
    return [(name, text) for name, text in details if text]


def _duplicate(published: PublishedTables, part: str, doc_id: str, fate: Fate) -> dict[str, Any] | None:
    if fate.kept:
        return None
    rows = published.of_document(fate.stage, "duplicates", part, DUPLICATES, doc_id).to_pylist()
    return rows[0] if rows else None


def _sentence(
    published: PublishedTables,
    table: DocumentTable,
    part: str,
    doc_id: str,
    fate: Fate,
    duplicate: Mapping[str, Any] | None,
) -> str:
    if fate.kept:
        if fate.rule:
            return f"Kept: it is in the {fate.rule} split of the corpus."
        return "Kept so far: no stage of this run has dropped it." if not table.has_corpus else "Kept."
    if duplicate is not None:
        return f"Dropped by the stage {fate.stage} as {_called(fate.rule)} of another document."
    decisions = published.of_document(fate.stage, "decisions", part, DECISIONS, doc_id).to_pylist()
    saw = ""
    if decisions:
        decision = decisions[0]
        if decision["evidence"] is not None:
            saw = f": {one_line(decision['evidence'], 160)}"
        elif decision["value"] is not None:
            saw = f": {value(decision['value'], 6)}"
            if decision["threshold"] is not None:
                saw += f", the line is at {value(decision['threshold'], 6)}"
    if fate.stage == "corpus":
        return "Dropped by the stage corpus: nothing of its text was left after the edits."
    return f"Dropped by the stage {fate.stage}, by the rule {fate.rule}{saw}."


def _called(rule: str) -> str:
    """A duplicate in words."""
    words = {
        "exact_duplicate": "an exact duplicate",
        "url_duplicate": "a duplicate by its URL",
        "near_duplicate": "a near-duplicate",
    }
    return words.get(rule, f"a {rule.replace('_', ' ')}")


def _beside(
    published: PublishedTables,
    table: DocumentTable,
    view: View,
    part: str,
    document: Mapping[str, Any],
    fate: Fate,
    duplicate: Mapping[str, Any],
    earlier: Mapping[str, str],
) -> Beside:
    measure = "cosine" if fate.rule == "semantic_duplicate" else "similarity"
    details = [
        (name, value(duplicate[column], 4))
        for name, column in ((measure, "similarity"), ("threshold", "threshold"), ("bands shared", "bands_shared"))
        if duplicate[column] is not None and (column != "bands_shared" or duplicate[column])
    ]
    if duplicate["kept_run"] is not None:
        run_id = earlier.get(duplicate["kept_run"], duplicate["kept_run"])
        return Beside(
            title="A document of an earlier run",
            url=f"document {duplicate['kept_id']} of run {run_id}",
            address=None,
            sentence=f"This document is {_called(fate.rule)} of one that an earlier run kept.",
            details=details,
            note=f"gristmill browse {run_id} shows it, at /documents/{duplicate['kept_id']}.",
        )
    kept = table.find(duplicate["kept_id"])
    if kept is None:
        return Beside(
            title="A document that is not in this run",
            url=duplicate["kept_id"],
            address=None,
            sentence="The document kept in its place was not found among the extracted ones; run again.",
            details=details,
        )
    kept_part, kept_row = table.place(kept)
    (other,) = published.rows("extract", "documents", kept_part, DOCUMENTS, DOCUMENTS.names, [kept_row]).to_pylist()
    note = ""
    ours: Segments = ()
    theirs: Segments = ()
    try:
        left = _compared(published, part, document, fate.stage)
        right = _compared(published, kept_part, other, fate.stage)
        if left == right:
            note = "The two texts are the same, character by character."
        else:
            found = differences(left, right)
            ours, theirs = fold_same(found)
            note = "Both as they were when they were compared; what the other lacks is marked."
            if not any(stretch.is_same and not stretch.left.isspace() for stretch in found):
                ours, theirs = ((("".join(text for text, _ in side), False),) for side in (ours, theirs))
                note = "The two have next to nothing in common, word for word."
    except MisplacedEdit as error:
        note = f"The two cannot be compared here: {error}."
    return Beside(
        title=one_line(other["title"], 200) or "Without a title",
        url=one_line(other["url"], 400),
        address=view.document_address(duplicate["kept_id"]),
        sentence=f"This document is {_called(fate.rule)} of the one that was kept in its place.",
        details=details,
        ours=ours,
        theirs=theirs,
        note=note,
    )


def _compared(published: PublishedTables, part: str, document: Mapping[str, Any], stage: str) -> str:
    """The text that a stage compared, with addresses masked."""
    text = text_after(document["text"], steps_of(published, part, document["doc_id"], upto=stage))
    private = _private(published, document["doc_id"], text)
    return text_after(text, [Step(stage=_PRIVACY, edits=private)]) if private else text


def _members(published: PublishedTables, table: DocumentTable, position: int, view: View) -> tuple[list[Listed], str]:
    """The documents of its cluster, the kept ones first."""
    cluster = int(table.cluster[position])
    if cluster < 0:
        return [], ""
    members = np.flatnonzero(table.cluster == cluster)
    is_kept = np.array([fate.kept for fate in table.fates], np.bool_)[table.fate[members]]
    members = members[np.argsort(~is_kept, kind="stable")]
    chosen = members[:_MEMBERS_SHOWN].tolist()
    if position not in chosen:
        chosen = [*chosen[:-1], position]
    similar = _similarities(published, table, chosen)
    shown = [
        replace(each, note=similar.get(each.doc_id, ""))
        for each in listed(published, table, chosen, view, here=position)
    ]
    note = f"{count(len(members))} documents that hang together by what they have in common"
    return shown, f"{note}; {count(len(chosen))} of them are listed." if len(members) > len(chosen) else f"{note}."


def _similarities(published: PublishedTables, table: DocumentTable, positions: Sequence[int]) -> dict[str, str]:
    """How alike the removed ones are to the documents kept in their place, in words."""
    by_part: dict[str, list[str]] = {}
    for position in positions:
        by_part.setdefault(table.place(position)[0], []).append(table.doc_id(position))
    found: dict[str, str] = {}
    for part, doc_ids in by_part.items():
        for stage in ("dedup", "semantic"):
            if published.has(stage, "duplicates", part):
                rows = published.columns(stage, "duplicates", part, DUPLICATES, ["doc_id", "similarity", "rule"])
                chosen = rows.filter(pc.is_in(rows["doc_id"], value_set=pa.array(doc_ids, pa.string()))).to_pylist()
                for row in chosen:
                    if row["similarity"] is not None:
                        found[row["doc_id"]] = f"similarity {row['similarity']:.3f}"
    return found


def _neighbours(
    view: View, table: DocumentTable, selection: Selection, at: int | None
) -> tuple[str | None, str | None]:
    if at is None:
        return None, None
    around = []
    for place in (at - 1, at + 1):
        there = 0 <= place < len(selection.positions)
        around.append(view.document_address(table.doc_id(int(selection.positions[place]))) if there else None)
    return around[0], around[1]


def _matches(published: PublishedTables, part: str, doc_id: str) -> list[Table]:
    matches = published.of_document("decontaminate", "matches", part, EVALUATION_MATCHES, doc_id).to_pylist()
    if not matches:
        return []
    return [
        Table(
            title="Evaluation items that it holds",
            columns=[
                Column(title="Item"),
                Column(title="Share of it", numeric=True),
                Column(title="Passage in common"),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=f"{one_line(match['set'], 60)}: {one_line(match['item'], 80)}"),
                        Cell(text=f"{match['share']:.0%}"),
                        Cell(text=one_line(match["excerpt"], 200), crawled=True),
                    ]
                )
                for match in matches[:_MATCHES_SHOWN]
            ],
        )
    ]


def _rules(
    published: PublishedTables, part: str, row: int, document: Mapping[str, Any], asked: Asked | None
) -> list[Table]:
    if not published.has("signals", "signals", part):
        return []
    names = list(published.signal_names)
    columns = ["doc_id", *names]
    (signals,) = published.rows("signals", "signals", part, signals_schema(names), columns, [row]).to_pylist()
    if signals.pop("doc_id") != document["doc_id"]:
        raise ValueError(f"{part}: the signals are not those of the extracted documents; run again")
    tables = []
    if asked is not None:
        rules = asked(signals, document)
        num_broken = sum(bool(rule["broken"]) for rule in rules)
        broken = "it breaks none" if not num_broken else f"it breaks {count(num_broken)}"
        tables.append(
            Table(
                title="Rules and signals",
                columns=[
                    Column(title="Rule"),
                    Column(title="Value", numeric=True),
                    Column(title="Drops"),
                    Column(title=""),
                ],
                rows=[_rule_row(rule) for rule in rules],
                note=(
                    f"The {count(len(rules))} rules of this run, in the order in which they are asked: {broken}. "
                    "The first one that is broken drops a document."
                ),
            )
        )
    tables.append(
        Table(
            title=f"All {count(len(names))} signals",
            columns=[Column(title="Signal"), Column(title="Value", numeric=True)],
            rows=[Row(cells=[Cell(text=name, code=True), Cell(text=value(signals[name], 6))]) for name in names],
            folded=True,
        )
    )
    return tables


def _rule_row(rule: Mapping[str, Any]) -> Row:
    seen = rule["value"]
    return Row(
        cells=[
            Cell(text=rule["rule"], code=True),
            Cell(text=one_line(seen, 60) if isinstance(seen, str) else value(seen, 6)),
            Cell(text=rule["drops"], code=True),
            Cell(text="broken" if rule["broken"] else "", tone="dropped" if rule["broken"] else "plain"),
        ]
    )
