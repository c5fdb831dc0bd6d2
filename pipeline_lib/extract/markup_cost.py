"""What a page would cost an HTML parser, estimated in one pass over its bytes, before any parser sees it.

Parsers take square time or memory on a few shapes of markup, and 20 KB of it is enough to stop a worker: elements
nested thousands deep, a tag with thousands of attributes, a menu of tens of thousands of options, and formatting
elements that are never closed, all of which every later block opens again (HTML standard, "reconstruct the active
formatting elements"). The pass follows the standard's tree construction closely enough that real pages are not taken
for hostile ones, and where it does not follow, it mostly errs on the side of more depth.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

# What ends a scan, so that it is linear itself.
MAX_COUNTED_DEPTH = 1024
_MAX_ACTIVE = 512
_MAX_COUNTED_REOPENED = 1 << 21
_ENDLESS = 1_000_000_000
_NUM_SLOTS = 16381

(
    _OTHER,
    _VOID,
    _EMPTY,
    _RAW,
    _FORMATTING,
    _BLOCK,
    _AREA,
    _P,
    _LI,
    _LIST,
    _DT,
    _DL,
    _CELL,
    _ROW,
    _ROWS,
    _TABLE,
    _OPTION,
    _PHRASE,
    _FOREIGN,
    _SVG_HTML,
    _MATH_HTML,
    _ONCE,
    _HEAD_BODY,
    _NUM_KINDS,
) = range(24)
_NAMES = {
    _VOID: "br embed hr img meta",
    _EMPTY: "area base basefont bgsound col frame input keygen link param source track wbr",
    _RAW: "iframe noembed noframes script style textarea title xmp",
    _FORMATTING: "a b big code em font i nobr s small strike strong tt u",
    _BLOCK: "blockquote center div h1 h2 h3 h4 h5 h6 listing pre",
    _AREA: "address applet article aside button details dialog dir fieldset figcaption figure footer form header "
    "hgroup main marquee nav object search section select summary template",
    _P: "p",
    _LI: "li",
    _LIST: "ul ol menu",
    _DT: "dt dd",
    _DL: "dl",
    _CELL: "td th",
    _ROW: "tr",
    _ROWS: "caption colgroup tbody tfoot thead",
    _TABLE: "table",
    _OPTION: "option",
    _PHRASE: "ruby span sub sup var",
    _FOREIGN: "svg math",
    _SVG_HTML: "desc foreignobject",
    _ONCE: "frameset html",
    _HEAD_BODY: "body head",
    _MATH_HTML: "annotation-xml mi mn mo ms mtext",
}


def _bits(*kinds: int) -> int:
    return sum(1 << kind for kind in kinds)


# What an opening tag of a kind closes, and what it never reaches through in search of it.
_CLOSES = np.zeros(_NUM_KINDS, np.int64)
_STOPS = np.zeros(_NUM_KINDS, np.int64)
_SPECIAL = _bits(_BLOCK, _AREA, _P, _LI, _LIST, _DT, _DL, _CELL, _ROW, _ROWS, _TABLE)
for _kind, _closed, _passed in (
    *((_kind, _bits(_P), 0) for _kind in (_BLOCK, _AREA, _P, _LIST, _DL)),
    (_LI, _bits(_LI), _bits(_P)),
    (_DT, _bits(_DT), _bits(_P)),
    (_CELL, _bits(_CELL), _bits(_BLOCK, _AREA, _P, _LI, _LIST, _DT, _DL)),
    (_ROW, _bits(_ROW), _bits(_BLOCK, _AREA, _P, _LI, _LIST, _DT, _DL, _CELL)),
    (_ROWS, _bits(_ROWS), _bits(_BLOCK, _AREA, _P, _LI, _LIST, _DT, _DL, _CELL, _ROW)),
):
    # HTML inside a drawing or formula ends nothing outside of it
    _CLOSES[_kind], _STOPS[_kind] = _closed, _SPECIAL & ~_closed & ~_passed | _bits(_FOREIGN)
# What ends an SVG drawing or a formula that is still open, if it is not in a place there that takes HTML.
_BREAKOUT = _bits(_VOID, _HEAD_BODY, _FORMATTING, _BLOCK, _P, _LI, _LIST, _DT, _DL, _TABLE, _PHRASE)


def _name_hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value * 257 + byte) % (1 << 31)
    return value


def _kind_table() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    kinds = np.zeros(_NUM_SLOTS, np.int64)
    hashes = np.full(_NUM_SLOTS, -1, np.int64)
    for kind, names in _NAMES.items():
        for name in names.split():
            value = _name_hash(name)
            slot = value % _NUM_SLOTS
            assert hashes[slot] < 0, f"{name} shares a slot: choose another _NUM_SLOTS"
            kinds[slot], hashes[slot] = kind, value
    return kinds, hashes


_KINDS, _HASHES = _kind_table()
_A, _TITLE = _name_hash("a"), _name_hash("title")  # in SVG: a link, and a place that takes HTML
_FORM, _SVG = _name_hash("form"), _name_hash("svg")
_IN_FOREIGN = _bits(_FOREIGN, _SVG_HTML, _MATH_HTML)  # the kinds that names keep inside drawings and formulas
_IN_TABLE = _bits(_CELL, _ROW, _ROWS)
_ITEMS = _bits(_LI, _DT)
# The kinds whose opening tags open closed formatting again, as text does.
_REOPENS = _bits(_OTHER, _VOID, _EMPTY, _RAW, _FORMATTING, _AREA, _OPTION, _PHRASE, _FOREIGN, _SVG_HTML, _MATH_HTML)


# Where the numbers of a scan stand in its array of state.
_TOP, _NUM_ACTIVE, _NUM_CLOSED, _SERIAL, _REOPENED = range(5)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkupCost:
    """Estimates of what a parser would build.

    Attributes:
        depth: of the deepest element; where it comes to 1024, the scan ends.
        attributes: of the tag with most.
        options: elements `option`.
        reopened: formatting elements that are opened again after a block closed them; where 512 are unclosed at once,
            or it comes to two million, the scan ends and says a thousand million.
    """

    depth: int
    attributes: int
    options: int
    reopened: int


def markup_cost(page: bytes) -> MarkupCost:
    """The cost of a page; `page` is in UTF-8 or another superset of ASCII."""
    depth, attributes, options, reopened = _scan(np.frombuffer(page, np.uint8))
    return MarkupCost(depth=depth, attributes=attributes, options=options, reopened=reopened)


@njit(nogil=True, cache=True)
def _scan(page: npt.NDArray[np.uint8]) -> Any:
    size = len(page)
    # the open elements: hash of the name, kind, and for formatting elements the serial number of their entry below
    stack = np.zeros((3, MAX_COUNTED_DEPTH), np.int64)
    # the active formatting elements: hash of the name (-1 marks a cell), hash of the tag, serial number, 1 if on stack
    active = np.zeros((4, _MAX_ACTIVE), np.int64)
    num_open = np.zeros(_NUM_KINDS, np.int64)
    state = np.zeros(5, np.int64)
    max_depth = max_attributes = options = 0
    i = 0
    text_start = 0
    while i < size:
        if page[i] != 60:  # <
            i += 1
            continue
        if i > text_start and state[_NUM_CLOSED] > 0:
            _reopen(stack, num_open, active, state)
            max_depth = max(max_depth, state[_TOP])
        i += 1
        text_start = i
        closing = i < size and page[i] == 47  # /
        if closing:
            i += 1
        first = page[i] | 32 if i < size else 0
        if not 97 <= first <= 122:
            if not closing and i + 2 < size and page[i] == 33 and page[i + 1] == 45 and page[i + 2] == 45:
                i = comment_end(page, i + 3)
                text_start = i
            elif closing or (i < size and (page[i] == 33 or page[i] == 63)):  # ! ?
                while i < size and page[i] != 62:
                    i += 1
                text_start = i + 1
            continue
        name = 0
        name_start = i
        while i < size and not (page[i] <= 32 or page[i] == 47 or page[i] == 62):
            byte = page[i] | 32 if 65 <= page[i] <= 90 else page[i]
            name = (name * 257 + byte) % (1 << 31)
            i += 1
        name_end = i
        i, attributes = _attributes(page, i)
        text_start = i
        max_attributes = max(max_attributes, attributes)
        slot = name % _NUM_SLOTS
        kind = _KINDS[slot] if _HASHES[slot] == name else _OTHER

        foreign = _foreign_root(stack, state) if num_open[_FOREIGN] > 0 else -1
        while foreign >= 0 and (kind == _P if closing else (1 << kind) & _BREAKOUT and name != _A):
            _pop_to(foreign, stack, num_open, active, state)
            foreign = _foreign_root(stack, state)
        if foreign >= 0 and not (1 << kind) & _IN_FOREIGN:
            kind = _OTHER
        if kind in (_ONCE, _HEAD_BODY):  # there is one of each, whatever the page says
            continue
        if closing:
            _close(name, kind, foreign < 0, stack, num_open, active, state)
            continue
        if (foreign >= 0 or kind == _FOREIGN) and page[i - 2] == 47:  # only there does "/>" close an element
            continue
        if (1 << kind) & _IN_TABLE and num_open[_TABLE] == 0:  # passed over by parsers
            continue
        if (1 << kind) & _REOPENS and state[_NUM_CLOSED] > 0:
            _reopen(stack, num_open, active, state)
            max_depth = max(max_depth, state[_TOP])
        if kind in (_VOID, _EMPTY):
            continue
        if kind == _RAW:
            i = raw_end(page, i, name_start, name_end)
            text_start = i
            continue
        if kind == _OPTION:
            options += 1
            if state[_TOP] > 0 and stack[1, state[_TOP] - 1] == _OPTION:
                _pop_to(state[_TOP] - 1, stack, num_open, active, state)
        if _CLOSES[kind]:
            _close_before(kind, stack, num_open, active, state)
        if (1 << kind) & _ITEMS:  # a paragraph that no item before it took along
            _close_before(_P, stack, num_open, active, state)
        if kind == _FORMATTING and foreign < 0:
            tag = 0
            for k in range(name_start, i):
                tag = (tag * 1_000_003 + page[k]) % (1 << 61)
            if not _activate(name, tag, active, state):
                return max_depth, max_attributes, options, _ENDLESS
        if state[_TOP] == MAX_COUNTED_DEPTH:
            break
        stack[0, state[_TOP]] = name
        stack[1, state[_TOP]] = kind
        stack[2, state[_TOP]] = state[_SERIAL]
        num_open[kind] += 1
        state[_TOP] += 1
        if kind == _CELL and state[_NUM_ACTIVE] < _MAX_ACTIVE:
            active[0, state[_NUM_ACTIVE]] = -1
            active[3, state[_NUM_ACTIVE]] = 1
            state[_NUM_ACTIVE] += 1
        max_depth = max(max_depth, state[_TOP])
        if state[_REOPENED] > _MAX_COUNTED_REOPENED:
            return max_depth, max_attributes, options, _ENDLESS
    return max_depth, max_attributes, options, state[_REOPENED]


@njit(nogil=True, cache=True)
def _foreign_root(stack: Ints, state: Ints) -> int:
    """Where the drawing or formula that the parser is in starts on the stack; -1 where it is in HTML."""
    in_svg_html = in_math_html = False
    for k in range(state[_TOP] - 1, -1, -1):
        if stack[1, k] == _FOREIGN:
            return -1 if (in_svg_html if stack[0, k] == _SVG else in_math_html) else k
        in_svg_html = in_svg_html or stack[1, k] == _SVG_HTML or stack[0, k] == _TITLE
        in_math_html = in_math_html or stack[1, k] == _MATH_HTML
    return -1


@njit(nogil=True, cache=True)
def _activate(name: int, tag: int, active: Ints, state: Ints) -> bool:
    """Enter a formatting element that is being opened, with a new serial number; False if there are too many."""
    same = 0
    earliest = -1
    for k in range(state[_NUM_ACTIVE] - 1, -1, -1):
        if active[0, k] < 0:
            break
        if active[1, k] == tag:
            same += 1
            earliest = k
    if same >= 3:  # the standard keeps three of a kind
        _remove_active(earliest, active, state)
    if state[_NUM_ACTIVE] == _MAX_ACTIVE:
        return False
    state[_SERIAL] += 1
    active[0, state[_NUM_ACTIVE]] = name
    active[1, state[_NUM_ACTIVE]] = tag
    active[2, state[_NUM_ACTIVE]] = state[_SERIAL]
    active[3, state[_NUM_ACTIVE]] = 1
    state[_NUM_ACTIVE] += 1
    return True


@njit(nogil=True, cache=True)
def _remove_active(k: int, active: Ints, state: Ints) -> None:
    state[_NUM_CLOSED] -= 1 - active[3, k]
    for j in range(k, state[_NUM_ACTIVE] - 1):
        for row in range(4):
            active[row, j] = active[row, j + 1]
    state[_NUM_ACTIVE] -= 1


@njit(nogil=True, cache=True)
def _reopen(stack: Ints, num_open: Ints, active: Ints, state: Ints) -> None:
    """Put the active formatting elements that blocks closed, of the cell that the parser is in, on the stack again."""
    start = state[_NUM_ACTIVE]
    while start > 0 and active[3, start - 1] == 0:
        start -= 1
    for k in range(start, state[_NUM_ACTIVE]):
        active[3, k] = 1
        state[_NUM_CLOSED] -= 1
        state[_REOPENED] += 1
        if state[_TOP] < MAX_COUNTED_DEPTH:
            stack[0, state[_TOP]] = active[0, k]
            stack[1, state[_TOP]] = _FORMATTING
            stack[2, state[_TOP]] = active[2, k]
            num_open[_FORMATTING] += 1
            state[_TOP] += 1


@njit(nogil=True, cache=True)
def _pop_to(k: int, stack: Ints, num_open: Ints, active: Ints, state: Ints) -> None:
    """Close the element at `k` of the stack and all inside it. A closed cell forgets its formatting."""
    for j in range(state[_TOP] - 1, k - 1, -1):
        kind = stack[1, j]
        num_open[kind] -= 1
        if kind == _FORMATTING:
            for m in range(state[_NUM_ACTIVE] - 1, -1, -1):
                if active[2, m] == stack[2, j] and active[0, m] >= 0:
                    active[3, m] = 0
                    state[_NUM_CLOSED] += 1
                    break
        elif kind == _CELL:
            while state[_NUM_ACTIVE] > 0:
                state[_NUM_ACTIVE] -= 1
                state[_NUM_CLOSED] -= 1 - active[3, state[_NUM_ACTIVE]]
                if active[0, state[_NUM_ACTIVE]] < 0:
                    break
    state[_TOP] = k


@njit(nogil=True, cache=True)
def _close_before(kind: int, stack: Ints, num_open: Ints, active: Ints, state: Ints) -> None:
    """Close what an opening tag of a kind closes: a paragraph before a block, a list's item before the next."""
    wanted = 0
    for other in range(_NUM_KINDS):
        if (_CLOSES[kind] >> other) & 1:
            wanted += num_open[other]
    if wanted == 0:
        return
    for k in range(state[_TOP] - 1, -1, -1):
        bit = 1 << stack[1, k]
        if bit & _CLOSES[kind]:
            _pop_to(k, stack, num_open, active, state)
            return
        if bit & _STOPS[kind]:
            return


