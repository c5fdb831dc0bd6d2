"""A run is verified equal, or what is wrong with it is named: the stage, the part, the row, and why it may be."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner
from growing_crawl import write_weeks
from prefect.settings import PREFECT_API_URL, temporary_settings
from tampering import change_manifest, flip_byte, manifest_of, replace_table

from flows.cli import main
from flows.end_to_end import end_to_end, thread_runner
from flows.recipe import load_recipe
from flows.session import RunSettings
from flows.verify import Verification, sampled_parts, verify
from storage.digests import file_digest
from storage.exclusions import Exclusion, ExclusionEntry, publish_exclusions
from storage.indexes import entry_path
from storage.runs import Run, load_run
from storage.schemas import DECISIONS
from storage.store import Store
from storage.wrong_request import WrongRequest

MODEL = (
    "tokenizer.vocab_size=400", "corpus.validation_ratio=0.2", "training.steps=3", "training.context=64",
    "training.batch_tokens=512", "training.micro_batch_tokens=512", "training.model.preset=test",
    "evaluation.max_bytes=10000", "evaluation.max_new_tokens=4",
)  # fmt: skip

pytestmark = pytest.mark.timeout(900)


def run_recipe(store: Store, api_url: str, *settings: str) -> Run:
    with temporary_settings({PREFECT_API_URL: api_url}):
        flow = end_to_end.with_options(task_runner=thread_runner(2))
        run_id = flow(load_recipe("minicrawl", settings), RunSettings(store_url=store.url, runner="threads", workers=2))
    return load_run(store, run_id)


@pytest.fixture(scope="module")
def crawl(tiny_crawl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny crawl that a test may take away."""
    root = tmp_path_factory.mktemp("crawl-of-verify")
    shutil.copytree(tiny_crawl.parents[2], root, dirs_exist_ok=True)
    return root / tiny_crawl.relative_to(tiny_crawl.parents[2])


