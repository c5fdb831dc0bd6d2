"""The blocks of a page: what of its text stands together, and between which elements, found in one pass over markup.

A block is the text between two boundaries of elements that start a new line in browsers: a paragraph, a heading, a
cell, an item of a list. The pass builds no tree of objects: elements, blocks, and spans of text are rows of three
tables. It follows the HTML standard's tree construction where that decides what stands inside what (paragraphs and
items that end by themselves, tables, closing tags of nothing), and takes linear time and memory whatever a page does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.extract.markup_cost import comment_end, raw_end
from pipeline_lib.extract.markup_names import (
    BLOCK,
    BREAKS,
    CLASS_FOUND,
    CLASS_TRANSITIONS,
    CLOSES_P,
    FORMAT,
    HIDDEN,
    LIST,
    NUM_TAG_SLOTS,
    NUM_TEXT_GROUPS,
    NUM_WORD_SLOTS,
    OTHER,
    RAW,
    SCOPE,
    TAG,
    TAG_FLAGS,
    TAG_HASHES,
    TAG_IDS,
    TAG_NAMES,
    TEXT_WORD_GROUPS,
    TEXT_WORD_HASHES,
    VOID,
    name_hash,
)

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

# Columns of the table of elements. Row 0 is the body; an element stands after its parent.
(
    PARENT,
    ELEMENT_TAG,
    OWN_CLASSES,  # bits of `CLASS_WORDS`
    ALL_CLASSES,  # with those of what it stands in
    AREAS,  # the bits below, of it and of what it stands in
    DEPTH,
    ORDINAL,  # items and cells: which one of their parent
    NUM_ITEMS,
    SIGNATURE,  # hash of parent, name and class: equal for siblings that look the same
    NUM_ELEMENT_COLUMNS,
) = range(10)

# Columns of the table of blocks.
(
    ELEMENT,
    FIRST_SPAN,
    END_SPAN,
    CHARS,  # that are no white space
    WORDS,
    LINK_CHARS,
    LINKS,
    DIGITS,
    UPPERS,
    MARKS,
    COMMAS,
    ENDS,  # of sentences
    FOREIGN,  # characters beyond ASCII
    FIRST,  # first and last byte of text
    LAST,
    TEXT_HASH,
    TITLE_WORDS,  # words that the page's title has, too
    INLINE_CLASSES,  # bits of inline elements inside
    PREFORMATTED,
    START,  # byte of the page
    GROUPS,  # from here on: words of each group of `TEXT_WORDS`
) = range(21)
NUM_BLOCK_COLUMNS = GROUPS + NUM_TEXT_GROUPS

# Columns of the table of spans: bytes of the page, and how many line breaks stand before; -1: a space.
SPAN_START, SPAN_END, SPAN_BREAKS = range(3)

# Columns and kinds of the table of notes: places in the page that say something about it.
NOTE_KIND, NOTE_START, NOTE_END = range(3)
NOTE_TITLE, NOTE_META, NOTE_JSON, NOTE_TIME = range(4)
_MAX_NOTES = 512

_AREA_NAMES = (
    "nav header footer aside main article section form table ul ol dl figure blockquote address details dialog button "
    "pre li td th dt dd label summary figcaption h1 h2 h3 h4 h5 h6 noscript"
)
AREA_NAMES = tuple(_AREA_NAMES.split())
AREA = {name: number for number, name in enumerate(AREA_NAMES)}
UNSEEN = 1 << len(AREA)  # in an element that `hidden`, `aria-hidden` or its style keeps out of sight or from reading
REMOVED = UNSEEN << 1  # in one that `hidden` or its style keeps out of sight
_AREA_BITS = np.zeros(len(TAG_NAMES), np.int64)
for _name, _number in AREA.items():
    _AREA_BITS[TAG[_name]] = 1 << _number

_MAX_STACK = 1024
_TITLE_SLOTS = 256
_MAX_TITLE_WORDS = 100
_MAX_TITLE_BYTES = 4096

# What a byte of text is. From _UPPER on it belongs to no word.
_LOWER, _UPPER, _DIGIT, _BEYOND, _SPACE, _MARK, _COMMA, _END, _ENTITY = range(9)
_BYTE_KINDS = np.full(256, _MARK, np.uint8)
_BYTE_KINDS[:33] = _SPACE
_BYTE_KINDS[97:123] = _LOWER
_BYTE_KINDS[95] = _LOWER
_BYTE_KINDS[65:91] = _UPPER
_BYTE_KINDS[48:58] = _DIGIT
_BYTE_KINDS[128:] = _BEYOND
_BYTE_KINDS[44] = _COMMA
_BYTE_KINDS[[33, 46, 63]] = _END
_BYTE_KINDS[38] = _ENTITY

_P, _BR, _LI, _DT, _DD, _TD, _TH = (TAG[name] for name in ("p", "br", "li", "dt", "dd", "td", "th"))
_TR, _TABLE, _TBODY, _THEAD, _TFOOT = (TAG[name] for name in ("tr", "table", "tbody", "thead", "tfoot"))
_A, _PRE, _LISTING, _XMP, _FORM = (TAG[name] for name in ("a", "pre", "listing", "xmp", "form"))
_SVG, _MATH, _SELECT, _INPUT, _CAPTION = (TAG[name] for name in ("svg", "math", "select", "input", "caption"))
_HTML, _HEAD, _BODY, _TITLE, _META, _SCRIPT = (
    TAG[name] for name in ("html", "head", "body", "title", "meta", "script")
)
_TIME, _DIV, _ADDRESS, _H1, _H6, _BUTTON = (TAG[name] for name in ("time", "div", "address", "h1", "h6", "button"))

_CLASS, _ID, _ROLE, _ITEMPROP = (name_hash(name) for name in (b"class", b"id", b"role", b"itemprop"))
_STYLE, _HIDDEN_NAME, _ARIA_HIDDEN = (name_hash(name) for name in (b"style", b"hidden", b"aria-hidden"))
_HREF, _TYPE = name_hash(b"href"), name_hash(b"type")

# Where the numbers of a scan stand in its array of state.
(
    _TOP,  # elements on the stack, the body among them
    _NUM_ELEMENTS,
    _NUM_BLOCKS,
    _NUM_SPANS,
    _NUM_NOTES,
    _IN_LINK,
    _WORD,  # hash of the word that is being read, -1 between words
    _BREAKS,  # line breaks since the last span
    _PRE_DEPTH,
    _TITLE_COUNT,
    _LINK_ENDED,  # 1 while nothing stands after a link
    _NUM_STATES,
) = range(12)
# What attributes say: bits of classes, a hash of class and name, 1 if hidden, 1 if JSON for linked data.
_BITS, _SIGN, _IS_HIDDEN, _IS_JSON, _HAS_HREF = range(5)


@dataclass(frozen=True, kw_only=True, slots=True)
class PageBlocks:
    """The tables of a page, each int64, shape (rows, columns); columns are named by the constants of this module."""

    page: Bytes
    elements: Ints
    blocks: Ints
    spans: Ints
    notes: Ints


def page_blocks(page: bytes) -> PageBlocks:
    """Read a page, which is in UTF-8."""
    data = np.frombuffer(page, np.uint8)
    elements, blocks, spans, notes = scan(data)
    return PageBlocks(page=data, elements=elements, blocks=blocks, spans=spans, notes=notes)


@njit(nogil=True, cache=True)
def scan(page: Bytes) -> Any:
    size = len(page)
    num_tags = 0
    for i in range(size):
        num_tags += page[i] == 60
    elements = np.zeros((num_tags + 1, NUM_ELEMENT_COLUMNS), np.int64)
    blocks = np.zeros((64, NUM_BLOCK_COLUMNS), np.int64)
    spans = np.zeros((2 * num_tags + 1, 3), np.int64)  # before each sign, and the sign itself where it opens no tag
    notes = np.zeros((_MAX_NOTES, 3), np.int64)
    title_words = np.full(_TITLE_SLOTS, -1, np.int64)
    stack = np.zeros((3, _MAX_STACK), np.int64)  # element, tag, 1 if hidden
    stack[1, 0] = _BODY
    num_open = np.zeros(len(TAG_NAMES), np.int64)
    state = np.zeros(_NUM_STATES, np.int64)
    state[_TOP] = 1
    state[_NUM_ELEMENTS] = 1
    state[_WORD] = -1
    elements[0, PARENT] = -1
    elements[0, ELEMENT_TAG] = _BODY
    said = np.zeros(5, np.int64)
    i = 0
    while i < size:
        if page[i] != 60:  # <
            start = i
            while i < size and page[i] != 60:
                i += 1
            blocks = _text(page, start, i, elements, blocks, spans, stack, title_words, state)
            continue
        after = page[i + 1] if i + 1 < size else 0
        closing = after == 47  # /
        name_start = i + 2 if closing else i + 1
        first = page[name_start] | 32 if name_start < size else 0
        if not 97 <= first <= 122:
            if after == 33 and i + 3 < size and page[i + 2] == 45 and page[i + 3] == 45:
                i = comment_end(page, i + 4)
            elif closing or after == 33 or after == 63:  # ! ?
                while i < size and page[i] != 62:
                    i += 1
                i += 1
            else:  # no tag: a sign of the text
                blocks = _text(page, i, i + 1, elements, blocks, spans, stack, title_words, state)
                i += 1
            continue
        i = name_start
        name = 0
        while i < size and not (page[i] <= 32 or page[i] == 47 or page[i] == 62):
            name = (name * 257 + (page[i] | 32 if 65 <= page[i] <= 90 else page[i])) % (1 << 31)
            i += 1
        name_end = i
        tag = _tag_of(name)
        flags = TAG_FLAGS[tag]
        i = _attributes(page, i, said)
        if closing:
            blocks = _close(tag, flags, elements, blocks, spans, stack, num_open, state)
            continue
        if tag in (_HTML, _HEAD, _BODY) or (tag == _FORM and num_open[_FORM] > 0):  # forms hold no forms
            continue
        if flags & RAW:
            content = i
            i = raw_end(page, i, name_start, name_end)
            hidden = stack[2, state[_TOP] - 1]
            if tag == _TITLE and not hidden and state[_TITLE_COUNT] == 0:
                _title(page, content, min(i, content + _MAX_TITLE_BYTES), title_words, state)
                _note(NOTE_TITLE, content, i, notes, state)
            elif tag == _SCRIPT and said[_IS_JSON]:
                _note(NOTE_JSON, content, i, notes, state)
            continue
        if tag in (_META, _TIME):
            _note(NOTE_META if tag == _META else NOTE_TIME, name_end, i, notes, state)
        if flags & CLOSES_P and num_open[_SVG] + num_open[_MATH] > 0:  # HTML ends a drawing
            blocks = _close(_SVG, HIDDEN, elements, blocks, spans, stack, num_open, state)
            blocks = _close(_MATH, HIDDEN, elements, blocks, spans, stack, num_open, state)
        if num_open[_SELECT] > 0 and (flags & CLOSES_P or tag in (_SELECT, _INPUT)):
            blocks = _close(_SELECT, HIDDEN, elements, blocks, spans, stack, num_open, state)
        if flags & VOID:
            if tag == _BR:
                blocks = _break(elements, blocks, spans, stack, state)
            elif flags & BLOCK:
                blocks = _end_block(elements, blocks, spans, stack, state)
            continue
        if flags & BLOCK:
            blocks = _boundary(tag, flags, elements, blocks, spans, stack, state)
            _imply(tag, flags, stack, num_open, state)
            if (tag in (_TD, _TH, _TR)) and num_open[_TABLE] == 0:
                continue
        if flags & FORMAT:
            if tag == _A:
                blocks = _open_link(said[_HAS_HREF], blocks, state)
            continue
        if state[_TOP] == _MAX_STACK:
            continue
        _push(tag, flags, said, elements, stack, num_open, state)
        if not flags & BLOCK and blocks[state[_NUM_BLOCKS], CHARS] >= 0:
            blocks[state[_NUM_BLOCKS], INLINE_CLASSES] |= said[_BITS]
    blocks = _end_block(elements, blocks, spans, stack, state)
    return (
        elements[: state[_NUM_ELEMENTS]],
        blocks[: state[_NUM_BLOCKS]],
        spans[: state[_NUM_SPANS]],
        notes[: state[_NUM_NOTES]],
    )


@njit(nogil=True, cache=True)
def _tag_of(name: int) -> int:
    slot = name % NUM_TAG_SLOTS
    while TAG_HASHES[slot] >= 0:
        if TAG_HASHES[slot] == name:
            return TAG_IDS[slot]  # type: ignore[no-any-return]
        slot = (slot + 1) % NUM_TAG_SLOTS
    return OTHER


@njit(nogil=True, cache=True)
def _note(kind: int, start: int, end: int, notes: Ints, state: Ints) -> None:
    k = state[_NUM_NOTES]
    if k < _MAX_NOTES:
        notes[k, NOTE_KIND], notes[k, NOTE_START], notes[k, NOTE_END] = kind, start, end
        state[_NUM_NOTES] += 1


@njit(nogil=True, cache=True)
def _push(tag: int, flags: int, said: Ints, elements: Ints, stack: Ints, num_open: Ints, state: Ints) -> None:
    parent = stack[0, state[_TOP] - 1]
    k = state[_NUM_ELEMENTS]
    elements[k, PARENT] = parent
    elements[k, ELEMENT_TAG] = tag
    elements[k, OWN_CLASSES] = said[_BITS]
    elements[k, ALL_CLASSES] = elements[parent, ALL_CLASSES] | said[_BITS]
    elements[k, AREAS] = elements[parent, AREAS] | _AREA_BITS[tag] | (UNSEEN if said[_IS_HIDDEN] else 0)
    elements[k, AREAS] |= REMOVED if said[_IS_HIDDEN] & 2 else 0
    elements[k, DEPTH] = elements[parent, DEPTH] + 1
    elements[k, SIGNATURE] = ((parent * 1_000_003 + tag) * 1_000_003 + said[_SIGN]) % (1 << 61)
    if tag in (_LI, _TD, _TH):
        elements[parent, NUM_ITEMS] += 1
        elements[k, ORDINAL] = elements[parent, NUM_ITEMS]
    state[_NUM_ELEMENTS] += 1
    stack[0, state[_TOP]] = k
    stack[1, state[_TOP]] = tag
    stack[2, state[_TOP]] = 1 if stack[2, state[_TOP] - 1] or flags & HIDDEN else 0
    state[_TOP] += 1
    num_open[tag] += 1
    if tag in (_PRE, _LISTING, _XMP):
        state[_PRE_DEPTH] += 1


@njit(nogil=True, cache=True)
def _pop_to(k: int, stack: Ints, num_open: Ints, state: Ints) -> None:
    """Close the element at `k` of the stack and all inside it."""
    for j in range(k, state[_TOP]):
        tag = stack[1, j]
        num_open[tag] -= 1
        if tag in (_PRE, _LISTING, _XMP):
            state[_PRE_DEPTH] -= 1
        elif tag in (_TD, _TH):
            state[_IN_LINK] = 0
    state[_TOP] = k


@njit(nogil=True, cache=True)
def _imply(tag: int, flags: int, stack: Ints, num_open: Ints, state: Ints) -> None:
    """Close what the opening tag of a block closes."""
    if flags & CLOSES_P and num_open[_P] > 0:
        for k in range(state[_TOP] - 1, 0, -1):
            if stack[1, k] == _P:
                _pop_to(k, stack, num_open, state)
                break
            if TAG_FLAGS[stack[1, k]] & SCOPE or stack[1, k] == _BUTTON:
                break
    if _H1 <= tag <= _H6 and _H1 <= stack[1, state[_TOP] - 1] <= _H6:
        _pop_to(state[_TOP] - 1, stack, num_open, state)
    elif tag in (_LI, _DT, _DD):
        if num_open[_LI] + num_open[_DT] + num_open[_DD] == 0:
            return
        for k in range(state[_TOP] - 1, 0, -1):
            other = stack[1, k]
            if other == _LI if tag == _LI else (other in (_DT, _DD)):
                _pop_to(k, stack, num_open, state)
                return
            if TAG_FLAGS[other] & BLOCK and other != _DIV and other != _P and other != _ADDRESS:
                return
    elif tag in (_TD, _TH, _TR, _TBODY, _THEAD, _TFOOT):
        # within their table, the outermost that has to end: a row ends a cell, a group of rows ends both
        found = -1
        for k in range(state[_TOP] - 1, 0, -1):
            other = stack[1, k]
            if other == _TABLE:
                break
            ends_cell = other in (_TD, _TH)
            ends_row = other == _TR and tag not in (_TD, _TH)
            if ends_cell or ends_row or (_is_row_group(other) and _is_row_group(tag)):
                found = k
        if found > 0:
            _pop_to(found, stack, num_open, state)


@njit(nogil=True, cache=True)
def _is_row_group(tag: int) -> bool:
    return tag in (_TBODY, _THEAD, _TFOOT)


@njit(nogil=True, cache=True)
def _close(
    tag: int, flags: int, elements: Ints, blocks: Ints, spans: Ints, stack: Ints, num_open: Ints, state: Ints
) -> Ints:
    """Follow a closing tag."""
    if tag == _A:
        state[_IN_LINK] = 0
        state[_LINK_ENDED] = 1
        return blocks
    if tag == _BR:
        return _break(elements, blocks, spans, stack, state)
    k = _open_at(tag, flags, stack, num_open, state)
    stays = k > 0 and tag == _FORM and k < state[_TOP] - 1  # what is inside the form stays open, and goes on
    if flags & BLOCK and (k > 0 or tag == _P) and not stays:  # `</p>` without a paragraph is an empty one
        blocks = _boundary(tag, 0, elements, blocks, spans, stack, state)
    if stays:
        for j in range(k, state[_TOP] - 1):
            for row in range(3):
                stack[row, j] = stack[row, j + 1]
        num_open[tag] -= 1
        state[_TOP] -= 1
    elif k > 0:
        _pop_to(k, stack, num_open, state)
    return blocks


@njit(nogil=True, cache=True)
def _open_at(tag: int, flags: int, stack: Ints, num_open: Ints, state: Ints) -> int:
    """Where on the stack the element is that a closing tag closes; 0 where it closes none."""
    is_heading = _H1 <= tag <= _H6  # any of them closes any other
    if flags & FORMAT or (num_open[tag] == 0 and not is_heading):
        return 0
    in_table = tag in (_TD, _TH, _TR, _CAPTION) or _is_row_group(tag)
    for k in range(state[_TOP] - 1, 0, -1):
        other = stack[1, k]
        if other == tag or (is_heading and _H1 <= other <= _H6):
            return k
        other_flags = TAG_FLAGS[other]
        if tag == _TABLE:
            continue
        if in_table:
            if other == _TABLE:
                return 0
        elif (
            other_flags & SCOPE
            or (tag == _LI and other_flags & LIST)
            or (not flags & (BLOCK | HIDDEN) and other_flags & BLOCK)
        ):
            return 0
    return 0


@njit(nogil=True, cache=True)
def _open_link(has_href: int, blocks: Ints, state: Ints) -> Ints:
    k = state[_NUM_BLOCKS]
    if state[_LINK_ENDED] and blocks[k, CHARS] > 0 and state[_BREAKS] == 0:
        # links that stand side by side are words apart: style sheets see to that
        _end_word(blocks[k], np.zeros(0, np.int64), state)
        state[_BREAKS] = -1
    state[_IN_LINK] = 1 if has_href else 0
    if has_href:
        blocks[k, LINKS] += 1
    return blocks


@njit(nogil=True, cache=True)
def _boundary(tag: int, flags: int, elements: Ints, blocks: Ints, spans: Ints, stack: Ints, state: Ints) -> Ints:
    """What an opening or closing tag of a block-level element does to the text before it."""
    if state[_PRE_DEPTH] > 0 and tag != _PRE and tag != _LISTING and tag != _XMP:
        if TAG_FLAGS[tag] & BREAKS and flags:  # a line of code each
            state[_BREAKS] += 1 if state[_NUM_SPANS] > blocks[state[_NUM_BLOCKS], FIRST_SPAN] else 0
        return blocks
    return _end_block(elements, blocks, spans, stack, state)


@njit(nogil=True, cache=True)
def _break(elements: Ints, blocks: Ints, spans: Ints, stack: Ints, state: Ints) -> Ints:
    """A line break; two of them end a block."""
    _end_word(blocks[state[_NUM_BLOCKS]], np.zeros(0, np.int64), state)
    state[_BREAKS] = max(state[_BREAKS], 0) + 1
    if state[_BREAKS] >= 2 and state[_PRE_DEPTH] == 0:
        return _end_block(elements, blocks, spans, stack, state)
    return blocks


@njit(nogil=True, cache=True)
def _end_block(elements: Ints, blocks: Ints, spans: Ints, stack: Ints, state: Ints) -> Ints:
    k = state[_NUM_BLOCKS]
    _end_word(blocks[k], np.zeros(0, np.int64), state)
    state[_BREAKS] = 0
    if blocks[k, CHARS] == 0:
        if state[_NUM_SPANS] > blocks[k, FIRST_SPAN] or blocks[k, LINKS] > 0 or blocks[k, INLINE_CLASSES] != 0:
            state[_NUM_SPANS] = blocks[k, FIRST_SPAN]
            blocks[k, :] = 0
            blocks[k, FIRST_SPAN] = state[_NUM_SPANS]
        return blocks
    blocks[k, END_SPAN] = state[_NUM_SPANS]
    k += 1
    state[_NUM_BLOCKS] = k
    if k == len(blocks):
        more = np.zeros((2 * k, NUM_BLOCK_COLUMNS), np.int64)
        more[:k] = blocks
        blocks = more
    blocks[k, FIRST_SPAN] = state[_NUM_SPANS]
    return blocks


@njit(nogil=True, cache=True)
def _end_word(block: Ints, title_words: Ints, state: Ints) -> None:
    word = state[_WORD]
    if word < 0:
        return
    state[_WORD] = -1
    block[WORDS] += 1
    block[TEXT_HASH] = (block[TEXT_HASH] * 1_000_003 + word + 1) % (1 << 61)
    slot = word % NUM_WORD_SLOTS
    while TEXT_WORD_HASHES[slot] >= 0:
        if TEXT_WORD_HASHES[slot] == word:
            groups = TEXT_WORD_GROUPS[slot]
            for group in range(NUM_TEXT_GROUPS):
                block[GROUPS + group] += (groups >> group) & 1
            break
        slot = (slot + 1) % NUM_WORD_SLOTS
    if len(title_words) > 0:
        slot = word % _TITLE_SLOTS
        while title_words[slot] >= 0:
            if title_words[slot] == word:
                block[TITLE_WORDS] += 1
                break
            slot = (slot + 1) % _TITLE_SLOTS


@njit(nogil=True, cache=True)
def _title(page: Bytes, start: int, end: int, title_words: Ints, state: Ints) -> None:
    """Keep the words of the title, at most a hundred."""
    word = -1
    for i in range(start, end + 1):
        kind = _BYTE_KINDS[page[i]] if i < end else _SPACE
        if kind <= _BEYOND:
            byte = page[i] | 32 if kind == _UPPER else page[i]
            word = (max(word, 0) * 257 + byte) % (1 << 31)
        elif word >= 0:
            slot = word % _TITLE_SLOTS
            while title_words[slot] >= 0 and title_words[slot] != word:
                slot = (slot + 1) % _TITLE_SLOTS
            title_words[slot] = word
            state[_TITLE_COUNT] += 1
            word = -1
            if state[_TITLE_COUNT] == _MAX_TITLE_WORDS:
                return
    state[_TITLE_COUNT] += 1  # even an empty one has been seen


@njit(nogil=True, cache=True)
def _text(
    page: Bytes,
    start: int,
    end: int,
    elements: Ints,
    blocks: Ints,
    spans: Ints,
    stack: Ints,
    title_words: Ints,
    state: Ints,
) -> Ints:
    """Count a piece of text into the current block."""
    if stack[2, state[_TOP] - 1]:
        return blocks
    k = state[_NUM_BLOCKS]
    block = blocks[k]
    i = start
    if block[CHARS] == 0 and state[_PRE_DEPTH] == 0:
        while i < end and page[i] <= 32:
            i += 1
        if i == end:
            return blocks
    if block[CHARS] == 0:
        top = state[_TOP] - 1
        while top > 0 and not TAG_FLAGS[stack[1, top]] & BLOCK:
            block[INLINE_CLASSES] |= elements[stack[0, top], OWN_CLASSES]
            top -= 1
        block[ELEMENT] = stack[0, top]
        block[START] = i
        block[PREFORMATTED] = 1 if state[_PRE_DEPTH] > 0 else 0
        if state[_IN_LINK] and block[LINKS] == 0:
            block[LINKS] = 1
    m = state[_NUM_SPANS]
    spans[m, SPAN_START], spans[m, SPAN_END], spans[m, SPAN_BREAKS] = i, end, state[_BREAKS]
    state[_NUM_SPANS] += 1
    state[_LINK_ENDED] = 0
    chars = 0
    word = state[_WORD]
    while i < end:
        byte = page[i]
        kind = _BYTE_KINDS[byte]
        if kind == _LOWER:
            word = (max(word, 0) * 257 + byte) % (1 << 31)
            chars += 1
        elif kind == _SPACE:
            if word >= 0:
                state[_WORD] = word
                _end_word(block, title_words, state)
                word = -1
        elif kind == _BEYOND:
            if byte >= 0xC0:
                following = page[i + 1] if i + 1 < end else 0
                if (byte == 0xE2 and following == 0x80) or byte == 0xC2 or (byte == 0xE3 and following == 0x80):
                    # general punctuation, Latin-1 signs, CJK punctuation: three bytes or two
                    if word >= 0:
                        state[_WORD] = word
                        _end_word(block, title_words, state)
                        word = -1
                    length = 2 if byte == 0xC2 else 3
                    if byte == 0xE3 and i + 2 < end and (page[i + 2] == 0x82 or page[i + 2] == 0x81):
                        block[ENDS if page[i + 2] == 0x82 else COMMAS] += 1
                    elif not (byte == 0xC2 and following == 0xA0):
                        block[MARKS] += 1
                    if not (byte == 0xC2 and following == 0xA0):
                        chars += 1
                        block[LAST] = byte
                        if block[FIRST] == 0:
                            block[FIRST] = byte
                    i += length
                    continue
                chars += 1
                block[FOREIGN] += 1
            word = (max(word, 0) * 257 + byte) % (1 << 31)
        elif kind in (_UPPER, _DIGIT):
            chars += 1
            word = (max(word, 0) * 257 + (byte | 32 if kind == _UPPER else byte)) % (1 << 31)
            block[UPPERS if kind == _UPPER else DIGITS] += 1
        else:
            if word >= 0:
                state[_WORD] = word
                _end_word(block, title_words, state)
                word = -1
            if kind == _ENTITY:
                j = i + 1
                while j < end and j < i + 10 and page[j] != 59 and page[j] > 32:
                    j += 1
                if j < end and page[j] == 59:
                    if is_space_entity(page, i + 1, j):
                        i = j + 1
                        continue
                    i = j
            chars += 1
            if kind == _COMMA:
                block[COMMAS] += 1
            elif kind == _END:
                block[ENDS] += 1
            else:
                block[MARKS] += 1
        block[LAST] = byte
        if block[FIRST] == 0 and kind != _SPACE:
            block[FIRST] = byte
        i += 1
    state[_WORD] = word
    block[CHARS] += chars
    if chars > 0:
        state[_BREAKS] = 0
    elif state[_BREAKS] != 0 and state[_PRE_DEPTH] == 0:
        state[_NUM_SPANS] -= 1  # white space around a line break
    if state[_IN_LINK]:
        block[LINK_CHARS] += chars
    return blocks


@njit(nogil=True, cache=True)
def is_space_entity(page: Bytes, start: int, end: int) -> bool:
    """Whether an entity's name is `nbsp`, `#160` or `#xa0`."""
    if end - start != 4:
        return False
    first, second, third, fourth = page[start], page[start + 1], page[start + 2], page[start + 3]
    if first == 110:
        return bool(second == 98 and third == 115 and fourth == 112)
    if first != 35:
        return False
    return bool((second == 49 and third == 54) or (second | 32 == 120 and third | 32 == 97)) and bool(fourth == 48)


