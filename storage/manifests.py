"""What a stage published: files with their digests, parts with their accounts, and the manifest that commits them.

A stage lives in `stages/<name>/<key>/`: its tables in one folder each (`documents/part-00000.parquet`), one record a
finished part (`parts/part-00000.json`, written after the part's files), and `manifest.json`, written last. A part
without its record, or a stage without its manifest, does not exist for readers.

Several may make the same part at once, on one machine or on several: whoever publishes a file, a record or the manifest
first has made it. All others compare theirs with it and take it as it is; where it says something else, they fail.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa

from storage.accounts import Account, add_accounts
from storage.digests import file_digest, joined_digest, table_digest
from storage.leases import Claim
from storage.records import parse_record, record_bytes
from storage.store import Store
from storage.tables import DamagedFile, SchemaMismatch, read_row_groups, read_rows, read_table, write_table

MANIFEST_VERSION = 2
MANIFEST_NAME = "manifest.json"

_BYTES_AT_ONCE = 4 << 20  # of so small a file from elsewhere, one request for all of it is sooner answered than several


class MissingStage(FileNotFoundError):
    """A stage output that something refers to is not in the store."""


class OtherContent(RuntimeError):
    """What was made is published already, and says something else: something in the making is not deterministic."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one call of a stage's work function makes: a name, and where its input is (JSON values only)."""

    name: str
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """What a work function reports of a part: its account, and what else it measured (JSON values only)."""

    account: Account
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StageAddress:
    """Where a stage's output is: what tasks pass to each other instead of tables."""

    stage: str
    key: str

    @property
    def folder(self) -> str:
        return f"stages/{self.stage}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One published file.

    `content` is the digest of what a table says (`table_digest`), equal across library versions; for files that are
    no tables it is the digest of the bytes, like `sha256`. A file that `varies` is another each time it is made.
    """

    table: str
    part: str
    path: str  # below the stage's folder
    rows: int
    bytes: int
    sha256: str
    content: str
    varies: bool = False

    def as_json(self) -> dict[str, Any]:
        value = dict(vars(self))
        if not self.varies:
            del value["varies"]
        return value


@dataclass(frozen=True, kw_only=True)
class PartRecord:
    """One finished part: its files, its account, and what else it measured."""

    name: str
    files: tuple[FileRecord, ...]
    account: Account
    metrics: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "files": [record.as_json() for record in self.files],
            "account": self.account.as_json(),
            "metrics": dict(self.metrics),
        }

    def file(self, path: str) -> FileRecord | None:
        return next((record for record in self.files if record.path == path), None)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            name=value["name"],
            files=tuple(FileRecord(**record) for record in value["files"]),
            account=Account.from_json(value["account"]),
            metrics=value["metrics"],
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The commit of a stage. `account` is the sum of the parts', checked to balance."""

    stage: str
    key: str
    parameters: Mapping[str, Any]
    code_digest: str
    libraries: Mapping[str, str]
    inputs: Mapping[str, str]
    parts: tuple[PartRecord, ...]
    account: Account
    metrics: Mapping[str, Any]
    environment: Mapping[str, Any]
    seconds: float
    version: int = MANIFEST_VERSION

    @property
    def address(self) -> StageAddress:
        return StageAddress(stage=self.stage, key=self.key)

    def files(self, table: str | None = None) -> list[FileRecord]:
        """Files of one table in part order, or all files."""
        if table is None:
            return [record for part in self.parts for record in part.files]
        return list(self._tables.get(table, ()))

    def file(self, table: str, part: str) -> FileRecord | None:
        """The file of a table and part; None where there is none. The first, where several are of the part."""
        return self._by_part.get((table, part))

    @cached_property
    def version_digest(self) -> str:
        """Digest of which files there are and what they say: tells apart what was made anew under the same key."""
        return joined_digest(f"{record.path} {'' if record.varies else record.content}" for record in self.files())

    @cached_property
    def _tables(self) -> dict[str, list[FileRecord]]:
        tables: dict[str, list[FileRecord]] = {}
        for record in self.files():
            tables.setdefault(record.table, []).append(record)
        return tables

    @cached_property
    def _by_part(self) -> dict[tuple[str, str], FileRecord]:
        found: dict[tuple[str, str], FileRecord] = {}
        for record in self.files():
            found.setdefault((record.table, record.part), record)
        return found

    def content_digest(self, table: str) -> str:
        """Digest of a table's content over all parts, in order."""
        return joined_digest(record.content for record in self.files(table))

    def as_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "stage": self.stage,
            "key": self.key,
            "parameters": dict(self.parameters),
            "code_digest": self.code_digest,
            "libraries": dict(self.libraries),
            "inputs": dict(self.inputs),
            "parts": [part.as_json() for part in self.parts],
            "account": self.account.as_json(),
            "metrics": dict(self.metrics),
            "environment": dict(self.environment),
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, value: Any, place: str) -> Self:
        if not isinstance(value, dict) or value.get("version") != MANIFEST_VERSION:
            raise ValueError(
                f"{place}: not a manifest of version {MANIFEST_VERSION}, the one that this program reads; "
                "delete the stage folder and run again"
            )
        parts = tuple(PartRecord.from_json(part) for part in value["parts"])
        account = Account.from_json(value["account"])
        if parts and add_accounts(part.account for part in parts) != account:
            raise ValueError(f"{place}: the stage's account is not the sum of its parts'; delete the stage folder")
        return cls(
            stage=value["stage"],
            key=value["key"],
            parameters=value["parameters"],
            code_digest=value["code_digest"],
            libraries=value["libraries"],
            inputs=value["inputs"],
            parts=parts,
            account=account,
            metrics=value["metrics"],
            environment=value["environment"],
            seconds=value["seconds"],
        )


