"""An entry is taken out of an index only by who knows which later runs counted on it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.cli import main
from storage.indexes import IndexEntry, publish_entry, read_entries
from storage.runs import EarlierRun
from storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An index of three entries: c was deduplicated against a, and b against nothing."""
    store = Store(str(tmp_path / "store"))
    for sequence, (name, against) in enumerate((("a", []), ("b", []), ("c", ["a"])), start=1):
        earlier = tuple(EarlierRun(entry=each, run_id=f"run-of-{each}", kept="") for each in against)
        entry = IndexEntry(
            index="weekly", name=name, sequence=sequence, run_id=f"run-of-{name}", recipe_name="demo", sources=name,
            rules="", stages={"index": name}, kept="", documents=1, bytes=1, against=earlier,
        )  # fmt: skip
        publish_entry(store, entry)
    return store


def remove(store: Store, entry: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["indexes", "weekly", "--remove", entry, "--store", store.url, *more])


def names(store: Store) -> list[str]:
    return [entry.name for entry in read_entries(store, "weekly")]


def test_an_entry_that_no_other_counts_on_goes_at_once(store) -> None:
    done = remove(store, "b", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"index": "weekly", "removed": "b", "deduplicated_against_it": []}
    assert names(store) == ["a", "c"]


def test_an_entry_that_others_were_deduplicated_against_goes_only_with_yes(store) -> None:
    done = remove(store, "a")
    assert done.exit_code == 2
    assert "deduplicated against a: c (run run-of-c)" in done.stderr
    assert names(store) == ["a", "b", "c"]
    done = remove(store, "a", "--yes")
    assert done.exit_code == 0
    assert "warning: 1 later entries" in done.stderr
    assert names(store) == ["b", "c"]


def test_an_entry_that_is_not_there_is_named_beside_those_that_are(store) -> None:
    done = remove(store, "d")
    assert done.exit_code == 2
    assert "no entry 'd' in the index weekly; it has a, b, c" in done.stderr
    done = CliRunner().invoke(main, ["indexes", "--remove", "a", "--store", store.url])
    assert done.exit_code == 2
    assert "gristmill indexes NAME --remove ENTRY" in done.stderr
