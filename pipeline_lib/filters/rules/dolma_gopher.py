"""Gopher's rules as Dolma has them (Soldaini et al. 2024, arXiv:2402.00159; its code, `taggers/gopher.py`).

They differ from datatrove's in what they count: the median of word lengths, not the mean; `#` and `…` anywhere in a
word; stop words each time they occur; lines as they stand between line feeds; of repeated lines and n-grams all
occurrences; and characters over those of words, so that the share of repeated lines may exceed one. The most frequent
n-gram counts even where it occurs once.

Empty lines are lines, and repeat: a text with one between its paragraphs breaks the rule. Dolma had cut them out before
with the lines that end in none of `.?!"`, which C4's line rules do here.

Dolma's tagger writes its scores with five decimals before its mixer compares them: what exceeds a threshold by less
than 0.000005 is kept there, and dropped here.
"""

from dataclasses import dataclass
from typing import ClassVar

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.line_repeats import repeated_lines
from pipeline_lib.kernels.ngram_shares import REPEATED_NGRAMS, TOP_NGRAMS, dolma_ngrams
from pipeline_lib.kernels.word_shapes import word_shapes

SIGNALS = (
    "dolma_gopher_num_words",
    "dolma_gopher_median_word_chars",
    "dolma_gopher_symbol_word_ratio",  # words with `#` or `…`
    "dolma_gopher_alphabetic_word_ratio",
    "dolma_gopher_num_stop_words",  # occurrences, case as listed
    "dolma_gopher_bullet_line_ratio",  # lines that begin with `*` or `-`
    "dolma_gopher_ellipsis_line_ratio",  # lines that end in `…`
    "dolma_gopher_repeated_line_ratio",
    "dolma_gopher_repeated_line_chars_per_word_char",
    *(f"dolma_gopher_top_{n}gram_char_ratio" for n in TOP_NGRAMS),
    *(f"dolma_gopher_repeated_{n}gram_char_ratio" for n in REPEATED_NGRAMS),  # of all n-grams' characters
)


@dataclass(frozen=True, kw_only=True)
class DolmaGopherRules:
    """Bounds, all of them allowed values; None: no such rule.

    Defaults: Dolma v1.6 (`configs/dolma-v1_6/mixing/cc-head.yaml`), which has 0.30 for both shares of repeated lines.
    Its mixer names the n-grams of 2 to 4 words otherwise than its tagger does (`..._2gram`, `..._2grams`), so that
    those rules never spoke as run; here they do, as the paper and the file mean. None for these three: as it was run.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("stop_words",)

    min_words: int | None = 50
    max_words: int | None = 100_000
    min_median_word_chars: float | None = 3.0
    max_median_word_chars: float | None = 10.0
    max_symbol_word_ratio: float | None = 0.1
    min_alphabetic_word_ratio: float | None = 0.8
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    max_bullet_line_ratio: float | None = 0.9
    max_ellipsis_line_ratio: float | None = 0.3
    max_repeated_line_ratio: float | None = 0.30
    max_repeated_line_chars_per_word_char: float | None = 0.30
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
        if self.min_stop_words and not self.stop_words:
            raise ValueError(
                f"min_stop_words={self.min_stop_words}, but stop_words lists none: every page would be dropped"
            )

    def conditions(self) -> tuple[Condition, ...]:
        shares = [
            signal.removeprefix("dolma_gopher_").removesuffix("_char_ratio")
            for signal in SIGNALS
            if "gram_char_ratio" in signal
        ]
        return bounds(
            "dolma_gopher",
            [
                ("too_few_words", "dolma_gopher_num_words", "<", self.min_words),
                ("too_many_words", "dolma_gopher_num_words", ">", self.max_words),
                ("words_too_short", "dolma_gopher_median_word_chars", "<", self.min_median_word_chars),
                ("words_too_long", "dolma_gopher_median_word_chars", ">", self.max_median_word_chars),
                ("too_many_symbol_words", "dolma_gopher_symbol_word_ratio", ">", self.max_symbol_word_ratio),
                (
                    "too_few_alphabetic_words",
                    "dolma_gopher_alphabetic_word_ratio",
                    "<",
                    self.min_alphabetic_word_ratio,
                ),
                ("too_few_stop_words", "dolma_gopher_num_stop_words", "<", self.min_stop_words),
                ("too_many_bullet_lines", "dolma_gopher_bullet_line_ratio", ">", self.max_bullet_line_ratio),
                ("too_many_ellipsis_lines", "dolma_gopher_ellipsis_line_ratio", ">", self.max_ellipsis_line_ratio),
                ("repeated_lines", "dolma_gopher_repeated_line_ratio", ">", self.max_repeated_line_ratio),
                (
                    "repeated_line_chars",
                    "dolma_gopher_repeated_line_chars_per_word_char",
                    ">",
                    self.max_repeated_line_chars_per_word_char,
                ),
                *(
                    (
                        f"{share}_chars",
                        f"dolma_gopher_{share}_char_ratio",
                        ">",
                        getattr(self, f"max_{share}_char_ratio"),
                    )
                    for share in shares
                ),
            ],
        )


def measure(texts: Texts, rules: DolmaGopherRules) -> Signals:
    words = word_shapes(*texts.buffers, rules.stop_words, texts.words)
    lines = repeated_lines(*texts.buffers)
    ngrams = dolma_ngrams(*texts.buffers, texts.words)
    columns = [
        words.num_words.astype("float64"),
        words.median_chars,
        ratio(words.num_symbol_words, words.num_words),
        ratio(words.num_alphabetic_words, words.num_words),
        words.num_listed_words.astype("float64"),
        ratio(lines.num_bullet_lines, lines.num_lines),
        ratio(lines.num_ellipsis_lines, lines.num_lines),
        ratio(lines.num_repeated_lines, lines.num_lines),
        # not a part of the whole: whitespace counts above, not below; and without words there is nothing to repeat
        lines.repeated_chars / words.num_chars.clip(1),
        *(ratio(ngrams.top_chars[n], words.num_chars) for n in TOP_NGRAMS),
        *(ratio(ngrams.repeated_chars[n], ngrams.all_chars[n]) for n in REPEATED_NGRAMS),
    ]
    return dict(zip(SIGNALS, columns, strict=True))
