"""The HTML pages of a documentation site: navigation, sidebar, header and footer around what the sources say."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from pipeline_lib.crawl.docstrings import DocstringWriter
from pipeline_lib.crawl.documentation import ModuleContent, Readme, Site, Source

_SIDEBAR_LINKS = 60


@dataclass(frozen=True, slots=True)
class Link:
    label: str
    target: str
    is_current: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of a site that is no page: what is at its root and what it has no answer to."""

    address: str
    status: str  # as in the first line of the answer
    location: str | None
    html: str


class SitePages:
    """Renders the pages of one site. Pages link to their neighbours by name; whether those exist is not looked up."""

    def __init__(self, site: Site, docstrings: DocstringWriter) -> None:
        self._site = site
        self._docstrings = docstrings
        self._shown = [source for source in site.modules if source.dropped_as is None]
        self._place = {source.address: index for index, source in enumerate(self._shown)}
        self._by_package: dict[str, list[Source]] = {}
        for source in self._shown:
            self._by_package.setdefault(_package(source), []).append(source)

    def module_page(self, source: Source, content: ModuleContent) -> str:
        place = self._place[source.address]
        return _template("module.html.jinja").render(
            self._frame(source.address, source.name),
            content=content,
            docstring_html=self._docstring_html,
            sidebar_title=_package(source) or "Modules",
            sidebar=_links(self._by_package[_package(source)], source),
            breadcrumbs=source.name.split("."),
            previous=_neighbour(self._shown, place - 1),
            next=_neighbour(self._shown, place + 1),
        )

    def readme_page(self, source: Source, readme: Readme) -> str:
        html = self._docstrings.document_html(readme.text, readme.is_markdown)
        return _template("readme.html.jinja").render(
            self._frame(source.address, self._site.name),
            readme_html=Markup(html),
            sidebar_title="Modules",
            sidebar=_links([module for module in self._shown if module.name.count(".") < 2], source),
            breadcrumbs=["Overview"],
            previous=None,
            next=_neighbour(self._shown, 0),
        )

    def refusals(self) -> list[Refusal]:
        """The redirect at the site's root and the robots.txt that is not there."""
        site = self._site
        start = f"{site.root}/{site.version}/index.html"
        answers = [
            (f"{site.root}/", "301 Moved Permanently", start, "The documentation has moved to its current version."),
            (f"{site.root}/robots.txt", "404 Not Found", None, "There is no such page on this server."),
        ]
        return [
            Refusal(
                address=address,
                status=status,
                location=location,
                html=_template("refusal.html.jinja").render(site=site, status=status, explanation=explanation),
            )
            for address, status, location, explanation in answers
        ]

    def _docstring_html(self, docstring: str) -> Markup:
        return Markup(self._docstrings.html(docstring))

    def _frame(self, address: str, title: str) -> dict[str, object]:
        first = _neighbour(self._shown, 0)
        return {
            "site": self._site,
            "address": address,
            "title": title,
            "first_module": first.target if first else "#",
        }


def _package(source: Source) -> str:
    return source.name.rpartition(".")[0]


def _links(sources: Sequence[Source], current: Source) -> list[Link]:
    """Links to the sources around the current one, as many as a sidebar holds."""
    place = next((index for index, source in enumerate(sources) if source is current), 0)
    start = max(0, min(place - _SIDEBAR_LINKS // 2, len(sources) - _SIDEBAR_LINKS))
    return [
        Link(
            label=source.name.removeprefix(f"{_package(current)}."), target=_path(source), is_current=source is current
        )
        for source in sources[start : start + _SIDEBAR_LINKS]
    ]


def _neighbour(sources: Sequence[Source], place: int) -> Link | None:
    return Link(label=sources[place].name, target=_path(sources[place])) if 0 <= place < len(sources) else None


def _path(source: Source) -> str:
    return "/" + source.address.split("/", 3)[3]


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def _template(name: str) -> Template:
    return _environment().get_template(name)
