"""What nothing refers to goes, all of it and nothing else, on any kind of store; what may still be used stays."""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from dead_process import dead_pid, dead_process
from hypothesis import given
from hypothesis import strategies as st
from published_stages import publish_tables

from flows.unreferenced import KeptRuns, Removal, UnreadableRun, find_unreferenced, remove_unreferenced
from storage.accounts import Account
from storage.indexes import IndexEntry, publish_entry
from storage.leases import Lease, Leases
from storage.manifests import PublishedStage, publish_manifest
from storage.processes import this_process
from storage.removal_mark import removal_mark
from storage.runs import NAME_TAKEN, Run, StageOutcome, begin_run, save_run
from storage.schemas import DECISIONS
from storage.store import Store
from storage.wrong_request import WrongRequest

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ALL = KeptRuns()
HOST = socket.gethostname()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("s3_url"))


def stage(store: Store, name: str, key: str, **inputs: str) -> PublishedStage:
    """A published stage with one table; `inputs`: key by name."""
    table = {"decisions": (pa.Table.from_pylist([{"doc_id": key, "rule": "r"}], DECISIONS), DECISIONS)}
    published = publish_tables(store, name, {"part-00000": table}, key)
    made_from = {each.replace("_", "/"): its for each, its in inputs.items()}
    manifest = replace(published.manifest, inputs=made_from)
    publish_manifest(store, manifest)
    return PublishedStage(store=store, manifest=manifest)


def unfinished(store: Store, name: str, key: str) -> None:
    store.publish_bytes(f"stages/{name}/{key}/documents/part-00000.parquet", b"half")
    store.publish_bytes(f"stages/{name}/{key}/parts/part-00000.json", b"{}")


def run(store: Store, run_id: str, stages: Mapping[str, str], *, days: float = 0, **changes) -> Run:
    """A completed run that began so many days before NOW; `stages`: key by name."""
    account = Account(documents_in=0, documents_out=0)
    made = Run(
        run_id=run_id,
        recipe_name="demo",
        recipe={},
        recipe_digest="",
        created_at=(NOW - timedelta(days=days)).isoformat(timespec="seconds"),
        status="completed",
        host=HOST,
        pid=os.getpid(),
        stages=[
            StageOutcome(name=name, key=key, account=account, reused=False, seconds=0.0) for name, key in stages.items()
        ],
    )
    for name, value in changes.items():
        setattr(made, name, value)
    save_run(store, made)
    return made


def remove(store: Store, kept: KeptRuns = ALL, **options) -> Removal:
    with removal_mark(store) as mark:
        removal = find_unreferenced(store, kept, **options)
        assert [gone.path for gone in remove_unreferenced(store, removal, mark)] == paths(removal)
    return removal


def paths(removal: Removal) -> list[str]:
    return [each.path for each in removal.garbage]


def stored(store: Store) -> set[str]:
    return {"/".join(file.path.split("/")[:3]) for file in store.files("stages")}


def test_exactly_the_orphans_go_with_all_their_files(store) -> None:
    stage(store, "extract", "e1")
    stage(store, "judge", "j1", extract="e1")
    stage(store, "extract", "orphan")
    stage(store, "judge", "orphan", extract="e1")
    run(store, "a", {"judge": "j1"})  # the record names the last stage only: what that was made of stays, too
    before = store.files("")
    listed = find_unreferenced(store, ALL)
    assert store.files("") == before  # to look removes nothing
    assert paths(listed) == ["stages/extract/orphan", "stages/judge/orphan"]
    assert listed.bytes == sum(file.bytes for file in before if "orphan" in file.path) > 0
    remove(store)
    assert stored(store) == {"stages/extract/e1", "stages/judge/j1"}
    assert [file for file in before if "orphan" not in file.path] == store.files("")
    assert paths(remove(store)) == []


def test_what_an_index_refers_to_stays_and_so_does_what_a_run_was_deduplicated_against(store) -> None:
    for name, inputs in (("extract", {}), ("signatures", {"extract": "x"}), ("index", {"signatures": "x"})):
        stage(store, name, "x", **inputs)
        stage(store, name, "y", **dict.fromkeys(inputs, "y"))
        stage(store, name, "z", **dict.fromkeys(inputs, "z"))
    stage(store, "dedup", "d", **{"earlier_00001_week-1": "y"})
    run(store, "later", {"dedup": "d"})
    entry = IndexEntry(
        index="weekly", name="week-0", sequence=1, run_id="gone", recipe_name="demo", sources="", rules="",
        stages={"index": "x"}, kept="", documents=1, bytes=1,
    )  # fmt: skip
    publish_entry(store, entry)
    assert paths(remove(store)) == ["stages/extract/z", "stages/index/z", "stages/signatures/z"]


def test_a_run_that_goes_takes_what_is_its_own_and_leaves_what_others_share(store) -> None:
    stage(store, "extract", "shared")
    for key in ("a", "b"):
        stage(store, "judge", key, extract="shared")
        run(store, key, {"extract": "shared", "judge": key})
        store.publish_bytes(f"runs/{key}/report.html", b"page")
    assert paths(remove(store, KeptRuns(remove=("a",)))) == ["runs/a", "stages/judge/a"]
    assert store.names("runs") == ["b"]
    assert stored(store) == {"stages/extract/shared", "stages/judge/b"}