@njit(nogil=True, cache=True)
def _attributes(page: Bytes, i: int, said: Ints) -> int:
    """From the end of a tag's name to after its `>`; what its attributes say goes into `said`."""
    size = len(page)
    said[:] = 0
    while i < size and page[i] != 62:
        if page[i] <= 32 or page[i] == 47:
            i += 1
            continue
        name = 0
        first = True
        # even "=" begins a name
        while i < size and not (page[i] <= 32 or page[i] == 47 or page[i] == 62 or (page[i] == 61 and not first)):
            name = (name * 257 + (page[i] | 32 if 65 <= page[i] <= 90 else page[i])) % (1 << 31)
            first = False
            i += 1
        while i < size and page[i] <= 32:
            i += 1
        start = end = i
        if i < size and page[i] == 61:
            i += 1
            while i < size and page[i] <= 32:
                i += 1
            if i < size and (page[i] == 34 or page[i] == 39):
                quote = page[i]
                i += 1
                start = i
                while i < size and page[i] != quote:
                    i += 1
                end = i
                i += 1
            else:
                start = i
                while i < size and not (page[i] <= 32 or page[i] == 62):
                    i += 1
                end = i
        if name in (_CLASS, _ID, _ROLE, _ITEMPROP):
            said[_BITS] |= _classes(page, start, end)
            if name == _CLASS:
                for k in range(start, end):
                    said[_SIGN] = (said[_SIGN] * 1_000_003 + page[k]) % (1 << 61)
        elif name == _HREF:
            said[_HAS_HREF] = 1
        elif name == _HIDDEN_NAME:
            said[_IS_HIDDEN] |= 2
        elif name == _ARIA_HIDDEN:
            if end - start == 4 and page[start] | 32 == 116:
                said[_IS_HIDDEN] |= 1
        elif name == _STYLE:
            if _hides(page, start, end):
                said[_IS_HIDDEN] |= 2
        elif name == _TYPE and end - start == 19 and page[start + 12] == 108 and page[start + 13] == 100:
            said[_IS_JSON] = 1  # application/ld+json
    return min(i + 1, size)


