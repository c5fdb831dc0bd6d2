"""Rules over the URL alone: listed domains, hosts and URLs, and words in URLs (RefinedWeb's blocklists).

The semantics are those of datatrove's `URLFilter`, but for these:
- letters are compared without case. datatrove lower-cases its words and not the URL, so that `/PORN/` passes it.
- addresses (`203.0.113.7`) and hosts without a public suffix are looked for among the listed hosts; there they are
  never found.
- a listed URL without a scheme, as all of UT1's are, matches under any scheme; there it never matches.
- internationalised hosts are compared in ASCII, however list and URL spell them.
- a blank line in a list says nothing; there it lists all hosts that are addresses.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds
from pipeline_lib.filters.rules.url_lists import (
    Listing,
    SubWordsAcross,
    count_distinct,
    domain_listing,
    has_registered_domains,
    hosts_of,
    named_domains,
    pieces,
    squeezed,
    url_listing,
    without_scheme,
    words_of_urls,
)
from pipeline_lib.filters.rules.word_lists import digests, list_files

SIGNALS = (
    "url_listed_domain",  # 1 or 0, as are the next two
    "url_listed_host",
    "url_listed_url",
    "url_num_hard_words",  # different words of the list that are a whole piece of the URL
    "url_num_soft_words",
    "url_num_sub_words",  # different words of the list that the URL has anywhere
)

_LISTS = ("domains", "urls", "hard_words", "soft_words", "sub_words")


@dataclass(frozen=True, kw_only=True)
class UrlRules:
    """Lists of URLs and words, and how much of them a URL may have.

    Defaults: datatrove's `URLFilter`, whose thresholds are RefinedWeb's (Penedo et al. 2023, arXiv:2306.01116, appendix
    G.1): no hard word, no sub word, one soft word. No list comes with Gristmill; without lists nothing is dropped.

    Attributes:
        domains, urls: list files or UT1 archives: paths, globs or fsspec URLs, plain, gzip or zstd. A domain drops the
            URLs whose registered domain it is, and those whose host it is.
        categories: of archives, such as adult; none: all.
        excluded_domains: more domains, named here: sources that a corpus has from elsewhere, for instance.
        hard_words, soft_words: list files; a word matches a whole piece between characters that are no ASCII letter or
            digit. DCLM's word boundaries differ: `_` belongs to a word there, as do letters beyond ASCII.
        sub_words: list files; a word matches anywhere in a URL.
        sub_words_across: what of a URL is passed over for sub words: everything but ASCII letters and digits, as in
            datatrove (`/pages/exit` has `sex`), or hyphens and dots only, as DCLM does for its strict words.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = (*_LISTS, "categories", "excluded_domains", "sub_words_across")

    domains: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    excluded_domains: tuple[str, ...] = ()
    hard_words: tuple[str, ...] = ()
    soft_words: tuple[str, ...] = ()
    sub_words: tuple[str, ...] = ()
    sub_words_across: SubWordsAcross = "everything"
    drop_listed_domains: bool = True
    drop_listed_hosts: bool = True
    drop_listed_urls: bool = True
    max_hard_words: int | None = 0
    max_soft_words: int | None = 1
    max_sub_words: int | None = 0

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "url",
            [
                ("listed_domain", "url_listed_domain", ">", 0 if self.drop_listed_domains else None),
                ("listed_host", "url_listed_host", ">", 0 if self.drop_listed_hosts else None),
                ("listed_url", "url_listed_url", ">", 0 if self.drop_listed_urls else None),
                ("hard_words", "url_num_hard_words", ">", self.max_hard_words),
                ("soft_words", "url_num_soft_words", ">", self.max_soft_words),
                ("sub_words", "url_num_sub_words", ">", self.max_sub_words),
            ],
        )


@dataclass(frozen=True, kw_only=True)
class _Lists:
    domains: Listing
    urls: Listing
    hard_words: tuple[str, ...]
    soft_words: tuple[str, ...]
    sub_words: tuple[str, ...]


def list_keys(rules: UrlRules) -> list[str]:
    """The keys that name list files."""
    return [key for key in _LISTS if getattr(rules, key)]


def lists_digest(rules: UrlRules) -> dict[str, str]:
    """What the lists say, for the key of a stage: SHA-256 of each file, by rule key and file name.

    Raises:
        WrongRequest: a file is not there.
    """
    return {
        name: digest
        for field in _LISTS
        for name, digest in digests(list_files(f"filters.url.{field}", getattr(rules, field))).items()
    }


def check_lists(rules: UrlRules) -> None:
    """Read all lists.

    Raises:
        WrongRequest: names rule key, file and line: a file that is not there or no text in UTF-8, an archive without
            the category, an empty list, a line that can match nothing.
    """
    _read(rules)


def _read(rules: UrlRules) -> _Lists:
    files = {field: list_files(f"filters.url.{field}", getattr(rules, field)) for field in _LISTS}
    return _Lists(
        domains=domain_listing(files["domains"], rules.categories).with_others(named_domains(rules.excluded_domains)),
        urls=url_listing(files["urls"], rules.categories),
        hard_words=words_of_urls(files["hard_words"], "everything"),
        soft_words=words_of_urls(files["soft_words"], "everything"),
        sub_words=words_of_urls(files["sub_words"], rules.sub_words_across),
    )


def measure(urls: pa.ChunkedArray, rules: UrlRules) -> Signals:
    """Signals of URLs, one a document; a document without a URL (null or empty) has nothing listed."""
    lists = _read(rules)
    urls = pc.fill_null(urls, "")
    lower = pl.Series(pc.ascii_lower(urls))
    hosts = hosts_of(lower)
    distinct = hosts.unique(maintain_order=True)
    # 2 bits for each distinct host, brought back to the URLs
    listed = has_registered_domains(lists.domains, distinct) + 2 * lists.domains.has(distinct)
    of_host = hosts.replace_strict(distinct, pl.Series(listed, dtype=pl.Int8)).to_numpy()
    in_pieces = pieces(urls)
    columns = [
        (of_host & 1).astype(np.float64),
        (of_host >> 1).astype(np.float64),
        (lists.urls.has(lower) | lists.urls.has(without_scheme(lower))).astype(np.float64),
        count_distinct(in_pieces, tuple(f" {word} " for word in lists.hard_words)),
        count_distinct(in_pieces, tuple(f" {word} " for word in lists.soft_words)),
        count_distinct(squeezed(urls, rules.sub_words_across), lists.sub_words),
    ]
    return dict(zip(SIGNALS, columns, strict=True))
