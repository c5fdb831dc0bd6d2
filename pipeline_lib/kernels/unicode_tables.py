"""Unicode character classes for kernels, frozen in `unicode_tables.npz`: a new Python does not change a corpus.

The file is made from this module and the running Python's `unicodedata`; to make it anew (and with it another corpus):

    python -m pipeline_lib.kernels.unicode_tables
"""

import sys
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

Classes = npt.NDArray[np.uint8]  # shape (NUM_CODE_POINTS,): the bits below, by code point

SPACE = 1  # str.isspace: where str.split and str.strip cut
ALPHABETIC = 2  # str.isalpha: general category L*
PUNCTUATION = 4
END_MARK = 8  # ends a sentence
DECIMAL = 16  # str.isdecimal: what \d matches
ASSIGNED = 32  # has a meaning in the table's Unicode version

NUM_CODE_POINTS = 0x110000
TABLES_PATH = Path(__file__).with_name("unicode_tables.npz")

_BLOCK = 128

# Ranges of code points, last one included. The marks that datatrove 0.10 (`utils/text.py`) lets a line end with: the
# property Sentence_Terminal of Unicode 15.0, and three Khmer signs.
_END_MARK_RANGES = """
21 2E 3F 589 61D-61F 6D4 700-702 7F9 837 839 83D-83E 964-965 104A-104B 1362 1367-1368 166E 1735-1736 17D4-17D6
17D9-17DA 1803 1809 1944-1945 1AA8-1AAB 1B5A-1B5B 1B5E-1B5F 1B7D-1B7E 1C3B-1C3C 1C7E-1C7F 203C-203D 2047-2049 2E2E
2E3C 2E53-2E54 3002 A4FF A60E-A60F A6F3 A6F7 A876-A877 A8CE-A8CF A92F A9C8-A9C9 AA5D-AA5F AAF0-AAF1 ABEB FE52
FE56-FE57 FF01 FF0E FF1F FF61 10A56-10A57 10F55-10F59 10F86-10F89 11047-11048 110BE-110C1 11141-11143 111C5-111C6
111CD 111DE-111DF 11238-11239 1123B-1123C 112A9 1144B-1144C 115C2-115C3 115C9-115D7 11641-11642 1173C-1173E 11944
11946 11A42-11A43 11A9B-11A9C 11C41-11C42 11EF7-11EF8 11F43-11F44 16A6E-16A6F 16AF5 16B37-16B38 16B44 16E98 1BC9F
1DA88
"""

# What datatrove 0.10 counts as punctuation besides the end marks: all of ASCII's, the control characters but tab and
# line feed, and some more (the fullwidth digit one, U+FF11, is in its list and so in ours).
_PUNCTUATION_RANGES = """
00-08 0B-0C 0D-1F 21-2F 3A-40 5B-60 7B-7E 7F-9F AB B4 BB 2013-2014 2019 201C-201E 2026 2236 2501 25BA 3001 3008-300D
3010-3011 FF05 FF08-FF09 FF0C FF11 FF1A-FF1B FF5E
"""


@lru_cache(maxsize=1)
def character_classes() -> Classes:
    """The frozen table: bits by code point, uint8, shape (0x110000,), read-only."""
    with np.load(TABLES_PATH) as tables:
        classes: Classes = tables["blocks"][tables["block_of"]].reshape(-1)
    classes.flags.writeable = False
    return classes


@lru_cache(maxsize=1)
def unicode_version() -> str:
    """The Unicode version of the frozen table, such as "14.0.0"."""
    with np.load(TABLES_PATH) as tables:
        return str(tables["unicode_version"])


def classes_of_running_python() -> Classes:
    """The table as this Python's `unicodedata` would make it."""
    classes = np.zeros(NUM_CODE_POINTS, np.uint8)
    for code_point in range(NUM_CODE_POINTS):
        character = chr(code_point)
        if unicodedata.category(character) == "Cn":  # not assigned
            continue
        classes[code_point] = (
            ASSIGNED
            | SPACE * character.isspace()
            | ALPHABETIC * character.isalpha()
            | DECIMAL * character.isdecimal()
        )  # fmt: skip
    end_marks = list(_code_points(_END_MARK_RANGES))
    classes[end_marks] |= END_MARK | PUNCTUATION
    classes[list(_code_points(_PUNCTUATION_RANGES))] |= PUNCTUATION
    return classes


def write_tables(path: Path) -> None:
    """Freeze the running Python's classes: blocks of 128 code points, each distinct block once."""
    blocks, block_of = np.unique(classes_of_running_python().reshape(-1, _BLOCK), axis=0, return_inverse=True)
    np.savez_compressed(
        path,
        blocks=blocks,
        block_of=block_of.reshape(-1).astype(np.uint16),
        unicode_version=np.array(unicodedata.unidata_version),
    )


def _code_points(ranges: str) -> Iterable[int]:
    for piece in ranges.split():
        first, _, last = piece.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


if __name__ == "__main__":
    write_tables(TABLES_PATH)
    sys.stdout.write(f"{TABLES_PATH}: Unicode {unicodedata.unidata_version}, {TABLES_PATH.stat().st_size:,} bytes\n")
