"""Indexes: entries in order, none lost, none passed over."""

from dataclasses import replace

import pytest

from storage.indexes import (
    DamagedEntry,
    IndexEntry,
    UnknownIndex,
    changed_since,
    create_entry,
    entry_path,
    find_entries,
    index_names,
    not_compared,
    publish_entry,
    read_entries,
)
from storage.records import record_bytes
from storage.runs import EarlierRun
from storage.store import Store


def entry(name: str, sequence: int, *against: IndexEntry, kept: str = "kept") -> IndexEntry:
    return IndexEntry(
        index="weekly",
        name=name,
        sequence=sequence,
        run_id=f"run-of-{name}",
        recipe_name="recipe",
        sources=f"sources of {name}",
        rules="rules",
        stages={"extract": "e", "index": f"key-of-{name}"},
        kept=kept,
        documents=3,
        bytes=1000,
        against=tuple(EarlierRun(entry=each.name, run_id=each.run_id, kept=each.kept) for each in against),
    )


A = entry("a", 1)
B = entry("b", 2, A)


def test_entries_come_back_as_they_were_in_the_order_of_the_runs(store) -> None:
    first, beside = entry("z", 1), entry("c", 2, A)
    for each in (B, first, beside, A):  # written in any order
        publish_entry(store, each)
    assert read_entries(store, "weekly") == [A, first, B, beside]
    assert index_names(store) == ["weekly"]
    assert read_entries(store, "daily") == []
    assert A.address.folder == "stages/index/key-of-a"


def test_an_index_that_is_not_there_is_named_beside_those_that_are(store) -> None:
    with pytest.raises(UnknownIndex, match=r"'weekly'.*none yet; a run with --set dedup_index=NAME"):
        find_entries(store, "weekly")
    publish_entry(store, A)
    with pytest.raises(UnknownIndex, match=r"'weakly'.*there are: weekly"):
        find_entries(store, "weakly")


@pytest.mark.parametrize(
    "damaged",
    [
        *(b"", b'{"version": 2', b"[]", b'{"version": 2}', b"\xff"),
        *(record_bytes(each) for each in ({"version": 99}, {"version": 2}, {"version": 2, "stages": None})),
    ],
)
def test_a_damaged_entry_is_named_and_not_passed_over(tmp_path, damaged: bytes) -> None:
    store = Store(str(tmp_path))
    publish_entry(store, A)
    store.publish_bytes(entry_path("weekly", "b"), damaged)
    with pytest.raises(DamagedEntry, match=r"indexes/weekly/b.json.*remove the file"):
        read_entries(store, "weekly")


def test_a_run_is_to_be_repeated_where_what_it_was_compared_with_has_changed_or_gone() -> None:
    assert changed_since(B, [A, B]) == []
    assert changed_since(B, [replace(A, run_id="another", stages={"index": "another"}), B]) == []  # kept the same
    assert changed_since(B, [replace(A, kept="others"), B]) == ["a"]
    assert changed_since(B, [B]) == ["a"]


def test_runs_side_by_side_have_not_seen_each_other() -> None:
    beside = entry("c", 2, A)
    entries = [A, B, beside]
    assert [not_compared(each, entries) for each in entries] == [[], [], ["b"]]


def test_of_two_runs_that_enter_the_same_sources_at_once_the_first_stays(tmp_path) -> None:
    store = Store(str(tmp_path))
    assert create_entry(store, A)
    assert not create_entry(store, replace(A, run_id="second"))
    assert read_entries(store, "weekly") == [A]
