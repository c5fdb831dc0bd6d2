"""Docstrings to HTML: their sections, and under each the cheapest way that is right for every block of text.

Most docstrings are written in one of two house styles, numpydoc's (a title underlined with dashes) and Google's (a
title with a colon above an indented block); both list things and what they mean, which no markup language knows.
Below the sections, most blocks are plain prose and the rest reStructuredText, or Markdown where a docstring shows that
it is. A block of prose needs no parser, one with inline markup only docutils' inline parser, and what is left docutils
as a whole: measured on the demo's packages this is several times quicker than docutils for everything.
"""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from pipeline_lib.crawl.markdown_text import Markdown
from pipeline_lib.crawl.restructured_text import RestructuredText, described_item

_UNDERLINE = re.compile(r"([-=~^\"'`#*+._:])\1{2,}\s*$")
_GOOGLE_TITLES = {
    *("args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters", "kwargs"),
    *(
        "returns",
        "return",
        "yields",
        "yield",
        "raises",
        "raise",
        "attributes",
        "methods",
        "warns",
        "warning",
        "warnings",
    ),
    *(
        "note",
        "notes",
        "example",
        "examples",
        "usage",
        "see also",
        "references",
        "reference",
        "shape",
        "inputs",
        "outputs",
    ),
    *(
        "input",
        "output",
        "properties",
        "todo",
        "tip",
        "important",
        "caution",
        "details",
        "exceptions",
        "class attributes",
    ),
}
_ENTRY_TITLES = {
    *("args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters", "kwargs"),
    *(
        "returns",
        "return",
        "yields",
        "yield",
        "receives",
        "raises",
        "raise",
        "warns",
        "attributes",
        "methods",
        "see also",
    ),
    *("inputs", "outputs", "input", "output", "properties", "exceptions", "class attributes"),
}
_GOOGLE_TITLE = re.compile(r"([A-Z][A-Za-z]*(?: [A-Za-z]+)?) ?(::?)\s*$")
_GOOGLE_ENTRY = re.compile(
    r"(\*{0,2}`{0,2}[\w.][\w.,/ *\[\]`-]{0,60}?)(?: ?\(((?:[^()]|\([^()]*\))*)\))? ?:(?: +(.*)|)$"
)
_ADMONITION = re.compile(r"(?:!!!|\?\?\?\+?) +(\w+)(?: +\"(.*)\")?\s*$")  # as MkDocs writes them
_FENCE = re.compile(r"(`{3,}|~{3,})")

_BLOCK_START = re.compile(
    r"(?:[-*+•‣] )|(?:\(?(?:\d{1,4}|[A-Za-z#]|[ivxlcdm]+)[.)] )|(?:\.\.(?: |$))|(?::[^:\s][^:\n]*:(?: |$))"
    r"|(?:\|(?: |$))|(?:--?[A-Za-z])|(?:__ )|(?:[+=]-*[-=+]*[-=+]$)|(?:={2,}[ =]*$)|(?:>>> ?)"
)
_INLINE_MARKUP = re.compile(r"[`*|\\]|[^\W_]_{1,2}(?!\w)|\]_|://|@|_`")
_MARKDOWN_SIGN = re.compile(r"^(?: *(?:```|~~~)|#{1,5} \w)|\]\((?:https?:|/|#|\.)", re.MULTILINE)
_UNPRINTABLE = {code: None for code in range(32) if chr(code) not in "\n\t"} | {127: None}


@dataclass(frozen=True, slots=True)
class _Section:
    title: str  # empty above the first title, and for the text that goes on below a Google section
    lines: list[str]
    is_code: bool = False


_NUMPYDOC, _GOOGLE, _PROSE = "numpydoc", "google", "prose"
_NO_ENTRY = (">>>", "..", "- ", "* ", ":")


@dataclass(frozen=True, slots=True)
class _Entry:
    style: str
    term: str = ""
    kind: str = ""
    body: list[str] = field(default_factory=list)


