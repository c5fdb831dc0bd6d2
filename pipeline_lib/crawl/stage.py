"""The stages that bring WARC files: crawl makes some from the documentation of installed packages, fetch finds any.

A part of the crawl is one WARC file, or the list of them all. Each works alone: it lists the sources of all packages
(file names only), takes those whose address hashes to it, and reads and renders these; so the files are alike in size,
and no part waits for another. A part of fetch is one WARC file, wherever it is.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline_lib.crawl.docstrings import DocstringWriter
from pipeline_lib.crawl.documentation import (
    PATHS_PART,
    DocumentationParameters,
    Site,
    Source,
    UnreadableSource,
    documentation_identity,
    list_sites,
    read_module,
    read_source,
    site_name,
)
from pipeline_lib.crawl.documentation_pages import SitePages
from pipeline_lib.crawl.fetching import FetchParameters, open_source
from pipeline_lib.crawl.listing import (
    PATH_FINGERPRINT,
    STORE_SCHEME,
    UNKNOWN_SIZE,
    SourceError,
    WarcSource,
    describe,
    is_local,
)
from pipeline_lib.crawl.warc_writing import (
    Capture,
    address_hash,
    paths_list,
    paths_list_path,
    warc_path,
    write_warc,
)
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import SOURCES
from storage.store import Store

_COPY_BYTES = 1 << 20
_HTML = "text/html; charset=utf-8"
_HTML_WITHOUT_CHARSET = "text/html"  # one server in four leaves it to the page to say


def crawl_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: DocumentationParameters
) -> PartResult:
    """Write one WARC file of the crawl (file table `warc`), or the list of all of them (file table `paths`).

    The account counts sources that may become a page, modules and READMEs, as "modules". Packages that are not
    installed are counted by the part `paths`.

    Raises:
        NothingToDocument: none of the packages is installed.
    """
    if part.name == PATHS_PART:
        return _write_paths(output, parameters)
    index = int(part.source["index"])
    rendered = _render(index, parameters)
    path = warc_path(parameters.crawl, index)
    with output.file("warc", path, rows=len(rendered.captures)) as unfinished, unfinished.open("wb") as stream:
        write_warc(stream, parameters.crawl, index, rendered.captures)
    num_pages = sum(capture.status.startswith("200") for capture in rendered.captures)
    return PartResult(
        account=Account(
            documents_in=num_pages + sum(rendered.dropped.values()),
            documents_out=num_pages,
            dropped=rendered.dropped,
            unit_in="modules",
            unit_out="pages",
        ),
        metrics={
            "html_bytes": sum(len(capture.body) for capture in rendered.captures),
            "captures_by_status": dict(sorted(Counter(capture.status[:3] for capture in rendered.captures).items())),
            "pages_by_package": dict(sorted(rendered.pages_by_package.items())),
        },
    )


def fetch_parts(sources: Sequence[WarcSource]) -> list[Part]:
    """The parts of the fetch stage, one a WARC file, in the order of the list."""
    return [
        Part(
            name=f"part-{index:05d}",
            source={
                "url": source.url,
                "warc_path": source.warc_path,
                "bytes": source.num_bytes,
                "fingerprint": source.fingerprint,
            },
        )
        for index, source in enumerate(sources)
    ]


def fetch_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: FetchParameters
) -> PartResult:
    """Publish where a WARC file is (table `sources`, one row); with mode `keep` its bytes too (file table `raw`).

    Raises:
        SourceError: the file cannot be opened, or is not the one that was listed.
    """
    source = WarcSource(
        url=part.source["url"],
        warc_path=part.source["warc_path"],
        num_bytes=part.source["bytes"],
        fingerprint=part.source["fingerprint"],
    )
    url, num_bytes = source.url, source.num_bytes
    if parameters.mode == "keep":
        with output.file("raw", source.warc_path, rows=1) as unfinished:
            num_bytes = _copy(source, output.store, unfinished)
        url = f"{STORE_SCHEME}{output.address.folder}/raw/{source.warc_path}"
    else:
        _check_unchanged(source, output.store)
    row = {
        "kind": "warc",
        "warc_path": source.warc_path,
        "url": url,
        "position": 0,
        "offset": 0,
        "length": -1,
        "wanted": None,
        "bytes": num_bytes,
        "fingerprint": source.fingerprint,
    }
    output.table("sources", pa.Table.from_pylist([row], schema=SOURCES), SOURCES)
    return PartResult(
        account=Account(documents_in=1, documents_out=1, unit_in="files", unit_out="files"),
        metrics={"bytes": num_bytes},
    )


def _copy(source: WarcSource, store: Store, target: Path) -> int:
    """Copy a source's bytes, and check that they are those that were listed; returns how many there are."""
    digest = hashlib.sha256()
    num_bytes = 0
    with open_source(store, source.url) as stream, target.open("wb") as copy:
        while chunk := stream.read(_COPY_BYTES):
            digest.update(chunk)
            copy.write(chunk)
            num_bytes += len(chunk)
    expected = source.fingerprint.removeprefix("sha256:")
    if source.num_bytes not in (num_bytes, UNKNOWN_SIZE):
        raise SourceError(f"{source.url} gave {num_bytes} bytes, listed were {source.num_bytes}; run again")
    if expected != source.fingerprint and digest.hexdigest() != expected:
        raise SourceError(f"{source.url} was changed after it was listed: its SHA-256 is another; run again")
    return num_bytes


