"""The language of a text, told by py3langid from a bounded sample of it."""

from dataclasses import dataclass
from functools import lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

UNDETERMINED = "und"


@dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """ISO 639 code, and its probability among the languages that the model knows (0 to 1)."""

    code: str
    score: float


def identify(text: str, sample_bytes: int) -> Language:
    """The language of a text; `und` with score 0 where it has no letters. Safe to call from several threads."""
    sample = sample_text(text, sample_bytes)
    if not any(character.isalpha() for character in sample):
        return Language(code=UNDETERMINED, score=0.0)
    code, score = _identifier().classify(sample)
    return Language(code=code, score=float(score))


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


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
