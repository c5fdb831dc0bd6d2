"""The language of a text, told by py3langid from a bounded sample of it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from py3langid.langid import MODEL_FILE, LanguageIdentifier

UNDETERMINED = "und"

Moves = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]


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
    """py3langid with its walk over the bytes compiled, and with sums in float64.

    Its own sums are float32, and their last digits depend on the processor that the linear algebra library finds; in
    float64 such differences are far below the six places that we keep.
    """

    __slots__ = ("_automaton",)
    _automaton: tuple[Moves, Places, Places]

    def _raw_score(self, text: bytes) -> npt.NDArray[np.float64]:
        features, counts = _count_features(np.frombuffer(text, np.uint8), *self._automaton)
        if not len(features):
            return np.zeros(len(self.nb_classes), np.float64)
        scores: Any = np.log1p(counts) @ self.nb_ptc[features].astype(np.float64) + self.nb_pc
        return scores  # type: ignore[no-any-return]  # py3langid has no types


@njit(nogil=True, cache=True)
def _count_features(
    text: npt.NDArray[np.uint8], moves: Moves, rows: Places, outputs: Places
) -> tuple[Places, npt.NDArray[np.float64]]:
    """The features that the automaton meets in a text, in order of their numbers, and how often it meets each."""
    met = np.empty(len(text), np.int64)
    num_met = 0
    state = np.int64(0)
    for byte in text:
        state = np.int64(moves[rows[state] + byte])
        if outputs[state] >= 0:
            met[num_met] = outputs[state]
            num_met += 1
    met = np.sort(met[:num_met])
    counts = np.empty(num_met, np.float64)
    num_features = 0
    for i in range(num_met):
        if i > 0 and met[i] == met[num_features - 1]:
            counts[num_features - 1] += 1
        else:
            met[num_features] = met[i]
            counts[num_features] = 1
            num_features += 1
    return met[:num_features], counts[:num_features]


@lru_cache(maxsize=1)
def _identifier() -> _Identifier:
    identifier: _Identifier = _Identifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier._automaton = (
        np.frombuffer(identifier.tk_nextmove, np.uint32),
        np.array(identifier._rowbase, np.int64),
        np.array(identifier.tk_output, np.int64),
    )
    return identifier
