"""The verb that tells which indexes of earlier runs a store has, and takes entries out of them: `indexes`."""

import json
from collections.abc import Sequence
from typing import Any

import click

from flows.clear_errors import clear_errors
from flows.verbs.options import json_option, store_option
from storage.indexes import (
    IndexEntry,
    changed_since,
    entry_path,
    find_entries,
    index_names,
    not_compared,
    read_entries,
)
from storage.store import Store
from storage.wrong_request import WrongRequest


@click.command()
@click.argument("name", required=False)
@click.option("--remove", metavar="ENTRY", help="Take this entry out of the index NAME.")
@click.option("--yes", is_flag=True, help="Also where later runs were deduplicated against it.")
@store_option
@json_option
def indexes(name: str | None, remove: str | None, yes: bool, store_url: str, as_json: bool) -> None:
    """List the indexes of a store, or the runs in the index NAME: what later runs are deduplicated against.

    A run with --set dedup_index=NAME leaves out what earlier runs with it kept, and is an entry for later ones. An
    entry that is taken out is compared with no more; what its run published stays, until `gristmill gc` is told that
    this run may go. Where later runs left something out for its sake, --remove says so, and wants --yes.

    \b
    gristmill run commoncrawl --set source.crawl=latest --set dedup_index=weekly
    gristmill indexes weekly
    gristmill indexes weekly --remove CC-MAIN-2026-43-0f3a9c2b1d4e
    """
    with clear_errors():
        store = Store(store_url)
        if remove is not None:
            removed = _remove(store, name, remove, is_sure=yes)
            click.echo(json.dumps(removed) if as_json else f"removed {removed['removed']} from the index {name}")
            return
        if name is None:
            found = {each: read_entries(store, each) for each in index_names(store)}
            shown = {"indexes": [_totals(each, entries) for each, entries in found.items()]}
            click.echo(json.dumps(shown) if as_json else _describe_indexes(store, shown["indexes"]))
            return
        entries = find_entries(store, name)
        rows = [_row(entry, entries) for entry in entries]
        click.echo(json.dumps({**_totals(name, entries), "entries": rows}) if as_json else _describe_entries(rows))


def _remove(store: Store, index: str | None, entry_name: str, *, is_sure: bool) -> dict[str, Any]:
    """Take an entry out of an index; its name, and those of the entries that were deduplicated against it.

    Raises:
        WrongRequest: there is none of that name, or others depend on it and nobody said that this is meant.
    """
    if index is None:
        raise WrongRequest("--remove ENTRY needs the name of its index: gristmill indexes NAME --remove ENTRY")
    entries = find_entries(store, index)
    entry = next((each for each in entries if each.name == entry_name), None)
    if entry is None:
        raise WrongRequest(
            f"no entry {entry_name!r} in the index {index}; it has {', '.join(each.name for each in entries)}"
        )
    dependent = [each for each in entries if entry_name in {earlier.entry for earlier in each.against}]
    if dependent:
        listed = ", ".join(f"{each.name} (run {each.run_id})" for each in dependent)
        warning = (
            f"{len(dependent)} later entries were deduplicated against {entry_name}: {listed}. What they left out for "
            f"its sake is in the corpus of run {entry.run_id} only, and their recipes cannot be repeated as they were"
        )
        if not is_sure:
            raise WrongRequest(f"{warning}. Nothing was removed: say --yes to remove it all the same")
        click.echo(f"warning: {warning}", err=True)
    store.remove(entry_path(index, entry_name))
    return {"index": index, "removed": entry_name, "deduplicated_against_it": [each.name for each in dependent]}


def _totals(name: str, entries: Sequence[IndexEntry]) -> dict[str, Any]:
    return {
        "name": name,
        "runs": len(entries),
        "documents": sum(entry.documents for entry in entries),
        "bytes": sum(entry.bytes for entry in entries),
    }


def _row(entry: IndexEntry, entries: Sequence[IndexEntry]) -> dict[str, Any]:
    return {
        "entry": entry.name,
        "sequence": entry.sequence,
        "run_id": entry.run_id,
        "recipe": entry.recipe_name,
        "documents": entry.documents,
        "bytes": entry.bytes,
        "stages": dict(entry.stages),
        "against": [each.entry for each in entry.against],
        "changed_since": changed_since(entry, entries),
        "not_compared": not_compared(entry, entries),
    }


def _describe_indexes(store: Store, rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return f"no indexes in {store.url} yet; a run with --set dedup_index=NAME makes one"
    return "\n".join(
        f"{row['name']:<20} {row['runs']:>5,} runs  {row['documents']:>14,} documents  {row['bytes'] / 1e6:>12,.1f} MB"
        for row in rows
    )


def _describe_entries(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        lines.append(
            f"{row['sequence']:>4}  {row['entry']:<32} {row['documents']:>12,} documents  "
            f"{row['bytes'] / 1e6:>10,.1f} MB  {row['run_id']}"
        )
        if row["not_compared"]:
            lines.append(f"      ran beside {', '.join(row['not_compared'])}: a document may be in both")
        if row["changed_since"]:
            changed = ", ".join(row["changed_since"])
            lines.append(f"      was deduplicated against what {changed} kept before: run its recipe again")
    return "\n".join(lines)
