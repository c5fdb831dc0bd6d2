"""The pages: what stands on them, and their HTML. All text on them is hostile, and escaped; nothing on them is fetched
from elsewhere, and no script or style stands in them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from pipeline_lib.browse.edited_text import EditedText
from pipeline_lib.report.blocks import Table
from pipeline_lib.report.excerpts import Segments, visible
from pipeline_lib.report.page import breakable, look
from pipeline_lib.report.quantities import count, size

# what a browser may do with a page of ours: load the one style sheet and the one script of this server, and no more
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_TEMPLATES = "templates"


@dataclass(frozen=True, kw_only=True)
class RunHead:
    """The run that all pages are about. `notice`: what a reader should know of its state."""

    run_id: str
    recipe_name: str
    created_at: str
    corpus_digest: str
    num_documents: int
    report_address: str | None
    notice: str


@dataclass(frozen=True, kw_only=True)
class Link:
    label: str
    address: str
    count: int | None = None
    is_chosen: bool = False
    depth: int = 0


@dataclass(frozen=True, kw_only=True)
class Facet:
    """A filter and its choices; `note` says what is not listed. `name` where any value may be typed."""

    title: str
    links: Sequence[Link]
    name: str = ""
    note: str = ""
    is_folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A document in a list. `excerpt`: the passage that was searched for, in segments that are it or not."""

    doc_id: str
    address: str
    title: str
    url: str
    language: str
    verdict: str
    is_kept: bool
    is_here: bool = False
    note: str = ""
    excerpt: Segments = ()


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What can be changed about a list.

    Attributes:
        chosen: what is filtered by; each link takes that away.
        phrase, where: what is searched for, and in what.
        hidden: the parameters that a form keeps.
    """

    facets: Sequence[Facet]
    chosen: Sequence[Link]
    orders: Sequence[Link]
    phrase: str
    where: str
    hidden: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """
    Attributes:
        summary: how many documents there are, and which of them are shown.
        note: why there are none; `suggestions`: what was perhaps meant.
    """

    head: RunHead
    summary: str
    documents: Sequence[Listed]
    choices: Choices
    previous: str | None
    following: str | None
    note: str = ""
    following_label: str = "Next"
    suggestions: Sequence[Link] = ()


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A document of which this one is a duplicate, and how the two differ: two texts in segments.

    `address`: None where the document is another run's.
    """

    title: str
    url: str
    address: str | None
    sentence: str
    details: Sequence[tuple[str, str]]
    ours: Segments = ()
    theirs: Segments = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class DocumentPage:
    """
    Attributes:
        link: the page's address where it is one that a browser should follow.
        verdict: what became of it, in a word, and in a `sentence`.
        place: which of the documents in the list it is.
        text: None where `text_note` says why it cannot be shown.
    """

    head: RunHead
    doc_id: str
    title: str
    url: str
    link: str | None
    verdict: str
    is_kept: bool
    sentence: str
    details: Sequence[tuple[str, str]]
    place: str
    back: str
    previous: str | None
    following: str | None
    text: EditedText | None
    text_note: str
    whole_address: str | None
    beside: Beside | None
    members: Sequence[Listed]
    members_note: str
    tables: Sequence[Table] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class ErrorPage:
    head: RunHead | None
    title: str
    message: str


def render_list(page: ListPage) -> str:
    return _render("list.html.jinja", page)


def render_document(page: DocumentPage) -> str:
    return _render("document.html.jinja", page)


def render_error(page: ErrorPage) -> str:
    return _render("error.html.jinja", page)


def style() -> str:
    return look() + _text("browse.css")


def script() -> str:
    return _text("browse.js")


def _render(template: str, page: ListPage | DocumentPage | ErrorPage) -> str:
    html: str = _templates().get_template(template).render(page=page)
    # what is no character cannot be written as UTF-8
    return html.encode("utf-8", "replace").decode("utf-8")


def _text(name: str) -> str:
    return (resources.files("pipeline_lib.browse") / _TEMPLATES / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _templates() -> Environment:
    # tables and lists of figures look as they do in the report
    loader = ChoiceLoader([PackageLoader("pipeline_lib.browse"), PackageLoader("pipeline_lib.report")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(breakable=breakable, visible=visible, count=count, size=size)
    return environment
