"""Blocks of a page as text that a language model can read: paragraphs, lists, rows of tables, code.

- Paragraphs and headings are separated by blank lines. Headings carry no mark: readers of the text (quality rules above
  all, which count `#` as a symbol) would take it for noise, and a line of its own says as much.
- Items of lists begin with `- ` or their number, two spaces further in for each list around theirs.
- Cells of a row stand on one line, between them ` | `. Tables that only arrange a page (cells of many blocks, or tables
  in cells) are paragraphs instead.
- Code keeps its white space exactly. It is not fenced: what a page shows has no fences.
"""

import html
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.extract.markup_names import LIST, TAG, TAG_FLAGS
from pipeline_lib.extract.page_blocks import (
    ELEMENT,
    ELEMENT_TAG,
    END_SPAN,
    FIRST_SPAN,
    NUM_ITEMS,
    ORDINAL,
    PARENT,
    PREFORMATTED,
    SPAN_BREAKS,
    SPAN_END,
    SPAN_START,
    Bytes,
    Ints,
    PageBlocks,
    is_space_entity,
)

_LI, _OL, _TR, _TD, _TH, _TABLE, _DL = (TAG[name] for name in ("li", "ol", "tr", "td", "th", "table", "dl"))
_H1, _H6 = TAG["h1"], TAG["h6"]
_MAX_CELL_BLOCKS = 3
_MAX_INDENTS = 5
_MAX_SEPARATORS = 20
_MOST_PER_BLOCK = 2 + 2 * _MAX_INDENTS + 12 + 3 * _MAX_SEPARATORS

# Columns of what is known of a block's surroundings.
_ITEM, _OUTER_LIST, _INDENTS, _CELL, _ROW, _ROWS_TABLE, _DEFINITIONS, _NUM_PLACES = range(8)


def blocks_text(page: PageBlocks, chosen: npt.NDArray[np.bool_]) -> str:
    """The text of the chosen blocks, in the page's order."""
    text = _render(page.page, page.elements, page.blocks, page.spans, chosen).tobytes().decode("utf-8", "replace")
    return html.unescape(text) if "&" in text else text


@njit(nogil=True, cache=True)
def _render(page: Bytes, elements: Ints, blocks: Ints, spans: Ints, chosen: npt.NDArray[np.bool_]) -> Any:
    n = len(blocks)
    places = np.full((n, _NUM_PLACES), -1, np.int64)
    cell_blocks = np.zeros(len(elements), np.int64)
    is_layout = np.zeros(len(elements), np.bool_)  # rows of tables that arrange the page
    size = 0
    for b in range(n):
        _find_place(b, elements, blocks, places, cell_blocks, is_layout)
        if chosen[b]:
            size += _MOST_PER_BLOCK
            for s in range(blocks[b, FIRST_SPAN], blocks[b, END_SPAN]):
                size += spans[s, SPAN_END] - spans[s, SPAN_START] + max(spans[s, SPAN_BREAKS], 1)
    out = np.zeros(size, np.uint8)
    started = np.zeros(len(elements), np.bool_)  # items whose mark is written
    at = 0
    last = -1
    for b in range(n):
        if not chosen[b]:
            continue
        place = places[b]
        if place[_ROW] >= 0 and is_layout[place[_ROW]]:
            place[_ROW] = place[_CELL] = place[_ROWS_TABLE] = -1
        begins_item = place[_ITEM] >= 0 and not started[place[_ITEM]] and place[_ROW] < 0
        same_row = False
        if last >= 0:
            before = places[last]
            same_row = place[_ROW] >= 0 and place[_ROW] == before[_ROW]
            if same_row:
                at = _between_cells(elements, before[_CELL], place[_CELL], out, at)
            else:
                out[at] = 10
                at += 1
                close = (
                    (place[_OUTER_LIST] >= 0 and place[_OUTER_LIST] == before[_OUTER_LIST])
                    or (place[_ROW] >= 0 and place[_ROWS_TABLE] == before[_ROWS_TABLE])
                    or (place[_DEFINITIONS] >= 0 and place[_DEFINITIONS] == before[_DEFINITIONS])
                )
                if not close or blocks[b, PREFORMATTED] or blocks[last, PREFORMATTED]:
                    out[at] = 10
                    at += 1
        if not same_row:
            if place[_ROW] >= 0:
                at = _between_cells(elements, -1, place[_CELL], out, at)
            elif place[_ITEM] >= 0 and not blocks[b, PREFORMATTED]:
                for _ in range(2 * min(place[_INDENTS], _MAX_INDENTS)):
                    out[at] = 32
                    at += 1
        if begins_item:
            started[place[_ITEM]] = True
            at = _mark(elements, place[_ITEM], out, at)
        elif place[_ITEM] >= 0 and place[_ROW] < 0 and not blocks[b, PREFORMATTED]:
            out[at] = out[at + 1] = 32
            at += 2
        tag = elements[blocks[b, ELEMENT], ELEMENT_TAG]
        if blocks[b, PREFORMATTED]:
            at = _copy_code(page, blocks[b], spans, out, at)
        else:
            one_line = place[_ROW] >= 0 or place[_ITEM] >= 0 or _H1 <= tag <= _H6
            at = _copy_text(page, blocks[b], spans, one_line, out, at)
        last = b
    return out[:at]