@dataclass(kw_only=True)
class PartWriter:
    """Publishes the files of one part, and at last the record that makes the part exist.

    Attributes:
        claim: the lease under which the part is made. None: nobody else makes it, and what is there is written over.
        damaged: the record of the part as it was published, where this mends it: files that are not as it says are
            written over.
        may_change: whether what is mended may come out with other content than it had, because nobody reads it.
    """

    store: Store
    address: StageAddress
    part: str
    claim: Claim | None = None
    damaged: PartRecord | None = None
    may_change: bool = True
    files: list[FileRecord] = field(default_factory=list)

    def table(self, name: str, table: pa.Table, schema: pa.Schema, part: str | None = None) -> None:
        """Publish a table as `<name>/<part>.parquet`; `part` differs from the writer's own where a stage that works
        on the whole corpus writes one file for each part of its input."""
        self._table(name, table, schema, part or self.part, varies=False)

    def varying_table(self, name: str, table: pa.Table, schema: pa.Schema) -> None:
        """Publish a table that is another each time the part is made, because it says where or when that was."""
        self._table(name, table, schema, self.part, varies=True)

    @contextlib.contextmanager
    def file(self, name: str, file_name: str, rows: int = 0, *, varies: bool = False) -> Iterator[Path]:
        """Give a local path to write; on a clean exit it is published as `<name>/<file_name>`.

        `varies`: it is another file each time the part is made, because times or the name of the run are in it.
        """
        with self._publishing(f"{name}/{file_name}") as (unfinished, path):
            yield unfinished
            found = _Found.of(unfinished)
            record = FileRecord(
                table=name,
                part=self.part,
                path=path,
                rows=rows,
                bytes=found.num_bytes,
                sha256=found.sha256,
                content=found.sha256,
                varies=varies,
            )
            self._publish(record, unfinished, None)

    def commit(self, account: Account, metrics: Mapping[str, Any]) -> PartRecord:
        """Publish the part's record; the record of whoever published it first, where that was somebody else.

        Raises:
            OtherContent: theirs has other content, or one of our files was written over.
        """
        record = PartRecord(name=self.part, files=tuple(self.files), account=account, metrics=metrics)
        if self.claim is not None and not self.claim.is_held(self.store):
            # somebody believed that we are dead, and may have taken a file of ours for one that is left of us
            wrong = damage(self.store, self.address, record)
            if wrong is not None:
                raise OtherContent(
                    f"{self.address.folder}, {self.part}: {wrong}, by another run that made it meanwhile"
                )
        body = record_bytes(record.as_json())
        path = part_record_path(self.address, self.part)
        if self.claim is not None and self.store.create_bytes(path, body):
            return record
        there = None if self.claim is None else read_part_record(self.store, self.address, self.part)
        if there is None or there == self.damaged:
            self.store.publish_bytes(path, body)
            return record
        require_equal(there, record, self.store.full_path(self.address.folder))
        return there

    def _table(self, name: str, table: pa.Table, schema: pa.Schema, part: str, *, varies: bool) -> None:
        with self._publishing(f"{name}/{part}.parquet") as (unfinished, path):
            write_table(table, unfinished, schema)
            found = _Found.of(unfinished)
            record = FileRecord(
                table=name,
                part=part,
                path=path,
                rows=table.num_rows,
                bytes=found.num_bytes,
                sha256=found.sha256,
                content=table_digest(read_table(unfinished, schema)),  # what is there, not what was meant
                varies=varies,
            )
            self._publish(record, unfinished, schema)

    @contextlib.contextmanager
    def _publishing(self, path: str) -> Iterator[tuple[Path, str]]:
        if any(record.path == path for record in self.files):
            raise ValueError(f"{self.address.folder}/{path} was already written by this part")
        with self.store.unfinished(f"{self.address.folder}/{path}") as unfinished:
            yield unfinished, path

    def _publish(self, record: FileRecord, unfinished: Path, schema: pa.Schema | None) -> None:
        """Publish a file that is new; of one that is there already decide whether it stands for ours."""
        path = f"{self.address.folder}/{record.path}"
        if self.claim is None:
            self.store.publish(unfinished, path)
        elif not self.store.publish_new(unfinished, path):
            there = self._there(record, path, schema)
            if there is None:
                self.store.publish(unfinished, path)
            else:
                record = there
        self.files.append(record)

    def _there(self, record: FileRecord, path: str, schema: pa.Schema | None) -> FileRecord | None:
        """The record of the file that is published already; None where ours has to take its place."""
        with self.store.local_copy(path) as local:
            found = _Found.of(local)
            if found.sha256 == record.sha256:
                return record
            content: str | None = found.sha256
            if schema is not None:
                try:
                    content = table_digest(read_table(local, schema))
                except (DamagedFile, SchemaMismatch):
                    content = None
        before = None if self.damaged is None else self.damaged.file(record.path)
        if before is not None:
            is_whole = found.sha256 == before.sha256
            if record.content == before.content or record.varies:
                return replace(record, content=before.content, **found.as_fields()) if is_whole else None
            if self.may_change:
                return None
            raise OtherContent(
                f"{path} was made again because {self.part} is damaged, with content {record.content[:12]}…, and was "
                f"published with {before.content[:12]}…: something in it is not deterministic. Another run uses it; "
                "run again when that has ended"
            )
        if content is None:
            return None
        if content == record.content or record.varies:
            return replace(record, content=content, **found.as_fields())
        assert self.claim is not None
        if self.claim.is_held(self.store) and not self.store.exists(part_record_path(self.address, self.part)):
            return None  # left behind by one that was killed: nobody else is at work on this part
        raise OtherContent(_difference(self.store.full_path(path), self.part, record.table, content, record.content))


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a file is by its bytes."""

    sha256: str
    num_bytes: int

    @classmethod
    def of(cls, path: Path) -> Self:
        return cls(sha256=file_digest(path), num_bytes=path.stat().st_size)

    def as_fields(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "bytes": self.num_bytes}


def require_equal(there: PartRecord, made: PartRecord, place: str) -> None:
    """Raises OtherContent where two that made the same part at once have made something else."""
    files = {record.path: record for record in there.files}
    for record in made.files:
        other = files.pop(record.path, None)
        if other is None:
            raise OtherContent(_difference(place, made.name, record.table, "no such file", record.content))
        if other.content != record.content and not record.varies:
            raise OtherContent(_difference(place, made.name, record.table, other.content, record.content))
    for record in files.values():
        raise OtherContent(_difference(place, made.name, record.table, record.content, "no such file"))
    if there.account != made.account:
        raise OtherContent(f"{place}, {made.name}: published is the account {there.account}, made was {made.account}")


def _difference(place: str, part: str, table: str, there: str, made: str) -> str:
    return (
        f"{place}, {part}: table {table!r} is published with content {there}, and this run made {made}. The same work "
        "on the same input gave two results: another run did it meanwhile, or one before that was killed, on a machine "
        "that computes differently or with other answers from servers. Run again to go on with what is published"
    )


@dataclass(frozen=True, kw_only=True)
class PublishedStage:
    """A committed stage output, for reading."""

    store: Store
    manifest: Manifest

    @property
    def part_names(self) -> list[str]:
        return [part.name for part in self.manifest.parts]

    @cached_property
    def _records(self) -> Mapping[tuple[str, str], FileRecord]:
        """The first file of each table and part."""
        return {(record.table, record.part): record for record in reversed(self.manifest.files())}

    def record(self, table: str, part: str) -> FileRecord:
        try:
            return self._records[table, part]
        except KeyError:
            raise MissingStage(f"{self.manifest.address.folder} has no table {table!r} for {part}") from None

    def has(self, table: str, part: str) -> bool:
        return (table, part) in self._records

    def read(self, table: str, part: str, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
        """A table of a part, or the named columns of it: only those are fetched from a store elsewhere."""
        with self._opened(table, part, is_whole=columns is None) as file:
            return read_table(file, schema, columns)

    def read_rows(
        self, table: str, part: str, schema: pa.Schema, rows: Sequence[int], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Some rows of a table of a part, in their order in the file; of the rest, little is read."""
        with self._opened(table, part, is_whole=False) as file:
            return read_rows(file, schema, rows, columns)

    def row_groups(self, table: str, part: str, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of a table of a part, piece by piece in order, each a small share of the memory of a part."""
        with self._opened(table, part, is_whole=False) as file:
            yield from read_row_groups(file, schema, columns)

    @contextlib.contextmanager
    def _opened(self, table: str, part: str, *, is_whole: bool) -> Iterator[Path | BinaryIO]:
        """A Parquet file of the stage: as a local path, or as a stream where only some of it is wanted from elsewhere.

        Raises:
            DamagedFile: it cannot be opened or read.
        """
        record = self.record(table, part)
        path = f"{self.manifest.address.folder}/{record.path}"
        try:
            with contextlib.ExitStack() as stack:
                if is_whole or self.store.is_local or record.bytes <= _BYTES_AT_ONCE:
                    yield stack.enter_context(self.store.local_copy(path))
                else:
                    yield stack.enter_context(self.store.open_random(path))
        except (DamagedFile, FileNotFoundError) as error:
            raise DamagedFile(
                f"{self.store.full_path(path)} of stage {self.manifest.stage!r} cannot be read ({error}); "
                "run again: the damaged part is found and rebuilt"
            ) from error

    @contextlib.contextmanager
    def local_file(self, table: str, part: str | None = None) -> Iterator[Path]:
        """A local path to a file of the stage, by table and part (by default the table's only file)."""
        records = [record for record in self.manifest.files(table) if part is None or record.part == part]
        if len(records) != 1:
            raise MissingStage(f"{self.manifest.address.folder}: expected one file of {table!r}, found {len(records)}")
        with self.store.local_copy(f"{self.manifest.address.folder}/{records[0].path}") as local:
            yield local


def part_record_path(address: StageAddress, part: str) -> str:
    return f"{address.folder}/parts/{part}.json"


def manifest_path(address: StageAddress) -> str:
    return f"{address.folder}/{MANIFEST_NAME}"


def publish_manifest(store: Store, manifest: Manifest, *, anew: bool = False) -> Manifest:
    """Commit a stage; the manifest of whoever did so first, where that was somebody else.

    `anew`: in place of one that may be there, because parts of it were made again.

    Raises:
        OtherContent: theirs has other content.
    """
    body = record_bytes(manifest.as_json())
    path = manifest_path(manifest.address)
    if anew:
        store.publish_bytes(path, body)
        return manifest
    if store.create_bytes(path, body):
        return manifest
    try:
        there = read_manifest(store, manifest.address)
    except DamagedFile:
        there = None
    if there is None:
        store.publish_bytes(path, body)
        return manifest
    place = store.full_path(manifest.address.folder)
    if [part.name for part in there.parts] != [part.name for part in manifest.parts]:
        raise OtherContent(
            f"{place}: published with {len(there.parts)} parts, this run made {len(manifest.parts)} others"
        )
    for theirs, ours in zip(there.parts, manifest.parts, strict=True):
        require_equal(theirs, ours, place)
    return there


def read_manifest(store: Store, address: StageAddress) -> Manifest | None:
    """The stage's manifest, or None if the stage was never committed.

    Raises:
        DamagedFile: there is one, and it is not the record that was written.
    """
    path = manifest_path(address)
    try:
        return Manifest.from_json(parse_record(store.read_bytes(path)), store.full_path(path))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(f"{store.full_path(path)}: {error}") from error


def open_stage(store: Store, address: StageAddress) -> PublishedStage:
    """Raises MissingStage where the stage was never committed."""
    manifest = read_manifest(store, address)
    if manifest is None:
        raise MissingStage(
            f"{store.full_path(address.folder)} has no {MANIFEST_NAME}: the stage {address.stage!r} did not finish; "
            "run the recipe again"
        )
    return PublishedStage(store=store, manifest=manifest)


def read_part_record(store: Store, address: StageAddress, part: str) -> PartRecord | None:
    """The record of a part that an earlier run finished, or None: also when the record itself is damaged."""
    path = part_record_path(address, part)
    try:
        return PartRecord.from_json(parse_record(store.read_bytes(path)))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def damage(store: Store, address: StageAddress, part: PartRecord) -> str | None:
    """What is wrong with a published part: a file that is gone, or bytes that are not those recorded. None: nothing."""
    for record in part.files:
        path = f"{address.folder}/{record.path}"
        try:
            size = store.size(path)
        except (FileNotFoundError, NotADirectoryError):
            return f"{path} is gone"
        if size != record.bytes:
            return f"{path} has {size} bytes, {record.bytes} were published"
        with store.local_copy(path) as local:
            sha256 = file_digest(local)
        if sha256 != record.sha256:
            return f"{path} has SHA-256 {sha256[:12]}…, published was {record.sha256[:12]}…"
    return None
