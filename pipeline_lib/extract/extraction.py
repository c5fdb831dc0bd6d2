"""What comes of extraction: rows of documents, rows of what is none, and counts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline_lib.extract.candidates import Candidate, Item, host_of
from pipeline_lib.extract.page_frames import PageAnswer
from pipeline_lib.extract.page_workers import PageWorkers
from storage.accounts import Account
from storage.schemas import DOCUMENTS, REJECTED_RECORDS, document_id

_LOST = "fetch_"  # how the reasons begin why bytes could not be had: another time they may
_ROWS_AT_ONCE = 2_048  # become Arrow before the next: Python strings take several times the memory


@dataclass(kw_only=True)
class Tally:
    """What is measured on the way; counts are of documents."""

    bytes_in: int = 0  # of all pages that were read, documents or not
    bytes_out: int = 0  # UTF-8 of the documents' text
    charset_sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    extractors: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return {
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "charset_sources": dict(sorted(self.charset_sources.items())),
            "languages": dict(sorted(self.languages.items())),
            "extractors": dict(sorted(self.extractors.items())),
        }


class Extraction:
    """The two tables of a part or file in the making: `documents` and `rejected`, each in the order of the source."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.lost: list[dict[str, Any]] = []  # what no server gave
        self._reasons: Counter[str] = Counter()
        self._documents = _Rows(DOCUMENTS)
        self._rejected = _Rows(REJECTED_RECORDS)

    def read(self, items: Iterable[Item], workers: PageWorkers) -> None:
        """Have the pages of items read, and take what comes of all of them."""
        for candidate, answer in workers.answers(items):
            self.add(candidate, answer)

    def add(self, candidate: Candidate, answer: PageAnswer | None) -> None:
        """Take a candidate and the answer to its page; without an answer it must have its reason."""
        if answer is None:
            assert candidate.reason is not None
            self._reject(candidate, candidate.reason)
            return
        self.tally.bytes_in += answer.num_bytes
        if answer.reason is not None:
            self._reject(candidate, answer.reason)
            return
        self.tally.bytes_out += len(answer.text.encode())
        self.tally.charset_sources[answer.charset_source] += 1
        self.tally.languages[answer.language] += 1
        self.tally.extractors[answer.extractor] += 1
        self._documents.append(document_row(candidate, answer))

    @property
    def num_documents(self) -> int:
        return self._documents.count

    @property
    def num_rejected(self) -> int:
        return self._rejected.count

    def documents(self) -> pa.Table:
        return self._documents.table()

    def rejected(self) -> pa.Table:
        return self._rejected.table()

    def account(self) -> Account:
        """Each record became a document or has a reason."""
        return Account(
            documents_in=self.num_documents + self.num_rejected,
            documents_out=self.num_documents,
            dropped=self._reasons,
            unit_in="records",
            unit_out="documents",
        )

    def _reject(self, candidate: Candidate, reason: str) -> None:
        self._reasons[reason] += 1
        if reason.startswith(_LOST):
            self.lost.append(
                {
                    "warc_path": candidate.warc_path,
                    "offset": candidate.offset,
                    "length": candidate.length,
                    "reason": reason,
                }
            )
        self._rejected.append(
            {
                "warc_path": candidate.warc_path,
                "warc_offset": candidate.offset,
                "warc_length": candidate.length,
                "record_type": candidate.record_type,
                "url": candidate.url,
                "reason": reason,
            }
        )


def document_row(candidate: Candidate, answer: PageAnswer) -> dict[str, Any]:
    """A page that was read as a row of `DOCUMENTS`."""
    url = answer.url or candidate.url or ""
    return {
        "doc_id": document_id(candidate.warc_path, candidate.offset),
        "url": url,
        "host": host_of(url),
        "fetched_at": candidate.fetched_at,
        "published_at": answer.published_at,
        "warc_path": candidate.warc_path,
        "warc_offset": candidate.offset,
        "warc_length": candidate.length,
        "mime": candidate.mime,
        "charset": answer.charset,
        "language": answer.language,
        "language_score": answer.language_score,
        "title": answer.title,
        "text": answer.text,
    }


class _Rows:
    """Rows of a table to be, kept as Arrow batches."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []
        self.count = 0

    def append(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == _ROWS_AT_ONCE:
            self._flush()

    def table(self) -> pa.Table:
        self._flush()
        return pa.Table.from_batches(self._batches, self._schema)

    def _flush(self) -> None:
        self._batches.append(pa.RecordBatch.from_pylist(self._rows, self._schema))
        self._rows = []
