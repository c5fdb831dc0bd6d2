"""What a word and a shingle is where texts are ASCII, in plain Python: for oracles, and for peers that want sets."""

import re

NGRAM = 5

_NUMBER = re.compile(r"[0-9]+")
_WORD = re.compile(r"[a-z0-9]+")


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, case folded, a number as one `0`."""
    return _WORD.findall(_NUMBER.sub("0", text.lower()))


def shingles_of(text: str) -> set[str]:
    words = words_of(text)
    return {" ".join(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)}
