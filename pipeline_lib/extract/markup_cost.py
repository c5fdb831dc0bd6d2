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

_MAX_STACK = 4096  # deeper is not followed: far beyond any sensible limit
_MAX_ACTIVE = 512
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
    _CLOSES[_kind], _STOPS[_kind] = _closed, _SPECIAL & ~_closed & ~_passed
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


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkupCost:
    """Estimates of what a parser would build.

    Attributes:
        depth: of the deepest element, at most 4096.
        attributes: of the tag with most.
        options: elements `option`.
        reopened: formatting elements that blocks open again; 512 unclosed at once count as a thousand million.
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
    names = np.zeros(_MAX_STACK, np.int64)
    kinds = np.zeros(_MAX_STACK, np.int64)
    num_open = np.zeros(_NUM_KINDS, np.int64)
    top = 0
    active_names = np.zeros(_MAX_ACTIVE, np.int64)
    active_tags = np.zeros(_MAX_ACTIVE, np.int64)
    num_active = 0
    max_depth = max_attributes = options = reopened = 0
    i = 0
    while i < size:
        if page[i] != 60:  # <
            i += 1
            continue
        i += 1
        if i >= size:
            break
        closing = page[i] == 47  # /
        if closing:
            i += 1
        first = page[i] | 32 if i < size else 0
        if not 97 <= first <= 122:
            if not closing and i + 2 < size and page[i] == 33 and page[i + 1] == 45 and page[i + 2] == 45:
                i = _comment_end(page, i + 3)
            elif closing or (i < size and (page[i] == 33 or page[i] == 63)):  # ! ?
                while i < size and page[i] != 62:
                    i += 1
            continue
        name = 0
        tag_start = i
        while i < size and not (page[i] <= 32 or page[i] == 47 or page[i] == 62):
            byte = page[i] | 32 if 65 <= page[i] <= 90 else page[i]
            name = (name * 257 + byte) % (1 << 31)
            i += 1
        name_end = i
        i, attributes = _attributes(page, i)
        max_attributes = max(max_attributes, attributes)
        slot = name % _NUM_SLOTS
        kind = _KINDS[slot] if _HASHES[slot] == name else _OTHER
        foreign = _foreign_root(names, kinds, top) if num_open[_FOREIGN] > 0 else -1
        while foreign >= 0 and (kind == _P if closing else (1 << kind) & _BREAKOUT and name != _A):
            top, num_active = _pop_to(foreign, top, names, kinds, num_open, active_names, num_active)
            foreign = _foreign_root(names, kinds, top)
        if foreign >= 0 and not (1 << kind) & _IN_FOREIGN:
            kind = _OTHER
        if kind in (_ONCE, _HEAD_BODY):  # there is one of each, whatever the page says
            continue

        if closing:
            if kind == _FORMATTING:
                for k in range(num_active - 1, -1, -1):
                    if active_names[k] == name:
                        active_names[k : num_active - 1] = active_names[k + 1 : num_active].copy()
                        active_tags[k : num_active - 1] = active_tags[k + 1 : num_active].copy()
                        num_active -= 1
                        break
                    if active_names[k] < 0:  # the cell that it is in
                        break
            passed_special = False
            for k in range(top - 1, -1, -1):
                if names[k] == name:
                    if kind == _FORMATTING or name == _FORM:
                        # what is inside stays open or is opened again, and so does its depth
                        num_open[kinds[k]] -= 1
                        names[k : top - 1] = names[k + 1 : top].copy()
                        kinds[k : top - 1] = kinds[k + 1 : top].copy()
                        top -= 1
                    elif not passed_special or (1 << kind) & _SPECIAL:
                        top, num_active = _pop_to(k, top, names, kinds, num_open, active_names, num_active)
                    break
                if (1 << kinds[k]) & _SPECIAL:
                    passed_special = True
                    if kinds[k] == _TABLE or (kinds[k] == _CELL and kind not in (_CELL, _ROW, _ROWS, _TABLE)):
                        break
            continue

        if (foreign >= 0 or kind == _FOREIGN) and page[i - 2] == 47:  # only there does "/>" close an element
            continue
        if (1 << kind) & _IN_TABLE and num_open[_TABLE] == 0:  # passed over by parsers
            continue
        if kind in (_VOID, _EMPTY):
            reopened += num_active
            continue
        if kind == _RAW:
            reopened += num_active
            i = _raw_end(page, i, tag_start, name_end)
            continue
        if kind == _OPTION:
            options += 1
            if top > 0 and kinds[top - 1] == _OPTION:
                top -= 1
                num_open[_OPTION] -= 1
        if _CLOSES[kind]:
            wanted = False
            for other in range(_NUM_KINDS):
                if (_CLOSES[kind] >> other) & 1 and num_open[other] > 0:
                    wanted = True
            if wanted:
                for k in range(top - 1, -1, -1):
                    if (1 << kinds[k]) & _CLOSES[kind]:
                        top, num_active = _pop_to(k, top, names, kinds, num_open, active_names, num_active)
                        break
                    if (1 << kinds[k]) & _STOPS[kind]:
                        break
        reopened += num_active
        if top < _MAX_STACK:
            names[top] = name
            kinds[top] = kind
            num_open[kind] += 1
            top += 1
        if kind == _FORMATTING:
            tag = 0
            for k in range(tag_start, i):
                tag = (tag * 1_000_003 + page[k]) % (1 << 62)
            same = 0
            earliest = -1
            for k in range(num_active - 1, -1, -1):
                if active_names[k] < 0:
                    break
                if active_tags[k] == tag:
                    same += 1
                    earliest = k
            if same >= 3:  # the standard keeps three of a kind
                active_names[earliest : num_active - 1] = active_names[earliest + 1 : num_active].copy()
                active_tags[earliest : num_active - 1] = active_tags[earliest + 1 : num_active].copy()
                num_active -= 1
            if num_active == _MAX_ACTIVE:
                return max_depth, max_attributes, options, 1_000_000_000
            active_names[num_active] = name
            active_tags[num_active] = tag
            num_active += 1
        elif kind == _CELL and num_active < _MAX_ACTIVE:
            active_names[num_active] = -1
            num_active += 1
        max_depth = max(max_depth, top + num_active if kind != _FORMATTING else top)
    return max_depth, max_attributes, options, reopened


@njit(nogil=True, cache=True)
def _foreign_root(names: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64], top: int) -> int:
    """Where the drawing or formula that the parser is in starts on the stack; -1 where it is in HTML."""
    in_svg_html = in_math_html = False
    for k in range(top - 1, -1, -1):
        if kinds[k] == _FOREIGN:
            return -1 if (in_svg_html if names[k] == _SVG else in_math_html) else k
        in_svg_html = in_svg_html or kinds[k] == _SVG_HTML or names[k] == _TITLE
        in_math_html = in_math_html or kinds[k] == _MATH_HTML
    return -1


@njit(nogil=True, cache=True)
def _pop_to(
    k: int,
    top: int,
    names: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.int64],
    num_open: npt.NDArray[np.int64],
    active_names: npt.NDArray[np.int64],
    num_active: int,
) -> Any:
    """Close the element at `k` of the stack and all inside it.

    A closed cell forgets its formatting; formatting that is not forgotten is opened again by what comes next.
    """
    formatting = 0
    for j in range(top - 1, k - 1, -1):
        num_open[kinds[j]] -= 1
        formatting += kinds[j] == _FORMATTING
        if kinds[j] == _CELL:
            while num_active > 0:
                num_active -= 1
                if active_names[num_active] < 0:
                    break
    forgotten = max(0, formatting - num_active)
    kept = k
    for j in range(k, top):
        if kinds[j] == _FORMATTING:
            if forgotten > 0:
                forgotten -= 1
                continue
            names[kept], kinds[kept] = names[j], kinds[j]
            num_open[_FORMATTING] += 1
            kept += 1
    return kept, num_active


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
def _comment_end(page: npt.NDArray[np.uint8], i: int) -> int:
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
def _raw_end(page: npt.NDArray[np.uint8], i: int, name_start: int, name_end: int) -> int:
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
