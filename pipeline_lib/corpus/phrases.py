"""Where a phrase stands in the texts of a stage: scanned in Arrow, a row group at a time, parts in threads."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.lookup import Place
from pipeline_lib.text_files.in_threads import in_order
from storage.manifests import PublishedStage

_THREADS = 4  # each holds a row group
_SPACE = "[ \\t\\n\\x0b\\f\\r\\x1c-\\x1f\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]"
_RE2_SPACE = re.sub(r"\\([xu])([0-9a-f]{2,4})", r"\\x{\2}", _SPACE).replace("\\x{0b}", "\\v")


class NoPhrase(ValueError):
    """Nothing to look for."""


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """What is looked for.

    Attributes:
        any_space: any run of white space counts as equal to any other, and that around the phrase as nothing.
        ignore_case: letters in either case are equal.
    """

    text: str
    any_space: bool = False
    ignore_case: bool = False

    def __post_init__(self) -> None:
        if not (self.text.split() if self.any_space else self.text):
            raise NoPhrase("an empty phrase stands everywhere: give some text to look for")

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the phrase stands in a text, as UTF-8 byte positions; occurrences do not overlap."""
        start = num_bytes = 0
        for found in re.finditer(self._pattern(_SPACE), text, re.IGNORECASE if self.ignore_case else 0):
            num_bytes += len(text[start : found.start()].encode())
            start = found.end()
            end = num_bytes + len(found.group().encode())
            yield num_bytes, end
            num_bytes = end

    def rows(self, texts: pa.ChunkedArray) -> pa.Array:
        """The rows of texts that may hold the phrase: all that do, and where case is ignored perhaps others."""
        if not self.any_space and not self.ignore_case:
            return pc.indices_nonzero(pc.match_substring(texts, self.text))
        pattern = self._pattern(_RE2_SPACE)
        return pc.indices_nonzero(pc.match_substring_regex(texts, pattern, ignore_case=self.ignore_case))

    def _pattern(self, space: str) -> str:
        words = re.split(f"{_SPACE}+", self.text) if self.any_space else [self.text]
        return f"{space}+".join(re.escape(word) for word in words if word)


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """The bytes [start, end) of the text of a document."""

    place: Place
    doc_id: str
    start: int
    end: int


def occurrences(stage: PublishedStage, table: str, schema: pa.Schema, phrase: Phrase, limit: int) -> list[Occurrence]:
    """The first so many places where a phrase stands in the column `text`, in the order of the parts."""

    def search(part: str) -> list[Occurrence]:
        return list(islice(_in_part(stage, table, part, schema, phrase), limit))

    names = [part for part in stage.part_names if stage.has(table, part)]
    found: list[Occurrence] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="phrases") as pool:
        for some in in_order(search, names, pool, ahead=_THREADS):
            found += some
            if len(found) >= limit:
                break
    return found[:limit]


def _in_part(stage: PublishedStage, table: str, part: str, schema: pa.Schema, phrase: Phrase) -> Iterator[Occurrence]:
    first = 0
    for documents in stage.row_groups(table, part, schema, ["doc_id", "text"]):
        rows = phrase.rows(documents["text"])
        candidates = documents.take(rows)
        for row, doc_id, text in zip(rows, candidates["doc_id"], candidates["text"], strict=True):
            for start, end in phrase.spans(text.as_py()):
                place = Place(part=part, row=first + row.as_py())
                yield Occurrence(place=place, doc_id=doc_id.as_py(), start=start, end=end)
        first += documents.num_rows
