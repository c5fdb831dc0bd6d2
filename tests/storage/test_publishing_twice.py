"""Whoever publishes a part first has made it: the same content is taken as it is, other content is refused by name."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.accounts import Account, add_accounts
from storage.leases import Claim, Leases
from storage.manifests import (
    Manifest,
    OtherContent,
    PartWriter,
    StageAddress,
    damage,
    part_record_path,
    publish_manifest,
    read_manifest,
    read_part_record,
)
from storage.schemas import DECISIONS
from storage.store import Store

ADDRESS = StageAddress(stage="judge", key="abc123")
TABLE = f"{ADDRESS.folder}/decisions/part-00000.parquet"
LOST = Claim(name="judge-abc123-part-00000", number=1, nonce="long ago")  # of a lease that nobody holds any more


def decisions(num_rows=3):
    rows = [{"doc_id": f"{number:032x}", "rule": "too_short", "value": 1.0} for number in range(num_rows)]
    return pa.Table.from_pylist(rows, schema=DECISIONS)


def writer_of(store, claim=LOST, **more):
    return PartWriter(store=store, address=ADDRESS, part="part-00000", claim=claim, **more)


def write(writer, num_rows=3, note="a note", time="10:15", seconds=1.5):
    writer.table("decisions", decisions(num_rows), DECISIONS)
    with writer.file("notes", "note.txt") as path:
        path.write_text(note)
    with writer.file("log", "log.txt", varies=True) as path:
        path.write_text(time)
    account = Account(documents_in=5, documents_out=5 - num_rows, dropped={"too_short": num_rows})
    return lambda: writer.commit(account, {"seconds": seconds})


def manifest_of(record, **more):
    fields = {"parameters": {}, "code_digest": "", "libraries": {}, "inputs": {}, "metrics": {}, "environment": {}}
    return Manifest(
        stage="judge",
        key="abc123",
        parts=(record,),
        account=add_accounts([record.account]),
        seconds=1.0,
        **{**fields, **more},
    )


def test_two_that_make_the_same_part_have_one_record_of_what_is_there(store):
    """In each order of their steps that matters: neither holds a lease."""
    first, second = write(writer_of(store)), write(writer_of(store), time="10:16", seconds=2.5)
    record = second()
    assert first() == record
    assert record.metrics["seconds"] == 2.5
    assert read_part_record(store, ADDRESS, "part-00000") == record
    assert damage(store, ADDRESS, record) is None
    assert store.read_bytes(f"{ADDRESS.folder}/log/log.txt") == b"10:15"  # whoever came first, in each file


def test_bytes_of_another_writer_with_the_same_content_are_taken_as_they_are(store):
    first = write(writer_of(store))()
    content = store.read_bytes(TABLE)
    table = decisions()
    with store.publishing(TABLE) as path:  # as another version of the library writes it
        pq.write_table(table.replace_schema_metadata(DECISIONS.metadata), path, compression="none")
    store.remove(part_record_path(ADDRESS, "part-00000"))
    second = write(writer_of(store))()
    assert store.read_bytes(TABLE) != content
    assert damage(store, ADDRESS, second) is None
    assert [file.content for file in second.files] == [file.content for file in first.files]


@pytest.mark.parametrize(("other", "table"), [({"num_rows": 2}, "decisions"), ({"note": "another"}, "notes")])
def test_other_content_is_refused_with_part_table_and_both_digests(store, other, table):
    record = write(writer_of(store))()
    published = next(file for file in record.files if file.table == table)
    with pytest.raises(OtherContent, match=rf"part-00000: table '{table}' .*{published.content}.*[0-9a-f]{{64}}"):
        write(writer_of(store), **other)()
    assert damage(store, ADDRESS, record) is None
    assert read_part_record(store, ADDRESS, "part-00000") == record


def test_what_a_killed_run_left_gives_way_to_who_holds_the_lease_now(store):
    write(writer_of(store), num_rows=2)  # and no record
    lease = Leases(store=store, run="second").acquire(LOST.name)
    record = write(writer_of(store, lease.claim))()
    assert damage(store, ADDRESS, record) is None
    assert record.account.documents_out == 2


def test_a_table_that_cannot_be_read_gives_way_to_anybody(store):
    store.publish_bytes(TABLE, b"PAR1 torn")
    assert damage(store, ADDRESS, write(writer_of(store))()) is None


def test_who_was_taken_for_dead_fails_where_its_file_was_taken_for_left_behind(store):
    commit = write(writer_of(store))
    lease = Leases(store=store, run="second").acquire(LOST.name)
    write(writer_of(store, lease.claim), num_rows=2)
    with pytest.raises(OtherContent, match="another run that made it meanwhile"):
        commit()
    assert read_part_record(store, ADDRESS, "part-00000") is None


@pytest.mark.parametrize("may_change", [True, False])
def test_mending_writes_over_what_is_damaged_alone_and_gives_the_same_content(store, may_change):
    record = write(writer_of(store))()
    store.publish_bytes(TABLE, b"rotten")
    note = f"{ADDRESS.folder}/notes/note.txt"
    mended = write(writer_of(store, damaged=record, may_change=may_change), time="11:00")()
    assert mended.files == record.files
    assert damage(store, ADDRESS, mended) is None
    assert store.read_bytes(note) == b"a note"


def test_mending_that_comes_out_otherwise_is_refused_while_others_read_and_taken_when_none_does(store):
    record = write(writer_of(store))()
    store.publish_bytes(TABLE, b"rotten")
    with pytest.raises(OtherContent, match=r"is damaged, with content .* was published with"):
        write(writer_of(store, damaged=record, may_change=False), num_rows=2)()
    mended = write(writer_of(store, damaged=record, may_change=True), num_rows=2)()
    assert damage(store, ADDRESS, mended) is None
    assert read_part_record(store, ADDRESS, "part-00000") == mended


def test_of_two_manifests_the_first_stays_and_another_is_refused(store):
    record = write(writer_of(store))()
    first = publish_manifest(store, manifest_of(record, environment={"host": "first"}))
    assert publish_manifest(store, manifest_of(record, environment={"host": "second"})) == first
    assert read_manifest(store, ADDRESS) == first
    other = PartWriter(store=store, address=StageAddress(stage="judge", key="other"), part="part-00000")
    with pytest.raises(OtherContent, match="'decisions'"):
        publish_manifest(store, manifest_of(write(other, num_rows=2)()))
    store.publish_bytes(f"{ADDRESS.folder}/manifest.json", b"{")
    assert publish_manifest(store, manifest_of(record, environment={"host": "third"})).environment == {"host": "third"}


CREATE = """
import sys
from storage.store import Store

store = Store(sys.argv[1])
sys.stdin.readline()
print(sum(store.create_bytes(f"files/{number}", sys.argv[2].encode()) for number in range(100)))
"""


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_of_many_processes_that_create_a_file_one_does(tmp_path, request, kind):
    url = str(tmp_path) if kind == "folder" else request.getfixturevalue("s3_url")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CREATE, url, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in "abc"
    ]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    created = [int(process.communicate(timeout=200)[0]) for process in processes]
    assert sum(created) == 100
    store = Store(url)
    found = [store.read_bytes(f"files/{number}").decode() for number in range(100)]
    assert [found.count(name) for name in "abc"] == created


def test_a_folder_without_hard_links_is_published_to_as_well(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    store = Store(str(tmp_path))
    assert store.create_bytes("file", b"first")
    assert not store.create_bytes("file", b"second")
    assert store.read_bytes("file") == b"first"
