"""reStructuredText to HTML by docutils, with its doors locked and without its ceremony.

Docstrings come from files of other people, by the ten thousand. So docutils may not insert files, pass raw HTML
through, look at the clock or remember anything from one text to the next; what only Sphinx knows comes out as its plain
content; and the tree that docutils parsed is written by the few lines below, which is several times quicker than a
docutils writer with its transforms. References therefore stay what they say: nothing is resolved.
"""

import re
import threading
from collections.abc import Callable, Sequence
from html import escape
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Directive, Parser, directives, states
from docutils.parsers.rst.languages import en
from docutils.statemachine import StateMachineError, string2lines
from docutils.utils import DependencyList, Reporter, new_document

_ERROR = Reporter.ERROR_LEVEL

_DIRECTIVE_NAME = re.compile(r"^[ \t]*(?:[-*+] +)*\.\. +(?:\|[^|\n]+\| +)?([A-Za-z0-9][\w:.+-]*) ?::", re.MULTILINE)
_OPTION = re.compile(r":[\w-]+:(?: |$)")
_VERBATIM_ROLES = ("math", "code", "samp")
_ROLE_TARGET = re.compile(r"^(.*?)\s*<[^<>]*>$", re.DOTALL)
_SAFE_LINK = re.compile(r"(?:https?|ftp|mailto):", re.IGNORECASE)

# Standard directives that read files, pass markup through, look at the clock, or change how later texts are read.
_REPLACED = ("include", "raw", "date", "role", "default-role", "class", "meta", "title", "replace", "unicode")
_CONTENT_IS_CODE = {"plot", "ipython", "testcode", "testoutput", "doctest", "jupyter-execute", "productionlist"}
_NOT_SHOWN = {
    *("include", "literalinclude", "raw", "date", "role", "default-role", "meta", "title", "testsetup", "testcleanup"),
    *("toctree", "index", "highlight", "module", "currentmodule", "py:module", "py:currentmodule", "tabularcolumns"),
    *("automodule", "autosummary", "image-sg", "sectionauthor", "codeauthor", "moduleauthor"),
}
# docutils silences its own deprecation warnings while it does this, by a switch that all threads share.
_SETTING_UP = threading.Lock()

# What hostile text makes docutils raise by its own mistake.
_DOCUTILS_MISTAKES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, StateMachineError),
    *(TypeError, ValueError),
)
_CHANGE_WORDS = {
    "versionadded": "New in version",
    "versionchanged": "Changed in version",
    "versionremoved": "Removed in version",
    "deprecated": "Deprecated since version",
}
_TITLED = {"seealso": "See also", "todo": "To do"}


