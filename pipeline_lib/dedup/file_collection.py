"""Documents of anyone's files, as dedup asks for them.

Files are read once for this. What is needed of a document afterwards, its fingerprint (about 600 bytes), its text and
its id, is then found by its number, in a scratch folder or in the file. So only what is asked for is read again,
however often.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.dedup.parameters import DedupParameters, SignatureParameters
from pipeline_lib.dedup.signatures import fingerprints
from pipeline_lib.kernels.bands import Indices
from pipeline_lib.text_files.batches import no_text_column
from pipeline_lib.text_files.in_threads import for_each, in_order
from pipeline_lib.text_files.json_rows import JsonRows
from pipeline_lib.text_files.opening import content_digest, is_url, open_stream, read_exactly, sniff
from pipeline_lib.text_files.parquet_rows import ParquetRows
from pipeline_lib.text_files.rows import DOCUMENT, NO_TEXT, ReasonNumbers, RowFields, RowFile, Rows
from storage.schemas import document_id, fingerprints_schema

_COPY_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file.

    Attributes:
        part: what it is called in the collection, unlike any other.
        file: as `find_files` gave it.
        sha256: of its bytes as they are, compressed if they are.
        logical: what documents without an id of their own are named after: the content, and for the second and further
            files of the same content, which of them it is. Nothing that depends on where it lies or comes in the list.
        rows: how to read it, from a copy in the scratch folder where it came from elsewhere.
        scratch: the folder for what is kept of it.
    """

    part: str
    file: str
    sha256: str
    logical: str
    rows: RowFile
    scratch: Path


class FileCollection:
    """The documents of files: see `Collection`. Made by `read_files`."""

    def __init__(self, sources: Sequence[SourceFile], parameters: DedupParameters) -> None:
        self.sources = tuple(sources)
        self._of_part = {source.part: source for source in sources}
        self._parameters = parameters
        self._schema = fingerprints_schema(parameters.signatures().num_permutations)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._of_part)

    def fingerprints(self, part: str) -> Iterator[pa.Table]:
        with _batches(self._of_part[part].scratch / _FINGERPRINTS) as reader:
            for number in range(reader.num_record_batches):
                yield pa.Table.from_batches([reader.get_batch(number)], self._schema)

    def texts(self, part: str, rows: Indices) -> pa.Array:
        return self._of_part[part].rows.texts(self.source_rows(part)[rows])

    def ids(self, part: str, rows: Indices) -> pa.Array:
        """large_string (len(rows),): the ids that the files give their documents, else made of content and row.

        Args:
            rows: int64, in any order.
        """
        source = self._of_part[part]
        wanted, place = np.unique(self.source_rows(part)[rows], return_inverse=True)
        ids = source.rows.ids(wanted)
        if ids.null_count:
            made = [document_id(source.logical, row) for row in wanted[ids.is_null().to_numpy(False)].tolist()]
            ids = pc.replace_with_mask(ids, ids.is_null(), pa.array(made, pa.large_string()))
        return ids.take(pa.array(place))

    def quality(self, part: str) -> npt.NDArray[np.float64]:
        return np.fromfile(self._of_part[part].scratch / _QUALITY, np.float64)

    def source_ranks(self, part: str) -> Indices:
        priority = self._parameters.source_priority
        file = self._of_part[part].file
        rank = next((rank for rank, pattern in enumerate(priority) if fnmatchcase(file, pattern)), len(priority))
        return np.full(len(self.source_rows(part)), rank, np.int64)

    def reasons(self, part: str) -> ReasonNumbers:
        """uint8, one for every row of the file: why it is no document (`REASONS`); 0: it is."""
        return np.fromfile(self._of_part[part].scratch / _REASONS, np.uint8)

    def source_rows(self, part: str) -> Indices:
        """int64: which row of the file each document is."""
        return np.flatnonzero(self.reasons(part) == DOCUMENT)

    def find_ids(self, doc_ids: pa.Array) -> tuple[list[str], pa.Array]:
        """Part and id of documents by their doc_id, which `fingerprints` gives; all must be here."""
        parts = np.full(len(doc_ids), "", object)
        ids = np.full(len(doc_ids), "", object)
        for part in self.parts:
            first = 0
            for table in self.fingerprints(part):
                found = pc.index_in(doc_ids, value_set=table["doc_id"].combine_chunks())
                here = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
                if len(here):
                    rows = first + found.take(pa.array(here)).to_numpy().astype(np.int64)
                    parts[here] = part
                    ids[here] = self.ids(part, rows).to_numpy(zero_copy_only=False)
                first += table.num_rows
        return list(parts), pa.array(ids, pa.large_string())


# Called with a number of files that were begun and a number of documents that were read since the call before; by one
# thread at a time.
Report = Callable[[int, int], None]


