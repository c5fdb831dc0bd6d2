"""Repetition rules of Gopher (Rae et al. 2021, arXiv:2112.11446, table A1), as `mlfoundations/dclm` carries them out.

They differ from datatrove's (`gopher_repetition`): every occurrence of what occurs more than once counts, the first
too; shares are of the characters in lines, paragraphs or words, without what is between them; an n-gram counts only
if it occurs twice. What is counted stands in `pipeline_lib.kernels.dclm_repetition`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.dclm_repetition import REPEATED_NGRAMS, TOP_NGRAMS, dclm_repetition

SIGNALS = (
    "dclm_repetition_num_lines",
    "dclm_repetition_repeated_line_ratio",
    "dclm_repetition_repeated_paragraph_ratio",
    "dclm_repetition_repeated_line_char_ratio",
    "dclm_repetition_repeated_paragraph_char_ratio",
    *(f"dclm_repetition_top_{n}gram_char_ratio" for n in TOP_NGRAMS),
    *(f"dclm_repetition_repeated_{n}gram_char_ratio" for n in REPEATED_NGRAMS),
)


@dataclass(frozen=True, kw_only=True)
class DclmRepetitionRules:
    """The largest shares that a document may have; defaults: table A1, as in DCLM. None: no such rule."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ()

    max_repeated_line_ratio: float | None = 0.30
    max_repeated_paragraph_ratio: float | None = 0.30
    max_repeated_line_char_ratio: float | None = 0.20
    max_repeated_paragraph_char_ratio: float | None = 0.20
    max_top_2gram_char_ratio: float | None = 0.20
    max_top_3gram_char_ratio: float | None = 0.18
    max_top_4gram_char_ratio: float | None = 0.16
    max_repeated_5gram_char_ratio: float | None = 0.15
    max_repeated_6gram_char_ratio: float | None = 0.14
    max_repeated_7gram_char_ratio: float | None = 0.13
    max_repeated_8gram_char_ratio: float | None = 0.12
    max_repeated_9gram_char_ratio: float | None = 0.11
    max_repeated_10gram_char_ratio: float | None = 0.10

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        shares = [(signal.removeprefix("dclm_repetition_").removesuffix("_ratio"), signal) for signal in SIGNALS[1:]]
        return bounds(
            "dclm_repetition",
            [
                ("empty", "dclm_repetition_num_lines", "<", 1),
                *((f"{share}s", signal, ">", getattr(self, f"max_{share}_ratio")) for share, signal in shares),
            ],
        )


def measure(texts: Texts, rules: DclmRepetitionRules) -> Signals:
    counts = dclm_repetition(*texts.buffers, texts.words)
    columns = [
        counts.num_lines.astype(np.float64),
        ratio(counts.num_repeated_lines, counts.num_lines),
        ratio(counts.num_repeated_paragraphs, counts.num_paragraphs),
        ratio(counts.repeated_line_chars, counts.line_chars),
        ratio(counts.repeated_paragraph_chars, counts.paragraph_chars),
        *(ratio(counts.top_ngram_chars[n], counts.word_chars) for n in TOP_NGRAMS),
        *(ratio(counts.repeated_ngram_chars[n], counts.word_chars) for n in REPEATED_NGRAMS),
    ]
    return dict(zip(SIGNALS, columns, strict=True))