class DocstringWriter:
    """Writes docstrings as HTML; remembers those it has seen, because inherited ones come again and again.

    Not for several threads at once (docutils' parser inside is not): give each its own.
    """

    def __init__(self) -> None:
        self._restructured_text = RestructuredText()
        self._markdown = Markdown()
        self._written: dict[str, str] = {}

    def html(self, docstring: str) -> str:
        """HTML of a docstring as it stands in the source. Text that is no valid markup comes out as it was typed."""
        written = self._written.get(docstring)
        if written is None:
            text = inspect.cleandoc(docstring).translate(_UNPRINTABLE)
            is_markdown = _MARKDOWN_SIGN.search(text) is not None
            written = "".join(self._section(section, is_markdown) for section in _sections(text.split("\n")))
            self._written[docstring] = written
        return written

    def document_html(self, text: str, is_markdown: bool) -> str:
        """HTML of a whole document, such as a README, in one of the two markup languages."""
        text = text.translate(_UNPRINTABLE)
        if is_markdown:
            return self._markdown.blocks(text)
        return self._restructured_text.blocks(text) or _plain(text.split("\n"))

    def _section(self, section: _Section, is_markdown: bool) -> str:
        title = "Parameters" if section.title in ("Args", "Arguments", "Params") else section.title
        heading = f"<h4>{escape(title, quote=False)}</h4>" if title else ""
        if section.is_code:
            return f"{heading}<pre>{_escaped(section.lines)}</pre>"
        if section.title.lower() in _ENTRY_TITLES:
            return heading + self._entries(section, is_markdown)
        return heading + self._body(section.lines, is_markdown)

    def _entries(self, section: _Section, is_markdown: bool) -> str:
        """A list of terms with their meanings, in either house style; lines that are no entry stay prose.

        numpydoc's come out as it writes them, a line for the term and its type above the meaning; Google's as Sphinx
        writes them, in one line.
        """
        parts: list[str] = []
        open_list = ""
        for entry in _split_entries(section.lines):
            if entry.style == _NUMPYDOC and section.title.lower() == "see also":  # what follows the colon is no type
                entry = _Entry(_GOOGLE, entry.term, "", [entry.kind, *entry.body])
            wanted = {_NUMPYDOC: "dl", _GOOGLE: "ul", _PROSE: ""}[entry.style]
            if wanted != open_list:
                parts.append((f"</{open_list}>" if open_list else "") + (f"<{wanted}>" if wanted else ""))
                open_list = wanted
            body = self._body(entry.body, is_markdown) if entry.body else ""
            if entry.style == _PROSE:
                parts.append(body)
                continue
            term, kind = self._inline_or_plain(entry.term, is_markdown), self._inline_or_plain(entry.kind, is_markdown)
            if entry.style == _GOOGLE:
                parts.append(described_item(f"<strong>{term}</strong>" + (f" ({kind})" if kind else ""), body))
            else:
                parts.append(f"<dt>{term}{' : ' if kind else ''}{kind}</dt>" + (f"<dd>{body}</dd>" if body else ""))
        return "".join(parts) + (f"</{open_list}>" if open_list else "")

    def _inline_or_plain(self, text: str, is_markdown: bool) -> str:
        """Terms and types are code more often than markup: stars and underlines in them mean themselves."""
        return self._inline(text, is_markdown) if "`" in text else escape(text, quote=False)

    def _inline(self, text: str, is_markdown: bool) -> str:
        return self._markdown.inline(text) if is_markdown else self._restructured_text.inline(text)

    def _body(self, lines: list[str], is_markdown: bool) -> str:
        if is_markdown:
            return self._markdown.blocks("\n".join(_fenced_doctests(lines)))
        parts: list[str] = []
        complex_chunks: list[list[str]] = []
        for chunk in _chunks(lines):
            simple = self._simple(chunk)
            if simple is None:
                complex_chunks.append(chunk)
                continue
            parts.append(self._complex(complex_chunks))
            complex_chunks = []
            parts.append(simple)
        parts.append(self._complex(complex_chunks))
        return "".join(parts)

    def _simple(self, chunk: list[str]) -> str | None:
        """HTML of one paragraph or one doctest; None for anything that needs docutils' block parser."""
        first = chunk[0]
        if first.startswith(">>>"):
            return f"<pre>{_escaped(chunk)}</pre>"
        if _BLOCK_START.match(first):
            return None
        code: list[str] = []
        paragraph = chunk
        if "" in chunk:  # then what follows is indented: an example under a paragraph that ends in two colons, or more
            gap = chunk.index("")
            paragraph, code = chunk[:gap], chunk[gap + 1 :]
            if not paragraph[-1].endswith("::"):
                return None
        elif paragraph[-1].endswith("::"):
            return None
        if any(line[0] == " " or _UNDERLINE.match(line) for line in paragraph):
            return None
        text = "\n".join(paragraph)
        if code:
            text = text[:-1] if not text.endswith(" ::") and text != "::" else text[:-2].rstrip()
        shown = self._restructured_text.inline(text) if _INLINE_MARKUP.search(text) else escape(text, quote=False)
        return (f"<p>{shown}</p>" if shown else "") + (f"<pre>{_escaped(_dedented(code))}</pre>" if code else "")

    def _complex(self, chunks: list[list[str]]) -> str:
        """HTML by docutils of blocks that stand together; where it finds them malformed, block by block."""
        if not chunks:
            return ""
        html = self._restructured_text.blocks("\n\n".join("\n".join(chunk) for chunk in chunks))
        if html is not None:
            return html
        if len(chunks) == 1:
            return _plain(chunks[0])
        return "".join(self._complex([chunk]) for chunk in chunks)


