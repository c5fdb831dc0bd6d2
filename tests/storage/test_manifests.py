"""Parts, manifests and damage: what is not committed does not exist, and what changed is found."""

import dataclasses

import pyarrow as pa
import pytest

from storage.accounts import Account
from storage.manifests import (
    Manifest,
    MissingStage,
    PartWriter,
    PublishedStage,
    StageAddress,
    damage,
    manifest_path,
    open_stage,
    part_record_path,
    publish_manifest,
    read_manifest,
    read_part_record,
)
from storage.records import record_bytes
from storage.schemas import DECISIONS
from storage.store import Store
from storage.tables import DamagedFile

ADDRESS = StageAddress(stage="judge", key="abc123")


def decisions(num_rows):
    rows = [{"doc_id": f"{number:032x}", "rule": "too_short", "value": 1.0} for number in range(num_rows)]
    return pa.Table.from_pylist(rows, schema=DECISIONS)


def write_part(store, name="part-00000", num_rows=3):
    writer = PartWriter(store=store, address=ADDRESS, part=name)
    writer.table("decisions", decisions(num_rows), DECISIONS)
    with writer.file("notes", f"{name}.txt") as path:
        path.write_text(f"notes of {name}")
    account = Account(documents_in=5, documents_out=5 - num_rows, dropped={"too_short": num_rows})
    return writer.commit(account, {"seconds": 1.5})


def manifest_of(*parts):
    account = Account(
        documents_in=sum(part.account.documents_in for part in parts),
        documents_out=sum(part.account.documents_out for part in parts),
        dropped={"too_short": sum(part.account.dropped.get("too_short", 0) for part in parts)},
    )
    return Manifest(
        stage="judge",
        key="abc123",
        parameters={"min": 1},
        code_digest="c0de",
        libraries={"pyarrow": "26"},
        inputs={"extract": "def456"},
        parts=tuple(parts),
        account=account,
        metrics={},
        environment={"python": "3.11"},
        seconds=2.0,
    )


def test_a_published_stage_reads_back_what_was_written(store):
    publish_manifest(store, manifest_of(write_part(store), write_part(store, "part-00001", 0)))
    stage = open_stage(store, ADDRESS)
    assert stage.part_names == ["part-00000", "part-00001"]
    assert stage.read("decisions", "part-00000", DECISIONS).equals(decisions(3))
    assert stage.read("decisions", "part-00001", DECISIONS).num_rows == 0
    assert stage.read("decisions", "part-00000", DECISIONS, columns=["rule"]).column_names == ["rule"]
    with stage.local_file("notes", "part-00001") as path:
        assert path.read_text() == "notes of part-00001"
    assert stage.manifest.parts[0].metrics == {"seconds": 1.5}


@pytest.mark.parametrize("bytes_at_once", [0, 1 << 20], ids=["by ranges", "whole"])
def test_columns_rows_and_row_groups_are_those_of_the_table_however_they_are_fetched(store, monkeypatch, bytes_at_once):
    monkeypatch.setattr("storage.manifests._BYTES_AT_ONCE", bytes_at_once)
    publish_manifest(store, manifest_of(write_part(store, num_rows=5)))
    stage, table = open_stage(store, ADDRESS), decisions(5)
    columns = ["value", "doc_id"]
    assert stage.read("decisions", "part-00000", DECISIONS, columns).equals(table.select(columns))
    assert stage.read_rows("decisions", "part-00000", DECISIONS, [4, 1]).equals(table.take(pa.array([1, 4])))
    pieces = stage.row_groups("decisions", "part-00000", DECISIONS, columns)
    assert pa.concat_tables(pieces).equals(table.select(columns))
    store.publish_bytes(f"{ADDRESS.folder}/decisions/part-00000.parquet", b"PAR1 no more PAR1")
    with pytest.raises(DamagedFile, match="run again"):
        stage.read_rows("decisions", "part-00000", DECISIONS, [0])
    store.remove(f"{ADDRESS.folder}/decisions/part-00000.parquet")
    with pytest.raises(DamagedFile, match="run again"):
        stage.read("decisions", "part-00000", DECISIONS, columns)


def test_a_manifest_survives_json(store):
    manifest = manifest_of(write_part(store))
    publish_manifest(store, manifest)
    assert read_manifest(store, ADDRESS) == manifest


def test_parts_without_a_manifest_are_no_stage(store):
    write_part(store)
    assert read_manifest(store, ADDRESS) is None
    with pytest.raises(MissingStage, match="did not finish"):
        open_stage(store, ADDRESS)


def test_a_part_does_not_exist_until_its_record_is_written(store):
    writer = PartWriter(store=store, address=ADDRESS, part="part-00000")
    writer.table("decisions", decisions(3), DECISIONS)
    assert read_part_record(store, ADDRESS, "part-00000") is None
    record = writer.commit(Account(documents_in=3, documents_out=0, dropped={"too_short": 3}), {})
    assert read_part_record(store, ADDRESS, "part-00000") == record


def test_one_part_cannot_write_a_file_twice(store):
    writer = PartWriter(store=store, address=ADDRESS, part="part-00000")
    writer.table("decisions", decisions(1), DECISIONS)
    with pytest.raises(ValueError, match="already written"):
        writer.table("decisions", decisions(2), DECISIONS)


