"""One byte of a published file is another than was published: it is found, named, and made again."""

import random
import shutil
from pathlib import Path

import pytest
from command import Command
from disturbed_runs import Undisturbed, expect_the_same

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]


def flip_a_byte(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("seed", range(10))
def test_a_flipped_byte_in_any_file_of_any_stage_is_found_named_and_mended(
    seed: int, gristmill: Command, calm: Undisturbed
) -> None:
    """One file of every stage at once: tables, models, shards, manifests and records of parts."""
    rng = random.Random(seed)
    shutil.copytree(calm.store / "stages", gristmill.store / "stages")
    harmed: dict[str, Path] = {}
    for stage in calm.stages:
        files = sorted(path for path in gristmill.store.glob(f"stages/{stage}/*/**/*") if path.is_file())
        # records of parts are read only where the manifest is gone, and what trains has checkpoints beside its model
        files = [path for path in files if path.stat().st_size and path.parent.name != "parts"]
        files = [path for path in files if "checkpoints" not in path.parts]
        harmed[stage] = files[rng.randrange(len(files))]
        flip_a_byte(harmed[stage], rng)
    done = expect_the_same(gristmill, calm)
    told = done.err
    for stage, path in harmed.items():
        assert f"warning: {stage}: " in told, (stage, path)
        name = "its manifest" if path.name == "manifest.json" else path.name
        assert f"{name}" in told, (stage, path)
    for path in gristmill.store.glob("stages/*/*/*/*"):
        twin = calm.store / path.relative_to(gristmill.store)
        if path.suffix in (".parquet", ".arrow", ".safetensors", ".model"):
            assert path.read_bytes() == twin.read_bytes(), path


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_byte_in_the_record_of_a_part_costs_that_part_at_most(
    seed: int, gristmill: Command, calm: Undisturbed
) -> None:
    """Records of parts count where a stage was not finished: its manifest is not there."""
    rng = random.Random(seed)
    shutil.copytree(calm.store / "stages", gristmill.store / "stages")
    for stage in ("extract", "corpus", "tokens", "train"):
        (manifest,) = gristmill.store.glob(f"stages/{stage}/*/manifest.json")
        manifest.unlink()
        records = sorted(manifest.parent.glob("parts/*.json"))
        flip_a_byte(records[rng.randrange(len(records))], rng)
    expect_the_same(gristmill, calm)


def test_a_damaged_record_of_a_run_hides_no_other_and_is_named(gristmill: Command, calm: Undisturbed) -> None:
    shutil.copytree(calm.store / "stages", gristmill.store / "stages")
    shutil.copytree(calm.store / "runs", gristmill.store / "runs")
    (record,) = gristmill.store.glob("runs/*/run.json")
    flip_a_byte(record, random.Random(0))
    expect_the_same(gristmill, calm)
    listed = gristmill("runs")
    assert record.parent.name in listed.out + listed.err
    assert len(gristmill("runs", "--json").json()["runs"]) == 1


def test_a_damaged_entry_of_an_index_stops_the_run_and_says_what_to_do(gristmill: Command, calm: Undisturbed) -> None:
    """Passing over it would keep again what its run kept."""
    shutil.copytree(calm.store / "stages", gristmill.store / "stages")
    shutil.copytree(calm.store / "indexes", gristmill.store / "indexes")
    (entry,) = gristmill.store.glob("indexes/chaos/*TINY*.json")
    flip_a_byte(entry, random.Random(1))
    done = gristmill(*calm.arguments)
    assert done.code == 2
    assert str(entry) in done.err
    assert "remove the file" in done.err
    entry.unlink()
    expect_the_same(gristmill, calm)
