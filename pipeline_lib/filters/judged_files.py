"""Judging files of texts: what `gristmill judge` does below the command line.

One Parquet a file, and a summary of what was kept and what each rule rejected; all of it or nothing.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.filters.conditions import Signals
from pipeline_lib.text_files.batches import TextBatch
from pipeline_lib.text_files.in_order import results_in_order
from pipeline_lib.text_files.opening import content_digest
from pipeline_lib.text_files.output_names import file_name, output_names
from pipeline_lib.text_files.reading import BATCH_BYTES, check_file, read_batches
from storage.accounts import Account, add_accounts
from storage.new_folder import OutputRefused, new_folder

SUMMARY = "summary.json"
_SUMMARY_VERSION = 1
_ROW_GROUP_ROWS = 1 << 16  # a batch is a row group unless it has more rows
_OWN_COLUMNS = ("id", "rejected_by", "text")


@dataclass(frozen=True, kw_only=True)
class JudgedBatch:
    """What was found out about the N texts of a batch.

    Attributes:
        signals: (N,) float64 each, by name, in the order of their columns; the same names for every batch.
        rejected_by: (N,) string: the first rule that each text breaks, null where it is kept.
        texts: (N,) large_string: the texts after editing; None where nothing edits.
    """

    signals: Signals
    rejected_by: pa.Array
    texts: pa.ChunkedArray | None = None


@dataclass(frozen=True, kw_only=True)
class JudgedFile:
    """What became of one file.

    Attributes:
        name: its own name, without the folders it lies in.
        output: the name of the Parquet file.
        sha256: of its bytes as they are, compressed if they are.
    """

    name: str
    output: str
    sha256: str
    account: Account


@dataclass(frozen=True, kw_only=True)
class JudgeSummary:
    """What became of all documents, balanced file by file: in = kept + rejected."""

    files: tuple[JudgedFile, ...]
    rules_digest: str

    @property
    def account(self) -> Account:
        return add_accounts(file.account for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """As in `summary.json`."""
        return {
            "version": _SUMMARY_VERSION,
            **_counts(self.account),
            "rules_digest": self.rules_digest,
            "files": [
                {"name": file.name, "output": file.output, "sha256": file.sha256, **_counts(file.account)}
                for file in self.files
            ],
        }


@dataclass(frozen=True, kw_only=True)
class JudgeProgress:
    """How far judging is, after a batch was written.

    Attributes:
        file: the one being judged, as it was named.
        file_number: from 1.
        documents, documents_kept, text_bytes: written so far, of all files.
    """

    file: str
    file_number: int
    num_files: int
    documents: int
    documents_kept: int
    text_bytes: int


def judge_files(
    files: Sequence[str],
    out: Path,
    judge_batch: Callable[[TextBatch], JudgedBatch],
    *,
    workers: int,
    progress: Callable[[JudgeProgress], None],
    rules_digest: str,
    text_field: str = "text",
    id_field: str | None = None,
    extra: Sequence[str] = (),
    with_text: bool = False,
    batch_bytes: int = BATCH_BYTES,
) -> JudgeSummary:
    """Judge the documents of files (`find_files`), and write `out`: `<name>.parquet` for each, and `summary.json`.

    The Parquet files have `id`, one column a signal, `rejected_by` (null = kept), and with `with_text` also `text`, as
    edited; a row for every document, in the order of the source. They are the same for any number of workers.

    Args:
        judge_batch: called in `workers` threads; must depend on its batch alone.
        progress: called in the calling thread.
        rules_digest: what tells this set of rules from others; stands in the summary.
        extra: columns that `judge_batch` gets beside the texts, from files that have them.

    Raises:
        OutputRefused: `out` is there and not an empty folder, or cannot be made; nothing was read.
        TextFileError: a file cannot be read. Files, and the columns of the first documents, are checked before any is
            judged; on any error, then or later, nothing of `out` is left.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: expected at least 1")
    if not files:
        raise OutputRefused("no files to judge: name at least one")
    with new_folder(out) as folder:
        for file in files:
            check_file(file, text_field=text_field, id_field=id_field, extra=extra)
        judged = []
        report = _Reporter(progress, len(files))
        for file, output in zip(files, output_names(files), strict=True):
            digest = content_digest(file)
            report.begin(file)
            batches = read_batches(
                file, text_field=text_field, id_field=id_field, extra=extra, batch_bytes=batch_bytes, digest=digest
            )
            results = results_in_order(batches, judge_batch, workers)
            # closed from the right: no thread judges on when the writer is gone
            with closing(batches), _Writer(folder / output, with_text) as writer, closing(results):
                for batch, result in results:
                    writer.write(batch, result)
                    report.written(batch, result)
            judged.append(JudgedFile(name=file_name(file), output=output, sha256=digest, account=writer.account()))
        summary = JudgeSummary(files=tuple(judged), rules_digest=rules_digest)
        (folder / SUMMARY).write_text(json.dumps(summary.as_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return summary


class _Writer:
    """Writes the results of one file, and counts them."""

    def __init__(self, path: Path, with_text: bool) -> None:
        self._path = path
        self._with_text = with_text
        self._parquet: pq.ParquetWriter | None = None
        self._documents_in = 0
        self._documents_kept = 0
        self._rejected: dict[str, int] = {}

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._parquet is not None:
            self._parquet.close()

    def write(self, batch: TextBatch, result: JudgedBatch) -> None:
        columns: dict[str, Any] = {"id": batch.ids}
        taken = [name for name in result.signals if name in _OWN_COLUMNS]
        if taken:
            raise ValueError(f"a signal may not be called {taken[0]!r}: that is a column of its own")
        columns |= {name: pa.array(values, pa.float64()) for name, values in result.signals.items()}
        columns["rejected_by"] = result.rejected_by.cast(pa.string())
        if self._with_text:
            columns["text"] = batch.texts if result.texts is None else result.texts
        table = pa.table(columns)
        if table.num_rows != len(batch):
            raise ValueError(f"{batch.file}: {len(batch)} texts were judged, and {table.num_rows} results came back")
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(
                self._path, table.schema, compression="zstd", compression_level=3, write_page_checksum=True
            )
        self._parquet.write_table(table, row_group_size=_ROW_GROUP_ROWS)
        self._documents_in += len(batch)
        self._documents_kept += columns["rejected_by"].null_count
        for pair in pc.value_counts(pc.drop_null(columns["rejected_by"])).to_pylist():
            self._rejected[pair["values"]] = self._rejected.get(pair["values"], 0) + pair["counts"]

    def account(self) -> Account:
        return Account(documents_in=self._documents_in, documents_out=self._documents_kept, dropped=self._rejected)


class _Reporter:
    """Adds up what was written, for who wants to see it."""

    def __init__(self, progress: Callable[[JudgeProgress], None], num_files: int) -> None:
        self._progress = progress
        self._num_files = num_files
        self._file = ""
        self._file_number = self._documents = self._kept = self._text_bytes = 0

    def begin(self, file: str) -> None:
        self._file = file
        self._file_number += 1

    def written(self, batch: TextBatch, result: JudgedBatch) -> None:
        self._documents += len(batch)
        self._kept += result.rejected_by.null_count
        self._text_bytes += pc.sum(pc.binary_length(batch.texts)).as_py()
        self._progress(
            JudgeProgress(
                file=self._file,
                file_number=self._file_number,
                num_files=self._num_files,
                documents=self._documents,
                documents_kept=self._kept,
                text_bytes=self._text_bytes,
            )
        )


def _counts(account: Account) -> dict[str, Any]:
    return {
        "documents_in": account.documents_in,
        "documents_kept": account.documents_out,
        "rejected_by": dict(account.dropped),
    }
