"""Lists of domains, URLs and words of URLs, in memory; and the hosts and registered domains of URLs.

Lists are read once a process for each state of their files, and kept as 64-bit hashes: 8 bytes an entry.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.filters.rules.word_lists import Entries, ListFile, read_entries, read_members
from pipeline_lib.kernels.arrow import Bytes, string_buffers, string_column
from storage.wrong_request import WrongRequest

if TYPE_CHECKING:
    from tldextract import TLDExtract

# Which characters of a URL sub words reach across.
SubWordsAcross = Literal["everything", "hyphens_and_dots"]

# Public suffixes, private ones left out, have four labels at most, and a registered domain has one more.
MAX_REGISTERED_LABELS = 5

_NOT_ASCII = r"[^\x00-\x7f]"
# What tldextract takes for the host, in two steps: behind the scheme, up to the path; then behind user info, before
# the port.
_AUTHORITY = r"^(?:(?:[A-Za-z0-9+.-]+:)?//)?([^/?#]*)"
_HOST = r"(?s)^(?:.*@)?(\[[^\]]*\]|[^:]*)"
_SCHEME = r"^[a-z][a-z0-9+.-]*://"


def _piece_bytes() -> Bytes:
    pieces = np.full(256, ord(" "), np.uint8)
    for character in b"abcdefghijklmnopqrstuvwxyz0123456789":
        pieces[[character, ord(chr(character).upper())]] = character
    return pieces


_PIECE_BYTES = _piece_bytes()


@dataclass(frozen=True)
class Listing:
    """A set of texts, as sorted 64-bit hashes. Equal hashes are taken for equal texts: 1 chance in 10^12 for a text and
    a list of ten million."""

    hashes: npt.NDArray[np.uint64]

    def has(self, texts: pl.Series) -> npt.NDArray[np.bool_]:
        if not len(self.hashes):
            return np.zeros(len(texts), np.bool_)
        hashes = texts.hash().to_numpy()
        order = np.argsort(hashes)  # a search in order stays in the caches: six times as fast
        wanted = hashes[order]
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        found = np.empty(len(texts), np.bool_)
        found[order] = self.hashes[places] == wanted
        return found

    def with_others(self, others: "Listing") -> "Listing":
        return Listing(np.sort(np.concatenate([self.hashes, others.hashes]))) if len(others.hashes) else self


def _listing(entries: list[Entries], spell: Callable[[pl.Series], pl.Series]) -> Listing:
    hashes = [spell(pl.Series(pc.ascii_lower(each.text))).hash().to_numpy() for each in entries]
    return Listing(np.sort(np.concatenate([np.zeros(0, np.uint64), *hashes])))


@lru_cache(maxsize=8)
def domain_listing(files: tuple[ListFile, ...], categories: tuple[str, ...]) -> Listing:
    """The domains of lists; a dot before or behind them is passed over.

    Raises:
        WrongRequest: as `read_members`; or a line that holds more than a domain.
    """
    entries = read_members(files, "domains", categories)
    for each in entries:
        dirty = pl.Series(each.text).str.contains_any([" ", "\t", "/"]).arg_true()
        if len(dirty):
            raise WrongRequest(
                f"{each.place}, line {each.line[dirty[0]]}: expected one domain, found {str(each.text[dirty[0]])!r}"
            )
    return _listing(entries, lambda names: canonical_hosts(names.str.strip_chars(".")))


def named_domains(names: tuple[str, ...]) -> Listing:
    """Domains that stand in the rules themselves."""
    spelled = canonical_hosts(pl.Series(names, dtype=pl.String).str.to_lowercase().str.strip_chars("."))
    return Listing(np.sort(spelled.hash().to_numpy()))


@lru_cache(maxsize=8)
def url_listing(files: tuple[ListFile, ...], categories: tuple[str, ...]) -> Listing:
    """The URLs of lists, with or without scheme (UT1's have none).

    Raises:
        WrongRequest: as `read_members`.
    """
    return _listing(read_members(files, "urls", categories), lambda urls: urls)


@lru_cache(maxsize=32)
def words_of_urls(files: tuple[ListFile, ...], across: SubWordsAcross) -> tuple[str, ...]:
    """The words of lists as they stand in URLs: lower case, and without what they reach across.

    Raises:
        WrongRequest: as `read_entries`; or a word without an ASCII letter or digit.
    """
    words: set[str] = set()
    for file in files:
        entries = read_entries(file)
        spelled = squeezed(pa.chunked_array([entries.text]), across).to_list()
        for line, written, word in zip(entries.line, entries.text.to_pylist(), spelled, strict=True):
            if not any(character.isascii() and character.isalnum() for character in word):
                raise WrongRequest(
                    f"{entries.place}, line {line}: {written!r} has no ASCII letter or digit, and URLs are searched "
                    "for those only"
                )
            words.add(word)
    return tuple(sorted(words))


def pieces(urls: pa.ChunkedArray) -> pl.Series:
    """URLs in lower case with spaces for all bytes that are no ASCII letter or digit, and one at each end."""
    return " " + _letters_and_digits(urls) + " "


def squeezed(texts: pa.ChunkedArray, across: SubWordsAcross) -> pl.Series:
    """Texts in lower case without what sub words reach across."""
    if across == "everything":
        return _letters_and_digits(texts).str.replace_all(" ", "", literal=True)
    return pl.Series(pc.ascii_lower(texts)).str.replace_all("[-.]", "")


def _letters_and_digits(texts: pa.ChunkedArray) -> pl.Series:
    data, offsets = string_buffers(texts)
    return pl.Series(string_column(_PIECE_BYTES[data[offsets[0] : offsets[-1]]], offsets - offsets[0]))


def count_distinct(texts: pl.Series, words: tuple[str, ...]) -> npt.NDArray[np.float64]:
    """How many of the words each text has, by Aho-Corasick."""
    if not words:
        return np.zeros(len(texts), np.float64)
    some = texts.str.contains_any(list(words))
    counts = np.zeros(len(texts), np.float64)
    found = texts.filter(some).str.extract_many(list(words), overlapping=True).list.n_unique()
    counts[some.to_numpy()] = found.to_numpy()
    return counts


def without_scheme(urls: pl.Series) -> pl.Series:
    """Lower-case URLs from their host on."""
    return urls.str.replace(_SCHEME, "")


def hosts_of(urls: pl.Series) -> pl.Series:
    """The hosts of lower-case URLs, without user info, port and last dot; IPv6 in brackets; empty where there is none.
    Without a scheme, a URL begins with its host."""
    return canonical_hosts(
        urls.str.extract(_AUTHORITY).str.extract(_HOST).fill_null("").str.strip_chars().str.strip_chars_end(".")
    )


def canonical_hosts(hosts: pl.Series) -> pl.Series:
    """Hosts with all labels in ASCII: `bücher.de` and `xn--bcher-kva.de` are one host (RFC 3492)."""
    foreign = hosts.str.contains(_NOT_ASCII)
    if not foreign.any():
        return hosts
    written = hosts.filter(foreign).unique(maintain_order=True)
    return hosts.replace(written, pl.Series([_canonical_host(each) for each in written], dtype=pl.String))


def _canonical_host(host: str) -> str:
    # NFKC, for compatibility forms such as fullwidth letters, is most of UTS 46: the rest forbids, which is not our aim
    plain = unicodedata.normalize("NFKC", host).lower().replace("\u3002", ".").rstrip(".")
    labels = [
        label if label.isascii() else "xn--" + label.encode("punycode", "replace").decode("ascii")
        for label in plain.split(".")
    ]
    return ".".join(labels)


def registered_domains(hosts: pl.Series) -> pl.Series:
    """What was registered of each host (`bbc.co.uk` of `news.bbc.co.uk`) by the list of public suffixes that tldextract
    brings along, without its private ones; empty for addresses and for hosts without a public suffix."""
    extract = _suffixes()
    return pl.Series([extract(host).top_domain_under_public_suffix for host in hosts], dtype=pl.String)


def has_registered_domains(listing: Listing, hosts: pl.Series) -> npt.NDArray[np.bool_]:
    """Whether the registered domain of each host is listed."""
    may_be = np.zeros(len(hosts), np.bool_)
    for num_labels in range(2, MAX_REGISTERED_LABELS + 1):
        may_be |= listing.has(hosts.str.extract(rf"((?:[^.]+\.){{{num_labels - 1}}}[^.]+)$").fill_null(""))
    # tldextract takes ten microseconds a host: only those are shown to it that end in something listed
    found = np.zeros(len(hosts), np.bool_)
    found[may_be] = listing.has(registered_domains(hosts.filter(pl.Series(may_be, dtype=pl.Boolean))))
    return found


@lru_cache(maxsize=1)
def _suffixes() -> "TLDExtract":
    from tldextract import TLDExtract  # here, since it imports an HTTP client: a sixth of a second for every command

    return TLDExtract(cache_dir=None, suffix_list_urls=())  # without network, and without files beside those installed
