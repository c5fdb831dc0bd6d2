"""The stage that finds bytes, or keeps them: a part is a file, wherever it is, or a part of a selection of records."""

import contextlib
import hashlib
import io
import itertools
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, cast

import pyarrow as pa

from pipeline_lib.crawl.addresses import STORE_SCHEME, UNKNOWN_SIZE, is_here, is_local
from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.listing import SourceError, SourceFile
from pipeline_lib.crawl.record_bodies import DEFAULT_MAX_BODY_BYTES
from pipeline_lib.crawl.remote import FetchFailed, Remote
from pipeline_lib.crawl.select_stage import is_of_work_list, work_list_part
from pipeline_lib.crawl.verified_records import is_damaged
from pipeline_lib.crawl.warc_records import read_records
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import LOST_SOURCES, SOURCES
from storage.store import Store

_SELECTION = "select"
_PART_NAMES = {"warc": "part", "texts": "texts"}


def fetch_parts(sources: Sequence[SourceFile]) -> list[Part]:
    """The parts of the fetch stage for whole files, one each, in the order of the list: WARC files `part-...`, files of
    texts `texts-...`."""
    numbers = {"warc": itertools.count(), "texts": itertools.count()}
    return [
        Part(
            name=f"{_PART_NAMES[source.kind]}-{next(numbers[source.kind]):05d}",
            source={
                "kind": source.kind,
                "url": source.url,
                "warc_path": source.warc_path,
                "bytes": source.num_bytes,
                "fingerprint": source.fingerprint,
            },
        )
        for source in sources
    ]


def fetch_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: FetchParameters
) -> PartResult:
    """Publish where the bytes of a part are (table `sources`); with mode `keep` the bytes too (file table `raw`).

    A part is a WARC file, a file of texts, or what the stage `select`, where it is an input, lists for it.
    Kept whole files keep their name; kept ranges are one file a part, back to back. What could not be fetched within
    its budget is in the table `lost`, where there is any, and counted by reason. The account counts files, or ranges
    where there is a selection; metrics `failures` counts attempts that failed, by reason, survived or not.

    Raises:
        SourceError: a file on this machine cannot be opened, or one anywhere is not the one that was listed.
        FetchFailed: with `on_give_up: fail`.
    """
    rows = _rows_of(part, inputs)
    # `store:` paths are of the stages that this one is made from
    store = next((stage.store for stage in inputs.values()), output.store)
    remote = Remote(parameters, store)
    began = time.monotonic()
    fetcher = _Keeper(part.name, output, remote) if parameters.mode == "keep" else _Checker(store, remote)
    found: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    with fetcher:
        for row in rows:
            try:
                found.append(fetcher.fetch(row))
            except FetchFailed as error:
                if error.reason == "fetch_changed" or is_here(row["url"]):
                    raise SourceError(str(error)) from error
                if parameters.on_give_up == "fail":
                    raise
                lost.append(
                    {name: row[name] for name in ("warc_path", "url", "offset", "length")} | {"reason": error.reason}
                )
    # it says where the files are, which is no part of the stage's key: another run may read a copy elsewhere
    output.varying_table("sources", pa.Table.from_pylist(found, schema=SOURCES), SOURCES)
    if lost:
        output.table("lost", pa.Table.from_pylist(lost, schema=LOST_SOURCES), LOST_SOURCES)
    unit = "ranges" if _SELECTION in inputs else "files"
    traffic = remote.traffic
    return PartResult(
        account=Account(
            documents_in=len(rows),
            documents_out=len(found),
            dropped=Counter(each["reason"] for each in lost),
            unit_in=unit,
            unit_out=unit,
        ),
        metrics={
            "bytes": sum(max(row["bytes"], 0) for row in found) if unit == "files" else fetcher.num_bytes,
            "fetch_seconds": round(time.monotonic() - began, 3),
            **traffic.as_json(),
            **fetcher.metrics(),
        },
    )


def _rows_of(part: Part, inputs: Mapping[str, PublishedStage]) -> list[dict[str, Any]]:
    """What a part is to fetch, as rows of SOURCES that say where the bytes are now."""
    if is_of_work_list(part):
        rows: list[dict[str, Any]] = work_list_part(inputs[_SELECTION], part).to_pylist()
        return rows
    return [
        {
            "kind": part.source["kind"],
            "warc_path": part.source["warc_path"],
            "url": part.source["url"],
            "position": 0,
            "offset": 0,
            "length": -1,
            "wanted": None,
            "bytes": part.source["bytes"],
            "fingerprint": part.source["fingerprint"],
        }
    ]


