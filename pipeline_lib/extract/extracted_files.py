"""Documents out of anyone's files: what `gristmill extract` does below the command line.

WARC files (WET among them) and HTML pages become tables in the schema of documents, with a table of what was not
extracted beside each; all of it or nothing.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipeline_lib.crawl.listing import distinct_paths
from pipeline_lib.extract.candidates import Candidate, Item, record_items
from pipeline_lib.extract.extraction import Extraction
from pipeline_lib.extract.page_frames import Page
from pipeline_lib.extract.page_workers import PageWorkers
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.sniffing import looks_like_html
from pipeline_lib.text_files.opening import open_stream, read_exactly
from pipeline_lib.text_files.output_names import file_name, output_names
from storage.accounts import Account, add_accounts
from storage.digests import joined_digest, value_digest
from storage.new_folder import OutputRefused, new_folder
from storage.schemas import DOCUMENTS, REJECTED_RECORDS
from storage.tables import write_table

SUMMARY = "summary.json"
REJECTED = "rejected"
_SUMMARY_VERSION = 1
_HTML_SUFFIXES = (".html", ".htm", ".xhtml", ".shtml")
_RECORD_SUFFIXES = tuple(f"{name}{by}" for name in (".warc", ".warc.wet", ".wet") for by in ("", ".gz", ".zst", ".lz4"))
SUFFIXES = (*_RECORD_SUFFIXES, *_HTML_SUFFIXES)
_HTML_OUTPUT = "html"  # pages are one row each: a table of their own for each would be thousands of files
_HEAD_BYTES = 1024
_COPY_BYTES = 1 << 20
_TOLD_EVERY = 100  # records


@dataclass(frozen=True, kw_only=True)
class ExtractedFile:
    """What became of one file, or of all HTML pages together.

    Attributes:
        name: of the file without the folders it lies in; of HTML pages, how many there are.
        output: the name of the table of documents; that of what was not extracted has the same in `rejected/`.
        sha256: of the file's bytes as they are; of several pages, of their digests in order.
    """

    name: str
    output: str
    sha256: str
    account: Account


@dataclass(frozen=True, kw_only=True)
class ExtractSummary:
    """What became of all records, balanced file by file: records = documents + rejected."""

    files: tuple[ExtractedFile, ...]
    parameters_digest: str

    @property
    def account(self) -> Account:
        return add_accounts(file.account for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """As in `summary.json`."""
        return {
            "version": _SUMMARY_VERSION,
            **self.account.as_json(),
            "parameters_digest": self.parameters_digest,
            "files": [
                {
                    "name": file.name,
                    "output": file.output,
                    "rejected": f"{REJECTED}/{file.output}",
                    "sha256": file.sha256,
                    **file.account.as_json(),
                }
                for file in self.files
            ],
        }


@dataclass(frozen=True, kw_only=True)
class ExtractProgress:
    """How far extraction is.

    Attributes:
        file: the one being read, as it was named.
        file_number: from 1.
        records, documents: so far, of all files.
    """

    file: str
    file_number: int
    num_files: int
    records: int
    documents: int


def extract_files(
    files: Sequence[str],
    out: Path,
    parameters: ExtractParameters,
    *,
    workers: int,
    progress: Callable[[ExtractProgress], None],
) -> ExtractSummary:
    """Extract the documents of files, and write `out`: `<name>.parquet` for each WARC file, `html.parquet` for all HTML
    pages together, the same under `rejected/` for what was not extracted, and `summary.json`.

    The tables have the schemas of documents and rejected records, in the order of the source, and are the same for any
    number of workers. Files are called by their path from `crawl-data/` on, else by that below the folder that all have
    in common, as in a run. A page has as URL its canonical link, else the address that it wants to be shared as, else
    that name.

    Args:
        workers: processes that read pages.
        progress: called in the calling thread.

    Raises:
        OutputRefused: `out` is there and not an empty folder, or cannot be made; nothing was read.
        TextFileError: a file cannot be opened or read.
        SourceError: two files have the same logical name.
    """
    if not files:
        raise OutputRefused("no files to extract from: name at least one")
    names = distinct_paths(files)
    extracted = []
    report = _Reporter(progress, len(files))
    with new_folder(out) as folder, PageWorkers(parameters, workers) as pool:
        (folder / REJECTED).mkdir()
        groups = _groups(files)
        outputs = output_names(
            [file_name(group[0]) if not is_html else _HTML_OUTPUT for is_html, group in groups], SUFFIXES
        )
        for (is_html, group), output in zip(groups, outputs, strict=True):
            extraction = Extraction()
            digests: list[str] = []
            items = _html_items if is_html else _warc_items
            for candidate, answer in pool.answers(items(group, names, parameters, digests, report.begin)):
                extraction.add(candidate, answer)
                report.taken(is_document=answer is not None and answer.reason is None)
            write_table(extraction.documents(), folder / output, DOCUMENTS)
            write_table(extraction.rejected(), folder / REJECTED / output, REJECTED_RECORDS)
            name = file_name(group[0]) if len(group) == 1 else f"{len(group)} HTML pages"
            digest = digests[0] if len(digests) == 1 else joined_digest(digests)
            extracted.append(ExtractedFile(name=name, output=output, sha256=digest, account=extraction.account()))
        summary = ExtractSummary(files=tuple(extracted), parameters_digest=value_digest(asdict(parameters)))
        (folder / SUMMARY).write_text(json.dumps(summary.as_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return summary


def _groups(files: Sequence[str]) -> list[tuple[bool, list[str]]]:
    """Which files become a table together: every WARC file alone, all HTML pages where the first of them is."""
    groups: list[tuple[bool, list[str]]] = []
    pages: list[str] = []
    for file in files:
        if not _is_html(file):
            groups.append((False, [file]))
            continue
        if not pages:
            groups.append((True, pages))
        pages.append(file)
    return groups


def _is_html(file: str) -> bool:
    path = file.partition("?")[0].lower()
    if path.endswith(_HTML_SUFFIXES):
        return True
    if path.endswith(_RECORD_SUFFIXES):
        return False
    with open_stream(file, None) as stream:
        return looks_like_html(read_exactly(file, stream, _HEAD_BYTES))


def _warc_items(
    group: Sequence[str],
    names: Mapping[str, str],
    parameters: ExtractParameters,
    digests: list[str],
    begin: Callable[[str], None],
) -> Iterator[Item]:
    for file in group:
        begin(file)
        source = {"warc_path": names[file], "url": file, "position": 0, "offset": 0, "length": -1, "wanted": None}
        with _hashed(file, digests) as stream:
            yield from record_items(stream, source, parameters)


def _html_items(
    group: Sequence[str],
    names: Mapping[str, str],
    parameters: ExtractParameters,
    digests: list[str],
    begin: Callable[[str], None],
) -> Iterator[Item]:
    for file in group:
        begin(file)
        with _hashed(file, digests) as stream:
            body = stream.read(parameters.max_body_bytes + 1)
        is_too_large = len(body) > parameters.max_body_bytes
        candidate = Candidate(
            warc_path=names[file],
            offset=0,
            length=len(body),
            record_type="html_file",
            url=names[file],
            reason="body_too_large" if is_too_large else None,
        )
        yield candidate, None if is_too_large else Page(kind="html_file", body=body)


@contextmanager
def _hashed(file: str, digests: list[str]) -> Iterator[BinaryIO]:
    """A file's bytes; when they are through, the digest of all of them is added to `digests`."""
    with open_stream(file, None) as stream:
        hashed = _HashedStream(file, stream)
        yield cast(BinaryIO, hashed)
        while hashed.read(_COPY_BYTES):
            pass
        digests.append(hashed.digest.hexdigest())


class _HashedStream:
    def __init__(self, file: str, stream: Any) -> None:
        self._file = file
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = read_exactly(self._file, self._stream, size) if size >= 0 else self._stream.read()
        self.digest.update(chunk)
        return cast(bytes, chunk)


class _Reporter:
    """Adds up what was taken, for who wants to see it."""

    def __init__(self, progress: Callable[[ExtractProgress], None], num_files: int) -> None:
        self._progress = progress
        self._num_files = num_files
        self._file = ""
        self._file_number = self._records = self._documents = 0

    def begin(self, file: str) -> None:
        self._file = file
        self._file_number += 1
        self._tell()

    def taken(self, *, is_document: bool) -> None:
        self._records += 1
        self._documents += is_document
        if self._records % _TOLD_EVERY == 0:
            self._tell()

    def _tell(self) -> None:
        self._progress(
            ExtractProgress(
                file=self._file,
                file_number=self._file_number,
                num_files=self._num_files,
                records=self._records,
                documents=self._documents,
            )
        )