def test_runs_that_may_not_go_are_refused_by_name_and_passed_over_otherwise(store) -> None:
    stage(store, "index", "i")
    run(store, "indexed", {"index": "i"}, days=100)
    entry = IndexEntry(
        index="weekly", name="week-0", sequence=1, run_id="indexed", recipe_name="demo", sources="", rules="",
        stages={"index": "i"}, kept="", documents=1, bytes=1,
    )  # fmt: skip
    publish_entry(store, entry)
    run(store, "running", {}, days=100, status="running", host="elsewhere")
    run(store, "last", {})
    with pytest.raises(WrongRequest, match="gristmill indexes NAME --remove ENTRY"):
        find_unreferenced(store, KeptRuns(remove=("indexed",)))
    with pytest.raises(WrongRequest, match="run running is going on"):
        find_unreferenced(store, KeptRuns(remove=("running",)))
    with pytest.raises(WrongRequest, match="no run 'unknown'"):
        find_unreferenced(store, KeptRuns(remove=("unknown",)))
    removal = remove(store, KeptRuns(last=1, days=3), now=NOW)
    assert paths(removal) == []
    assert removal.notes == (
        ["run indexed stays: it is entry week-0 of the index weekly", "run running stays: it is going on"]
    )


def test_what_a_running_run_may_still_use_stays_until_it_has_ended(store) -> None:
    """It has come to `extract` with another key; `judge` of an orphan it may take, and what that was made of."""
    stage(store, "extract", "mine")
    stage(store, "extract", "of-the-orphan")
    stage(store, "extract", "no-use")
    stage(store, "judge", "orphan", extract="of-the-orphan")
    unfinished(store, "corpus", "half")
    running = run(store, "running", {"extract": "mine"}, status="running", created_at="2999-01-01T00:00:00+00:00")
    assert paths(remove(store)) == ["stages/extract/no-use"]
    running.status = "completed"
    save_run(store, running)
    assert paths(remove(store, unfinished_days=0, now=datetime.now(UTC) + timedelta(seconds=5))) == [
        "stages/corpus/half", "stages/extract/of-the-orphan", "stages/judge/orphan",
    ]  # fmt: skip


def test_what_was_written_since_a_running_run_began_stays(store) -> None:
    stage(store, "extract", "mine")
    stage(store, "extract", "new")
    run(store, "running", {"extract": "mine"}, status="running", days=1)
    removal = remove(store)
    assert paths(removal) == []
    assert removal.notes == ["stages/extract/new stays: it was written to since a run began that is going on"]


def test_a_run_whose_process_died_protects_what_it_recorded_and_no_more(store) -> None:
    stage(store, "extract", "mine")
    stage(store, "judge", "orphan", extract="mine")
    run(store, "dead", {"extract": "mine"}, status="running", pid=dead_pid())
    assert paths(remove(store)) == ["stages/judge/orphan"]


@pytest.mark.parametrize("host", [HOST, "another"])
def test_whether_a_run_goes_on_its_lease_says(store, host: str) -> None:
    """The lease of a living process outweighs a pid that is none here, as in another container of the same name."""
    stage(store, "judge", "orphan")
    run(store, "a", {}, status="running", host=host, pid=dead_pid())
    leases = Leases(store=store, run="a")
    lease = leases.acquire("run-a", ["stages/extract/used"])
    assert isinstance(lease, Lease)
    assert paths(find_unreferenced(store, ALL)) == []
    leases.release(lease)
    dead = Leases(store=store, run="a", process=dead_process())
    assert isinstance(dead.acquire("run-a", ["stages/judge/orphan"]), Lease)
    assert paths(remove(store)) == ["stages/judge/orphan"]


def test_what_was_never_finished_goes_when_it_is_old(store) -> None:
    unfinished(store, "extract", "half")
    removal = remove(store)
    assert paths(removal) == []
    assert "never finished, but written to in the last 7 days" in removal.notes[0]
    removal = remove(store, now=datetime.now(UTC) + timedelta(days=8))
    assert [(each.kind, each.path) for each in removal.garbage] == [("unfinished stage", "stages/extract/half")]
    assert stored(store) == set()


def test_outputs_that_a_recipe_or_a_lease_names_stay(store) -> None:
    stage(store, "train", "t")
    stage(store, "export", "e", train="t")
    stage(store, "judge", "leased")
    stage(store, "judge", "orphan")
    recipe = {"filters": {"perplexity": {"model": store.full_path("stages/export/e/huggingface")}}}
    run(store, "a", {}, recipe=recipe)
    assert isinstance(Leases(store=store, run="b").acquire("other", ["stages/judge/leased"]), Lease)
    assert paths(remove(store)) == ["stages/judge/orphan"]


