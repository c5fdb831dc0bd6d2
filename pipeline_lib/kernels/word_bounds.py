"""Where the words of a text are, by either word definition, for kernels that walk them."""

from numba import njit

from pipeline_lib.kernels.arrow import Bytes
from pipeline_lib.kernels.punct_words import next_word as next_punct_word
from pipeline_lib.kernels.unicode_tables import SPACE, Classes
from pipeline_lib.kernels.utf8 import code_point_at, count_chars, skip_space


@njit(nogil=True, cache=True)
def next_word(data: Bytes, start: int, end: int, classes: Classes, punct: bool) -> tuple[int, int, int]:
    """The first word in [start, end): where it begins and ends, and its characters; (end, end, 0): there is none.

    `start` is the start of the text, or the end of the word before. `punct`: words as `punct_words` cuts them, else
    those of `str.split`.
    """
    if punct:
        word_start, word_end = next_punct_word(data, start, end, classes)
        return word_start, word_end, count_chars(data, word_start, word_end)
    word_start = i = skip_space(data, start, end, classes)
    num_chars = 0
    while i < end:
        code_point, width = code_point_at(data, i)
        if classes[code_point] & SPACE:
            break
        num_chars += 1
        i += width
    return word_start, i, num_chars
