"""Which documents are looked at: filters over the table of a run, and how many every other choice would give."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.browse.documents import DocumentTable, Names, Order, Positions
from pipeline_lib.browse.published import PublishedTables
from storage.schemas import DOCUMENTS

Mask = npt.NDArray[np.bool_]

KEPT, DROPPED, ANY = "kept", "dropped", "any"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What documents have to be; an empty one lets all through.

    Attributes:
        fate: `kept` or `dropped`, a stage (dropped there), or the key of a `Fate`, such as `judge:c4.too_few_words`.
        host, language, file: equal to that.
        edited: `any`, or stage and rule of an edit, such as `privacy:email`.
    """

    fate: str = ""
    host: str = ""
    language: str = ""
    file: str = ""
    edited: str = ""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A value that a filter could have, and the documents it would give beside the other filters."""

    key: str
    count: int
    is_chosen: bool
    depth: int = 0


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The documents that pass, in order, and what else could be chosen, by filter.

    `num_choices`: of each filter, how many values there are; of many, only those with most documents are in `choices`.
    """

    positions: Positions
    choices: Mapping[str, tuple[Choice, ...]]
    num_choices: Mapping[str, int]


class NoSuchChoice(ValueError):
    """A filter names something that this run does not have; the message says what it has."""


def select(
    table: DocumentTable, filters: Filters, order: Order, *, found: Mask | None = None, most_choices: int = 12
) -> Selection:
    """
    Args:
        found: the documents in which something that was searched for was found; None: nothing was.

    Raises:
        NoSuchChoice: no document of the run can have that fate, or edit.
    """
    everything = np.ones(len(table), np.bool_) if found is None else found
    masks = {name: mask for name in _NAMES if (mask := _mask(table, name, getattr(filters, name))) is not None}
    passing = {name: _all_of(everything, [mask for each, mask in masks.items() if each != name]) for name in _NAMES}
    chosen = _all_of(everything, list(masks.values()))
    ordered = table.order(order)
    choices = {
        "fate": _fates(table, passing["fate"], filters.fate),
        "edited": _editors(table, passing["edited"], filters.edited),
    }
    num_choices = {name: len(found) for name, found in choices.items()}
    for name, column in (("host", table.hosts), ("language", table.languages), ("file", table.files)):
        choices[name], num_choices[name] = _names(column, passing[name], getattr(filters, name), most_choices)
    return Selection(
        positions=ordered[chosen[ordered]],
        choices=choices,
        num_choices=num_choices,
    )


def names_like(column: Names, text: str, most: int) -> list[str]:
    """Names that hold a text, those of most documents first."""
    holding = np.flatnonzero(pc.match_substring(column.names, text, ignore_case=True).to_numpy(zero_copy_only=False))
    counts = np.bincount(column.codes, minlength=len(column.names))[holding]
    order = np.lexsort((holding, -counts))[:most]
    names: list[str] = column.names.take(pa.array(holding[order])).to_pylist()
    return names


def search(published: PublishedTables, table: DocumentTable, phrase: str) -> Mask:
    """Documents whose title or URL has the phrase, in upper or lower case."""
    found = np.zeros(len(table), np.bool_)
    for part, start, end in zip(table.parts, table.starts[:-1], table.starts[1:], strict=True):
        columns = published.columns("extract", "documents", part, DOCUMENTS, ["url", "title"])
        has = pc.or_(*(pc.match_substring(columns[name], phrase, ignore_case=True) for name in ("url", "title")))
        found[start:end] = has.to_numpy()
    return found


_NAMES = tuple(each.name for each in fields(Filters))


def _all_of(everything: Mask, masks: list[Mask]) -> Mask:
    passing = everything
    for mask in masks:
        passing = passing & mask
    return passing


def _mask(table: DocumentTable, name: str, value: str) -> Mask | None:
    if not value:
        return None
    if name == "fate":
        chosen = np.array([_is_of(fate.key, fate.kept, value) for fate in table.fates], np.bool_)
        if not chosen.any() and value not in (KEPT, DROPPED):
            raise NoSuchChoice(
                f"fate={value}: no document of this run met that; there are {KEPT}, {DROPPED}, "
                f"{', '.join(sorted(fate.key for fate in table.fates if not fate.kept))}"
            )
        of_fate: Mask = chosen[table.fate]
        return of_fate
    if name == "edited":
        keys = [":".join(editor) for editor in table.editors]
        if value not in (ANY, *keys):
            raise NoSuchChoice(f"edited={value}: no such edit in this run; there are {ANY}, {', '.join(sorted(keys))}")
        bits = np.uint64(2**64 - 1 if value == ANY else 1 << keys.index(value))
        of_editor: Mask = (table.edited & bits) != 0
        return of_editor
    column = {"host": table.hosts, "language": table.languages, "file": table.files}[name]
    of_name: Mask = column.codes == column.code(value)  # of an unknown name, -1: no document
    return of_name


def _is_of(key: str, kept: bool, value: str) -> bool:
    return value == key or value == key.partition(":")[0] or value == (KEPT if kept else DROPPED)


def _fates(table: DocumentTable, passing: Mask, value: str) -> tuple[Choice, ...]:
    """Kept and its splits, then dropped, the stages in the order of the trail, and their rules, largest first."""
    counts = np.bincount(table.fate[passing], minlength=len(table.fates))
    by_key = {fate.key: (fate, int(counts[number])) for number, fate in enumerate(table.fates)}
    choices = []
    for is_kept, top in ((True, KEPT), (False, DROPPED)):
        of_top = [(fate, count) for fate, count in by_key.values() if fate.kept == is_kept]
        choices.append(Choice(key=top, count=sum(count for _, count in of_top), is_chosen=value == top))
        stages = dict.fromkeys(fate.stage for fate, _ in of_top)
        for stage in stages:
            rules = [(fate.key, count) for fate, count in of_top if fate.stage == stage and fate.rule]
            total = sum(count for _, count in rules)
            if not is_kept and (total or value == stage):
                choices.append(Choice(key=stage, count=total, is_chosen=value == stage, depth=1))
            choices += [
                Choice(key=key, count=count, is_chosen=value == key, depth=1 if is_kept else 2)
                for key, count in sorted(rules, key=lambda rule: (-rule[1], rule[0]))
                if count or value == key
            ]
    return tuple(choices)


def _editors(table: DocumentTable, passing: Mask, value: str) -> tuple[Choice, ...]:
    edited = table.edited[passing]
    if not table.editors:
        return ()
    counts = [
        (":".join(editor), int(np.count_nonzero(edited & np.uint64(1 << bit))))
        for bit, editor in enumerate(table.editors)
    ]
    return (
        Choice(key=ANY, count=int(np.count_nonzero(edited)), is_chosen=value == ANY),
        *(
            Choice(key=key, count=count, is_chosen=value == key, depth=1)
            for key, count in sorted(counts, key=lambda each: (-each[1], each[0]))
        ),
    )


def _names(column: Names, passing: Mask, value: str, most: int) -> tuple[tuple[Choice, ...], int]:
    counts = np.bincount(column.codes[passing], minlength=len(column.names))
    there = np.flatnonzero(counts)
    largest = there[np.lexsort((there, -counts[there]))][:most]
    own = column.code(value) if value else -1
    if own >= 0 and own not in largest:
        largest = np.append(largest, own)
    names = column.names.take(pa.array(largest)).to_pylist()
    return (
        tuple(
            Choice(key=name, count=int(counts[code]), is_chosen=name == value)
            for name, code in zip(names, largest.tolist(), strict=True)
        ),
        len(there),
    )
