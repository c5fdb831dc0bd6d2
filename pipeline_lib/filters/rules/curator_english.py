"""The English heuristics of NVIDIA NeMo Curator (`heuristic_filter_english_pipeline.yaml`, 1.4), in their order.

What Curator calls sentences are lines: what stands between line feeds and shows something; it splits no sentences.
Texts with fewer words than an n-gram has count as nothing but repetition (1.0), and so go. Where several n-grams are
the most frequent, Curator takes any of them, another in another process; here it is the first to occur.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.character_counts import character_counts
from pipeline_lib.kernels.line_repeats import distinct_lines, distinct_paragraphs
from pipeline_lib.kernels.ngram_shares import REPEATED_NGRAMS, TOP_NGRAMS, curator_ngrams
from pipeline_lib.kernels.word_shapes import word_shapes

SIGNALS = (
    "curator_english_other_char_ratio",  # none of A-Z, a-z, 0-9, `?`, `!`, `,`, `.` and the line feed
    "curator_english_symbol_word_ratio",  # words that are an ellipsis, or mostly `#`
    "curator_english_digit_ratio",
    "curator_english_link_char_ratio",
    "curator_english_whitespace_ratio",
    "curator_english_bracket_ratio",
    "curator_english_boilerplate_paragraph_ratio",  # 1 with a placeholder text, whatever else
    "curator_english_distinct_line_ratio",
    "curator_english_distinct_paragraph_ratio",
    "curator_english_distinct_line_char_ratio",
    "curator_english_distinct_paragraph_char_ratio",
    "curator_english_num_words",
    "curator_english_unended_line_ratio",  # without . ? ! " ' at the end
    "curator_english_alphabetic_word_ratio",
    "curator_english_num_stop_words",  # occurrences, case as listed
    "curator_english_mean_word_chars",
    "curator_english_longest_word_chars",
    "curator_english_ellipsis_line_ratio",
    *(f"curator_english_top_{n}gram_char_ratio" for n in TOP_NGRAMS),
    *(f"curator_english_repeated_{n}gram_char_ratio" for n in REPEATED_NGRAMS),
    "curator_english_bullet_line_ratio",
)

_PLACEHOLDERS = ("lorem ipsum",)


@dataclass(frozen=True, kw_only=True)
class CuratorEnglishRules:
    """Bounds, all of them allowed values; None: no such rule. Defaults: those of Curator's file for English.

    `boilerplate_phrases` are looked for whatever the case of A-Z. Curator lists some cookie notices in full: those that
    hold a shorter phrase of the list are left out here, of the other three the first words stand for the whole.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("stop_words", "boilerplate_phrases")

    max_other_char_ratio: float | None = 0.25
    max_symbol_word_ratio: float | None = 0.1
    max_digit_ratio: float | None = 0.15
    max_link_char_ratio: float | None = 0.2
    max_whitespace_ratio: float | None = 0.25
    max_bracket_ratio: float | None = 0.1
    max_boilerplate_paragraph_ratio: float | None = 0.4
    boilerplate_phrases: tuple[str, ...] = (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "privacy overview",
        "use of cookies",
        "use cookies",
        "privacy & cookies policy",
        "privacy and cookies policy",
        "necessary cookies are absolutely essential for the website to function properly",
        "any cookies that may not be particularly necessary for the website to function",
        "if you continue to browse this site without changing your cookie settings",
    )
    min_distinct_line_ratio: float | None = 0.7
    min_distinct_paragraph_ratio: float | None = 0.7
    min_distinct_line_char_ratio: float | None = 0.8
    min_distinct_paragraph_char_ratio: float | None = 0.8
    min_words: int | None = 50
    max_words: int | None = 100_000
    max_unended_line_ratio: float | None = 0.85
    min_alphabetic_word_ratio: float | None = 0.8
    min_stop_words: int | None = 2
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    min_mean_word_chars: float | None = 3.0
    max_mean_word_chars: float | None = 10.0
    max_word_chars: int | None = 1000
    max_ellipsis_line_ratio: float | None = 0.3
    max_top_2gram_char_ratio: float | None = 0.20
    max_top_3gram_char_ratio: float | None = 0.18
    max_top_4gram_char_ratio: float | None = 0.16
    max_repeated_5gram_char_ratio: float | None = 0.15
    max_repeated_6gram_char_ratio: float | None = 0.14
    max_repeated_7gram_char_ratio: float | None = 0.13
    max_repeated_8gram_char_ratio: float | None = 0.12
    max_repeated_9gram_char_ratio: float | None = 0.11
    max_repeated_10gram_char_ratio: float | None = 0.10
    max_bullet_line_ratio: float | None = 0.9

    def __post_init__(self) -> None:
        check_thresholds(self)
        if self.min_stop_words and not self.stop_words:
            raise ValueError(
                f"min_stop_words={self.min_stop_words}, but stop_words lists none: every page would be dropped"
            )
        for phrase in self.boilerplate_phrases:
            if len(phrase.strip()) < 2:
                raise ValueError(f"boilerplate_phrases: {phrase!r} would be found on nearly every page")

    def conditions(self) -> tuple[Condition, ...]:
        ngrams = [f"top_{n}gram_char" for n in TOP_NGRAMS] + [f"repeated_{n}gram_char" for n in REPEATED_NGRAMS]
        return bounds(
            "curator_english",
            [
                ("too_many_other_chars", "curator_english_other_char_ratio", ">", self.max_other_char_ratio),
                ("too_many_symbol_words", "curator_english_symbol_word_ratio", ">", self.max_symbol_word_ratio),
                ("too_many_digits", "curator_english_digit_ratio", ">", self.max_digit_ratio),
                ("too_many_link_chars", "curator_english_link_char_ratio", ">", self.max_link_char_ratio),
                ("too_much_whitespace", "curator_english_whitespace_ratio", ">", self.max_whitespace_ratio),
                ("too_many_brackets", "curator_english_bracket_ratio", ">", self.max_bracket_ratio),
                (
                    "boilerplate_paragraphs",
                    "curator_english_boilerplate_paragraph_ratio",
                    ">",
                    self.max_boilerplate_paragraph_ratio,
                ),
                ("repeated_lines", "curator_english_distinct_line_ratio", "<", self.min_distinct_line_ratio),
                (
                    "repeated_paragraphs",
                    "curator_english_distinct_paragraph_ratio",
                    "<",
                    self.min_distinct_paragraph_ratio,
                ),
                (
                    "repeated_line_chars",
                    "curator_english_distinct_line_char_ratio",
                    "<",
                    self.min_distinct_line_char_ratio,
                ),
                (
                    "repeated_paragraph_chars",
                    "curator_english_distinct_paragraph_char_ratio",
                    "<",
                    self.min_distinct_paragraph_char_ratio,
                ),
                ("too_few_words", "curator_english_num_words", "<", self.min_words),
                ("too_many_words", "curator_english_num_words", ">", self.max_words),
                ("too_few_end_marks", "curator_english_unended_line_ratio", ">", self.max_unended_line_ratio),
                (
                    "too_few_alphabetic_words",
                    "curator_english_alphabetic_word_ratio",
                    "<",
                    self.min_alphabetic_word_ratio,
                ),
                ("too_few_stop_words", "curator_english_num_stop_words", "<", self.min_stop_words),
                ("words_too_short", "curator_english_mean_word_chars", "<", self.min_mean_word_chars),
                ("words_too_long", "curator_english_mean_word_chars", ">", self.max_mean_word_chars),
                ("long_word", "curator_english_longest_word_chars", ">", self.max_word_chars),
                ("too_many_ellipsis_lines", "curator_english_ellipsis_line_ratio", ">", self.max_ellipsis_line_ratio),
                *(
                    (f"{share}s", f"curator_english_{share}_ratio", ">", getattr(self, f"max_{share}_ratio"))
                    for share in ngrams
                ),
                ("too_many_bullet_lines", "curator_english_bullet_line_ratio", ">", self.max_bullet_line_ratio),
            ],
        )


