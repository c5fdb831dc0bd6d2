"""The verb that tells which indexes of earlier runs a store has: `indexes`."""

import json
from collections.abc import Sequence
from typing import Any

import click

from flows.clear_errors import clear_errors
from flows.verb_options import json_option, store_option
from storage.indexes import IndexEntry, changed_since, find_entries, index_names, not_compared, read_entries
from storage.store import Store


@click.command()
@click.argument("name", required=False)
@store_option
@json_option
def indexes(name: str | None, store_url: str, as_json: bool) -> None:
    """List the indexes of a store, or the runs in the index NAME: what later runs are deduplicated against.

    A run with --set dedup_index=NAME leaves out what earlier runs with it kept, and is an entry for later ones.

    \b
    gristmill run commoncrawl --set source.crawl=latest --set dedup_index=weekly
    gristmill indexes weekly
    """
    with clear_errors():
        store = Store(store_url)
        if name is None:
            found = {each: read_entries(store, each) for each in index_names(store)}
            shown = {"indexes": [_totals(each, entries) for each, entries in found.items()]}
            click.echo(json.dumps(shown) if as_json else _describe_indexes(store, shown["indexes"]))
            return
        entries = find_entries(store, name)
        rows = [_row(entry, entries) for entry in entries]
        click.echo(json.dumps({**_totals(name, entries), "entries": rows}) if as_json else _describe_entries(rows))


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
