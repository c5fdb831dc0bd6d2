"""What a stage published: files with their digests, parts with their accounts, and the manifest that commits them.

A stage lives in `stages/<name>/<key>/`: its tables in one folder each (`documents/part-00000.parquet`), one record a
finished part (`parts/part-00000.json`, written after the part's files), and `manifest.json`, written last. A part
without its record, or a stage without its manifest, does not exist for readers.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

import pyarrow as pa

from storage.accounts import Account, add_accounts
from storage.digests import file_digest, joined_digest, table_digest
from storage.store import Store
from storage.tables import DamagedFile, read_row_groups, read_rows, read_table, write_table

MANIFEST_VERSION = 1
MANIFEST_NAME = "manifest.json"

_BYTES_AT_ONCE = 4 << 20  # of so small a file from elsewhere, one request for all of it is sooner answered than several


class MissingStage(FileNotFoundError):
    """A stage output that something refers to is not in the store."""


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
    no tables it is the digest of the bytes, like `sha256`.
    """

    table: str
    part: str
    path: str  # below the stage's folder
    rows: int
    bytes: int
    sha256: str
    content: str


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
            "files": [vars(record) for record in self.files],
            "account": self.account.as_json(),
            "metrics": dict(self.metrics),
        }

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
        return [record for part in self.parts for record in part.files if table is None or record.table == table]

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
    """Publishes the files of one part, and at last the record that makes the part exist."""

    store: Store
    address: StageAddress
    part: str
    files: list[FileRecord] = field(default_factory=list)

    def table(self, name: str, table: pa.Table, schema: pa.Schema, part: str | None = None) -> None:
        """Publish a table as `<name>/<part>.parquet`; `part` differs from the writer's own where a stage that works
        on the whole corpus writes one file for each part of its input."""
        part = part or self.part
        path = f"{name}/{part}.parquet"
        content = ""
        with self._recording(name, part, path, table.num_rows, lambda: content) as unfinished:
            write_table(table, unfinished, schema)
            content = table_digest(read_table(unfinished, schema))  # what is there, not what was meant

    @contextlib.contextmanager
    def file(self, name: str, file_name: str, rows: int = 0) -> Iterator[Path]:
        """Give a local path to write; on a clean exit it is published as `<name>/<file_name>`."""
        with self._recording(name, self.part, f"{name}/{file_name}", rows, None) as unfinished:
            yield unfinished

    @contextlib.contextmanager
    def _recording(
        self, table: str, part: str, path: str, rows: int, content: Callable[[], str] | None
    ) -> Iterator[Path]:
        if any(record.path == path for record in self.files):
            raise ValueError(f"{self.address.folder}/{path} was already written by this part")
        with self.store.publishing(f"{self.address.folder}/{path}") as unfinished:
            yield unfinished
            sha256 = file_digest(unfinished)
            num_bytes = unfinished.stat().st_size
        self.files.append(
            FileRecord(
                table=table,
                part=part,
                path=path,
                rows=rows,
                bytes=num_bytes,
                sha256=sha256,
                content=sha256 if content is None else content(),
            )
        )

    def commit(self, account: Account, metrics: Mapping[str, Any]) -> PartRecord:
        record = PartRecord(name=self.part, files=tuple(self.files), account=account, metrics=metrics)
        body = json.dumps(record.as_json(), indent=1, sort_keys=True, allow_nan=False)
        self.store.publish_bytes(part_record_path(self.address, self.part), body.encode())
        return record


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


def publish_manifest(store: Store, manifest: Manifest) -> None:
    body = json.dumps(manifest.as_json(), indent=1, sort_keys=True, allow_nan=False)
    store.publish_bytes(manifest_path(manifest.address), body.encode())


def read_manifest(store: Store, address: StageAddress) -> Manifest | None:
    """The stage's manifest, or None if the stage was never committed.

    Raises:
        DamagedFile: there is one, and it is not the JSON that was written.
    """
    path = manifest_path(address)
    try:
        return Manifest.from_json(json.loads(store.read_bytes(path)), store.full_path(path))
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
        return PartRecord.from_json(json.loads(store.read_bytes(path)))
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