def measure(texts: Texts, rules: CuratorEnglishRules) -> Signals:
    characters = character_counts(*texts.buffers)
    lines = distinct_lines(*texts.buffers)
    paragraphs = distinct_paragraphs(*texts.buffers, rules.boilerplate_phrases, _PLACEHOLDERS)
    words = word_shapes(*texts.buffers, rules.stop_words, texts.words)
    ngrams = curator_ngrams(*texts.buffers, texts.words)
    num_chars = characters.num_chars

    def ngram_ratio(part: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.float64]:
        return np.where(words.num_words < n, 1.0, ratio(part, num_chars))

    columns = [
        _share(num_chars - characters.num_plain, num_chars),
        _share(words.num_mark_words, words.num_words),
        _share(characters.num_digits, num_chars),
        _share(characters.num_link_chars, num_chars),
        _share(characters.num_whitespace, num_chars),
        _share(characters.num_brackets, num_chars),
        np.where(
            paragraphs.num_placeholder_paragraphs > 0,
            1.0,
            ratio(paragraphs.num_boilerplate_paragraphs, paragraphs.num_paragraphs),
        ),
        ratio(lines.num_distinct_lines, lines.num_lines),
        np.where(lines.num_lines == 0, 0.0, ratio(paragraphs.num_distinct_paragraphs, paragraphs.num_paragraphs)),
        ratio(lines.distinct_chars, lines.num_chars),
        ratio(paragraphs.distinct_chars, paragraphs.num_chars),
        words.num_words.astype("float64"),
        _share(lines.num_unended_lines, lines.num_lines),
        ratio(words.num_alphabetic_words, words.num_words),
        words.num_listed_words.astype("float64"),
        ratio(words.num_chars, words.num_words),
        words.longest_chars.astype("float64"),
        _share(lines.num_ellipsis_lines, lines.num_lines),
        *(ngram_ratio(ngrams.top_chars[n], n) for n in TOP_NGRAMS),
        *(ngram_ratio(ngrams.repeated_chars[n], n) for n in REPEATED_NGRAMS),
        _share(lines.num_bullet_lines, lines.num_lines),
    ]
    return dict(zip(SIGNALS, columns, strict=True))


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """part / whole, and 1 where the whole is 0: what Curator gives a text of nothing, so that it goes."""
    return np.where(whole == 0, 1.0, ratio(part, whole))
