"""Runs: found by id, beginning or `latest`; a damaged record hides no other run."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from storage.accounts import Account
from storage.records import record_bytes
from storage.runs import (
    Run,
    StageOutcome,
    UnknownRun,
    find_run,
    list_runs,
    load_run,
    new_run_id,
    run_path,
    save_run,
    unreadable_runs,
)
from storage.store import Store


def make_run(run_id: str, created_at: str) -> Run:
    return Run(run_id=run_id, recipe_name="demo", recipe={}, recipe_digest="d" * 64, created_at=created_at)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    save_run(store, make_run("demo-20260102-000000-aaaa", "2026-01-02T00:00:00+00:00"))
    save_run(store, make_run("demo-20260101-000000-bbbb", "2026-01-01T00:00:00+00:00"))
    save_run(store, make_run("weekly-20260103-000000-cccc", "2026-01-03T00:00:00+00:00"))
    return store


def test_runs_are_listed_oldest_first(store: Store) -> None:
    assert [run.run_id[-4:] for run in list_runs(store)] == ["bbbb", "aaaa", "cccc"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("latest", "weekly-20260103-000000-cccc"),
        ("weekly", "weekly-20260103-000000-cccc"),
        ("demo-20260101", "demo-20260101-000000-bbbb"),
        ("demo-20260102-000000-aaaa", "demo-20260102-000000-aaaa"),
    ],
)
def test_a_run_is_found_by_id_unique_beginning_or_latest(store: Store, name: str, found: str) -> None:
    assert find_run(store, name).run_id == found


def test_an_ambiguous_beginning_names_the_runs_it_could_be(store: Store) -> None:
    with pytest.raises(UnknownRun, match="any of 2 runs: demo-20260101-000000-bbbb, demo-20260102-000000-aaaa"):
        find_run(store, "demo")


def test_an_unknown_run_names_the_last_ones(store: Store) -> None:
    with pytest.raises(UnknownRun, match="weekly-20260103"):
        find_run(store, "nonesuch")


def test_a_store_without_runs_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownRun, match="gristmill run demo"):
        find_run(Store(str(tmp_path)), "latest")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", record_bytes({"version": 99}), record_bytes({"version": 2}), b"\xff\xfe"]
)
def test_a_damaged_record_is_named_and_hides_no_other_run(store: Store, content: bytes) -> None:
    store.publish_bytes(run_path("demo-20260104-000000-dddd"), content)
    assert len(list_runs(store)) == 3
    assert list(unreadable_runs(store)) == ["demo-20260104-000000-dddd"]
    with pytest.raises(UnknownRun, match="dddd"):
        load_run(store, "demo-20260104-000000-dddd")


def test_a_run_reads_back_as_it_was_saved(store: Store) -> None:
    run = make_run("demo-20260105-000000-eeee", "2026-01-05T00:00:00+00:00")
    run.stages.append(
        StageOutcome(
            name="judge",
            key="k",
            account=Account(documents_in=3, documents_out=2, dropped={"too_short": 1}),
            reused=False,
            seconds=1.5,
            metrics={"a": 1},
        )
    )
    run.metrics["val_bits_per_byte"] = 1.25
    save_run(store, run)
    assert load_run(store, run.run_id) == run


def test_run_ids_are_safe_as_folder_names_and_differ_within_a_second() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first, second = new_run_id("My Corpus/../x", now), new_run_id("My Corpus/../x", now)
    assert first.startswith("my-corpus-x-20260102-030405-")
    assert first != second
