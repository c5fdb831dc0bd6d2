"""What is measured of each block for the block model: its text, its place in the tree and on the page, its neighbours.

All features are counts, sums, and quotients of these: no logarithm or other function that differs in its last digit
from one machine to the next. (The model's trees only compare, so that nothing is gained from scaling.)
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.extract.markup_names import CLASS_WORDS, NUM_CLASS_GROUPS, NUM_TEXT_GROUPS, TAG, TEXT_WORDS
from pipeline_lib.extract.page_blocks import (
    ALL_CLASSES,
    AREA,
    AREA_NAMES,
    AREAS,
    CHARS,
    COMMAS,
    DEPTH,
    DIGITS,
    ELEMENT,
    ELEMENT_TAG,
    ENDS,
    FIRST,
    FOREIGN,
    GROUPS,
    INLINE_CLASSES,
    LAST,
    LINK_CHARS,
    LINKS,
    MARKS,
    OWN_CLASSES,
    PARENT,
    PREFORMATTED,
    SIGNATURE,
    START,
    TEXT_HASH,
    TITLE_WORDS,
    UPPERS,
    WORDS,
    Ints,
)

Row = npt.NDArray[np.float32]

_NEIGHBOURS = (-3, -2, -1, 1, 2, 3)
_LEVELS = 4
_PER_NEIGHBOUR = ("chars", "link_ratio", "function_ratio", "heading", "ends", "prose", "steps")
_PER_LEVEL = ("chars", "link_ratio", "blocks", "prose_ratio", "page_ratio", "alike", "function_ratio")
FEATURE_NAMES = (
    *("chars", "words", "link_ratio", "links", "word_chars", "digit_ratio", "upper_ratio", "mark_ratio", "commas"),
    *("ends", "foreign_ratio", "first", "last", "title_words", "title_ratio", "preformatted", "heading", "depth"),
    *("repeats", "prose"),
    *("index", "index_ratio", "from_end", "chars_before_ratio", "byte_ratio", "prose_before_ratio", "from_h1"),
    *("from_heading", "heading_level", "since_prose", "until_prose", "in_prose_range", "in_best", "below_best"),
    *("beside_best", "in_most", "is_first_h1"),
    *("page_chars", "page_blocks", "page_link_ratio", "page_prose_ratio", "page_prose_blocks", "page_articles"),
    *("page_has_main", "page_has_h1", "page_best_ratio", "page_words_per_block", "page_list_ratio"),
    *(f"text_{name}" for name in TEXT_WORDS),
    *(f"area_{name}" for name in AREA_NAMES),
    "area_unseen",
    *(f"class_{name}" for name in CLASS_WORDS),
    *(f"{name}_at_{offset}" for offset in _NEIGHBOURS for name in _PER_NEIGHBOUR),
    *(f"{name}_up_{level}" for level in range(_LEVELS) for name in _PER_LEVEL),
)
NUM_FEATURES = len(FEATURE_NAMES)

_FUNCTION = list(TEXT_WORDS).index("function")
_NUM_AREAS = len(AREA_NAMES) + 1
_HEADINGS = np.int64(sum(1 << AREA[f"h{level}"] for level in range(1, 7)))
_H1_BIT = np.int64(1 << AREA["h1"])
_H1_NUMBER = AREA["h1"]
_MAIN_BIT = np.int64(1 << AREA["main"])
_LI_BIT = np.int64(1 << AREA["li"])
_ARTICLE_TAG = TAG["article"]

# Prose: text that reads like sentences.
_MIN_PROSE_WORDS = 8
_MAX_PROSE_LINK_RATIO = 0.33

# Columns of sums over elements.
_SUM_CHARS, _SUM_LINK_CHARS, _SUM_BLOCKS, _SUM_PROSE, _SUM_WORDS, _SUM_FUNCTION, _NUM_SUMS = range(7)
# Columns of what is known of blocks beyond their counts.
(
    _PROSE,
    _HEADING,
    _REPEATS,
    _SINCE,
    _UNTIL,
    _STEPS,
    _CHARS_BEFORE,
    _PROSE_BEFORE,
    _NUM_EXTRAS,
) = range(9)
# The page's own numbers.
(
    _PAGE_CHARS,
    _PAGE_LINK_CHARS,
    _PAGE_PROSE,
    _PAGE_PROSE_BLOCKS,
    _PAGE_ARTICLES,
    _PAGE_MAIN,
    _FIRST_H1,
    _FIRST_PROSE,
    _LAST_PROSE,
    _BEST,
    _MOST,
    _PAGE_WORDS,
    _PAGE_LIST,
    _PAGE_SIZE,
    _NUM_PAGE,
) = range(15)


@njit(nogil=True, cache=True)
def measure_page(elements: Ints, blocks: Ints, size: int) -> Any:
    """What features of single blocks are made from: sums of elements, how many siblings look like each, marks of the
    ancestors of the element with most prose, more columns of blocks, and the page's own numbers."""
    n, m = len(blocks), len(elements)
    sums = np.zeros((m, _NUM_SUMS), np.int64)
    extras = np.zeros((n, _NUM_EXTRAS), np.int64)
    page = np.zeros(_NUM_PAGE, np.int64)
    scores = np.zeros(m, np.int64)
    page[_FIRST_H1] = page[_FIRST_PROSE] = page[_LAST_PROSE] = -1
    page[_PAGE_SIZE] = size
    repeats = _occurrences(blocks[:, TEXT_HASH])
    last_prose = -1
    for b in range(n):
        block = blocks[b]
        element = block[ELEMENT]
        areas = elements[element, AREAS]
        chars = block[CHARS]
        prose = 1 if _is_prose(block) else 0
        extras[b, _PROSE] = prose
        extras[b, _REPEATS] = repeats[b]
        extras[b, _CHARS_BEFORE] = page[_PAGE_CHARS]
        extras[b, _PROSE_BEFORE] = page[_PAGE_PROSE]
        if areas & _HEADINGS:
            level = 1
            while not areas & (_H1_BIT << (level - 1)):
                level += 1
            extras[b, _HEADING] = level
            if level == 1 and page[_FIRST_H1] < 0:
                page[_FIRST_H1] = b
        extras[b, _STEPS] = _steps(elements, blocks[b - 1, ELEMENT], element) if b > 0 else 0
        extras[b, _SINCE] = b - last_prose if last_prose >= 0 else 99
        sums[element, _SUM_CHARS] += chars
        sums[element, _SUM_LINK_CHARS] += block[LINK_CHARS]
        sums[element, _SUM_BLOCKS] += 1
        sums[element, _SUM_WORDS] += block[WORDS]
        sums[element, _SUM_FUNCTION] += block[GROUPS + _FUNCTION]
        page[_PAGE_CHARS] += chars
        page[_PAGE_WORDS] += block[WORDS]
        page[_PAGE_LINK_CHARS] += block[LINK_CHARS]
        if areas & _MAIN_BIT:
            page[_PAGE_MAIN] = 1
        if areas & _LI_BIT:
            page[_PAGE_LIST] += chars
        if prose:
            sums[element, _SUM_PROSE] += chars
            page[_PAGE_PROSE] += chars
            page[_PAGE_PROSE_BLOCKS] += 1
            if page[_FIRST_PROSE] < 0:
                page[_FIRST_PROSE] = b
            page[_LAST_PROSE] = last_prose = b
            # as Readability does it: to the parent, and half to the parent's parent
            score = 100 + 100 * block[COMMAS] + min(chars, 300)
            parent = elements[element, PARENT]
            if parent >= 0:
                scores[parent] += score
                parent = elements[parent, PARENT]
                if parent >= 0:
                    scores[parent] += score // 2
    next_prose = -1
    for b in range(n - 1, -1, -1):
        extras[b, _UNTIL] = next_prose - b if next_prose >= 0 else 99
        if extras[b, _PROSE]:
            next_prose = b
    for k in range(m - 1, 0, -1):
        parent = elements[k, PARENT]
        for column in range(_NUM_SUMS):
            sums[parent, column] += sums[k, column]
        page[_PAGE_ARTICLES] += elements[k, ELEMENT_TAG] == _ARTICLE_TAG
    best, most = 0, 0
    best_score = -1.0
    for k in range(m):
        if scores[k] > 0:
            score = scores[k] * (1.0 - sums[k, _SUM_LINK_CHARS] / max(sums[k, _SUM_CHARS], 1))
            if score > best_score:
                best, best_score = k, score
        if 10 * sums[k, _SUM_PROSE] >= 7 * page[_PAGE_PROSE]:
            most = k  # the last in order is the deepest that holds so much
    page[_BEST], page[_MOST] = best, most
    marks = np.zeros(m, np.int64)
    k = best
    while k >= 0:
        marks[k] = 1
        k = elements[k, PARENT]
    return sums, _occurrences(elements[:, SIGNATURE]), marks, extras, page


