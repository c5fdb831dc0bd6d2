"""Replace byte ranges in a column of texts, all at once."""

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets


@njit(nogil=True, cache=True)
def splice(
    data: Bytes,
    offsets: Offsets,
    edit_offsets: Offsets,
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    replacement_data: Bytes,
    replacement_offsets: Offsets,
) -> tuple[Bytes, Offsets]:
    """Texts with the bytes [starts[e], ends[e]) of each replaced by replacement e.

    Args:
        data, offsets: the texts, N of them.
        edit_offsets: int64 (N + 1,): text i has the edits edit_offsets[i] .. edit_offsets[i + 1], ordered by start and
            not overlapping.
        starts, ends: int64 (E,): byte positions within the text.
        replacement_data, replacement_offsets: the replacements, E of them.

    Returns:
        The new texts, as data and offsets starting at 0.
    """
    num_texts = offsets.shape[0] - 1
    new_offsets = np.zeros(num_texts + 1, np.int64)
    for i in range(num_texts):
        length = offsets[i + 1] - offsets[i]
        for e in range(edit_offsets[i], edit_offsets[i + 1]):
            length += (replacement_offsets[e + 1] - replacement_offsets[e]) - (ends[e] - starts[e])
        new_offsets[i + 1] = new_offsets[i] + length
    new_data = np.empty(new_offsets[num_texts], np.uint8)
    for i in range(num_texts):
        source, target = offsets[i], new_offsets[i]
        for e in range(edit_offsets[i], edit_offsets[i + 1]):
            upto = offsets[i] + starts[e]
            new_data[target : target + upto - source] = data[source:upto]
            target += upto - source
            length = replacement_offsets[e + 1] - replacement_offsets[e]
            new_data[target : target + length] = replacement_data[replacement_offsets[e] : replacement_offsets[e + 1]]
            target += length
            source = offsets[i] + ends[e]
        new_data[target : target + offsets[i + 1] - source] = data[source : offsets[i + 1]]
    return new_data, new_offsets
