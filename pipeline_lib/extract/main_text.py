"""The main text of an HTML page: what it says, without the navigation, headers and footers around it.

This is the border to the HTML libraries: whatever a page does to them ends here, as an `UnreadablePage` and its reason.
"""

import html
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLParserException, HTMLTree, Node

from pipeline_lib.extract.block_model import block_model, choose_blocks, main_probabilities
from pipeline_lib.extract.block_text import blocks_text
from pipeline_lib.extract.markup_cost import markup_cost
from pipeline_lib.extract.page_blocks import CHARS, NOTE_TITLE, PageBlocks, page_blocks
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.published import published_at
from pipeline_lib.rust_panics import is_rust_panic

_Name = Literal["blocks", "resiliparse", "trafilatura"]

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
_MAX_TITLE_BYTES = 16 << 10

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
    """Title and main text as the extractor gave them, not normalised, and which extractor that was.

    Attributes:
        published_at: the date on which the page says it was published, as ISO 8601 (see `published`).
    """

    title: str
    text: str
    extractor: _Name
    published_at: str | None = None


def main_text(page: str, parameters: ExtractParameters) -> MainText:
    """Find the main text of a page.

    Lists keep their bullets, tables their rows, and preformatted text its lines and indentation (see `block_text`).

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
    blocks = page_blocks(encoded)
    text, extractor = _find(page, blocks, parameters)
    if not text.strip():
        raise UnreadablePage("no_main_text")
    return MainText(title=_title(blocks), text=text, extractor=extractor, published_at=published_at(blocks))


def _find(page: str, blocks: PageBlocks, parameters: ExtractParameters) -> tuple[str, _Name]:
    asks_trafilatura = page.count("<") <= parameters.max_trafilatura_tags
    if parameters.extractor == "trafilatura" and asks_trafilatura:
        return _trafilatura(page), "trafilatura"
    if parameters.extractor in ("resiliparse", "trafilatura"):
        return _resiliparse(page), "resiliparse"
    chosen = choose_blocks(blocks, main_probabilities(blocks, block_model()))
    text = blocks_text(blocks, chosen)
    if not _is_little(blocks, chosen, parameters.min_main_ratio):
        return text, "blocks"
    others: list[tuple[str, _Name]] = [(text, "blocks")]
    if parameters.extractor == "union":
        others.append((_or_nothing(_resiliparse, page), "resiliparse"))
    if asks_trafilatura:
        others.append((_or_nothing(_trafilatura, page), "trafilatura"))
    return max(others, key=lambda other: len(other[0].strip()))  # the first of equals


def _is_little(blocks: PageBlocks, chosen: npt.NDArray[np.bool_], min_ratio: float) -> bool:
    """Whether the chosen blocks are suspiciously little of the page."""
    chars = blocks.blocks[:, CHARS]
    return bool(chars[chosen].sum() < min_ratio * chars.sum())


def _or_nothing(extract: Callable[[str], str], page: str) -> str:
    """What an extractor finds, and nothing where it fails: there is another's answer."""
    try:
        return extract(page)
    except UnreadablePage:
        return ""


def _title(blocks: PageBlocks) -> str:
    for kind, start, end in blocks.notes.tolist():
        if kind == NOTE_TITLE:
            raw = blocks.page[start : min(end, start + _MAX_TITLE_BYTES)].tobytes()
            return html.unescape(raw.decode("utf-8", "replace")).strip()
    return ""


def _resiliparse(page: str) -> str:
    """Main text by resiliparse."""
    try:
        return _resiliparse_text(HTMLTree.parse(page))
    except HTMLParserException:
        raise UnreadablePage("extractor_failed") from None
    except BaseException as error:
        if is_rust_panic(error):
            raise UnreadablePage("extractor_failed") from None
        raise


def _resiliparse_text(tree: HTMLTree) -> str:
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