@njit(nogil=True, cache=True)
def _is_prose(block: Ints) -> bool:
    words = block[WORDS]
    enough = words >= _MIN_PROSE_WORDS or (3 * block[FOREIGN] > 2 * block[CHARS] and block[CHARS] >= 30)
    linked = block[LINK_CHARS] > _MAX_PROSE_LINK_RATIO * block[CHARS]
    return bool(enough and not linked and block[ENDS] + block[COMMAS] > 0)


@njit(nogil=True, cache=True)
def _occurrences(hashes: Ints) -> Ints:
    """How often each value occurs among them."""
    n = len(hashes)
    num_slots = 16
    while num_slots < 2 * n:
        num_slots *= 2
    first = np.full(num_slots, -1, np.int64)
    counts = np.zeros(n, np.int64)
    slot_of = np.zeros(n, np.int64)
    for k in range(n):
        slot = (hashes[k] ^ (hashes[k] >> 29)) & (num_slots - 1)
        while first[slot] >= 0 and hashes[first[slot]] != hashes[k]:
            slot = (slot + 1) & (num_slots - 1)
        if first[slot] < 0:
            first[slot] = k
        slot_of[k] = slot
        counts[first[slot]] += 1
    result = np.zeros(n, np.int64)
    for k in range(n):
        result[k] = counts[first[slot_of[k]]]
    return result


