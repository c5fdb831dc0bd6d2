"""Which records of a crawl are wanted, as one value; and where an index has them: ranges of SURT keys."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, Literal, get_args

from pipeline_lib.crawl.crawls import INDEX_SERVER, LATEST, is_crawl_id
from pipeline_lib.crawl.surt import host_key, surt_key

DATA_SERVER = "https://data.commoncrawl.org"

IndexKind = Literal["columnar", "cdx", "api"]
Subset = Literal["warc", "crawldiagnostics", "robotstxt"]
Match = Literal["exact", "prefix", "host", "domain"]

_HOST = re.compile(r"[^\s/?#@:*]+")
_DAY = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?Z?)?)?)?")
_FIRST, _LAST = "00000101000000", "99991231235959"
_LANGUAGE = re.compile(r"[a-z]{3}")


@dataclass(frozen=True, kw_only=True)
class CrawlSelection:
    """Which crawl, where it is, and which of its files to read whole.

    Attributes:
        crawl: id such as `CC-MAIN-2026-43`, or `latest`, which is looked up when a run begins.
        files: of a crawl, `warc`: pages as they were fetched; `wet`: their text as Common Crawl extracted it.
        first: read only the first so many files of the list (after `every`); None: all.
        every: read every so many-th file only: 1 reads each, 100 one in a hundred, beginning with the first.
        sample: read so many files, drawn by `seed`, in the list's order; None: no sample is drawn.
        seed: of the sample. The same seed draws the same files, however the list is ordered; a larger sample
            contains the smaller.
        base_url: folder or address that holds `crawl-data/` and `cc-index/`. Common Crawl's own is
            https://data.commoncrawl.org; s3://commoncrawl and mirrors are laid out alike.
        index_server: address of the list of crawls and of the index as a service.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    crawl: str = LATEST
    files: Literal["warc", "wet"] = "warc"
    first: int | None = None
    every: int = 1
    sample: int | None = None
    seed: int = 0
    base_url: str = DATA_SERVER
    index_server: str = INDEX_SERVER

    def __post_init__(self) -> None:
        if not is_crawl_id(self.crawl):
            raise ValueError(
                f"crawl={self.crawl!r}: expected an id such as CC-MAIN-2026-43, or latest; `gristmill crawls` lists all"
            )
        if self.files not in ("warc", "wet"):
            raise ValueError(f"files={self.files!r}: expected warc or wet")
        check_file_choice(self.first, self.every, self.sample)
        if not self.base_url or not self.index_server:
            raise ValueError("base_url and index_server are addresses or folders, and cannot be empty")