@njit(nogil=True, cache=True)
def _close(name: int, kind: int, in_html: bool, stack: Ints, num_open: Ints, active: Ints, state: Ints) -> None:
    """Follow a closing tag."""
    if kind == _FORMATTING:
        for k in range(state[_NUM_ACTIVE] - 1, -1, -1):
            if active[0, k] < 0:  # the cell that it is in
                break
            if active[0, k] == name:
                serial = active[2, k]
                _remove_active(k, active, state)
                for j in range(state[_TOP] - 1, -1, -1):
                    if stack[1, j] == _FORMATTING and stack[2, j] == serial:
                        _remove_open(j, stack, num_open, state)  # what is inside stays open
                        break
                return
    passed_special = False
    for k in range(state[_TOP] - 1, -1, -1):
        if stack[0, k] == name:
            if name == _FORM:
                _remove_open(k, stack, num_open, state)
            elif not passed_special or (1 << kind) & _SPECIAL:
                _pop_to(k, stack, num_open, active, state)
            return
        if in_html and stack[1, k] == _FOREIGN:  # HTML inside a drawing or formula closes nothing outside of it
            return
        if (1 << stack[1, k]) & _SPECIAL:
            passed_special = True
            if stack[1, k] == _TABLE or (stack[1, k] == _CELL and not (1 << kind) & _IN_TABLE and kind != _TABLE):
                return


