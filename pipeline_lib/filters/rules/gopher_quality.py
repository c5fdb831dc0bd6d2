"""Quality rules of Gopher (Rae et al. 2021, arXiv:2112.11446, appendix A.1.1), as datatrove's `GopherQualityFilter`."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.lines import line_marks
from pipeline_lib.kernels.words import word_statistics

SIGNALS = (
    "gopher_quality_num_words",  # words with more than punctuation
    "gopher_quality_mean_word_chars",  # of those
    "gopher_quality_hash_ratio",  # `#` a word (of all words, here and below)
    "gopher_quality_ellipsis_ratio",  # `...` and `…` a word
    "gopher_quality_bullet_line_ratio",
    "gopher_quality_ellipsis_line_ratio",
    "gopher_quality_alphabetic_word_ratio",
    "gopher_quality_num_stop_words",  # different ones, case as listed
)


@dataclass(frozen=True, kw_only=True)
class GopherQualityRules:
    """Bounds, all of them allowed values; None: no such rule. Defaults: the paper's, as in datatrove.

    `stop_words` is part of what is measured: changing it measures anew, changing a bound only decides anew.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("stop_words",)

    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_word_chars: float | None = 3.0
    max_mean_word_chars: float | None = 10.0
    max_hash_ratio: float | None = 0.1
    max_ellipsis_ratio: float | None = 0.1
    max_bullet_line_ratio: float | None = 0.9
    max_ellipsis_line_ratio: float | None = 0.3
    min_alphabetic_word_ratio: float | None = 0.8
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")

    def __post_init__(self) -> None:
        check_thresholds(self)
        num_stop_words = len(set(self.stop_words))
        if self.min_stop_words is not None and self.min_stop_words > num_stop_words:
            raise ValueError(
                f"min_stop_words={self.min_stop_words}, but stop_words lists {num_stop_words}: every page would be "
                "dropped"
            )

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "gopher_quality",
            [
                ("too_few_words", "gopher_quality_num_words", "<", self.min_words),
                ("too_many_words", "gopher_quality_num_words", ">", self.max_words),
                ("words_too_short", "gopher_quality_mean_word_chars", "<", self.min_mean_word_chars),
                ("words_too_long", "gopher_quality_mean_word_chars", ">", self.max_mean_word_chars),
                ("too_many_hash_signs", "gopher_quality_hash_ratio", ">", self.max_hash_ratio),
                ("too_many_ellipses", "gopher_quality_ellipsis_ratio", ">", self.max_ellipsis_ratio),
                ("too_many_bullet_lines", "gopher_quality_bullet_line_ratio", ">", self.max_bullet_line_ratio),
                ("too_many_ellipsis_lines", "gopher_quality_ellipsis_line_ratio", ">", self.max_ellipsis_line_ratio),
                (
                    "too_few_alphabetic_words",
                    "gopher_quality_alphabetic_word_ratio",
                    "<",
                    self.min_alphabetic_word_ratio,
                ),
                ("too_few_stop_words", "gopher_quality_num_stop_words", "<", self.min_stop_words),
            ],
        )


def measure(texts: Texts, rules: GopherQualityRules) -> Signals:
    words = word_statistics(*texts.buffers, rules.stop_words, texts.words)
    lines = line_marks(*texts.buffers)
    columns = [
        words.num_plain_words.astype("float64"),
        ratio(words.plain_word_chars, words.num_plain_words),
        ratio(words.num_hash_signs, words.num_words),
        ratio(words.num_ellipses, words.num_words),
        ratio(lines.num_bullet_lines, lines.num_lines),
        ratio(lines.num_ellipsis_lines, lines.num_lines),
        ratio(words.num_alphabetic_words, words.num_words),
        words.num_listed_words.astype("float64"),
    ]
    return dict(zip(SIGNALS, columns, strict=True))