def _sections(lines: list[str]) -> Iterator[_Section]:
    """The sections of a docstring, by either house style."""
    title = ""
    body: list[str] = []
    fence = ""
    index = 0
    while index < len(lines):
        line = lines[index]
        if fence:
            fence = "" if line.strip() == fence else fence
        elif match := _FENCE.match(line):
            fence = match[1]
        elif line and line[0] != " " and (index == 0 or not lines[index - 1].strip()):
            following = lines[index + 1] if index + 1 < len(lines) else ""
            if _UNDERLINE.match(following) and any(map(str.isalnum, line)) and len(line) < 100:
                yield _Section(title, _dedented(body))
                title, body = line.strip().rstrip(":"), []
                index += 2
                continue
        if not fence and line and line[0] != " ":
            google = _google_title(line)
            if google is not None:
                end = _end_of_indented(lines, index + 1)
                if end > index + 1 and any(map(str.strip, lines[index + 1 : end])):
                    if any(map(str.strip, body)) or title:
                        yield _Section(title, _dedented(body))
                    block = _dedented(lines[index + 1 : end])
                    is_code = line.rstrip().endswith("::") and google.lower() not in _ENTRY_TITLES
                    yield _Section(google, block, is_code)
                    title, body = "", []
                    index = end
                    continue
        body.append(line)
        index += 1
    yield _Section(title, _dedented(body))


def _google_title(line: str) -> str | None:
    admonition = _ADMONITION.match(line)
    if admonition:
        return admonition[2] or admonition[1].capitalize()
    match = _GOOGLE_TITLE.match(line)
    return match[1] if match and match[1].lower() in _GOOGLE_TITLES else None


def _end_of_indented(lines: list[str], start: int) -> int:
    """The first line from `start` on that is neither blank nor indented."""
    for index in range(start, len(lines)):
        if lines[index] and lines[index][0] != " ":
            return index
    return len(lines)


def _split_entries(lines: list[str]) -> Iterator[_Entry]:
    """The entries of a section that lists things. A line at the margin begins one, its body is indented below."""
    index = 0
    while index < len(lines):
        line = lines[index]
        if not line.strip():
            index += 1
            continue
        end = _end_of_indented(lines, index + 1)
        body = _dedented(lines[index + 1 : end])
        term, colon, kind = line.partition(" : ")
        google = _GOOGLE_ENTRY.match(line)
        if line.startswith(_NO_ENTRY):
            yield _Entry(_PROSE, body=lines[index:end])
        elif colon:
            yield _Entry(_NUMPYDOC, term.strip(), kind.strip(), body)
        elif google:
            yield _Entry(_GOOGLE, google[1].strip(), (google[2] or "").strip(), [google[3] or "", *body])
        elif body and len(line) < 100:
            yield _Entry(_NUMPYDOC, line.strip(), "", body)
        else:
            if not body:  # a paragraph, up to a line that begins an entry
                while end < len(lines) and lines[end].strip() and " : " not in lines[end]:
                    if _end_of_indented(lines, end + 1) > end + 1:
                        break
                    end += 1
            yield _Entry(_PROSE, body=lines[index:end])
        index = end


def _chunks(lines: list[str]) -> Iterator[list[str]]:
    """Blocks that can be parsed each by itself: one ends where, after a blank line, a line stands at the margin again.

    What is indented belongs to what stands above it. Blank lines at the end of a chunk are not part of it.
    """
    chunk: list[str] = []
    after_blank = True
    for raw in lines:
        line = raw.rstrip()
        if not line:
            after_blank = True
            if chunk:
                chunk.append("")
            continue
        if after_blank and line[0] != " " and chunk:
            yield _without_blank_end(chunk)
            chunk = []
        chunk.append(line)
        after_blank = False
    if chunk:
        yield _without_blank_end(chunk)


def _without_blank_end(lines: list[str]) -> list[str]:
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]


def _dedented(lines: list[str]) -> list[str]:
    """Lines without the indentation that all share, without blank lines around them."""
    lines = _without_blank_end(lines)
    start = 0
    while start < len(lines) and not lines[start].strip():
        start += 1
    lines = lines[start:]
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[margin:] for line in lines]


def _fenced_doctests(lines: list[str]) -> Iterator[str]:
    """Markdown knows no doctests: put those that stand bare between fences."""
    fence = ""
    in_doctest = False
    for line in lines:
        match = _FENCE.match(line.lstrip())
        if match and not in_doctest:
            fence = "" if fence and line.strip() == fence else fence or match[1]
        if not fence and not in_doctest and line.startswith(">>>"):
            in_doctest = True
            yield "```"
        elif in_doctest and not line.strip():
            in_doctest = False
            yield "```"
        yield line
    if in_doctest:
        yield "```"


def _plain(lines: list[str]) -> str:
    """Text whose markup is malformed: its paragraphs, and what is indented as it stands."""
    parts: list[str] = []
    for block in re.split(r"\n(?:[ \t]*\n)+", "\n".join(lines)):
        if block.strip():
            tag = "pre" if block.startswith(" ") else "p"
            parts.append(f"<{tag}>{escape(block, quote=False)}</{tag}>")
    return "".join(parts)


def _escaped(lines: list[str]) -> str:
    return escape("\n".join(lines), quote=False)
