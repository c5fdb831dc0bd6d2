"""Which documents were withdrawn, and by what: whole columns at once, whatever the length of the list."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels.canonical_urls import canonical_url_hashes
from pipeline_lib.withdrawn.targets import canonical_host, spellings
from storage.exclusions import Exclusion
from storage.schemas import DECISIONS

COLUMNS = ("url", "host", "warc_path")
NOT_WITHDRAWN = -1

Places = npt.NDArray[np.int32]

_NOT_PLAIN = r"[^a-z0-9._-]|\.$"  # what `canonical_host` may change
_FIRST_LABEL = r"^[^.]*\.?"


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """What is withdrawn, by canonical value (`targets`): sorted, each once."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    domains: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    @classmethod
    def of(cls, exclusions: Iterable[Exclusion]) -> Self:
        values: dict[str, set[str]] = {"domain": set(), "file": set(), "url": set()}
        for each in exclusions:
            values[each.kind].add(each.value)
        domains, files, urls = (tuple(sorted(values[kind])) for kind in ("domain", "file", "url"))
        return cls(domains=domains, files=files, urls=urls)

    @property
    def listed(self) -> tuple[Exclusion, ...]:
        """All of it, the widest first: domains, those of fewer labels before those below them; files; pages.

        Where several withdraw a document, the first counts. So each document is withdrawn by the same as of the whole
        list where all is left out that counts for no document.
        """
        domains = sorted(self.domains, key=lambda domain: (domain.count("."), domain))
        return (
            *(Exclusion("domain", value) for value in domains),
            *(Exclusion("file", value) for value in self.files),
            *(Exclusion("url", value) for value in self.urls),
        )


class Matcher:
    """A list, made ready to be looked up in. Of domains, files and pages together at most 2**31."""

    def __init__(self, withdrawn: Withdrawn) -> None:
        self.listed = withdrawn.listed
        self._values = {
            kind: pa.array([each.value for each in self.listed if each.kind == kind], pa.large_string())
            for kind in ("domain", "file", "url")
        }
        self._most_labels = max((domain.count(".") + 1 for domain in withdrawn.domains), default=0)

    def find(self, documents: pa.Table) -> Places:
        """The place in `listed` of what withdrew each document, or NOT_WITHDRAWN.

        Args:
            documents: `COLUMNS`.
        """
        found = np.full(documents.num_rows, NOT_WITHDRAWN, np.int32)
        first = 0
        for kind, places in (
            ("domain", self._domains(documents["host"])),
            ("file", _places(documents["warc_path"], self._values["file"])),
            ("url", self._urls(documents["url"])),
        ):
            found = np.where((found == NOT_WITHDRAWN) & (places != NOT_WITHDRAWN), places + np.int32(first), found)
            first += len(self._values[kind])
        return found

    def _domains(self, hosts: pa.ChunkedArray) -> Places:
        """Each host and all domains above it, in turn: the last that is listed has the fewest labels."""
        if not self._most_labels or not len(hosts):
            return np.full(len(hosts), NOT_WITHDRAWN, np.int32)
        encoded = pa.concat_arrays(hosts.chunks).dictionary_encode()
        ends = pc.struct_field(
            pc.extract_regex(
                _canonical_hosts(encoded.dictionary), rf"(?P<end>(?:[^.]+\.){{0,{self._most_labels - 1}}}[^.]+)$"
            ),
            [0],
        )
        found = np.full(len(ends), NOT_WITHDRAWN, np.int32)
        for _ in range(self._most_labels):
            places = _places(ends, self._values["domain"])
            found = np.where(places != NOT_WITHDRAWN, places, found)
            ends = pc.replace_substring_regex(ends, _FIRST_LABEL, "")
        of_documents: Places = found[encoded.indices.to_numpy()]
        return of_documents

    def _urls(self, urls: pa.ChunkedArray) -> Places:
        exact = _places(urls, self._values["url"])
        hashes, owners = self._url_hashes
        if not len(owners):
            return exact
        rows = _places(_binary(urls), hashes)
        return np.where(rows != NOT_WITHDRAWN, owners[rows], exact)

    @cached_property
    def _url_hashes(self) -> tuple[pa.Array, Places]:
        """The hashes of all spellings of withdrawn pages, and whose each is."""
        spelled = [
            (url, place) for place, value in enumerate(self._values["url"].to_pylist()) for url in spellings(value)
        ]
        urls = pa.array([url for url, _ in spelled], pa.large_string())
        return _binary(urls), np.array([place for _, place in spelled], np.int32)


def decisions(doc_ids: pa.ChunkedArray, found: Places, listed: tuple[Exclusion, ...]) -> pa.Table:
    """A row of DECISIONS for each withdrawn document: its rule, and in `evidence` what withdrew it."""
    rows = np.flatnonzero(found != NOT_WITHDRAWN)
    names, values = (
        pa.array([getattr(each, name) for each in listed], pa.large_string()).take(pa.array(found[rows]))
        for name in ("kind", "value")
    )
    rules = pc.binary_join_element_wise(
        pa.scalar("withdrawn", pa.large_string()), names, pa.scalar("_", pa.large_string())
    )
    nothing = pa.nulls(len(rows), pa.float64())
    return pa.table(
        {
            "doc_id": doc_ids.take(pa.array(rows)),
            "rule": rules.cast(pa.string()),
            "value": nothing,
            "threshold": nothing,
            "evidence": values,
        },
        schema=DECISIONS,
    )


def _places(values: pa.Array | pa.ChunkedArray, listed: pa.Array) -> Places:
    if not len(listed):
        return np.full(len(values), NOT_WITHDRAWN, np.int32)
    places: Places = pc.index_in(values, value_set=listed, skip_nulls=True).fill_null(NOT_WITHDRAWN).to_numpy()
    return places


def _binary(urls: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Hashes of canonical URLs as binary(16); null for what is no URL of a page."""
    hashes = canonical_url_hashes(urls)
    raw = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(hashes), [None, pa.py_buffer(hashes)])
    return pc.if_else(pa.array(hashes.any(axis=1)), raw, pa.scalar(None, pa.binary(16)))


def _canonical_hosts(hosts: pa.Array) -> pa.Array:
    """`canonical_host` of each; most are plain already."""
    odd = np.flatnonzero(pc.match_substring_regex(hosts, _NOT_PLAIN).to_numpy(zero_copy_only=False))
    if not len(odd):
        return hosts
    spelled = pa.array([canonical_host(host) for host in hosts.take(pa.array(odd)).to_pylist()], hosts.type)
    is_odd = np.zeros(len(hosts), np.bool_)
    is_odd[odd] = True
    return pc.replace_with_mask(hosts, pa.array(is_odd), spelled)