class PlainDirective(Directive):
    """Any directive that docutils does not know: what it says, without what Sphinx would have made of it."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True
    option_spec = None

    def run(self) -> Sequence[nodes.Node]:
        name = self.name.lower()
        if name in _NOT_SHOWN:
            return []
        lines = self.arguments[0].split("\n") if self.arguments else []
        argument = "\n".join(line for line in lines if not _OPTION.match(line))
        text = "\n".join(self.content)
        if name in _CONTENT_IS_CODE:
            return [nodes.literal_block(text, text)] if text else []
        body: list[nodes.Node] = []
        if name in _CHANGE_WORDS:
            version, *explanation = argument.split(maxsplit=1) or [""]
            body.append(self._paragraph(": ".join([f"{_CHANGE_WORDS[name]} {version}".strip(), *explanation])))
        elif name in _TITLED:
            body.append(nodes.rubric("", _TITLED[name]))
            if argument:
                body.append(self._paragraph(argument))
        elif argument:
            body.append(nodes.paragraph("", "", nodes.literal("", argument)))
        content = nodes.container()
        if self.content:
            self.state.nested_parse(self.content, self.content_offset, content)
        return [*body, *content.children]

    def _paragraph(self, text: str) -> nodes.paragraph:
        parsed, _ = self.state.inline_text(text, self.lineno)
        return nodes.paragraph("", "", *parsed)


class _Inliner(states.Inliner):
    """Inline markup in which every role, Sphinx's or one never heard of, comes out as text or code."""

    _MARKED: ClassVar[dict[str, type[nodes.TextElement]]] = {
        "emphasis": nodes.emphasis,
        "strong": nodes.strong,
        "sub": nodes.subscript,
        "subscript": nodes.subscript,
        "sup": nodes.superscript,
        "superscript": nodes.superscript,
        "math": nodes.math,
        "dfn": nodes.emphasis,
        "term": nodes.inline,
        "ref": nodes.inline,
        "doc": nodes.inline,
        "abbr": nodes.inline,
        "eq": nodes.inline,
        "pep": nodes.inline,
        "rfc": nodes.inline,
        "issue": nodes.inline,
        "ticket": nodes.inline,
        "index": nodes.inline,
        "download": nodes.inline,
    }

    def __init__(self, settings: Any) -> None:
        """Compile the patterns once: docutils does so for every text, from attributes of the very class it is given."""
        super().__init__()
        base = states.Inliner()
        base.init_customizations(settings)
        self.start_string_prefix, self.end_string_suffix = base.start_string_prefix, base.end_string_suffix
        self.parts, self.patterns = base.parts, base.patterns
        self.implicit_dispatch.append((base.patterns.uri, cast(Any, self.standalone_uri)))

    def init_customizations(self, settings: Any) -> None:
        """What docutils calls before every text: done already."""

    def interpreted(
        self, rawsource: str, text: str, role: str, lineno: int
    ) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The whole of role handling: no registry is asked, so no text can change what a role means to the next."""
        name = role.lower().rpartition(":")[2]
        shown = nodes.unescape(text, restore_backslashes=name in _VERBATIM_ROLES)
        if name not in _VERBATIM_ROLES:
            titled = _ROLE_TARGET.match(shown)  # :ref:`what is shown <where it points>`
            if titled and titled[1]:
                shown = titled[1]
            shown = shown.removeprefix("!")
            if shown.startswith("~"):  # :class:`~package.module.Name` shows its last part
                shown = shown[1:].rpartition(".")[2]
            shown = shown.removeprefix(".")
        if name in ("pep", "rfc"):
            shown = f"{name.upper()} {shown}"
        node = self._MARKED.get(name, nodes.literal)
        return [node(rawsource, shown)], []


class RestructuredText:
    """A parser to be used for many texts, one after another. Not for several threads at once: give each its own."""

    def __init__(self) -> None:
        with _SETTING_UP:
            settings = get_default_settings(Parser)
        settings.file_insertion_enabled = False
        settings.raw_enabled = False
        settings.halt_level = 5
        settings.report_level = 5
        settings.warning_stream = False
        settings.syntax_highlight = "none"
        settings.pep_references = False
        settings.rfc_references = False
        settings.record_dependencies = DependencyList()
        self._settings = settings
        self._inliner = _Inliner(settings)
        self._machine = _state_machine()
        self._known = set(en.directives) - set(_REPLACED)
        self._inline_document = new_document("docstring", settings)
        self._memo = SimpleNamespace(
            document=self._inline_document, reporter=self._inline_document.reporter, language=en
        )

    def inline(self, text: str) -> str:
        """HTML of a text that has inline markup only. Markup that docutils cannot place stays as it was typed."""
        parsed, _ = self._inliner.parse(text, 0, self._memo, self._inline_document)
        return "".join(map(_html, parsed))

    def blocks(self, text: str) -> str | None:
        """HTML of any text; None where it is so malformed that docutils left some of it out, or failed."""
        for match in _DIRECTIVE_NAME.finditer(text):
            name = match[1].lower()
            if name not in self._known:
                directives.register_directive(name, PlainDirective)
                self._known.add(name)
        lines = string2lines(text, tab_width=8, convert_whitespace=True)
        if any(len(line) > self._settings.line_length_limit for line in lines):
            return None  # quadratic patterns look at each line
        document = new_document("docstring", self._settings)
        try:
            self._machine.run(lines, document, inliner=self._inliner)
            if any(_swallowed_text(message) for message in document.findall(nodes.system_message)):
                return None
            return "".join(map(_html, document.children))
        except _DOCUTILS_MISTAKES:
            self._machine = _state_machine()  # left in the middle of something
            return None


def _state_machine() -> states.RSTStateMachine:
    """docutils' parser proper. To build one takes as long as to read a short text, so it is used again and again."""
    return states.RSTStateMachine(state_classes=states.state_classes, initial_state="Body")


