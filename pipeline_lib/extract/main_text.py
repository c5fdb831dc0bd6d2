"""The main text of an HTML page: what it says, without the navigation, headers and footers around it.

This is the border to the HTML libraries: whatever a page does to them ends here, as an `UnreadablePage` and its reason.
"""

import logging
from dataclasses import dataclass
from typing import Literal, cast

import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLParserException, HTMLTree, Node

from pipeline_lib.crawl.warc_records import is_rust_panic
from pipeline_lib.extract.markup_cost import markup_cost
from pipeline_lib.extract.parameters import ExtractParameters

# Beyond these, parsers need seconds for one page: measured with resiliparse 2.0 (0.2 s for 10,000 attributes of one
# tag, 1.4 s for 20,000 options, 1 KB of memory for each element). Of 7,353 real pages, the extremes were 88 attributes,
# 4,465 options and 17,514 elements opened again.
_MAX_ATTRIBUTES = 1_000
_MAX_OPTIONS = 20_000
_MAX_REOPENED = 1_000_000

# What stands around the main text, by the elements that HTML 5 has for it: resiliparse goes by class names more, and
# leaves some of it. With these and `_shelter_lists` its word F1 on the benchmark pages rises from 0.780 to 0.782.
_SURROUNDINGS = ["nav", "footer", "header:not(main header, article header)"]
_MAIN_LISTS = "main ul, article ul, [role=main] ul"
_MAX_DROPPED_DEPTH = 3

# trafilatura reports every page that it cannot use; we count those ourselves
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)


class UnreadablePage(ValueError):
    """A page from which no text can be had.

    Reasons: `page_too_large`, `too_deeply_nested`, `markup_too_costly` (see `markup_cost`), `extractor_failed`,
    `no_main_text`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class MainText:
    """Title and main text as the extractor gave them, not normalised, and which extractor that was."""

    title: str
    text: str
    extractor: Literal["resiliparse", "trafilatura"]


def main_text(page: str, parameters: ExtractParameters) -> MainText:
    """Find the main text of a page.

    Lists keep their bullets, tables their rows, and preformatted text its lines and indentation.

    Raises:
        UnreadablePage: with its reason.
    """
    encoded = page.encode()
    if len(encoded) > parameters.max_page_bytes:
        raise UnreadablePage("page_too_large")
    cost = markup_cost(encoded)
    if parameters.max_depth is not None and cost.depth > parameters.max_depth:
        raise UnreadablePage("too_deeply_nested")
    if cost.attributes > _MAX_ATTRIBUTES or cost.options > _MAX_OPTIONS or cost.reopened > _MAX_REOPENED:
        raise UnreadablePage("markup_too_costly")
    found = _find(page, parameters)
    if not found.text.strip():
        raise UnreadablePage("no_main_text")
    return found


def _find(page: str, parameters: ExtractParameters) -> MainText:
    try:
        tree = HTMLTree.parse(page)
        title = tree.title or ""
        asks_trafilatura = parameters.extractor != "resiliparse" and page.count("<") <= parameters.max_trafilatura_tags
        if asks_trafilatura and parameters.extractor == "trafilatura":
            return MainText(title=title, text=_trafilatura(page), extractor="trafilatura")
        text = _resiliparse(tree)
        if asks_trafilatura and _is_little(text, page, tree, parameters.min_main_ratio):
            other = _second_opinion(page)
            if other.strip():
                return MainText(title=title, text=other, extractor="trafilatura")
        return MainText(title=title, text=text, extractor="resiliparse")
    except HTMLParserException:
        raise UnreadablePage("extractor_failed") from None
    except BaseException as error:
        if is_rust_panic(error):
            raise UnreadablePage("extractor_failed") from None
        raise


def _is_little(text: str, page: str, tree: HTMLTree, min_ratio: float) -> bool:
    if len(text) >= min_ratio * len(page):  # there is hardly more visible text than page
        return False
    visible: str = extract_plain_text(tree, preserve_formatting=True, main_content=False, alt_texts=False)
    return len(text) < min_ratio * len(visible)


def _second_opinion(page: str) -> str:
    try:
        return _trafilatura(page)
    except UnreadablePage:
        return ""


def _resiliparse(tree: HTMLTree) -> str:
    _shelter_lists(tree)
    text: str = extract_plain_text(
        tree, preserve_formatting=True, main_content=True, alt_texts=False, skip_elements=_SURROUNDINGS
    )
    return text


def _shelter_lists(tree: HTMLTree) -> None:
    """Put lists of the main text deeper into the page.

    resiliparse takes every `ul` at most three levels below `body` for navigation. Plain pages, documentation above all,
    have their real lists there.
    """
    if tree.document is None:
        return
    for found in tree.document.query_selector_all(_MAIN_LISTS):
        parent, depth = found.parent, 0
        while parent is not None and parent.tag != "body" and depth <= _MAX_DROPPED_DEPTH:
            parent, depth = parent.parent, depth + 1
        if depth <= _MAX_DROPPED_DEPTH and found.parent is not None:
            outer = inner = _new_div(tree)
            for _ in range(_MAX_DROPPED_DEPTH):
                deeper = _new_div(tree)
                inner.append_child(deeper)
                inner = deeper
            found.parent.replace_child(outer, found)
            inner.append_child(found)


def _new_div(tree: HTMLTree) -> Node:
    return cast(Node, tree.create_element("div"))  # None only where there is no document to create it in


def _trafilatura(page: str) -> str:
    """Main text by trafilatura; empty where it finds none."""
    try:
        return trafilatura.extract(page, include_comments=False) or ""
    except MemoryError:
        raise
    except Exception as error:
        # Broad, because it is a heuristic over hostile trees: beside lxml's errors it raises whatever its own mistakes
        # give (AttributeError, IndexError, RecursionError), and one page must not end a crawl.
        raise UnreadablePage("extractor_failed") from error