@dataclass(frozen=True, kw_only=True)
class IndexQuery:
    """Which records to read, by what an index says of them. Everything given must hold; a list means any of it.

    Attributes:
        kind: which index to ask. `columnar`: Parquet files (a few columns of what can match are read); `cdx`:
            compressed files of lines (the blocks that can match are read); `api`: the index server, for small
            questions. All answer alike.
        hosts: host names. A leading `www.` makes no difference, as in every index of Common Crawl.
        domains: domain names, each with all hosts below it: `example.com`, `ac.uk`, or just `is`.
        urls: `example.com/page.html`, or all that begin alike: `example.com/news/*`. The scheme makes no difference.
        url_regex: regular expression (RE2's syntax) to find in the URL as it was fetched.
        statuses: HTTP status codes. Of others than 200 there are bodies in the subset `crawldiagnostics` only.
        mimes: media types as detected from the content (as declared, in old crawls). Empty: any.
        languages: ISO 639-3 codes such as `deu`, as CLD2 detected them. Empty: any.
        language_match: `main`: the page's main language is one of these; `any`: one of the up to three that it has.
        since, until: when the page was fetched, both included: `2026`, `2026-01`, `2026-01-05`, `2026-01-05T10:30`
            (UTC). A day ends at its last second.
        subsets: `warc`: pages; `crawldiagnostics`: redirects, errors, unchanged pages; `robotstxt`.
        max_records: take at most so many, a fair sample drawn by `seed`; None: all.
        seed: of the sample.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: IndexKind = "columnar"
    hosts: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    url_regex: str | None = None
    statuses: tuple[int, ...] = (200,)
    mimes: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    languages: tuple[str, ...] = ()
    language_match: Literal["main", "any"] = "main"
    since: str | date | None = None
    until: str | date | None = None
    subsets: tuple[Subset, ...] = ("warc",)
    max_records: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (("kind", IndexKind), ("subsets", Subset)):
            value = getattr(self, name)
            unknown = set((value,) if isinstance(value, str) else value) - set(get_args(choices))
            if unknown:
                raise ValueError(f"{name}={value!r}: expected {', '.join(get_args(choices))}")
        if not self.subsets:
            raise ValueError("subsets is empty: no record is in none; (warc,) is usual")
        if self.language_match not in ("main", "any"):
            raise ValueError(f"language_match={self.language_match!r}: expected main or any")
        wrong = [code for code in self.languages if not _LANGUAGE.fullmatch(code)]
        if wrong:
            raise ValueError(f"languages: {wrong[0]!r} is no ISO 639-3 code of three small letters, such as deu or eng")
        for name in ("since", "until"):
            value = getattr(self, name)
            if isinstance(value, date):  # YAML reads 2026-01-05 as one
                object.__setattr__(self, name, value.isoformat())
        since, until = self.first_timestamp, self.last_timestamp
        if since is not None and until is not None and since > until:
            raise ValueError(f"since={self.since} is after until={self.until}: no page was fetched then")
        if self.max_records is not None and self.max_records < 1:
            raise ValueError(f"max_records={self.max_records}: at least one record is needed, or null for all")
        if self.url_regex is not None:
            _check_regex(self.url_regex)
        self.targets()
        if self.kind == "api" and not (self.hosts or self.domains or self.urls):
            raise ValueError("kind=api answers for hosts, domains or urls only: name some, or ask another index")

    @property
    def first_timestamp(self) -> str | None:
        """`since` as an index spells it: 14 digits."""
        return None if self.since is None else _timestamp(str(self.since), "since", _FIRST)

    @property
    def last_timestamp(self) -> str | None:
        return None if self.until is None else _timestamp(str(self.until), "until", _LAST)

    def targets(self) -> list["Target"]:
        """What is asked for by its URL, none twice, none inside another; empty: everything."""
        named = [
            *(_named_host("domain", name) for name in self.domains),
            *(_named_host("host", name) for name in self.hosts),
            *(_named_url(url) for url in self.urls),
        ]
        different = list({target.ranges: target for target in reversed(named)}.values())
        return [
            target
            for target in sorted(different, key=lambda target: target.ranges)
            if not any(other is not target and target.is_inside(other) for other in different)
        ]


@dataclass(frozen=True, order=True)
class KeyRange:
    """All keys from `start` on that are before `end`."""

    start: str
    end: str


@dataclass(frozen=True)
class Target:
    """One host, domain, URL or beginning of URLs, as the index server calls it, and as ranges of keys.

    No two ranges overlap; ranges of two targets are apart, or one is inside the other.
    """

    match: Match
    url: str
    ranges: tuple[KeyRange, ...]

    def is_inside(self, other: "Target") -> bool:
        return all(any(them.start <= us.start and us.end <= them.end for them in other.ranges) for us in self.ranges)


def key_ranges(targets: Sequence[Target]) -> list[KeyRange]:
    """The ranges of all targets, sorted; no two overlap."""
    return sorted(each for target in targets for each in target.ranges)


def check_file_choice(first: int | None, every: int, sample: int | None) -> None:
    """Refuse a choice of files that is none.

    Raises:
        ValueError: says which number is wrong.
    """
    if first is not None and first < 1:
        raise ValueError(f"first={first}: at least one file is needed, or null for all")
    if every < 1:
        raise ValueError(f"every={every}: 1 reads every file, 10 one in ten")
    if sample is not None and sample < 1:
        raise ValueError(f"sample={sample}: at least one file is needed, or null for no sample")
    if sample is not None and (first is not None or every != 1):
        raise ValueError(f"sample={sample} with first={first}, every={every}: choose files by one of these")


def _named_host(match: Literal["host", "domain"], name: str) -> Target:
    host = name.strip().strip(".").removeprefix("*.")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{match}s: {name!r} is no name of a {match} such as example.com; URLs belong into urls")
    key = host_key(host)
    prefixes = (f"{key})", f"{key},") if match == "domain" else (f"{key})",)
    return Target(match, host, tuple(_all_beginning_with(prefix) for prefix in prefixes))


def _named_url(pattern: str) -> Target:
    pattern = pattern.strip()
    if pattern.startswith("*."):
        return _named_host("domain", pattern)
    url = pattern.removesuffix("*")
    if "*" in url or not url or pattern == "*":
        raise ValueError(f"urls: {pattern!r}: a star stands at the end, as in example.com/news/*, or in *.example.com")
    key = surt_key(url)
    if not pattern.endswith("*"):
        return Target("exact", url, (KeyRange(key, f"{key}!"),))  # no key has a character before "!"
    if "/" not in url.partition("://")[2 if "://" in url else 0]:
        raise ValueError(f"urls: {pattern!r}: write {url}/* for a host, or *.{url} for all below a domain")
    if url.endswith("/") and not key.endswith("/"):
        key += "/"
    return Target("prefix", url, (_all_beginning_with(key),))


def _all_beginning_with(prefix: str) -> KeyRange:
    return KeyRange(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _timestamp(text: str, name: str, rest: str) -> str:
    digits = re.sub(r"\D", "", text)
    try:
        if not _DAY.fullmatch(text):
            raise ValueError("it is written otherwise")
        datetime.strptime(digits + _FIRST[len(digits) :], "%Y%m%d%H%M%S")
    except ValueError as error:
        raise ValueError(
            f"{name}={text!r}: expected a time such as 2026, 2026-01, 2026-01-05 or 2026-01-05T10:30: {error}"
        ) from error
    return digits + rest[len(digits) :]


def _check_regex(pattern: str) -> None:
    import polars as pl  # here: most queries have none, and every command would wait for it

    try:
        pl.Series(["x"]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        why = " ".join(str(error).partition("\n\nThis error")[0].split())
        raise ValueError(f"url_regex={pattern!r} is no regular expression: {why}") from error