@njit(nogil=True, cache=True)
def _steps(elements: Ints, a: int, b: int) -> int:
    """How many elements lie between two elements, over the nearest that holds both."""
    steps = 0
    while a != b:
        if a > b:
            a = elements[a, PARENT]
        else:
            b = elements[b, PARENT]
        steps += 1
    return steps


@njit(nogil=True, cache=True)
def fill_row(
    b: int, elements: Ints, blocks: Ints, sums: Ints, alike: Ints, marks: Ints, extras: Ints, page: Ints, row: Row
) -> None:
    """Features of block `b`, in the order of `FEATURE_NAMES`."""
    n = len(blocks)
    block = blocks[b]
    element = block[ELEMENT]
    chars = max(block[CHARS], 1)
    words = max(block[WORDS], 1)
    k = 0
    k = _put(row, k, block[CHARS])
    k = _put(row, k, block[WORDS])
    k = _put(row, k, block[LINK_CHARS] / chars)
    k = _put(row, k, block[LINKS])
    k = _put(row, k, block[CHARS] / words)
    k = _put(row, k, block[DIGITS] / chars)
    k = _put(row, k, block[UPPERS] / chars)
    k = _put(row, k, block[MARKS] / words)
    k = _put(row, k, block[COMMAS])
    k = _put(row, k, block[ENDS])
    k = _put(row, k, block[FOREIGN] / chars)
    k = _put(row, k, _character(block[FIRST]))
    k = _put(row, k, _character(block[LAST]))
    k = _put(row, k, block[TITLE_WORDS])
    k = _put(row, k, block[TITLE_WORDS] / words)
    k = _put(row, k, block[PREFORMATTED])
    k = _put(row, k, extras[b, _HEADING])
    k = _put(row, k, elements[element, DEPTH])
    k = _put(row, k, min(extras[b, _REPEATS], 20))
    k = _put(row, k, extras[b, _PROSE])
    k = _put(row, k, min(b, 200))
    k = _put(row, k, b / n)
    k = _put(row, k, min(n - 1 - b, 200))
    k = _put(row, k, extras[b, _CHARS_BEFORE] / max(page[_PAGE_CHARS], 1))
    k = _put(row, k, block[START] / max(page[_PAGE_SIZE], 1))
    k = _put(row, k, extras[b, _PROSE_BEFORE] / max(page[_PAGE_PROSE], 1))
    h1 = page[_FIRST_H1]
    row[k] = min(max(b - h1, -50), 200) if h1 >= 0 else -99
    k += 1
    distance = 0
    level = 0
    while distance <= 10 and b - distance >= 0:
        if extras[b - distance, _HEADING]:
            level = extras[b - distance, _HEADING]
            break
        distance += 1
    k = _put(row, k, distance)
    k = _put(row, k, level)
    k = _put(row, k, min(extras[b, _SINCE], 30))
    k = _put(row, k, min(extras[b, _UNTIL], 30))
    k = _put(row, k, 1 if page[_FIRST_PROSE] <= b <= page[_LAST_PROSE] else 0)
    up = element
    up_steps = 0
    while not marks[up]:
        up = elements[up, PARENT]
        up_steps += 1
    row[k] = 1 if up == page[_BEST] else 0
    row[k + 1] = up_steps
    row[k + 2] = elements[page[_BEST], DEPTH] - elements[up, DEPTH]
    up = element
    while up > page[_MOST]:
        up = elements[up, PARENT]
    row[k + 3] = 1 if up == page[_MOST] else 0
    row[k + 4] = 1 if b == h1 else 0
    k += 5
    page_chars = max(page[_PAGE_CHARS], 1)
    k = _put(row, k, page[_PAGE_CHARS])
    k = _put(row, k, n)
    k = _put(row, k, page[_PAGE_LINK_CHARS] / page_chars)
    k = _put(row, k, page[_PAGE_PROSE] / page_chars)
    k = _put(row, k, page[_PAGE_PROSE_BLOCKS])
    k = _put(row, k, min(page[_PAGE_ARTICLES], 50))
    k = _put(row, k, page[_PAGE_MAIN])
    k = _put(row, k, 1 if h1 >= 0 else 0)
    k = _put(row, k, sums[page[_BEST], _SUM_PROSE] / max(page[_PAGE_PROSE], 1))
    k = _put(row, k, page[_PAGE_WORDS] / n)
    k = _put(row, k, page[_PAGE_LIST] / page_chars)
    for group in range(NUM_TEXT_GROUPS):
        row[k] = block[GROUPS + group] / words
        k += 1
    areas = elements[element, AREAS]
    for area in range(_NUM_AREAS):
        row[k] = (areas >> area) & 1
        k += 1
    everywhere = elements[element, ALL_CLASSES] | block[INLINE_CLASSES]
    here = elements[element, OWN_CLASSES] | block[INLINE_CLASSES]
    near = here
    up = element
    for _ in range(2):
        if elements[up, PARENT] >= 0:
            up = elements[up, PARENT]
            near |= elements[up, OWN_CLASSES]
    for group in range(NUM_CLASS_GROUPS):
        row[k] = ((everywhere >> group) & 1) + ((near >> group) & 1) + ((here >> group) & 1)
        k += 1
    for offset in _NEIGHBOURS:
        other = b + offset
        if 0 <= other < n:
            neighbour = blocks[other]
            row[k] = neighbour[CHARS]
            row[k + 1] = neighbour[LINK_CHARS] / max(neighbour[CHARS], 1)
            row[k + 2] = neighbour[GROUPS + _FUNCTION] / max(neighbour[WORDS], 1)
            row[k + 3] = extras[other, _HEADING]
            row[k + 4] = neighbour[ENDS]
            row[k + 5] = extras[other, _PROSE]
            steps = 0
            for between in range(min(b, other) + 1, max(b, other) + 1):
                steps = max(steps, extras[between, _STEPS])
            row[k + 6] = steps
        else:
            row[k : k + len(_PER_NEIGHBOUR)] = -1
        k += len(_PER_NEIGHBOUR)
    up = element
    for _ in range(_LEVELS):
        if up >= 0:
            of = sums[up]
            row[k] = of[_SUM_CHARS]
            row[k + 1] = of[_SUM_LINK_CHARS] / max(of[_SUM_CHARS], 1)
            row[k + 2] = of[_SUM_BLOCKS]
            row[k + 3] = of[_SUM_PROSE] / max(of[_SUM_CHARS], 1)
            row[k + 4] = of[_SUM_CHARS] / page_chars
            row[k + 5] = min(alike[up], 50) if up > 0 else 1
            row[k + 6] = of[_SUM_FUNCTION] / max(of[_SUM_WORDS], 1)
            up = elements[up, PARENT]
        else:
            row[k : k + len(_PER_LEVEL)] = -1
        k += len(_PER_LEVEL)


@njit(nogil=True, cache=True)
def _put(row: Row, k: int, value: float) -> int:
    row[k] = value
    return k + 1


@njit(nogil=True, cache=True)
def _character(byte: int) -> int:
    """What a text begins or ends with: 1 a small letter, 2 a capital, 3 a digit, 4 the end of a sentence, 5 a colon,
    6 another sign, 7 beyond ASCII."""
    if byte >= 128:
        return 7
    if 97 <= byte <= 122:
        return 1
    if 65 <= byte <= 90:
        return 2
    if 48 <= byte <= 57:
        return 3
    if byte == 46 or byte == 33 or byte == 63:
        return 4
    return 5 if byte == 58 else 6


@njit(nogil=True, cache=True)
def all_rows(elements: Ints, blocks: Ints, size: int) -> Any:
    """Features of all blocks of a page, float32, shape (blocks, features): for training."""
    rows = np.zeros((len(blocks), NUM_FEATURES), np.float32)
    if len(blocks) > 0:
        sums, alike, marks, extras, page = measure_page(elements, blocks, size)
        for b in range(len(blocks)):
            fill_row(b, elements, blocks, sums, alike, marks, extras, page, rows[b])
    return rows
