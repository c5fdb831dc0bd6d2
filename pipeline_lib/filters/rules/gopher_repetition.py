"""Repetition rules of Gopher (Rae et al. 2021, arXiv:2112.11446, table A1), as datatrove's `GopherRepetitionFilter`.

What is counted stands in `pipeline_lib.kernels.repetition`: of repeated pieces the second and later occurrences, in
characters over those of the whole text with its whitespace. The most frequent n-gram counts even where it occurs once,
so that very short texts are dropped.
"""

from dataclasses import dataclass
from typing import ClassVar

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.repetition import REPEATED_NGRAMS, TOP_NGRAMS, repetition

SIGNALS = (
    "gopher_repetition_num_lines",
    "gopher_repetition_repeated_paragraph_ratio",
    "gopher_repetition_repeated_paragraph_char_ratio",
    "gopher_repetition_repeated_line_ratio",
    "gopher_repetition_repeated_line_char_ratio",
    *(f"gopher_repetition_top_{n}gram_char_ratio" for n in TOP_NGRAMS),
    *(f"gopher_repetition_repeated_{n}gram_char_ratio" for n in REPEATED_NGRAMS),
)


@dataclass(frozen=True, kw_only=True)
class GopherRepetitionRules:
    """The largest shares that a document may have; defaults: table A1, as in datatrove. None: no such rule."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ()

    max_repeated_paragraph_ratio: float | None = 0.30
    max_repeated_paragraph_char_ratio: float | None = 0.20
    max_repeated_line_ratio: float | None = 0.30
    max_repeated_line_char_ratio: float | None = 0.20
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
        shares = [(signal.removeprefix("gopher_repetition_").removesuffix("_ratio"), signal) for signal in SIGNALS[1:]]
        return bounds(
            "gopher_repetition",
            [
                ("empty", "gopher_repetition_num_lines", "<", 1),
                *((f"{share}s", signal, ">", getattr(self, f"max_{share}_ratio")) for share, signal in shares),
            ],
        )


def measure(texts: Texts, rules: GopherRepetitionRules) -> Signals:
    counts = repetition(*texts.buffers, texts.words)
    columns = [
        counts.num_lines.astype("float64"),
        ratio(counts.num_repeated_paragraphs, counts.num_paragraphs),
        ratio(counts.repeated_paragraph_chars, texts.num_chars),
        ratio(counts.num_repeated_lines, counts.num_lines),
        ratio(counts.repeated_line_chars, texts.num_chars),
        *(ratio(counts.top_ngram_chars[n], texts.num_chars) for n in TOP_NGRAMS),
        *(ratio(counts.repeated_ngram_chars[n], texts.num_chars) for n in REPEATED_NGRAMS),
    ]
    return dict(zip(SIGNALS, columns, strict=True))