@njit(nogil=True, cache=True)
def _find_place(
    b: int, elements: Ints, blocks: Ints, places: Ints, cell_blocks: Ints, is_layout: npt.NDArray[np.bool_]
) -> None:
    """Item, lists, row and table of a block: the nearest, but the outermost list. A list in a cell is the cell's."""
    place = places[b]
    num_lists = 0
    up = blocks[b, ELEMENT]
    while up >= 0:
        tag = elements[up, ELEMENT_TAG]
        if tag in (_TD, _TH):
            row = elements[up, PARENT]
            if place[_CELL] < 0:
                place[_CELL] = up
                cell_blocks[up] += 1
                if row >= 0 and elements[row, ELEMENT_TAG] == _TR:
                    place[_ROW] = row
                    if cell_blocks[up] > _MAX_CELL_BLOCKS or elements[row, NUM_ITEMS] < 2:
                        is_layout[row] = True
            elif row >= 0:
                is_layout[row] = True
        elif tag == _TABLE:
            if place[_CELL] >= 0 and place[_ROWS_TABLE] < 0:
                place[_ROWS_TABLE] = up
        elif tag == _LI:
            if place[_ITEM] < 0 and place[_CELL] < 0:
                place[_ITEM] = up
        elif TAG_FLAGS[tag] & LIST:
            if place[_CELL] < 0:
                place[_OUTER_LIST] = up
                num_lists += 1
        elif tag == _DL and place[_DEFINITIONS] < 0:
            place[_DEFINITIONS] = up
        up = elements[up, PARENT]
    place[_INDENTS] = max(num_lists - 1, 0)


@njit(nogil=True, cache=True)
def _between_cells(elements: Ints, cell: int, next_cell: int, out: Bytes, at: int) -> int:
    """What stands between two cells of a row, and one more of it for each cell without text; a space within a cell."""
    if cell == next_cell:
        out[at] = 32
        return at + 1
    passed = elements[next_cell, ORDINAL] - (elements[cell, ORDINAL] if cell >= 0 else 1)
    for k in range(min(max(passed, 0), _MAX_SEPARATORS)):
        if k > 0 or cell >= 0:
            out[at] = 32
            at += 1
        out[at] = 124  # |
        at += 1
    if passed > 0:
        out[at] = 32
        at += 1
    return at


@njit(nogil=True, cache=True)
def _mark(elements: Ints, item: int, out: Bytes, at: int) -> int:
    """`- `, or the number of an item."""
    parent = elements[item, PARENT]
    if elements[parent, ELEMENT_TAG] == _OL:
        number = elements[item, ORDINAL]
        power = 1
        while power * 10 <= number:
            power *= 10
        while power > 0:
            out[at] = 48 + number // power % 10
            at += 1
            power //= 10
        out[at] = 46  # .
    else:
        out[at] = 45  # -
    out[at + 1] = 32
    return at + 2


@njit(nogil=True, cache=True)
def _copy_code(page: Bytes, block: Ints, spans: Ints, out: Bytes, at: int) -> int:
    """Text as it stands, without blank lines at its start and white space at its end."""
    begin = at
    for s in range(block[FIRST_SPAN], block[END_SPAN]):
        for _ in range(spans[s, SPAN_BREAKS]):
            out[at] = 10
            at += 1
        for i in range(spans[s, SPAN_START], spans[s, SPAN_END]):
            out[at] = page[i]
            at += 1
    while at > begin and out[at - 1] <= 32:
        at -= 1
    line = begin
    for i in range(begin, at):
        if out[i] > 32:
            break
        if out[i] == 10:
            line = i + 1
    for i in range(line, at):
        out[begin + i - line] = out[i]
    return begin + at - line


@njit(nogil=True, cache=True)
def _copy_text(page: Bytes, block: Ints, spans: Ints, one_line: bool, out: Bytes, at: int) -> int:
    """Text with its white space collapsed, as browsers show it; line breaks are kept, or spaces."""
    begin = at
    space = 0
    for s in range(block[FIRST_SPAN], block[END_SPAN]):
        if spans[s, SPAN_BREAKS] > 0:
            space = 32 if one_line else 10
        elif spans[s, SPAN_BREAKS] < 0:
            space = max(space, 32) if space != 10 else 10
        i = spans[s, SPAN_START]
        end = spans[s, SPAN_END]
        while i < end:
            byte = page[i]
            length = 0
            if byte <= 32:
                length = 1
            elif byte == 0xC2 and i + 1 < end and page[i + 1] == 0xA0:
                length = 2
            elif byte == 38:
                j = i + 1
                while j < end and j < i + 6 and page[j] != 59:
                    j += 1
                if j < end and page[j] == 59 and is_space_entity(page, i + 1, j):
                    length = j + 1 - i
            if length > 0:
                i += length
                if space == 0:
                    space = 32
                continue
            if space and at > begin:
                out[at] = space
                at += 1
            space = 0
            out[at] = byte
            at += 1
            i += 1
    return at
