"""Which bytes of a text each of its tokens stands for."""

import numpy as np
import numpy.typing as npt

from pipeline_lib.tokenizer.model import SPACE, Tokenizer
from storage.tables import DamagedFile

_SPACE_BYTES = SPACE.encode()
_SHORTER = len(_SPACE_BYTES) - 1  # a U+2581 in a text is spelled as the space it becomes


def token_spans(tokenizer: Tokenizer, ids: npt.ArrayLike, text: bytes) -> npt.NDArray[np.int64]:
    """Where the tokens of a text begin and end in its UTF-8 bytes, shape (tokens, 2).

    Tokens follow each other without a gap; special ones are empty: `<s>` at 0, `</s>` at the end. A token of one byte
    of a character that has no piece of its own begins or ends within that character.

    Raises:
        DamagedFile: the tokens spell another number of bytes than the text has.
    """
    ends = np.cumsum(tokenizer.token_bytes()[np.asarray(ids, np.int64)], dtype=np.int64)
    bounds = np.concatenate(([0], ends))
    if _SPACE_BYTES in text:
        places = _places(text, _SPACE_BYTES)
        spelled = places - _SHORTER * np.arange(len(places))
        bounds = bounds + _SHORTER * np.searchsorted(spelled, bounds, side="left")
    if bounds[-1] != len(text):
        raise DamagedFile(f"{len(ends)} tokens spell {bounds[-1]} bytes, the text has {len(text)}: it is another text")
    return np.stack((bounds[:-1], bounds[1:]), axis=1)


def _places(text: bytes, wanted: bytes) -> npt.NDArray[np.int64]:
    found = []
    at = text.find(wanted)
    while at >= 0:
        found.append(at)
        at = text.find(wanted, at + len(wanted))
    return np.array(found, np.int64)