@njit(nogil=True, cache=True)
def _remove_open(k: int, stack: Ints, num_open: Ints, state: Ints) -> None:
    num_open[stack[1, k]] -= 1
    for j in range(k, state[_TOP] - 1):
        for row in range(3):
            stack[row, j] = stack[row, j + 1]
    state[_TOP] -= 1


@njit(nogil=True, cache=True)
def _attributes(page: npt.NDArray[np.uint8], i: int) -> Any:
    """From the end of a tag's name to after its `>`; how many attributes were passed."""
    size = len(page)
    count = 0
    while i < size and page[i] != 62:
        if page[i] <= 32 or page[i] == 47:
            i += 1
            continue
        count += 1
        i += 1  # even "=" begins a name here
        while i < size and not (page[i] <= 32 or page[i] == 47 or page[i] == 62 or page[i] == 61):
            i += 1
        while i < size and page[i] <= 32:
            i += 1
        if i < size and page[i] == 61:
            i += 1
            while i < size and page[i] <= 32:
                i += 1
            if i < size and (page[i] == 34 or page[i] == 39):
                quote = page[i]
                i += 1
                while i < size and page[i] != quote:
                    i += 1
                i += 1
            else:
                while i < size and not (page[i] <= 32 or page[i] == 62):
                    i += 1
    return min(i + 1, size), count


