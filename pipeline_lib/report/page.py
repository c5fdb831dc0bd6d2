"""The page itself: one HTML file that needs nothing else, and in which nothing that was crawled can run."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Figure, Figures, Section, Tile

_TEMPLATES = "templates"
_BREAKS = re.compile(r"(?<=[_./-])")


@dataclass(frozen=True, kw_only=True)
class Page:
    title: str
    run_id: str
    created_at: str
    corpus_digest: str
    description: str
    link: str | None
    tiles: Sequence[Tile]
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The page as HTML.

    All text is escaped, also in the charts' data: JSON whose `<`, `>`, `&` and `'` are spelled as escapes cannot end
    its element. Should something slip through all the same, the Content-Security-Policy runs only the page's two
    scripts, which it knows by their digests, and lets nothing be loaded or sent.
    """
    bundle, script, style = charts.script_bundle(), _text("charts.js"), look() + _text("page.css")
    for code in (bundle, script, style):
        if "</" in code and ("</script" in code.lower() or "</style" in code.lower()):
            raise ValueError("a script or style of the page would end its element: it cannot be put in line")
    html: str = (
        _templates()
        .get_template("page.html.jinja")
        .render(
            page=page,
            policy=_policy([bundle, script], style),
            bundle=Markup(bundle),
            script=Markup(script),
            style=Markup(style),
            themes=charts.themes(),
            specifications={figure.name: figure.specification for figure in _figures(page)},
        )
    )
    # what is no character cannot be written as UTF-8
    return html.encode("utf-8", "replace").decode("utf-8")


def _figures(page: Page) -> Iterator[Figure]:
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Figures):
                yield from block.figures


def _policy(scripts: Sequence[str], style: str) -> str:
    allowed = " ".join(_source_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_source_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _source_hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def breakable(text: str) -> Markup:
    """Escaped, with places after `_`, `.`, `/` and `-` at which a browser may begin a new line."""
    return Markup("<wbr>").join(_BREAKS.split(text))  # join escapes what is not markup


def look() -> str:
    """The style sheet of all pages about a run: colours by day and by night, type, tables, cards."""
    return _text("look.css")


def _text(name: str) -> str:
    return (resources.files("pipeline_lib.report") / _TEMPLATES / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline_lib.report", _TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["breakable"] = breakable
    dumps: dict[str, Any] = {"sort_keys": True, "allow_nan": False, "separators": (",", ":")}
    environment.policies["json.dumps_kwargs"] = dumps
    return environment
