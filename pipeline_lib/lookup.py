"""Where a document is among the parts of a stage, by its URL or its id: one column is read, parts in threads."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from threading import Event
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.text_files.in_threads import for_each
from storage.manifests import PublishedStage

_THREADS = 8  # decoding takes a core each, waiting for a store elsewhere takes none


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """A row of a table of a stage."""

    part: str
    row: int


def rows_of_url(stage: PublishedStage, table: str, schema: pa.Schema, url: str) -> list[Place]:
    """The rows whose column `url` is a URL, in the order of the parts.

    A URL without a scheme, or with another scheme, `www.` or a closing slash more or less, is found all the same.
    """
    wanted = plain_url(url)
    pattern = _pattern(wanted)

    def search(part: str, stop: Event) -> list[Place]:
        urls = stage.read(table, part, schema, ["url"])["url"]
        # the pattern finds a few too many, at the speed of a scan
        rows = pc.indices_nonzero(pc.fill_null(pc.match_substring_regex(urls, pattern, ignore_case=True), False))
        found = zip(rows.to_pylist(), urls.take(rows).to_pylist(), strict=True)
        return [Place(part=part, row=row) for row, each in found if plain_url(each) == wanted]

    return [place for places in for_each(search, _parts(stage, table), _THREADS) for place in places]


def rows_of_documents(
    stage: PublishedStage, table: str, schema: pa.Schema, doc_ids: Collection[str], parts: Iterable[str] | None = None
) -> dict[str, Place]:
    """The row of each document that has one, by id; of several rows, the first.

    Args:
        parts: where to look; None: everywhere.
    """
    wanted = pa.array(sorted(set(doc_ids)), pa.string())
    if not len(wanted):
        return {}

    def search(part: str, stop: Event) -> list[tuple[str, Place]]:
        ids = stage.read(table, part, schema, ["doc_id"])["doc_id"]
        rows = pc.indices_nonzero(pc.is_in(ids, value_set=wanted))
        pairs = zip(ids.take(rows).to_pylist(), rows.to_pylist(), strict=True)
        return [(doc_id, Place(part=part, row=row)) for doc_id, row in pairs]

    names = [part for part in (_parts(stage, table) if parts is None else parts) if stage.has(table, part)]
    found: dict[str, Place] = {}
    for places in for_each(search, names, _THREADS):
        for doc_id, place in places:
            found.setdefault(doc_id, place)
    return found


def urls_of_host(stage: PublishedStage, table: str, schema: pa.Schema, host: str, limit: int) -> tuple[int, list[str]]:
    """How many rows have a URL of a host, `www.` or not, and the first so many of these URLs."""
    pattern = rf"^([a-z][a-z0-9+.-]*://)?(www\.)?{re.escape(host.removeprefix('www.'))}([:/?#]|$)"

    def search(part: str, stop: Event) -> tuple[int, list[str]]:
        urls = stage.read(table, part, schema, ["url"])["url"]
        there = urls.filter(pc.fill_null(pc.match_substring_regex(urls, pattern, ignore_case=True), False))
        return len(there), there.slice(0, limit).to_pylist()

    answers = for_each(search, _parts(stage, table), _THREADS)
    return sum(number for number, _ in answers), [url for _, urls in answers for url in urls][:limit]


def plain_url(url: str) -> str:
    """A URL without what people leave out when they type it."""
    try:
        split = urlsplit(url if "://" in url else f"https://{url}")
    except ValueError:  # such as an unclosed bracket
        return url
    host = split.netloc.lower().removeprefix("www.")
    query = f"?{split.query}" if split.query else ""
    return f"{host}{split.path.rstrip('/')}{query}"


def _pattern(plain: str) -> str:
    """What every URL matches that has this plain form, letters in any case."""
    before, mark, query = plain.partition("?")
    return rf"(^|[/.]){re.escape(before)}/*{re.escape(mark + query) if query else '[?]?'}(#|$)"


def _parts(stage: PublishedStage, table: str) -> list[str]:
    return [part for part in stage.part_names if stage.has(table, part)]