def read_files(
    files: Sequence[str],
    parts: Sequence[str],
    fields: RowFields,
    parameters: DedupParameters,
    scratch: Path,
    *,
    workers: int,
    report: Report,
    prefix: str = "",
) -> FileCollection:
    """Read and fingerprint all documents of files.

    Args:
        parts: what each is called in the collection.
        scratch: a folder, on a disk with room for all texts and 600 bytes a document.
        workers: threads.
        prefix: sets doc_ids apart from those of another collection that may hold the same files.

    Raises:
        TextFileError: a file cannot be read to its end, or has no text where `fields` says.
    """
    kinds = [sniff(file) for file in files]  # so that a wrong name is told before work begins
    scratch.mkdir(parents=True)
    folders = [scratch / f"{number:06d}" for number in range(len(files))]
    locals_ = for_each(lambda each, stop: _local_copy(*each), list(zip(files, folders, strict=True)), workers)
    numbers = _copy_numbers(files, [digest for _, digest in locals_])
    sources = []
    for number, (local, digest) in enumerate(locals_):
        kind, compression = kinds[number]
        rows: RowFile = (
            ParquetRows(files[number], local, fields, folders[number])
            if kind == "parquet"
            else JsonRows(files[number], local, compression, fields, folders[number])
        )
        copy = f"#{numbers[number]}" if numbers[number] > 1 else ""
        sources.append(
            SourceFile(
                part=parts[number],
                file=files[number],
                sha256=digest,
                logical=f"{prefix}sha256:{digest}{copy}",
                rows=rows,
                scratch=folders[number],
            )
        )
    lock = Lock()
    num_readers = min(workers, len(files))
    with ThreadPoolExecutor(workers, thread_name_prefix="fingerprints") as pool:

        def read(source: SourceFile, stop: Event) -> None:
            with lock:
                report(1, 0)
            ahead = -(-workers // num_readers)
            for num_documents in _read_file(source, fields, parameters.signatures(), pool, ahead, stop):
                with lock:
                    report(0, num_documents)

        for_each(read, sources, num_readers)
    return FileCollection(sources, parameters)


_FINGERPRINTS, _QUALITY, _REASONS = "fingerprints.arrow", "quality", "reasons"


def _local_copy(file: str, folder: Path) -> tuple[Path, str]:
    """Where the file can be read again and again, and its digest: a file from elsewhere is copied to the folder."""
    folder.mkdir()
    if not is_url(file):
        return Path(file), content_digest(file)
    digest = hashlib.sha256()
    target = folder / "source"
    with open_stream(file, None) as stream, target.open("wb") as copy:
        while piece := read_exactly(file, stream, _COPY_BYTES):
            digest.update(piece)
            copy.write(piece)
    return target, digest.hexdigest()


def _copy_numbers(files: Sequence[str], digests: Sequence[str]) -> list[int]:
    """Of files with the same content which each is, from 1, by name."""
    counts: dict[str, int] = {}
    numbers = [0] * len(files)
    for number in sorted(range(len(files)), key=lambda number: files[number]):
        digest = digests[number]
        counts[digest] = numbers[number] = counts.get(digest, 0) + 1
    return numbers


def _read_file(
    source: SourceFile,
    fields: RowFields,
    parameters: SignatureParameters,
    pool: Executor,
    ahead: int,
    stop: Event,
) -> Iterator[int]:
    """Write what is kept of a file to its folder; gives the number of documents of each piece."""
    schema = fingerprints_schema(parameters.num_permutations)
    is_first = True
    with ExitStack() as stack:
        reasons = stack.enter_context((source.scratch / _REASONS).open("wb"))
        prints = stack.enter_context(_arrow_file(source.scratch / _FINGERPRINTS, schema))
        quality = stack.enter_context((source.scratch / _QUALITY).open("wb"))
        remember = stack.enter_context(source.rows.remembering())
        pieces = stack.enter_context(closing(source.rows.pieces()))
        work = partial(_read_piece, source, parameters)
        for piece, rows, table in stack.enter_context(closing(in_order(work, pieces, pool, ahead, stop))):
            if is_first and piece.num_rows:
                is_first = False
                if bool(np.all(rows.reasons == NO_TEXT)):
                    names = source.rows.names(piece)
                    if fields.text_field not in names:
                        raise no_text_column(source.file, fields.text_field, names)
            reasons.write(rows.reasons.data)
            quality.write(rows.documents["quality"].to_numpy().data)
            prints.write_table(table)
            remember(piece, rows)
            yield table.num_rows


def _read_piece(source: SourceFile, parameters: SignatureParameters, piece: Any) -> tuple[Any, Rows, pa.Table]:
    rows = source.rows.rows(piece)
    numbers = piece.first_row + np.flatnonzero(rows.reasons == DOCUMENT)
    documents = {
        "doc_id": pa.array([document_id(source.logical, row) for row in numbers.tolist()], pa.string()),
        "url": rows.documents["url"].fill_null(""),
        "fetched_at": rows.documents["fetched_at"],
        "text": rows.documents["text"],
    }
    return piece, rows, fingerprints(pa.table(documents), parameters)


def _arrow_file(path: Path, schema: pa.Schema) -> Any:
    return pa.ipc.new_file(str(path), schema)


def _batches(path: Path) -> Any:
    """The record batches of a file, found by number and read where they are looked at."""
    return pa.ipc.open_file(pa.memory_map(str(path)))