def _swallowed_text(message: nodes.system_message) -> bool:
    """Whether docutils kept source lines in its complaint instead of in the document."""
    return message["level"] >= _ERROR and any(isinstance(child, nodes.literal_block) for child in message.children)


def _inside(node: nodes.Node) -> str:
    return "".join(map(_html, node.children))


def _wrapped(tag: str, attributes: str = "") -> Callable[[Any], str]:
    opening, closing = f"<{tag}{attributes}>", f"</{tag}>"
    return lambda node: f"{opening}{_inside(node)}{closing}"


def _nothing(_: nodes.Node) -> str:
    return ""


def _link(node: nodes.reference) -> str:
    target = node.get("refuri", "")
    if not _SAFE_LINK.match(target):
        return _inside(node)
    return f'<a href="{escape(target)}">{_inside(node)}</a>'


def _image(node: nodes.image) -> str:
    source = node.get("uri", "")
    if not _SAFE_LINK.match(source):
        return escape(node.get("alt", ""))
    return f'<img src="{escape(source)}" alt="{escape(node.get("alt", ""))}">'


def _entry(node: nodes.entry) -> str:
    tag = "th" if isinstance(node.parent.parent, nodes.thead) else "td"
    spans = "".join(
        f' {span}="{node[more] + 1}"'
        for span, more in (("colspan", "morecols"), ("rowspan", "morerows"))
        if more in node
    )
    return f"<{tag}{spans}>{_inside(node)}</{tag}>"


def _section(node: nodes.section) -> str:
    depth = 2
    parent = node.parent
    while isinstance(parent, nodes.section):
        depth, parent = depth + 1, parent.parent
    heading = f"h{min(depth, 6)}"
    return (
        "<section>"
        + "".join(
            f"<{heading}>{_inside(child)}</{heading}>" if isinstance(child, nodes.title) else _html(child)
            for child in node.children
        )
        + "</section>"
    )


_FIELD_WORDS = {
    "return": "Returns", "returns": "Returns", "rtype": "Return type", "yield": "Yields", "yields": "Yields",
    "raise": "Raises", "raises": "Raises", "except": "Raises", "exception": "Raises",
    "type": "Type of", "vartype": "Type of",
}  # fmt: skip


def _field(node: nodes.field) -> str:
    """A field in one line where it fits: what it describes, a dash, the description."""
    name, body = node.children
    kind, _, rest = name.astext().partition(" ")
    if kind in ("param", "parameter", "arg", "argument", "key", "keyword", "var", "ivar", "cvar", "attr", "member"):
        kind_of_value, _, name_of_value = rest.rpartition(" ")
        term = f"<strong>{escape(name_of_value)}</strong>" + (f" ({escape(kind_of_value)})" if kind_of_value else "")
    elif kind in _FIELD_WORDS:
        term = f"<strong>{_FIELD_WORDS[kind]}</strong>" + (f" <code>{escape(rest)}</code>" if rest else "")
    else:
        term = f"<strong>{_inside(name)}</strong>"
    return described_item(term, _inside(body))


def described_item(term: str, description: str) -> str:
    """A list item of a term and its description, both HTML; a description in prose begins on the term's line."""
    if description.startswith("<p>"):
        return f"<li><p>{term} – {description.removeprefix('<p>')}</li>"
    return f"<li><p>{term}</p>{description}</li>"


def _definition(node: nodes.definition_list_item) -> str:
    head = [child for child in node.children if isinstance(child, nodes.term | nodes.classifier)]
    body = "".join(_html(child) for child in node.children if isinstance(child, nodes.definition))
    return f"<dt>{' : '.join(map(_inside, head))}</dt>{body}"