@njit(nogil=True, cache=True)
def _classes(page: Bytes, start: int, end: int) -> int:
    """Bits of the groups of `CLASS_WORDS` that occur in an attribute's value."""
    found = 0
    state = CLASS_TRANSITIONS[0, 26]
    for i in range(start, end):
        byte = page[i] | 32
        symbol = np.int64(byte) - 97 if 97 <= byte <= 122 and page[i] >= 65 else 26
        state = CLASS_TRANSITIONS[state, symbol]
        found |= CLASS_FOUND[state]
    return found | CLASS_FOUND[CLASS_TRANSITIONS[state, 26]]  # type: ignore[no-any-return]


_NONE = np.frombuffer(b"display:none", np.uint8)
_INVISIBLE = np.frombuffer(b"visibility:hidden", np.uint8)


@njit(nogil=True, cache=True)
def _hides(page: Bytes, start: int, end: int) -> bool:
    """Whether a style has `display: none` or `visibility: hidden`."""
    none = invisible = 0
    for i in range(start, end):
        byte = page[i]
        if byte <= 32:
            continue
        if 65 <= byte <= 90:
            byte |= 32
        none = none + 1 if byte == _NONE[none] else (1 if byte == _NONE[0] else 0)
        invisible = invisible + 1 if byte == _INVISIBLE[invisible] else (1 if byte == _INVISIBLE[0] else 0)
        if none == len(_NONE) or invisible == len(_INVISIBLE):
            return True
    return False