@njit(nogil=True, cache=True)
def comment_end(page: npt.NDArray[np.uint8], i: int) -> int:
    """After the `>` that ends the comment whose text starts at `i`: `>` and `->` at once, else `-->` or `--!>`."""
    size = len(page)
    if i < size and page[i] == 62:
        return i + 1
    if i + 1 < size and page[i] == 45 and page[i + 1] == 62:
        return i + 2
    while i + 2 < size:
        if page[i] == 45 and page[i + 1] == 45:
            if page[i + 2] == 62:
                return i + 3
            if page[i + 2] == 33 and i + 3 < size and page[i + 3] == 62:
                return i + 4
        i += 1
    return size


@njit(nogil=True, cache=True)
def raw_end(page: npt.NDArray[np.uint8], i: int, name_start: int, name_end: int) -> int:
    """Where the closing tag of an element that holds only text begins."""
    size = len(page)
    length = name_end - name_start
    while i + length + 1 < size:
        if page[i] == 60 and page[i + 1] == 47:
            same = True
            for k in range(length):
                if page[i + 2 + k] | 32 != page[name_start + k] | 32:
                    same = False
                    break
            after = page[i + 2 + length] if i + 2 + length < size else 62
            if same and (after <= 32 or after == 47 or after == 62):
                return i
        i += 1
    return size
