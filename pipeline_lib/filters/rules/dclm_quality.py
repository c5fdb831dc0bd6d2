"""Quality rules of Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1), as in `mlfoundations/dclm`.

They differ from datatrove's (`gopher_quality`): stop words count each time they occur, in either case; all symbols go
into one ratio; lines and bullets are others. Only the number of words goes by the texts' word definition; where DCLM
itself takes what str.split gives, so do these rules.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.dclm_words import count_dclm_words, dclm_line_counts, dclm_word_counts

SIGNALS = (
    "dclm_quality_num_words",  # words that begin with a letter or a digit
    "dclm_quality_mean_word_chars",  # of what str.split gives, here and below
    "dclm_quality_symbol_ratio",  # `#`, `…`, `...` and `. . .` a word; 1 where there are no words
    "dclm_quality_bullet_line_ratio",
    "dclm_quality_ellipsis_line_ratio",
    "dclm_quality_unalphabetic_word_ratio",  # 1 where there are no words
    "dclm_quality_num_stop_words",
)


@dataclass(frozen=True, kw_only=True)
class DclmQualityRules:
    """Bounds, all of them allowed values; None: no such rule. Defaults: DCLM's `dclm_baseline_refinedweb.yaml`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("stop_words",)

    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_chars: float | None = 3.0
    max_mean_word_chars: float | None = 10.0
    max_symbol_ratio: float | None = 0.1
    max_bullet_line_ratio: float | None = 0.9
    max_ellipsis_line_ratio: float | None = 0.3
    max_unalphabetic_word_ratio: float | None = 0.2
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")

    def __post_init__(self) -> None:
        check_thresholds(self)
        if self.min_stop_words and not self.stop_words:
            raise ValueError(
                f"min_stop_words={self.min_stop_words}, but stop_words lists none: every page would be dropped"
            )

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "dclm_quality",
            [
                ("too_few_words", "dclm_quality_num_words", "<", self.min_words),
                ("too_many_words", "dclm_quality_num_words", ">", self.max_words),
                ("words_too_short", "dclm_quality_mean_word_chars", "<", self.min_mean_word_chars),
                ("words_too_long", "dclm_quality_mean_word_chars", ">", self.max_mean_word_chars),
                ("too_many_symbols", "dclm_quality_symbol_ratio", ">", self.max_symbol_ratio),
                ("too_many_bullet_lines", "dclm_quality_bullet_line_ratio", ">", self.max_bullet_line_ratio),
                ("too_many_ellipsis_lines", "dclm_quality_ellipsis_line_ratio", ">", self.max_ellipsis_line_ratio),
                (
                    "too_many_unalphabetic_words",
                    "dclm_quality_unalphabetic_word_ratio",
                    ">",
                    self.max_unalphabetic_word_ratio,
                ),
                ("too_few_stop_words", "dclm_quality_num_stop_words", "<", self.min_stop_words),
            ],
        )


def measure(texts: Texts, rules: DclmQualityRules) -> Signals:
    words = dclm_word_counts(*texts.buffers, rules.stop_words)
    lines = dclm_line_counts(*texts.buffers)
    columns = [
        count_dclm_words(*texts.buffers, texts.words).astype(np.float64),
        ratio(words.word_chars, words.num_words),
        _ratio_of_words(words.num_symbols, words.num_words),
        ratio(lines.num_bullet_lines, lines.num_lines),
        ratio(lines.num_ellipsis_lines, lines.num_lines),
        _ratio_of_words(words.num_unalphabetic_words, words.num_words),
        words.num_listed_words.astype(np.float64),
    ]
    return dict(zip(SIGNALS, columns, strict=True))


def _ratio_of_words(part: npt.NDArray[np.int64], num_words: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """part / num_words, and 1 without words: DCLM drops such pages."""
    return np.divide(part, num_words, out=np.ones(len(part), np.float64), where=num_words != 0)
