"""What Python's string methods say of characters, as DCLM's filters ask it; frozen in `dclm_characters.npz`.

The classes of `unicode_tables` are part of it, so that a kernel takes one table. To make the file anew (and with it
another corpus):

    python -m pipeline_lib.kernels.dclm_characters
"""

import sys
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes
from pipeline_lib.kernels.unicode_tables import NUM_CODE_POINTS, character_classes
from pipeline_lib.kernels.utf8 import code_point_at
from pipeline_lib.kernels.word_bounds import next_word

CharacterClasses = npt.NDArray[Any]  # uint16 by code point: the bits of `unicode_tables`, and those below
CodePoints = npt.NDArray[np.int32]  # by code point: another one

ALPHANUMERIC = 64  # str.isalnum; with `_`, what \w matches
UPPERCASE = 128  # str.isupper
DIGIT = 256  # str.isdigit: superscripts and circled digits too

TABLES_PATH = Path(__file__).with_name("dclm_characters.npz")

_NEW_BITS_FROM = 6
_DOTLESS_I, _DOTTED_I = 0x131, 0x130
_UNDERSCORE = 0x5F


@lru_cache(maxsize=1)
def dclm_classes() -> CharacterClasses:
    """Bits by code point, shape (0x110000,), read-only."""
    with np.load(TABLES_PATH) as tables:
        bits = np.repeat(tables["bits"], np.diff(tables["bits_from"], append=NUM_CODE_POINTS))
    classes: CharacterClasses = character_classes() | bits.astype(np.uint16) << _NEW_BITS_FROM
    classes.flags.writeable = False
    return classes


@lru_cache(maxsize=1)
def lower_case() -> CodePoints:
    """The code point that str.lower makes of one, where it makes just one; else the same."""
    with np.load(TABLES_PATH) as tables:
        return _mapping(tables["lower_of"], tables["lower"])


@lru_cache(maxsize=1)
def ignored_case() -> CodePoints:
    """Equal for code points that Python's `re.IGNORECASE` takes for equal."""
    with np.load(TABLES_PATH) as tables:
        return _mapping(tables["folded_of"], tables["folded"])


@njit(nogil=True, cache=True)
def is_word_character(code_point: int, classes: CharacterClasses) -> bool:
    """What `\\w` matches."""
    return classes[code_point] & ALPHANUMERIC != 0 or code_point == _UNDERSCORE


@njit(nogil=True, cache=True)
def next_dclm_word(data: Bytes, start: int, end: int, classes: CharacterClasses, punct: bool) -> tuple[int, int, int]:
    """The first word in [start, end) that DCLM counts, one whose first character is a letter or a digit.

    punct: words as `punct_words` cuts them, else those of str.split.

    Returns:
        Where it begins, where it ends, and its characters; (end, end, 0): there is none.
    """
    i = start
    while True:
        word_start, word_end, num_chars = next_word(data, i, end, classes, punct)
        if word_start == end:
            return end, end, 0
        first, _ = code_point_at(data, word_start)
        if classes[first] & ALPHANUMERIC:
            return word_start, word_end, num_chars
        i = word_end


def _mapping(codes: npt.NDArray[np.int32], values: npt.NDArray[np.int32]) -> CodePoints:
    table = np.arange(NUM_CODE_POINTS, dtype=np.int32)
    table[codes] = values
    table.flags.writeable = False
    return table


def write_tables(path: Path) -> None:
    """Freeze what the running Python says."""
    bits = np.zeros(NUM_CODE_POINTS, np.uint8)
    lower: dict[int, int] = {}
    folded: dict[int, int] = {}
    for code_point in range(NUM_CODE_POINTS):
        character = chr(code_point)
        if unicodedata.category(character) == "Cn":  # not assigned
            continue
        bits[code_point] = (
            ALPHANUMERIC * character.isalnum() | UPPERCASE * character.isupper() | DIGIT * character.isdigit()
        ) >> _NEW_BITS_FROM
        if len(character.lower()) == 1 and character.lower() != character:
            lower[code_point] = ord(character.lower())
        folds_to = character.casefold() if len(character.casefold()) == 1 else character.lower()
        if code_point in (_DOTLESS_I, _DOTTED_I):
            folds_to = "i"
        if len(folds_to) == 1 and folds_to != character:
            folded[code_point] = ord(folds_to)
    bits_from = np.flatnonzero(np.diff(bits, prepend=np.uint8(255)))
    np.savez_compressed(
        path,
        bits=bits[bits_from],
        bits_from=bits_from.astype(np.int32),
        lower_of=np.array(list(lower), np.int32),
        lower=np.array(list(lower.values()), np.int32),
        folded_of=np.array(list(folded), np.int32),
        folded=np.array(list(folded.values()), np.int32),
        unicode_version=np.array(unicodedata.unidata_version),
    )


if __name__ == "__main__":
    write_tables(TABLES_PATH)
    sys.stdout.write(f"{TABLES_PATH}: Unicode {unicodedata.unidata_version}, {TABLES_PATH.stat().st_size:,} bytes\n")
