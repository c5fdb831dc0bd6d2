"""The language of a text, told by py3langid from a bounded sample of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from py3langid.langid import MODEL_FILE, LanguageIdentifier

UNDETERMINED = "und"


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """ISO 639 code, and its probability among the languages that the model knows (0 to 1, to six places)."""

    code: str
    score: float


def identify(text: str, sample_bytes: int) -> Language:
    """The language of a text; `und` with score 0 where it has no letters. Safe to call from several threads."""
    sample = sample_text(text, sample_bytes)
    if not any(character.isalpha() for character in sample):
        return Language(code=UNDETERMINED, score=0.0)
    code, score = _identifier().classify(sample)
    return Language(code=code, score=round(float(score), 6))


def sample_text(text: str, num_bytes: int) -> str:
    """At most about `num_bytes` UTF-8 bytes of a text: a third each from its start, its middle and its end.

    Short texts are taken whole. The pieces are cut at characters, not at words.
    """
    size = len(text.encode())
    if size <= num_bytes:
        return text
    piece = max(1, len(text) * num_bytes // size // 3)
    middle = (len(text) - piece) // 2
    return f"{text[:piece]} {text[middle : middle + piece]} {text[-piece:]}"


class _Identifier(LanguageIdentifier):  # type: ignore[misc]  # py3langid has no types
    """py3langid with sums in float64.

    Its own are float32, and their last digits depend on the processor that the linear algebra library finds; in
    float64 such differences are far below the six places that we keep.
    """

    __slots__ = ()

    def _sparse_score(self, visits: Mapping[int, int], table: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
        rows = table[np.fromiter(visits.keys(), np.intp, count=len(visits))].astype(np.float64)
        counts = np.fromiter(visits.values(), np.float64, count=len(visits))
        scores: Any = np.log1p(counts) @ rows + self.nb_pc
        return scores  # type: ignore[no-any-return]  # py3langid has no types


@lru_cache(maxsize=1)
def _identifier() -> _Identifier:
    identifier: _Identifier = _Identifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier
