"""The stage that makes a crawl from the documentation of installed packages.

A part is one WARC file, or the list of them all. Each works alone: it lists the sources of all packages (file names
only), takes those whose address hashes to it, and reads and renders these; so the files are alike in size, and no part
waits for another.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