class _Checker:
    """Leaves files where they are, after a look at each that was looked at when it was listed."""

    def __init__(self, store: Store, remote: Remote) -> None:
        self._store = store
        self._remote = remote
        self._failed: dict[str, FetchFailed] = {}
        self._unchanged: set[str] = set()
        self.num_bytes = 0

    def __enter__(self) -> "_Checker":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def fetch(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row as it is. Rows of one file take one look together."""
        url = row["url"]
        if url in self._failed:
            raise self._failed[url]
        # an index lists no sizes and no tags: whether its file is there, reading it will tell
        if url not in self._unchanged and row["fingerprint"].startswith(("etag:", "size:", "sha256:")):
            try:
                _check_unchanged(row, self._store, self._remote)
            except FetchFailed as error:
                self._failed[url] = error
                raise
            self._unchanged.add(url)
        self.num_bytes += max(row["length"], 0)
        return row

    def metrics(self) -> dict[str, Any]:
        return {}


class _Keeper:
    """Copies bytes into the store, and checks that they are those that were listed and archived."""

    def __init__(self, part: str, output: PartWriter, remote: Remote) -> None:
        self._output = output
        self._remote = remote
        self._ranges_name = f"{part}.warc.gz"
        self._stack = contextlib.ExitStack()
        self._ranges: BinaryIO | None = None
        self._num_fetched_again = 0
        self._num_mismatches = 0
        self.num_bytes = 0

    def __enter__(self) -> "_Keeper":
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.__exit__(*raised)  # publishes the file of ranges, unless something went wrong

    def fetch(self, row: dict[str, Any]) -> dict[str, Any]:
        """Copy the bytes of a row; the row that says where they are now."""
        if row["offset"] == 0 and row["length"] == UNKNOWN_SIZE:
            name = row["warc_path"]
            with self._output.file("raw", name, rows=1) as unfinished, unfinished.open("w+b") as copy:
                num_bytes = self._copy(row, copy, 0)
            return {**row, "url": self._address(name), "position": 0, "bytes": num_bytes}
        if self._ranges is None:
            unfinished = self._stack.enter_context(self._output.file("raw", self._ranges_name))
            self._ranges = self._stack.enter_context(unfinished.open("w+b"))
        position = self._ranges.seek(0, os.SEEK_END)
        try:
            num_bytes = self._copy(row, self._ranges, position)
        except FetchFailed:
            self._ranges.truncate(position)
            raise
        return {**row, "url": self._address(self._ranges_name), "position": position, "length": num_bytes}

    def metrics(self) -> dict[str, Any]:
        return {"records_fetched_again": self._num_fetched_again, "digest_mismatches": self._num_mismatches}

    def _address(self, name: str) -> str:
        return f"{STORE_SCHEME}{self._output.address.folder}/raw/{name}"

    def _copy(self, row: dict[str, Any], copy: BinaryIO, position: int) -> int:
        """Copy a row's bytes to a place in a file, and check them; how many there are."""
        num_bytes = 0
        pieces = self._remote.chunks(row["url"], row["position"], row["length"], fingerprint=row["fingerprint"])
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
            copy.write(piece)
            num_bytes += len(piece)
        self.num_bytes += num_bytes
        is_whole = row["offset"] == 0 and row["length"] == UNKNOWN_SIZE
        if is_whole:
            expected = row["fingerprint"].removeprefix("sha256:")
            if row["bytes"] not in (num_bytes, UNKNOWN_SIZE):
                raise SourceError(f"{row['url']} gave {num_bytes} bytes, listed were {row['bytes']}; run again")
            if expected != row["fingerprint"]:
                if digest.hexdigest() != expected:
                    raise SourceError(
                        f"{row['url']} was changed after it was listed: its SHA-256 is another; run again"
                    )
                return num_bytes  # all of it is what it was: damage in it was there before
        if self._remote.parameters.verify_digests and row["kind"] == "warc":
            self._verify(row, copy, position, num_bytes)
        return num_bytes

    def _verify(self, row: dict[str, Any], copy: BinaryIO, position: int, num_bytes: int) -> None:
        """Compare records with their digests; fetch those that do not fit once more.

        What does not fit then either is as the archive has it: it stays, counted, and extraction gives it a reason.
        """
        copy.seek(position)
        wanted = None if row["wanted"] is None else {offset - row["offset"] for offset in row["wanted"]}
        doubtful = [
            (record.offset, record.length)
            for record in read_records(cast(BinaryIO, _Section(copy, num_bytes)))
            if (wanted is None or record.offset in wanted) and is_damaged(record, DEFAULT_MAX_BODY_BYTES)
        ]
        for offset, length in doubtful:
            self._num_fetched_again += 1
            again = self._remote.read(row["url"], row["position"] + offset, min(length, num_bytes - offset))
            copy.seek(position + offset)
            copy.write(again)
            self._num_mismatches += any(
                is_damaged(record, DEFAULT_MAX_BODY_BYTES) for record in read_records(io.BytesIO(again))
            )
        copy.seek(0, os.SEEK_END)


class _Section(io.RawIOBase):
    """The next so many bytes of a file."""

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        super().__init__()
        self._file = file
        self._missing = num_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read(min(len(buffer), self._missing))
        buffer[: len(piece)] = piece
        self._missing -= len(piece)
        return len(piece)


def _check_unchanged(row: dict[str, Any], store: Store, remote: Remote) -> None:
    """A look at size and entity tag, without reading: extraction will do that."""
    url: str = row["url"]
    if url.startswith(STORE_SCHEME):
        path = url.removeprefix(STORE_SCHEME)
        if not store.exists(path):
            raise SourceError(f"{store.full_path(path)} is gone; run again: the stage that made it is found damaged")
        num_bytes, fingerprint = store.size(path), row["fingerprint"]
    else:
        num_bytes, fingerprint = remote.describe(url)
    if num_bytes != row["bytes"] or (not is_local(url) and fingerprint != row["fingerprint"]):
        raise SourceError(
            f"{url} was changed after it was listed: {num_bytes} bytes ({fingerprint}), listed were "
            f"{row['bytes']} ({row['fingerprint']}); run again"
        )
