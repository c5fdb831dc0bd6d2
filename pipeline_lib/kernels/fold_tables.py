"""How shingles see a character: folded to its base letters, a digit, a word of its own, a separator, or nothing.

The tables are frozen in `fold_tables.npz`: a Python with a newer Unicode must not change what counts as a duplicate.
`python -m pipeline_lib.kernels.fold_tables` writes them anew from the Unicode data of the running Python.

Folding is Unicode case folding and canonical decomposition (NFD) without the marks (categories Mn, Me). Characters of
scripts that are written without spaces between words stand each as a word of their own, since otherwise a whole clause
of Chinese or Thai would be one word.
"""

import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# compiled into the kernels of shingles.py: change them only together with it
SEPARATOR, LETTER, SEQUENCE, DIGIT, SOLO, IGNORED = range(6)

_PATH = Path(__file__).with_suffix(".npz")
_NUM_CODE_POINTS = 0x110000
_IGNORED_CATEGORIES = frozenset({"Mn", "Me", "Cf"})  # marks, and format characters such as the soft hyphen
_SEPARATOR_CATEGORIES = frozenset({"Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So"}) | frozenset(
    {"Zs", "Zl", "Zp", "Cc", "Cs", "Co"}
)
_SOLO_NAMES = (
    "CJK UNIFIED IDEOGRAPH",
    "CJK COMPATIBILITY IDEOGRAPH",
    "HIRAGANA",
    "KATAKANA",
    "HALFWIDTH KATAKANA",
    "THAI CHARACTER",
    "LAO",
    "KHMER",
    "MYANMAR",
)


class FoldTables(NamedTuple):
    """What kernels take.

    Attributes:
        ascii: uint8 (128,): the folded character; 0 for separators.
        kinds: uint8 (0x110000,): SEPARATOR .. IGNORED, by code point.
        folded: int32 (0x110000,): the folded code point of a LETTER or SOLO, the ASCII digit of a DIGIT, for a
            SEQUENCE the place in `sequences` of its length, which its code points follow; else 0.
        sequences: int32.
    """

    ascii: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.uint8]
    folded: npt.NDArray[np.int32]
    sequences: npt.NDArray[np.int32]


@cache
def fold_tables() -> FoldTables:
    """The frozen tables."""
    with np.load(_PATH) as stored:
        return FoldTables(
            ascii=stored["ascii"],
            kinds=stored["kinds"],
            folded=np.cumsum(stored["folded_steps"], dtype=np.int32),
            sequences=stored["sequences"],
        )


def build_fold_tables() -> FoldTables:
    """The tables according to the Unicode data of the running Python."""
    kinds = np.zeros(_NUM_CODE_POINTS, np.uint8)
    folded = np.zeros(_NUM_CODE_POINTS, np.int32)
    sequences = [0]
    for code in range(_NUM_CODE_POINTS):
        character = chr(code)
        kind, letters = _classify(character)
        kinds[code] = kind
        if len(letters) == 1:
            folded[code] = ord(letters)
        elif letters:
            folded[code] = len(sequences)
            sequences += [len(letters), *map(ord, letters)]
    ascii_folded = np.where(kinds[:128] == SEPARATOR, 0, folded[:128]).astype(np.uint8)
    return FoldTables(ascii=ascii_folded, kinds=kinds, folded=folded, sequences=np.array(sequences, np.int32))


def _classify(character: str) -> tuple[int, str]:
    category = unicodedata.category(character)
    if category in _IGNORED_CATEGORIES:
        return IGNORED, ""
    if category in _SEPARATOR_CATEGORIES:
        return SEPARATOR, ""
    decimal = unicodedata.decimal(character, None)
    if decimal is not None:
        return DIGIT, str(decimal)
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFD", character).casefold())
    dropped = _IGNORED_CATEGORIES | _SEPARATOR_CATEGORIES
    letters = "".join(letter for letter in decomposed if unicodedata.category(letter) not in dropped)
    if not letters:
        return IGNORED, ""
    if len(letters) > 1:
        return SEQUENCE, letters
    return (SOLO if unicodedata.name(character, "").startswith(_SOLO_NAMES) else LETTER), letters


def write_fold_tables() -> None:
    """Write `fold_tables.npz` anew: what it changes, it changes in every corpus made after."""
    tables = build_fold_tables()
    # most characters fold to themselves: the steps between neighbours compress to a fortieth of the values
    np.savez_compressed(
        _PATH,
        ascii=tables.ascii,
        kinds=tables.kinds,
        folded_steps=np.diff(tables.folded, prepend=np.int32(0)),
        sequences=tables.sequences,
    )


if __name__ == "__main__":
    write_fold_tables()