def _check_unchanged(source: WarcSource, store: Store) -> None:
    """A look at size and entity tag, without reading: extraction will do that."""
    if source.url.startswith(STORE_SCHEME):
        path = source.url.removeprefix(STORE_SCHEME)
        if not store.exists(path):
            raise SourceError(f"{store.full_path(path)} is gone; run again: the stage that made it is found damaged")
        num_bytes, fingerprint = store.size(path), source.fingerprint
    else:
        num_bytes, fingerprint = describe(source.url)
        if source.fingerprint == PATH_FINGERPRINT:  # listed without a look at it: it is there, and that is all to check
            return
    if num_bytes != source.num_bytes or (not is_local(source.url) and fingerprint != source.fingerprint):
        raise SourceError(
            f"{source.url} was changed after it was listed: {num_bytes} bytes ({fingerprint}), listed were "
            f"{source.num_bytes} ({source.fingerprint}); run again"
        )


@dataclass(frozen=True, slots=True)
class _Rendered:
    captures: list[Capture]
    dropped: Counter[str]
    pages_by_package: Counter[str]


def _render(index: int, parameters: DocumentationParameters) -> _Rendered:
    """All captures of a WARC file, in no order that matters, and why its other sources have none."""
    rendered = _Rendered([], Counter(), Counter())
    docstrings = DocstringWriter()
    sites = list_sites(parameters)
    pages = {site.package: SitePages(site, docstrings) for site in sites}
    limit = _page_limit(index, parameters)
    for site, source in _sources_in_order(index, sites, parameters):
        if source.dropped_as is not None:
            rendered.dropped[source.dropped_as] += 1
        elif limit is not None and rendered.pages_by_package.total() >= limit:
            rendered.dropped["over_max_pages"] += 1
        else:
            try:
                html = _page(site, source, pages[site.package])
            except UnreadableSource as error:
                rendered.dropped[error.reason] += 1
                continue
            rendered.pages_by_package[site.package] += 1
            rendered.captures.append(_page_capture(source.address, html, parameters))
    for site in sites:
        for refusal in pages[site.package].refusals():
            if _is_in_part(refusal.address, index, parameters):
                location = () if refusal.location is None else (("Location", refusal.location),)
                headers = (("Content-Type", _HTML), *location)
                body = refusal.html.encode()
                rendered.captures.append(Capture(refusal.address, refusal.status, headers, body))
    return rendered


def _page(site: Site, source: Source, pages: SitePages) -> str:
    if source.kind == "readme":
        if site.readme is None:
            raise UnreadableSource("no_readme")
        return pages.readme_page(source, site.readme)
    content = read_module(read_source(site, source))
    if content.is_empty:
        raise UnreadableSource("no_docstring")
    return pages.module_page(source, content)


def _page_capture(address: str, html: str, parameters: DocumentationParameters) -> Capture:
    says_charset = address_hash(parameters.crawl, address) >> 40 & 3
    content_type = _HTML if says_charset else _HTML_WITHOUT_CHARSET
    # a docstring can hold half of a surrogate pair, which no encoding has a place for
    return Capture(address, "200 OK", (("Content-Type", content_type),), html.encode(errors="replace"))


def _sources_in_order(
    index: int, sites: Sequence[Site], parameters: DocumentationParameters
) -> list[tuple[Site, Source]]:
    """The sources of a part in the order of their hashes, so that a limit leaves a fair sample of all packages."""
    found = [
        (address_hash(parameters.crawl, source.address), site, source)
        for site in sites
        for source in site.sources
        if _is_in_part(source.address, index, parameters)
    ]
    found.sort(key=lambda item: (item[0], item[2].address))
    return [(site, source) for _, site, source in found]


def _is_in_part(address: str, index: int, parameters: DocumentationParameters) -> bool:
    return address_hash(parameters.crawl, address) % parameters.num_files == index


def _page_limit(index: int, parameters: DocumentationParameters) -> int | None:
    """The part's share of `max_pages`; the first parts take what does not divide."""
    if parameters.max_pages is None:
        return None
    share, rest = divmod(parameters.max_pages, parameters.num_files)
    return share + (index < rest)


def _write_paths(output: PartWriter, parameters: DocumentationParameters) -> PartResult:
    paths = [warc_path(parameters.crawl, index) for index in range(parameters.num_files)]
    with output.file("paths", paths_list_path(parameters.crawl), rows=len(paths)) as unfinished:
        unfinished.write_bytes(paths_list(paths))
    identity = documentation_identity(parameters)
    missing = sorted({site_name(package) for package in parameters.packages} - identity.keys())
    return PartResult(
        account=Account(
            documents_in=len(missing),
            documents_out=0,
            dropped={"package_not_installed": len(missing)} if missing else {},
            unit_in="modules",
            unit_out="pages",
        ),
        metrics={"packages": identity, "packages_not_installed": missing},
    )
