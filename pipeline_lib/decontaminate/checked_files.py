"""Looking for evaluation items in files of texts: what `gristmill decontaminate` does below the command line."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.decontaminate.figures import SetFigures, add_matches, figures_as_json, listed_figures
from pipeline_lib.decontaminate.items import EvaluationItems
from pipeline_lib.decontaminate.matching import RULE, count_documents, decide, find_hits, match_items
from pipeline_lib.decontaminate.parameters import DecontaminationParameters
from pipeline_lib.kernels.item_ngrams import Integers
from pipeline_lib.text_files.batches import TextBatch
from pipeline_lib.text_files.in_order import results_in_order
from pipeline_lib.text_files.opening import content_digest
from pipeline_lib.text_files.output_names import file_name, output_names
from pipeline_lib.text_files.reading import BATCH_BYTES, check_file, read_batches
from storage.accounts import Account, add_accounts
from storage.new_folder import OutputRefused, new_folder
from storage.schemas import DECISIONS, EVALUATION_MATCHES

SUMMARY = "summary.json"
_SUMMARY_VERSION = 1


def _with_id(schema: pa.Schema) -> pa.Schema:
    """The schema with the files' own ids in place of ours."""
    return pa.schema([pa.field("id", pa.large_string(), nullable=False), *list(schema)[1:]])


_TABLES = {"decisions": _with_id(DECISIONS), "matches": _with_id(EVALUATION_MATCHES)}
_KEPT = pa.schema([_TABLES["matches"].field("id"), pa.field("text", pa.large_string(), nullable=False)])


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """What became of one file.

    Attributes:
        name: its own name, without the folders it lies in.
        output: the name of the Parquet file in each of the folders that were written.
        sha256: of its bytes as they are, compressed if they are.
    """

    name: str
    output: str
    sha256: str
    account: Account


