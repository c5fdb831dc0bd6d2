"""The date on which a page says that it was published: from what it declares, never guessed from its text.

Sources: schema.org `datePublished` (JSON for linked data, and `itemprop`), the Open Graph protocol's
`article:published_time` and what other vocabularies call the same (Dublin Core, Parsely, Sailthru), and
`<time pubdate>`, which HTML 5 once had.
"""

import datetime
import html
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pipeline_lib.extract.page_blocks import NOTE_JSON, NOTE_META, NOTE_TIME, PageBlocks

_MAX_JSON_BYTES = 1 << 18
_MAX_NODES = 2_000
_MAX_ATTRIBUTE_BYTES = 2_000
_ATTRIBUTE = re.compile(r"""([a-zA-Z][\w:.-]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_META_NAMES = frozenset(
    [
        "article:published_time",
        "datepublished",
        "date",
        "dc.date",
        "dc.date.issued",
        "dcterms.date",
        "dcterms.created",
        "dcterms.issued",
        "dc.date.created",
        "parsely-pub-date",
        "sailthru.date",
        "publish_date",
        "publication_date",
        "pubdate",
        "citation_publication_date",
        "citation_date",
        "og:article:published_time",
        "og:published_time",
        "article.published",
        "publishdate",
    ]
)
_ARTICLES = ("article", "posting", "report", "recipe", "review")  # parts of names of schema.org's types
_DATE = re.compile(
    r"(\d{4})(?:(-)|/|\.)?(\d{2})(?(2)-|[/.]?)(\d{2})"
    r"(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,]\d{1,9})?)?\s?(Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?"
)
_RFC_2822 = re.compile(
    r"(?:[A-Z][a-z]{2}, )?(\d{1,2}) ([A-Z][a-z]{2})[a-z]* (\d{4})"
    r"(?: (\d{2}):(\d{2})(?::(\d{2}))?)?(?: (Z|UTC|GMT|[+-]\d{4}))?"
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_FIRST_YEAR, _LAST_YEAR = 1990, 2099  # before the web, a date is of something else


def published_at(page: PageBlocks) -> str | None:
    """The stated date of publication as ISO 8601: a date, or date and time of day, with the zone where one is stated.

    What is first in this order: JSON for linked data about an article, about anything else; `meta`; `time`.
    """
    for stated in _statements(page):
        date = iso_date(stated)
        if date is not None:
            return date
    return None


def iso_date(stated: str) -> str | None:
    """A date as ISO 8601 has it; None where it is no date, or not one between 1990 and 2099.

    Reads ISO 8601 and its common variants (`2024/05/06`, `20240506`), and RFC 2822.
    """
    stated = stated.strip()
    found = _DATE.fullmatch(stated)
    if found:
        year, month, day = int(found[1]), int(found[3]), int(found[4])
        hour, minute, second, zone = found[5], found[6], found[7], found[8]
    else:
        found = _RFC_2822.fullmatch(stated)
        if not found or found[2] not in _MONTHS:
            return None
        year, month, day = int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1])
        hour, minute, second, zone = found[4], found[5], found[6], found[7]
    try:
        date = datetime.date(year, month, day)
        if not _FIRST_YEAR <= year <= _LAST_YEAR:
            return None
        if hour is None:
            return date.isoformat()
        return datetime.datetime(
            year, month, day, int(hour), int(minute), int(second or 0), tzinfo=_zone(zone)
        ).isoformat()
    except ValueError:
        return None


def _zone(name: str | None) -> datetime.timezone | None:
    if name is None:
        return None
    if name in ("Z", "UTC", "GMT"):
        return datetime.UTC
    offset = datetime.timedelta(hours=int(name[1:3]), minutes=int(name[-2:]))
    return datetime.timezone(-offset if name[0] == "-" else offset)


def _statements(page: PageBlocks) -> Iterator[str]:
    notes: list[list[int]] = page.notes.tolist()
    raw = page.page
    others: list[str] = []
    size = 0
    for kind, start, end in notes:
        if kind == NOTE_JSON and size + end - start <= _MAX_JSON_BYTES:
            size += end - start
            for is_article, date in _in_json(raw[start:end].tobytes()):
                if is_article:
                    yield date
                else:
                    others.append(date)
    yield from others
    yield from _in_tags(raw[start:end].tobytes() for kind, start, end in notes if kind == NOTE_META)
    for tag in (raw[start:end].tobytes() for kind, start, end in notes if kind == NOTE_TIME):
        attributes = _attributes(tag)
        if "pubdate" in attributes or attributes.get("itemprop", "").lower() == "datepublished":
            yield attributes.get("datetime", "")


def _in_tags(tags: Iterable[bytes]) -> Iterator[str]:
    for tag in tags:
        attributes = _attributes(tag)
        for key in ("property", "name", "itemprop"):
            if attributes.get(key, "").lower() in _META_NAMES:
                yield attributes.get("content", "")


def _attributes(tag: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(tag[:_MAX_ATTRIBUTE_BYTES].decode("utf-8", "replace")):
        found.setdefault(name.lower(), html.unescape("".join(values)))
    return found


def _in_json(source: bytes) -> Iterator[tuple[bool, str]]:
    """Dates of publication in a piece of JSON, and whether of an article; of its first two thousand values."""
    if b"datePublished" not in source:
        return
    try:
        waiting: list[Any] = [orjson.loads(source)]
    except orjson.JSONDecodeError:
        return
    for _ in range(_MAX_NODES):
        if not waiting:
            return
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        elif isinstance(value, dict):
            date = value.get("datePublished")
            if isinstance(date, str):
                kinds = value.get("@type")
                names = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
                is_article = any(part in str(name).lower() for name in names for part in _ARTICLES)
                yield is_article, date
            waiting.extend(reversed([inner for inner in value.values() if isinstance(inner, dict | list)]))