def test_nothing_goes_while_a_record_cannot_be_read(store) -> None:
    stage(store, "extract", "orphan")
    stage(store, "judge", "j", extract="e")
    run(store, "a", {"judge": "j"})
    store.publish_bytes("stages/judge/j/manifest.json", b"{")
    with pytest.raises(WrongRequest, match="what it was made of cannot be told"):
        find_unreferenced(store, ALL)
    assert "stages/judge/j" in paths(find_unreferenced(store, KeptRuns(remove=("a",)), unfinished_days=0))
    store.publish_bytes("runs/a/run.json", b'{"version": 99}')
    with pytest.raises(UnreadableRun, match="nothing is removed"):
        find_unreferenced(store, ALL)


def test_a_run_that_has_only_taken_its_name_stops_no_removal_as_it_waits_for_its_end(store) -> None:
    stage(store, "extract", "orphan")
    store.create_bytes("runs/begins/run.json", NAME_TAKEN)
    assert paths(remove(store)) == ["stages/extract/orphan"]
    assert store.exists("runs/begins/run.json")


def test_a_run_that_a_listing_lacks_keeps_its_outputs(store, monkeypatch) -> None:
    stage(store, "extract", "e")
    begin_run(store, run(store, "a", {"extract": "e"}))
    real = store.names
    monkeypatch.setattr(store, "names", lambda folder: [] if folder == "runs" else real(folder))
    assert paths(find_unreferenced(store, ALL)) == []
    monkeypatch.undo()
    store.publish_bytes("rolls/runs/00000001.json", b"{")
    with pytest.raises(UnreadableRun, match="a run may be on it"):
        find_unreferenced(store, ALL)


def test_a_removal_that_ends_half_way_leaves_no_stage_that_looks_whole(store, monkeypatch) -> None:
    stage(store, "extract", "orphan")
    with removal_mark(store) as mark:
        removal = find_unreferenced(store, ALL)
        removed: list[str] = []
        real = store.remove

        def killed(path: str) -> None:
            if len(removed) == 2:
                raise KeyboardInterrupt
            removed.append(path)
            real(path)

        monkeypatch.setattr(store, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            list(remove_unreferenced(store, removal, mark))
        monkeypatch.undo()
    assert removed == ["stages/extract/orphan/manifest.json", "stages/extract/orphan/parts"]
    assert store.names("stages/extract/orphan") == ["decisions"]
    removal = remove(store, unfinished_days=0, now=datetime.now(UTC) + timedelta(seconds=5))
    assert paths(removal) == ["stages/extract/orphan"]
    assert stored(store) == set()


def test_what_dead_processes_left_goes_and_what_living_ones_write_stays(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    stage(store, "extract", "e")
    run(store, "a", {"extract": "e"})
    folder = tmp_path / "store/stages/extract/e/documents"
    folder.mkdir()
    dead, living = dead_process().mark(), this_process().mark()
    elsewhere = replace(this_process(), machine="0" * 8).mark()
    for writer in (dead, living, elsewhere):
        (folder / f".part-00000.parquet.{writer}-0123abcd.partial").write_bytes(b"half")
        (tmp_path / "store" / f"gristmill-verify.{writer}-0123abcd").mkdir()
        (tmp_path / "store" / f"gristmill-verify.{writer}-0123abcd" / "file").write_bytes(b"x")
    for name, hours in (("gristmill-old", 25), ("gristmill-new", 1)):
        (tmp_path / "store" / name).mkdir()
        file = tmp_path / "store" / name / "file"
        file.write_bytes(b"x")
        os.utime(file, (0, time.time() - hours * 3600))
    gone = [f"gristmill-verify.{dead}-0123abcd", "gristmill-old"]
    running = run(store, "b", {}, status="running")
    assert "gristmill-old" not in paths(find_unreferenced(store, ALL))
    running.status = "completed"
    save_run(store, running)
    partial = f"stages/extract/e/documents/.part-00000.parquet.{dead}-0123abcd.partial"
    assert sorted(paths(remove(store))) == sorted([*gone, partial])
    assert len(list(folder.iterdir())) == 2
    assert paths(remove(store)) == []


RUNS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["demo", "weekly"]), st.sampled_from(["completed", "failed"])),
    max_size=12,
)


@given(RUNS, st.none() | st.integers(1, 4), st.none() | st.integers(0, 30))
def test_runs_go_that_are_beyond_all_limits_given_counted_for_each_recipe_by_itself(made, last, days) -> None:
    runs = sorted(
        (
            Run(
                run_id=f"run-{number:02d}", recipe_name=name, recipe={}, recipe_digest="", status=status,
                created_at=(NOW - timedelta(days=age)).isoformat(),
            )
            for number, (age, name, status) in enumerate(made)
        ),
        key=lambda each: (each.created_at, each.run_id),
    )  # fmt: skip
    going = KeptRuns(last=last, days=days).going(runs, NOW)
    expected = []
    for name in ("demo", "weekly"):
        completed_since = 0
        for each in reversed([each for each in runs if each.recipe_name == name]):
            is_old = days is None or (NOW - datetime.fromisoformat(each.created_at)).days >= days
            if is_old and (last is None or completed_since >= last) and (last is not None or days is not None):
                expected.append(each)
            completed_since += each.status == "completed"
    assert sorted(each.run_id for each in going) == sorted(each.run_id for each in expected)
