"""One spelling for what looks the same: what text goes through before anything counts, compares or trains on it."""

import re
import unicodedata

import numpy as np
import numpy.typing as npt

_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile(r"[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# C0 and C1 controls except tab and newline, soft hyphen, zero-width space, word joiner and byte order mark, marks of
# direction, surrogates, noncharacters. The zero-width joiners stay: Persian and Indic text and emoji need them.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
    "\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17))
    + "]"
)
_TRAILING = re.compile(r"(?<![ \t])[ \t]+$", re.MULTILINE)  # tried once a run of spaces: linear time
_BLANK_LINES = re.compile(r"\n{3,}")
_WHITE = re.compile(r"\s+")


_MAX_MARKS = 30


def _mark_table() -> npt.NDArray[np.bool_]:
    """Whether a code point is a combining mark, or decomposes to marks alone. The last entry stands for all beyond."""
    table = np.zeros(0x20000, np.bool_)
    for code in range(0x300, len(table) - 1):
        table[code] = unicodedata.combining(unicodedata.normalize("NFD", chr(code))[0]) != 0
    return table


_IS_MARK = _mark_table()

_LINE_END, _SPACE, _NO_TEXT, _METASPACE, _BEYOND_ASCII, _MARK = (1 << bit for bit in range(6))


def _kind_table() -> npt.NDArray[np.uint8]:
    """The kinds of each code point, as bits."""
    table = np.zeros(0x110000, np.uint8)
    table[0x80:] |= _BEYOND_ASCII
    # Beyond the first plane, the patterns name only the last two of each: a million fewer to try at every start.
    ends = [plane * 0x10000 + end for plane in range(1, 17) for end in (0xFFFE, 0xFFFF)]
    everything = "".join(map(chr, [*range(0x10000), *ends]))
    for pattern, kind in ((_LINE_ENDS, _LINE_END), (_SPACES, _SPACE), (_UNWANTED, _NO_TEXT)):
        table[[ord(found[0]) for found in pattern.finditer(everything)]] |= kind
    table[0x2581] |= _METASPACE
    table[: len(_IS_MARK) - 1][_IS_MARK[:-1]] |= _MARK
    return table


_KINDS = _kind_table()
_ASCII_LINE_ENDS = np.flatnonzero(_KINDS[:0x80] & _LINE_END).astype(np.uint8).tobytes()
_ASCII_NO_TEXT = np.flatnonzero(_KINDS[:0x80] & _NO_TEXT).astype(np.uint8).tobytes()


def normalize(text: str) -> str:
    """Normalised text; normalising it again changes nothing.

    - Unicode normal form C, of at most 30 combining marks in a row;
    - every line end (CR LF, CR, form feed, NEL, the line and paragraph separators) becomes LF;
    - every other space (no-break, thin, ideographic) becomes a plain space;
    - invisible characters go: controls except tab and LF, soft hyphens, zero-width spaces, marks of direction, lone
      surrogates, noncharacters;
    - U+2581, with which SentencePiece writes a space and which it therefore cannot give back, becomes `_`;
    - spaces at line ends go, more than one blank line becomes one, and so do lines and spaces around the text, except
      the indentation of its first line.
    """
    found = _kinds(text)
    if found & _LINE_END:
        text = _LINE_ENDS.sub("\n", text)
    if found & _SPACE:
        text = _SPACES.sub(" ", text)
    if found & _NO_TEXT:
        text = _UNWANTED.sub("", text)
    if found & _METASPACE:
        text = text.replace("\u2581", "_")
    # only now, since taking characters out brings others together that compose
    if found & _MARK:
        text = unicodedata.normalize("NFC", _limit_marks(text))
        text = _limit_marks(text)  # again: a few marks stand for two
    elif found & _BEYOND_ASCII:
        text = unicodedata.normalize("NFC", text)
    if " \n" in text or "\t\n" in text or text.endswith((" ", "\t")):
        text = _TRAILING.sub("", text)
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip("\n")


def _kinds(text: str) -> int:
    """Which kinds of characters a text has, one bit each: most pages have hardly any that need a search."""
    if text.isascii():
        encoded = text.encode()
        found = 0 if len(encoded) == len(encoded.translate(None, _ASCII_LINE_ENDS)) else _LINE_END
        return found if len(encoded) == len(encoded.translate(None, _ASCII_NO_TEXT)) else found | _NO_TEXT
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    return int(np.bitwise_or.reduce(_KINDS[codes]))


def _limit_marks(text: str) -> str:
    """Without what goes beyond 30 combining marks in a row.

    Normal forms take square time in such runs, half a minute for 120 KB. No language stacks more than a few marks;
    Unicode's own bound, for stream-safe text, is 30 (UAX #15, section 13).
    """
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    is_mark = _IS_MARK[np.minimum(codes, len(_IS_MARK) - 1)]
    if np.count_nonzero(is_mark) <= _MAX_MARKS:
        return text
    positions = np.arange(len(codes))
    last_other = np.maximum.accumulate(np.where(is_mark, -1, positions))
    keep = positions - last_other <= _MAX_MARKS
    return text if bool(keep.all()) else codes[keep].tobytes().decode("utf-32-le")


def single_line(text: str, max_chars: int) -> str:
    """Normalised text on one line, white space collapsed, cut to `max_chars` characters: for titles."""
    return _WHITE.sub(" ", normalize(text)).strip()[:max_chars].rstrip()
