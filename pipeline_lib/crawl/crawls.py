"""Which crawls exist: Common Crawl's list of them, `collinfo.json`."""

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.crawl.range_reader import RangeReader, is_missing, joined_url
from storage.wrong_request import WrongRequest

INDEX_SERVER = "https://index.commoncrawl.org"
LATEST = "latest"

_LIST_NAME = "collinfo.json"
_CRAWL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# CC-MAIN-2026-43, a year and a week; the oldest have a year, or two
_DATED_ID = re.compile(r"(?P<family>.+?)-(?P<year>\d{4})(?:-(?P<last>\d{4}|\d\d))?")
_MAIN_FAMILY = "CC-MAIN"
_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?")


class CrawlListError(WrongRequest):
    """The list of crawls cannot be read; the message says why and what to do."""


class UnknownCrawl(WrongRequest):
    """No crawl of that name is listed; the message names the nearest."""


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """One crawl as its list says.

    Attributes:
        crawl_id: what its files and indexes are named by, such as `CC-MAIN-2025-33`.
        name: for people, such as "August 2025 Index".
        first, last: when its first and last page were fetched (ISO 8601, UTC); None where the list does not say.
    """

    crawl_id: str
    name: str
    first: str | None
    last: str | None

    def as_json(self) -> dict[str, Any]:
        return {"id": self.crawl_id, "name": self.name, "from": self.first, "to": self.last}


def list_crawls(reader: RangeReader, index_server: str = INDEX_SERVER) -> list[Crawl]:
    """The crawls that an index server has, newest first.

    Args:
        index_server: an address or folder with a `collinfo.json`, or that file's own address.

    Raises:
        CrawlListError: the list cannot be reached, or is none.
    """
    url = index_server if index_server.endswith(".json") else joined_url(index_server, _LIST_NAME)
    try:
        content = reader.read(url)
    except OSError as error:
        hint = "check the address" if is_missing(error) else "try again later"
        raise CrawlListError(
            f"the list of crawls cannot be read: {error}; {hint}, name another with --index-server, or name "
            "a crawl by its id, which needs no list"
        ) from error
    return parse_crawls(content, url)


def parse_crawls(content: bytes, place: str) -> list[Crawl]:
    """The crawls of a `collinfo.json`, newest first; entries without a usable id are left out.

    Raises:
        CrawlListError: it is no such list, or lists nothing.
    """
    try:
        listed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CrawlListError(f"{place}: expected a list of crawls as JSON, found {content[:60]!r}: {error}") from error
    if not isinstance(listed, list):
        raise CrawlListError(f"{place}: expected a list of crawls, found {type(listed).__name__}: {content[:60]!r}")
    found = {
        entry["id"]: Crawl(
            crawl_id=entry["id"],
            name=str(entry.get("name", "")),
            first=_time(entry.get("from")),
            last=_time(entry.get("to")),
        )
        for entry in listed
        if isinstance(entry, dict) and isinstance(entry.get("id"), str) and is_crawl_id(entry["id"])
    }
    if not found:
        raise CrawlListError(f"{place}: the list names no crawl")
    return sorted(found.values(), key=_age, reverse=True)


def dated_crawls(crawls: Sequence[Crawl]) -> list[Crawl]:
    """The crawls whose id says when they were made, newest first by it.

    Of a list with Common Crawl's main crawls (CC-MAIN-...) these alone: a collection beside them, such as CC-NEWS, is
    no later issue of them.
    """
    dated = {crawl.crawl_id: match for crawl in crawls if (match := _DATED_ID.fullmatch(crawl.crawl_id))}
    families = {match["family"].upper() for match in dated.values()}
    if _MAIN_FAMILY in families:
        families = {_MAIN_FAMILY}
    chosen = [
        crawl for crawl in crawls if crawl.crawl_id in dated and dated[crawl.crawl_id]["family"].upper() in families
    ]
    return sorted(chosen, key=lambda crawl: (_year_and_week(dated[crawl.crawl_id]), crawl.crawl_id), reverse=True)


def crawls_between(crawls: Sequence[Crawl], first: str, last: str) -> list[Crawl]:
    """The dated crawls from one to another, both included, oldest first. Either may be `latest`.

    Raises:
        UnknownCrawl: one of the two is not listed or has no date, or the last is older than the first.
    """
    dated = dated_crawls(crawls)
    if not dated:
        raise UnknownCrawl(f"none of the crawls has a date in its id: found {', '.join(c.crawl_id for c in crawls)}")
    start, end = (dated.index(resolve_crawl(dated, name)) for name in (first, last))
    if end > start:
        raise UnknownCrawl(f"{last} is older than {first}: name the older one first")
    return dated[end : start + 1][::-1]


def resolve_crawl(crawls: Sequence[Crawl], name: str) -> Crawl:
    """The crawl of that id in any case, or the newest for `latest`: by the date in its id, where any has one.

    Raises:
        UnknownCrawl: none has it; the nearest are named.
    """
    if name.lower() == LATEST:
        return (dated_crawls(crawls) or crawls)[0]
    by_id = {crawl.crawl_id.upper(): crawl for crawl in crawls}
    found = by_id.get(name.upper())
    if found is not None:
        return found
    near = difflib.get_close_matches(name.upper(), by_id, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(sorted(by_id[each].crawl_id for each in near))}? " if near else ""
    raise UnknownCrawl(
        f"there is no crawl {name!r}: {hint}the newest is {crawls[0].crawl_id}, and `gristmill crawls` lists all"
    )


def is_crawl_id(name: str) -> bool:
    """Whether a name can be that of a crawl: it becomes part of paths."""
    return _CRAWL_ID.fullmatch(name) is not None and ".." not in name


def _year_and_week(dated: re.Match[str]) -> tuple[int, int]:
    year, last = dated["year"], dated["last"] or "00"
    return (int(last), 0) if len(last) == 4 else (int(year), int(last))


def _age(crawl: Crawl) -> tuple[str, str]:
    """Later crawls sort later; one without a date by the year in its id."""
    digits = re.findall(r"\d{4}(?:-\d\d)?", crawl.crawl_id)
    return crawl.last or crawl.first or (digits[-1] if digits else ""), crawl.crawl_id


def _time(value: object) -> str | None:
    return value if isinstance(value, str) and _TIME.fullmatch(value) else None
