"""Deduplicating files of texts: what `gristmill dedup` does below the command line.

A file of what is kept for each file, as faithful as can be: lines of JSON byte for byte, rows of Parquet with all their
columns. Beside it a table of decisions, which names for each removed document the kept one, and one of rows that hold
no document; all of it or nothing.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Lock
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.dedup.engine import Decisions, EarlierDocuments, find_duplicates
from pipeline_lib.dedup.file_collection import FileCollection, SourceFile, read_files
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.text_files.finding import find_files
from pipeline_lib.text_files.in_threads import Stopped, for_each
from pipeline_lib.text_files.output_names import file_name, output_names
from pipeline_lib.text_files.rows import DOCUMENT, REASONS, RowFields
from storage.accounts import Account, add_accounts
from storage.digests import value_digest
from storage.new_folder import OutputRefused, new_folder
from storage.parameters import shaping_parameters
from storage.tables import write_table

SUMMARY = "summary.json"
KEPT, DECISIONS_FOLDER, REJECTED = "kept", "decisions", "rejected"
_SUMMARY_VERSION = 1

# One row a removed document, in the order of its file.
FILE_DECISIONS = pa.schema(
    [
        pa.field("id", pa.large_string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),  # in its file, from 0
        pa.field("rule", pa.string(), nullable=False),  # exact_duplicate | url_duplicate | near_duplicate
        pa.field("kept_id", pa.large_string(), nullable=False),
        pa.field("kept_file", pa.string(), nullable=False),  # where in the output that one is
        pa.field("kept_in", pa.string()),  # the earlier output it is in; null: this one
        pa.field("similarity", pa.float64()),  # of the two texts, 0..1; null where URLs were compared
        pa.field("bands_shared", pa.int32(), nullable=False),
        pa.field("cluster_id", pa.string(), nullable=False),  # the same for all that hang together
    ],
    metadata={"gristmill.schema": "file_decisions", "gristmill.schema_version": "1"},
)

# One row of a file that holds no document.
REJECTED_ROWS = pa.schema(
    [pa.field("row", pa.int64(), nullable=False), pa.field("reason", pa.string(), nullable=False)],
    metadata={"gristmill.schema": "rejected_rows", "gristmill.schema_version": "1"},
)


class NoDedupOutput(OutputRefused):
    """A folder to deduplicate against is no output of this command."""


@dataclass(frozen=True, kw_only=True)
class DedupedFile:
    """What became of one file.

    Attributes:
        name: its own name, without the folders it lies in.
        kept, decisions, rejected: paths in the output folder.
        sha256: of its bytes as they are, compressed if they are.
        account: rows in, rows kept, and what was dropped by rule or for want of a text.
    """

    name: str
    kept: str
    decisions: str
    rejected: str
    sha256: str
    account: Account


@dataclass(frozen=True, kw_only=True)
class DedupSummary:
    """What became of all rows, balanced file by file: in = kept + removed as duplicates + rejected.

    Attributes:
        against: names of the earlier outputs.
        metrics: what the engine counted.
    """

    files: tuple[DedupedFile, ...]
    fields: RowFields
    parameters: DedupParameters
    against: tuple[str, ...]
    metrics: Mapping[str, Any]

    @property
    def account(self) -> Account:
        return add_accounts(file.account for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """As in `summary.json`."""
        parameters = shaping_parameters(self.parameters)
        return {
            "version": _SUMMARY_VERSION,
            **self.account.as_json(),
            "fields": asdict(self.fields),
            "parameters": parameters,
            "parameters_digest": value_digest(parameters),
            "against": list(self.against),
            "metrics": dict(self.metrics),
            "files": [
                {
                    "name": file.name,
                    "kept": file.kept,
                    "decisions": file.decisions,
                    "rejected": file.rejected,
                    "sha256": file.sha256,
                    **file.account.as_json(),
                }
                for file in self.files
            ],
        }


@dataclass(frozen=True, kw_only=True)
class DedupProgress:
    """How far it is.

    Attributes:
        step: `read` and `write` go over files, `compare` over all documents at once.
        files_begun: in this step, of `num_files`.
        documents: read so far, of all files.
    """

    step: Literal["read", "compare", "write"]
    files_begun: int
    num_files: int
    documents: int


def deduplicate_files(
    files: Sequence[str],
    out: Path,
    parameters: DedupParameters,
    *,
    workers: int,
    progress: Callable[[DedupProgress], None],
    fields: RowFields | None = None,
    scratch: Path | None = None,
    against: Sequence[Path] = (),
) -> DedupSummary:
    """Deduplicate the documents of files (`find_files`) among each other, and write `out`.

    `kept/` has a file for each, `decisions/` and `rejected/` a table of the same name, and `summary.json` the counts.
    All of it is the same for any number of workers; the order of the files changes nothing but names that are taken.

    Args:
        workers: threads.
        progress: called in any thread, one at a time.
        fields: where in a row the text is, and so on; the default goes by `RowFields`.
        scratch: a folder for what is needed in between: about the size of all texts, and 600 bytes a document.
            Without one, it is inside the output folder until the end.
        against: outputs of this command: what they keep may be why a document is removed, and is never removed.

    Raises:
        OutputRefused: `out` is there and not an empty folder, or cannot be made; nothing was read.
        NoDedupOutput: one of `against` is something else.
        TextFileError: a file cannot be read. On any error nothing of `out` is left.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: expected at least 1")
    if not files:
        raise OutputRefused("no files to deduplicate: name at least one")
    fields = fields or RowFields()
    with new_folder(out) as folder, _scratch_folder(scratch, folder) as work:
        earlier = [_Earlier.of(path) for path in against]
        _refuse_equal_names([each.name for each in earlier])
        report = _Reporter(progress, len(files), sum(len(each.files) for each in earlier))
        names = [name.removesuffix(".parquet") for name in output_names(files)]
        documents = read_files(
            files, names, fields, parameters, work / "documents", workers=workers, report=report.reading
        )
        for number, each in enumerate(earlier):
            each.read(parameters, work / f"earlier-{number}", workers, report)
        report.comparing()
        engine_scratch = work / "engine"
        engine_scratch.mkdir()
        decisions = find_duplicates(
            documents, parameters, scratch=engine_scratch, earlier=[each.as_earlier() for each in earlier]
        )
        for name in (KEPT, DECISIONS_FOLDER, REJECTED):
            (folder / name).mkdir()

        def write(source: SourceFile, stop: Event) -> DedupedFile:
            if stop.is_set():
                raise Stopped
            report.writing()
            return _write_file(source, documents, earlier, decisions, folder)

        summary = DedupSummary(
            files=tuple(for_each(write, documents.sources, workers)),
            fields=fields,
            parameters=parameters,
            against=tuple(each.name for each in earlier),
            metrics=decisions.metrics,
        )
        (folder / SUMMARY).write_text(json.dumps(summary.as_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return summary


@contextmanager
def _scratch_folder(scratch: Path | None, folder: Path) -> Iterator[Path]:
    """A new folder that is gone at the end."""
    if scratch is not None and not scratch.is_dir():
        raise OutputRefused(f"{scratch}: there is no such folder for scratch files; make it, or name another")
    with tempfile.TemporaryDirectory(prefix="gristmill-dedup-", dir=scratch or folder) as work:
        yield Path(work)


class _Earlier:
    """What an earlier output keeps."""

    def __init__(self, folder: Path, files: Sequence[str], fields: RowFields) -> None:
        self.folder = folder
        self.name = folder.resolve().name
        self.files = files
        self.fields = fields
        self._documents: FileCollection | None = None

    @classmethod
    def of(cls, folder: Path) -> "_Earlier":
        """
        Raises:
            NoDedupOutput: `folder` is something else.
        """
        try:
            summary = json.loads((folder / SUMMARY).read_text("utf-8"))
            version, found, files = summary["version"], summary["fields"], [file["kept"] for file in summary["files"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NoDedupOutput(
                f"{folder} is no output of `gristmill dedup`: {type(error).__name__}: {error}. "
                "Name the folder that was its --out"
            ) from error
        if version != _SUMMARY_VERSION:
            raise NoDedupOutput(f"{folder}: {SUMMARY} has version {version}, expected {_SUMMARY_VERSION}")
        fields = RowFields(**{**found, "time_fields": tuple(found["time_fields"])})
        return cls(folder, find_files([str(folder / file) for file in files]), fields)

    def read(self, parameters: DedupParameters, scratch: Path, workers: int, report: "_Reporter") -> None:
        parts = [f"{KEPT}/{file_name(file)}" for file in self.files]
        prefix = f"{self.name}:"
        self._documents = read_files(
            self.files, parts, self.fields, parameters, scratch, workers=workers, report=report.reading, prefix=prefix
        )

    def as_earlier(self) -> EarlierDocuments:
        return EarlierDocuments(run_id=self.name, documents=self.documents)

    @property
    def documents(self) -> FileCollection:
        assert self._documents is not None
        return self._documents


def _refuse_equal_names(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise NoDedupOutput(f"two folders to deduplicate against are called {twice!r}: rename one, decisions name them")


def _write_file(
    source: SourceFile, documents: FileCollection, earlier: Sequence[_Earlier], decisions: Decisions, folder: Path
) -> DedupedFile:
    part = source.part
    reasons = documents.reasons(part)
    document_rows = np.flatnonzero(reasons == DOCUMENT)
    is_kept = np.zeros(len(reasons), bool)
    is_kept[document_rows[decisions.kept_rows(part)]] = True
    kept = f"{KEPT}/{part}{source.rows.suffix}"
    source.rows.copy(is_kept, folder / kept)

    decided = _decisions_of(part, document_rows, documents, earlier, decisions)
    write_table(decided, folder / DECISIONS_FOLDER / f"{part}.parquet", FILE_DECISIONS)
    rejected_rows = np.flatnonzero(reasons != DOCUMENT)
    rejected = pa.table(
        {"row": pa.array(rejected_rows), "reason": pa.array(REASONS).take(pa.array(reasons[rejected_rows]))},
        schema=REJECTED_ROWS,
    )
    write_table(rejected, folder / REJECTED / f"{part}.parquet", REJECTED_ROWS)
    dropped = [
        *pc.value_counts(decided["rule"]).to_pylist(),
        *pc.value_counts(rejected["reason"]).to_pylist(),
    ]
    return DedupedFile(
        name=file_name(source.file),
        kept=kept,
        decisions=f"{DECISIONS_FOLDER}/{part}.parquet",
        rejected=f"{REJECTED}/{part}.parquet",
        sha256=source.sha256,
        account=Account(
            documents_in=len(reasons),
            documents_out=int(np.count_nonzero(is_kept)),
            dropped={pair["values"]: pair["counts"] for pair in dropped},
            unit_in="rows",
            unit_out="documents",
        ),
    )


def _decisions_of(
    part: str,
    document_rows: Any,
    documents: FileCollection,
    earlier: Sequence[_Earlier],
    decisions: Decisions,
) -> pa.Table:
    duplicates = decisions.duplicates(part)
    witnesses = decisions.witnesses(part)
    kept_files = np.full(len(witnesses.rows), "", object)
    kept_ids = np.full(len(witnesses.rows), "", object)
    suffixes = {source.part: source.rows.suffix for source in documents.sources}
    for number in np.unique(witnesses.kept_part[witnesses.kept_part >= 0]):
        name = documents.parts[number]
        here = np.flatnonzero(witnesses.kept_part == number)
        kept_files[here] = f"{KEPT}/{name}{suffixes[name]}"
        kept_ids[here] = documents.ids(name, witnesses.kept_row[here]).to_numpy(zero_copy_only=False)
    for each in earlier:
        here = np.flatnonzero(pc.equal(duplicates["kept_run"], each.name).fill_null(False).to_numpy())
        if len(here):
            parts, ids = each.documents.find_ids(duplicates["kept_id"].take(pa.array(here)).combine_chunks())
            kept_files[here] = parts
            kept_ids[here] = ids.to_numpy(zero_copy_only=False)
    columns = {
        "id": documents.ids(part, witnesses.rows),
        "row": pa.array(document_rows[witnesses.rows]),
        "rule": duplicates["rule"],
        "kept_id": pa.array(kept_ids, pa.large_string()),
        "kept_file": pa.array(kept_files, pa.string()),
        "kept_in": duplicates["kept_run"],
        "similarity": duplicates["similarity"],
        "bands_shared": duplicates["bands_shared"],
        "cluster_id": duplicates["cluster_id"],
    }
    return pa.table(columns, schema=FILE_DECISIONS)


class _Reporter:
    """Adds up what is done, for who wants to see it."""

    def __init__(self, progress: Callable[[DedupProgress], None], num_files: int, num_earlier: int) -> None:
        self._progress = progress
        self._num_files = num_files
        self._now = DedupProgress(step="read", files_begun=0, num_files=num_files + num_earlier, documents=0)
        self._lock = Lock()

    def reading(self, new_files: int, new_documents: int) -> None:
        now = self._now
        self._tell(files_begun=now.files_begun + new_files, documents=now.documents + new_documents)

    def comparing(self) -> None:
        self._tell(step="compare", files_begun=0)

    def writing(self) -> None:
        with self._lock:
            begun = self._now.files_begun if self._now.step == "write" else 0
            self._tell(step="write", files_begun=begun + 1, num_files=self._num_files)

    def _tell(self, **changes: Any) -> None:
        self._now = replace(self._now, **changes)
        self._progress(self._now)