@pytest.fixture(scope="module")
def made(crawl: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> tuple[Store, Run]:
    """A run of two files all the way to a model."""
    store = Store(str(tmp_path_factory.mktemp("verified") / "store"))
    return store, run_recipe(store, prefect_server, f"source.paths={crawl}", "source.files=2", *MODEL)


@pytest.fixture
def tampered(made: tuple[Store, Run], tmp_path: Path) -> tuple[Store, Run]:
    """The same in a store of its own, that a test may change."""
    store, run = made
    shutil.copytree(store.root, tmp_path / "store")
    return Store(str(tmp_path / "store")), run


def contents(store: Store) -> Mapping[str, str]:
    return {str(path): file_digest(path) for path in sorted(Path(store.root).rglob("*")) if path.is_file()}


def look(made: tuple[Store, Run], *stages: str, **options) -> Verification:
    return verify(*made, stages=stages, runner="threads", workers=2, **options)


def test_a_whole_run_is_what_its_recipe_makes_and_nothing_in_the_store_is_changed(made) -> None:
    store, run = made
    before = contents(store)
    done = CliRunner().invoke(
        main, ["verify", run.run_id, "--store", store.url, "--runner", "threads", "--workers", "2", "--json"]
    )
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["equal"]
    assert answer["first"] is None
    assert [stage["name"] for stage in answer["stages"]] == [stage.name for stage in run.stages]
    for stage in answer["stages"]:
        assert stage["status"] == "equal"
        assert len(stage["recomputed"]) == stage["parts"] > 0
        assert stage["bytes_checked"] > 0
    # the log of a training says how fast it was, and nothing else may be another
    assert [stage["name"] for stage in answer["stages"] if stage["may_differ"]] in ([], ["train"])
    assert contents(store) == before


def test_a_sample_is_drawn_by_its_seed(made) -> None:
    first, again = (look(made, "extract", "signals", "judge", sample=1, seed=5) for _ in "ab")
    assert first.is_equal
    assert [len(stage.recomputed) for stage in first.stages if stage.name in ("extract", "signals", "judge")] == [1] * 3
    assert [stage.recomputed for stage in first.stages] == [stage.recomputed for stage in again.stages]
    assert {stage.status for stage in first.stages} == {"equal", "not asked for"}
    names = [f"part-{number:05d}" for number in range(40)]
    samples = [sampled_parts(names, 3, seed, "extract") for seed in range(20)]
    assert all(len(set(sample)) == 3 and sample == sorted(sample) for sample in samples)
    assert len({tuple(sample) for sample in samples}) > 10
    assert sampled_parts(names, None, 0, "extract") == sampled_parts(names, 99, 0, "extract") == names


def test_a_flipped_byte_is_found_and_its_file_named_even_where_nothing_is_made_again(tampered) -> None:
    store, run = tampered
    address = run.stage("privacy").address
    flip_byte(Path(store.full_path(f"{address.folder}/edits/part-00001.parquet")))
    found = look(tampered, "privacy", "judge", sample=0)
    assert not found.is_equal
    (finding,) = found.findings
    assert (finding.stage, finding.part, finding.kind) == ("privacy", "part-00001", "damaged")
    assert f"{address.folder}/edits/part-00001.parquet has SHA-256" in finding.message
    # made again it is what was recorded: the content is not in doubt, the bytes are
    (stage,) = [stage for stage in look(tampered, "privacy").stages if stage.name == "privacy"]
    assert (stage.status, len(stage.findings), stage.recomputed) == ("damaged", 1, ["part-00000", "part-00001"])


def test_a_table_replaced_with_all_its_digests_is_found_by_row_and_column_and_spoils_no_later_stage(tampered) -> None:
    store, run = tampered

    def cheat(decisions: pa.Table) -> pa.Table:
        rows = decisions.to_pylist()
        rows[-1]["value"] = 0.123
        return pa.Table.from_pylist(rows, DECISIONS)

    address = run.stage("judge").address
    replace_table(store, address, "decisions/part-00000.parquet", DECISIONS, cheat)
    done = CliRunner().invoke(
        main,
        ["verify", run.run_id, "--store", store.url, "--runner", "threads", "--json"]
        + [word for name in ("signals", "judge", "dedup", "privacy") for word in ("--stage", name)],
    )
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    first = answer["first"]
    assert (first["stage"], first["part"], first["table"], first["kind"]) == (
        "judge", "part-00000", "decisions", "differs",
    )  # fmt: skip
    difference = first["difference"]
    assert (difference["what"], difference["column"], difference["published"]) == ("row", "value", "0.123")
    assert len(difference["doc_id"]) == 32
    assert {stage["name"]: stage["status"] for stage in answer["stages"] if stage["status"] != "not asked for"} == {
        "signals": "equal", "judge": "differs", "dedup": "equal", "privacy": "equal",
    }  # fmt: skip
    told = CliRunner().invoke(main, ["verify", run.run_id, "--store", store.url, "--stage", "judge"]).stdout
    assert f"row {difference['place']} ({difference['doc_id']}), column value: published 0.123, made again" in told
    assert "what is published was changed after it was made" in told


def test_what_is_not_as_it_was_recorded_is_named_beside_the_difference(tampered) -> None:
    store, run = tampered
    address = run.stage("judge").address
    manifest = manifest_of(store, address)
    change_manifest(
        store,
        address,
        libraries={**manifest.libraries, "polars": "0.0.1"},
        code_digest="0" * 64,
        environment={**manifest.environment, "processor": "an abacus", "python": "2.7"},
    )
    found = look(tampered, "judge")
    assert found.is_equal  # other code and versions that make the same are no difference
    (stage,) = [stage for stage in found.stages if stage.name == "judge"]
    assert stage.code_changed
    changes = {change.what: change.recorded for change in stage.changes if not change.what.startswith("git ")}
    assert changes == {"code": "0" * 12, "library polars": "0.0.1", "processor": "an abacus", "python": "2.7"}

    replace_table(store, address, "decisions/part-00001.parquet", DECISIONS, lambda table: table.slice(1))
    told = CliRunner().invoke(main, ["verify", run.run_id, "--store", store.url, "--stage", "judge"])
    assert told.exit_code == 1
    assert "judge: its code is not the one that made it" in told.stdout
    assert "what may explain it:" in told.stdout
    assert "library polars: was 0.0.1, is " in told.stdout


def test_records_that_contradict_each_other_are_found(tampered) -> None:
    store, run = tampered
    found = look((store, replace(run, corpus_digest="f" * 64)), "corpus")
    assert [finding.kind for finding in found.findings] == ["damaged"]
    assert "the run recorded the corpus digest ffffffffffff" in found.findings[0].message


def test_a_manifest_that_is_gone_is_named_and_what_comes_after_is_not_called_equal(tampered) -> None:
    store, run = tampered
    store.remove(f"{run.stage('signals').address.folder}/manifest.json")
    found = look(tampered, "extract", "signals", "judge")
    statuses = {stage.name: stage.status for stage in found.stages if stage.status != "not asked for"}
    assert statuses == {"extract": "equal", "signals": "damaged", "judge": "not recomputed"}
    assert found.findings[0].describe() == "stage signals: its manifest is gone"
    assert not found.is_equal


def test_without_its_sources_what_can_be_made_again_still_is(made, crawl: Path) -> None:
    hidden = crawl.with_name("hidden")
    crawl.rename(hidden)
    try:
        found = look(made, "fetch", "signals", "corpus")
    finally:
        hidden.rename(crawl)
    statuses = {stage.name: stage.status for stage in found.stages if stage.status != "not asked for"}
    assert statuses == {"fetch": "not recomputed", "signals": "equal", "corpus": "equal"}
    assert not found.is_equal
    assert "its sources cannot be listed any more" in found.findings[0].message

    segments = crawl.parent / "segments"
    segments.rename(crawl.parent / "away")
    try:
        found = look(made, "extract")
    finally:
        (crawl.parent / "away").rename(segments)
    assert [finding.kind for finding in found.findings] == ["not_recomputed"] * 2
    assert "it cannot be made again" in found.findings[0].message


def test_a_run_is_compared_with_the_earlier_runs_it_was_deduplicated_against_and_no_others(
    tmp_path: Path, prefect_server: str
) -> None:
    store = Store(str(tmp_path / "store"))
    weeks = write_weeks(tmp_path)
    runs = [
        run_recipe(store, prefect_server, f"source.paths={week}", "dedup_index=weekly", "goal=corpus") for week in weeks
    ]
    store.remove(entry_path("weekly", runs[1].earlier[0].entry))
    before = contents(store)
    for run in runs:
        found = verify(store, run, stages=("dedup", "corpus", "index"), runner="threads")
        assert found.is_equal, found.findings
        assert len([stage for stage in found.stages if stage.status == "equal"]) == 3
    assert contents(store) == before


def test_what_was_withdrawn_since_makes_an_earlier_run_no_other(tampered) -> None:
    store, _ = tampered
    entry = ExclusionEntry(
        act="withdraw", exclusions=(Exclusion("domain", "site0.invalid"),), made_at="2026-01-01T00:00:00+00:00"
    )
    publish_exclusions(store, entry)
    found = look(tampered, "judge", "dedup", "corpus")
    assert found.is_equal, found.findings
    assert len([stage for stage in found.stages if stage.status == "equal"]) == 3


def test_a_stage_that_a_run_has_not_is_a_wrong_request(made) -> None:
    with pytest.raises(WrongRequest, match=r"has no stage 'juge': it has fetch, extract"):
        look(made, "juge")