def test_a_file_whose_writing_failed_is_neither_there_nor_recorded(store):
    writer = PartWriter(store=store, address=ADDRESS, part="part-00000")
    with pytest.raises(FileNotFoundError), writer.file("notes", "part-00000.txt") as path:
        path.with_name("absent").replace(path)
    assert writer.files == []
    assert store.names(f"{ADDRESS.folder}/notes") == []


def test_a_part_of_a_whole_corpus_stage_writes_a_table_for_each_input_part(store):
    writer = PartWriter(store=store, address=ADDRESS, part="all")
    for number in range(3):
        writer.table("decisions", decisions(number), DECISIONS, part=f"part-{number:05d}")
    record = writer.commit(Account(documents_in=3, documents_out=0, dropped={"too_short": 3}), {})
    stage = PublishedStage(store=store, manifest=manifest_of(record))
    assert [stage.read("decisions", f"part-{number:05d}", DECISIONS).num_rows for number in range(3)] == [0, 1, 2]
    assert stage.part_names == ["all"]
    with pytest.raises(MissingStage, match="part-00003"):
        stage.read("decisions", "part-00003", DECISIONS)


@pytest.mark.parametrize("name", ["decisions/part-00000.parquet", "notes/part-00000.txt"])
@pytest.mark.parametrize("place", [0, 4, -1])
def test_a_flipped_bit_is_found_and_its_file_named(store, name, place):
    record = write_part(store)
    assert damage(store, ADDRESS, record) is None
    content = bytearray(store.read_bytes(f"{ADDRESS.folder}/{name}"))
    content[place] ^= 1
    store.publish_bytes(f"{ADDRESS.folder}/{name}", bytes(content))
    assert name in damage(store, ADDRESS, record)


def test_a_missing_and_a_shortened_file_are_found(store):
    record = write_part(store)
    path = f"{ADDRESS.folder}/notes/part-00000.txt"
    store.publish_bytes(path, store.read_bytes(path)[:-1])
    assert "bytes" in damage(store, ADDRESS, record)
    store.remove(path)
    assert "is gone" in damage(store, ADDRESS, record)


def test_every_flipped_byte_of_a_table_is_found_by_the_check_of_its_part(tmp_path):
    store = Store(str(tmp_path))
    record = write_part(store)
    path = tmp_path / ADDRESS.folder / "decisions" / "part-00000.parquet"
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])
        assert damage(store, ADDRESS, record) is not None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table at all, but bytes"])
def test_reading_a_damaged_table_says_that_the_next_run_rebuilds_it(store, content):
    publish_manifest(store, manifest_of(write_part(store)))
    stage = open_stage(store, ADDRESS)
    store.publish_bytes(f"{ADDRESS.folder}/decisions/part-00000.parquet", content)
    with pytest.raises(DamagedFile, match="run again"):
        stage.read("decisions", "part-00000", DECISIONS)
    store.remove(f"{ADDRESS.folder}/decisions/part-00000.parquet")
    with pytest.raises(DamagedFile, match="run again"):
        stage.read("decisions", "part-00000", DECISIONS)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b'{"version": 2}', record_bytes({"version": 2})],
)
def test_a_damaged_manifest_is_named_and_a_damaged_part_record_is_no_record(store, content):
    publish_manifest(store, manifest_of(write_part(store)))
    store.publish_bytes(manifest_path(ADDRESS), content)
    with pytest.raises(DamagedFile, match=r"manifest\.json"):
        read_manifest(store, ADDRESS)
    store.publish_bytes(part_record_path(ADDRESS, "part-00000"), content)
    assert read_part_record(store, ADDRESS, "part-00000") is None


def test_a_manifest_of_another_version_is_refused_with_what_to_do(store):
    written = {**manifest_of(write_part(store)).as_json(), "version": 99}
    store.publish_bytes(manifest_path(ADDRESS), record_bytes(written))
    with pytest.raises(DamagedFile, match=r"version 2.*delete the stage folder"):
        read_manifest(store, ADDRESS)


def test_a_manifest_whose_account_is_not_the_sum_of_its_parts_is_refused(store):
    manifest = manifest_of(write_part(store))
    wrong = dataclasses.replace(manifest, account=Account(documents_in=9, documents_out=9))
    publish_manifest(store, wrong)
    with pytest.raises(DamagedFile, match="not the sum of its parts"):
        read_manifest(store, ADDRESS)


def test_metrics_that_json_has_no_word_for_are_refused(store):
    writer = PartWriter(store=store, address=ADDRESS, part="part-00000")
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        writer.commit(Account(documents_in=0, documents_out=0), {"loss": float("nan")})
    assert read_part_record(store, ADDRESS, "part-00000") is None


def test_the_content_digest_of_a_table_depends_on_its_rows_and_their_parts_alone(store):
    first, second = write_part(store, "part-00000", 1), write_part(store, "part-00001", 2)
    digest = manifest_of(first, second).content_digest("decisions")
    assert digest == manifest_of(first, write_part(store, "part-00001", 2)).content_digest("decisions")
    assert digest != manifest_of(second, first).content_digest("decisions")
    assert digest != manifest_of(first, write_part(store, "part-00001", 3)).content_digest("decisions")
