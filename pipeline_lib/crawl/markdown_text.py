"""Markdown to HTML by markdown-it-py, without the raw HTML that READMEs like to hold."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

_SILENT = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


class Markdown:
    """CommonMark with tables. Of HTML inside it the text stays and the tags go, so that no page brings its scripts."""

    def __init__(self) -> None:
        self._parser = MarkdownIt("commonmark", {"html": True}).enable("table")
        self._parser.add_render_rule("html_block", _untagged_block)
        self._parser.add_render_rule("html_inline", _nothing)

    def blocks(self, text: str) -> str:
        rendered: str = self._parser.render(text)
        return rendered

    def inline(self, text: str) -> str:
        rendered: str = self._parser.renderInline(text)
        return rendered


def _untagged_block(_: Any, tokens: Sequence[Token], index: int, *__: Any) -> str:
    text = _TAG.sub("", _SILENT.sub("", tokens[index].content)).strip()
    return f"<p>{escape(text, quote=False)}</p>\n" if text else ""


def _nothing(*_: Any) -> str:
    return ""