@dataclass(frozen=True, kw_only=True)
class CheckSummary:
    """What became of all documents, balanced file by file, and what was found of each set.

    `contaminated` counts documents that hold an item, also where these are only reported. `matches_left_out`: beyond
    the best of a document.
    """

    files: tuple[CheckedFile, ...]
    sets: dict[str, SetFigures]
    contaminated: int
    matches_left_out: int

    @property
    def account(self) -> Account:
        return add_accounts(file.account for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """As in `summary.json`."""
        return {
            "version": _SUMMARY_VERSION,
            **_counts(self.account),
            "contaminated": self.contaminated,
            "matches_left_out": self.matches_left_out,
            "sets": figures_as_json(self.sets),
            "files": [
                {"name": file.name, "output": file.output, "sha256": file.sha256, **_counts(file.account)}
                for file in self.files
            ],
        }


@dataclass(frozen=True, kw_only=True)
class CheckProgress:
    """How far the work is. `counting`: in the pass before, which counts documents by n-gram."""

    file_number: int
    num_files: int
    documents: int
    contaminated: int
    text_bytes: int
    counting: bool = False


@dataclass(frozen=True)
class _Checked:
    """Of a batch: `doc_id` is the row in it."""

    matches: pa.Table
    held: pa.Table
    left_out: int


@dataclass
class _Tally:
    """Adds up what was found."""

    sets: dict[str, SetFigures]
    file_number: int = 0
    documents: int = 0
    contaminated: int = 0
    left_out: int = 0
    text_bytes: int = 0
    files: list[CheckedFile] = field(default_factory=list)


def check_files(
    files: Sequence[str],
    out: Path,
    items: EvaluationItems,
    parameters: DecontaminationParameters,
    *,
    workers: int,
    progress: Callable[[CheckProgress], None],
    text_field: str = "text",
    id_field: str | None = None,
    with_text: bool = False,
    batch_bytes: int = BATCH_BYTES,
) -> CheckSummary:
    """Look for items in the documents of files (`find_files`), and write `out`: for each file `matches/<name>.parquet`
    and `decisions/<name>.parquet`, with `with_text` also the documents that stay, `kept/<name>.parquet`; and
    `summary.json`.

    The tables are those of a run (EVALUATION_MATCHES, DECISIONS) with the files' own ids as `id`, in the order of the
    source; they are the same for any number of workers. Where common n-grams are ignored, the files are read twice.

    Args:
        progress: called in the calling thread.

    Raises:
        OutputRefused: `out` is there and not an empty folder, or cannot be made; nothing was read.
        TextFileError: a file cannot be read. On any error nothing of `out` is left.
    """
    if workers < 1:
        raise ValueError(f"workers={workers}: expected at least 1")
    if not files:
        raise OutputRefused("no files to look through: name at least one")
    columns = {"text_field": text_field, "id_field": id_field, "batch_bytes": batch_bytes}
    with new_folder(out) as folder:
        for file in files:
            check_file(file, text_field=text_field, id_field=id_field)
        common = None
        if parameters.ignore_common is not None:
            documents = _count_all(files, items, workers, progress, columns)
            common = np.flatnonzero(documents > parameters.ignore_common)
        tally = _Tally(sets=listed_figures(items.items))
        schemas = {**_TABLES, **({"kept": _KEPT} if with_text else {})}
        for name in schemas:
            (folder / name).mkdir()
        for file, output in zip(files, output_names(files), strict=True):
            tally.file_number += 1
            digest = content_digest(file)
            before = tally.documents, tally.contaminated
            with ExitStack() as stack:
                writers = {
                    name: stack.enter_context(pq.ParquetWriter(folder / name / output, schema, compression="zstd"))
                    for name, schema in schemas.items()
                }
                for batch, checked in _checked(file, digest, items, parameters, common, workers, columns):
                    _write(batch, checked, parameters, writers, tally)
                    progress(_progress(tally, len(files)))
            num_documents, num_held = tally.documents - before[0], tally.contaminated - before[1]
            num_dropped = num_held if parameters.action == "drop" else 0
            account = Account(
                documents_in=num_documents, documents_out=num_documents - num_dropped, dropped={RULE: num_dropped}
            )
            tally.files.append(CheckedFile(name=file_name(file), output=output, sha256=digest, account=account))
        summary = CheckSummary(
            files=tuple(tally.files),
            sets=tally.sets,
            contaminated=tally.contaminated,
            matches_left_out=tally.left_out,
        )
        (folder / SUMMARY).write_text(json.dumps(summary.as_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return summary


def _checked(
    file: str,
    digest: str,
    items: EvaluationItems,
    parameters: DecontaminationParameters,
    common: Integers | None,
    workers: int,
    columns: dict[str, Any],
) -> Iterator[tuple[TextBatch, _Checked]]:
    def check(batch: TextBatch) -> _Checked:
        documents = _numbered(batch)
        hits = find_hits(documents, items)
        found = match_items(documents, hits, items, common)
        return _Checked(found.table, decide(found.table, parameters.threshold), found.left_out)

    batches = read_batches(file, digest=digest, **columns)
    results = results_in_order(batches, check, workers)
    with closing(batches), closing(results):
        yield from results


def _count_all(
    files: Sequence[str],
    items: EvaluationItems,
    workers: int,
    progress: Callable[[CheckProgress], None],
    columns: dict[str, Any],
) -> Integers:
    """In how many documents of all files each n-gram is."""
    counts = np.zeros(items.num_ngrams, np.int64)
    tally = _Tally(sets={})
    for file in files:
        tally.file_number += 1
        batches = read_batches(file, digest="", **columns)
        results = results_in_order(
            batches, lambda batch: count_documents(find_hits(_numbered(batch), items), items.num_ngrams), workers
        )
        with closing(batches), closing(results):
            for batch, of_batch in results:
                counts += of_batch
                _add_batch(tally, batch)
                progress(_progress(tally, len(files), counting=True))
    return counts


def _numbered(batch: TextBatch) -> pa.Table:
    """Ids of files may come twice: rows do not."""
    rows = pa.array(np.arange(len(batch))).cast(pa.string())
    return pa.table({"doc_id": rows, "text": batch.texts})


def _write(
    batch: TextBatch,
    checked: _Checked,
    parameters: DecontaminationParameters,
    writers: dict[str, pq.ParquetWriter],
    tally: _Tally,
) -> None:
    drops = parameters.action == "drop"
    tables = {"matches": checked.matches, "decisions": checked.held if drops else checked.held.slice(0, 0)}
    for name, table in tables.items():
        ids = pa.chunked_array([batch.ids]) if isinstance(batch.ids, pa.Array) else batch.ids
        named = ids.take(table["doc_id"].cast(pa.int64()))
        columns = [named.cast(pa.large_string()), *table.columns[1:]]
        writers[name].write_table(pa.Table.from_arrays(columns, schema=_TABLES[name]))
    if "kept" in writers:
        stays = np.ones(len(batch), np.bool_)
        stays[tables["decisions"]["doc_id"].cast(pa.int64()).to_numpy()] = False
        kept = pa.table({"id": batch.ids, "text": batch.texts}).filter(pa.array(stays))
        writers["kept"].write_table(kept.cast(_KEPT))
    add_matches(tally.sets, checked.matches, parameters.threshold)
    tally.contaminated += checked.held.num_rows
    tally.left_out += checked.left_out
    _add_batch(tally, batch)


def _add_batch(tally: _Tally, batch: TextBatch) -> None:
    tally.documents += len(batch)
    tally.text_bytes += pc.sum(pc.binary_length(batch.texts).cast(pa.int64())).as_py()


def _progress(tally: _Tally, num_files: int, counting: bool = False) -> CheckProgress:
    return CheckProgress(
        file_number=tally.file_number,
        num_files=num_files,
        documents=tally.documents,
        contaminated=tally.contaminated,
        text_bytes=tally.text_bytes,
        counting=counting,
    )


def _counts(account: Account) -> dict[str, Any]:
    return {
        "documents_in": account.documents_in,
        "documents_kept": account.documents_out,
        "dropped": dict(account.dropped),
    }
