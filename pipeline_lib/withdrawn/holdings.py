"""Which withdrawn documents a published stage holds: what was extracted, or what is in a corpus."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline_lib.text_files.in_threads import in_order
from pipeline_lib.withdrawn.rule import COLUMNS, NOT_WITHDRAWN, Matcher
from storage.manifests import FileRecord, PublishedStage
from storage.schemas import CORPUS, DOCUMENTS

SPLITS = ("train", "validation")
_TABLES = {"extract": {"documents": DOCUMENTS}, "corpus": dict.fromkeys(SPLITS, CORPUS)}


@dataclass(frozen=True, kw_only=True)
class Holding:
    """The withdrawn documents of one file: at least one.

    Attributes:
        documents: doc_id, and `place`, int32: which of `Matcher.listed` withdrew it.
    """

    file: FileRecord
    documents: pa.Table


def holdings(stage: PublishedStage, matcher: Matcher, workers: int) -> Iterator[Holding]:
    """Look through all parts of a stage `extract` or `corpus`, `workers` at a time, in order.

    Raises:
        DamagedFile: a part cannot be read.
    """
    tables = _TABLES[stage.manifest.stage]
    files = [record for table in tables for record in stage.manifest.files(table)]

    def look(record: FileRecord) -> pa.Table:
        documents = stage.read(record.table, record.part, tables[record.table], columns=["doc_id", *COLUMNS])
        found = matcher.find(documents)
        rows = np.flatnonzero(found != NOT_WITHDRAWN)
        return documents.select(["doc_id"]).take(pa.array(rows)).append_column("place", pa.array(found[rows]))

    with ThreadPoolExecutor(workers, thread_name_prefix="withdrawn") as pool:
        for record, documents in zip(files, in_order(look, files, pool, ahead=workers), strict=True):
            if documents.num_rows:
                yield Holding(file=record, documents=documents)