_ADMONITIONS = (
    *(nodes.attention, nodes.caution, nodes.danger, nodes.error, nodes.hint),
    *(nodes.important, nodes.note, nodes.tip, nodes.warning, nodes.admonition),
)


def _admonition(node: nodes.Element) -> str:
    name = type(node).__name__
    title = "" if name == "admonition" else f'<p class="rubric">{name.capitalize()}</p>'
    return f'<div class="admonition">{title}{_inside(node)}</div>'


def _footnote(node: nodes.Element) -> str:
    body = "".join(_html(child) for child in node.children if not isinstance(child, nodes.label))
    label = "".join(child.astext() for child in node.children if isinstance(child, nodes.label))
    return f'<div class="footnote">[{escape(label)}] {body}</div>' if label else f'<div class="footnote">{body}</div>'


def _footnote_reference(node: nodes.Element) -> str:
    label = node.astext() or str(node.get("refname", ""))
    return f"[{escape(label)}]" if label else ""


_WRITERS: dict[type[nodes.Node], Callable[[Any], str]] = {
    nodes.Text: lambda node: escape(node.astext(), quote=False),
    nodes.paragraph: _wrapped("p"),
    nodes.emphasis: _wrapped("em"),
    nodes.strong: _wrapped("strong"),
    nodes.literal: _wrapped("code"),
    nodes.title_reference: _wrapped("code"),
    nodes.math: _wrapped("span", ' class="math"'),
    nodes.subscript: _wrapped("sub"),
    nodes.superscript: _wrapped("sup"),
    nodes.reference: _link,
    nodes.image: _image,
    nodes.footnote_reference: _footnote_reference,
    nodes.citation_reference: _footnote_reference,
    nodes.bullet_list: _wrapped("ul"),
    nodes.enumerated_list: _wrapped("ol"),
    nodes.list_item: _wrapped("li"),
    nodes.definition_list: _wrapped("dl"),
    nodes.definition_list_item: _definition,
    nodes.definition: _wrapped("dd"),
    nodes.field_list: _wrapped("ul", ' class="fields"'),
    nodes.field: _field,
    nodes.option_list: _wrapped("dl"),
    nodes.option_group: lambda node: f"<dt><code>{escape(', '.join(c.astext() for c in node.children))}</code></dt>",
    nodes.description: _wrapped("dd"),
    nodes.literal_block: _wrapped("pre"),
    nodes.doctest_block: _wrapped("pre"),
    nodes.math_block: _wrapped("pre", ' class="math"'),
    nodes.line: lambda node: f"{_inside(node)}<br>",
    nodes.line_block: _wrapped("div"),
    nodes.block_quote: _wrapped("blockquote"),
    nodes.attribution: _wrapped("p"),
    nodes.table: _wrapped("table"),
    nodes.thead: _wrapped("thead"),
    nodes.tbody: _wrapped("tbody"),
    nodes.row: _wrapped("tr"),
    nodes.entry: _entry,
    nodes.title: _wrapped("p", ' class="rubric"'),
    nodes.subtitle: _wrapped("p"),
    nodes.rubric: lambda node: f'<p class="rubric">{_inside(node)}</p>' if node.children else "",
    nodes.section: _section,
    nodes.transition: lambda node: "<hr>",
    nodes.footnote: _footnote,
    nodes.citation: _footnote,
    nodes.figure: _wrapped("figure"),
    nodes.caption: _wrapped("figcaption"),
    **dict.fromkeys(_ADMONITIONS, _admonition),
    nodes.colspec: _nothing,
    nodes.comment: _nothing,
    nodes.system_message: _nothing,
    nodes.pending: _nothing,
    nodes.substitution_definition: _nothing,
    nodes.raw: _nothing,
}


def _html(node: nodes.Node) -> str:
    writer = _WRITERS.get(type(node))
    if writer is not None:
        return writer(node)
    return _inside(node)  # a node without a look of its own: what is in it
