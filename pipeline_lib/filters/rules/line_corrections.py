"""Line corrections of RefinedWeb (Penedo et al. 2023, arXiv:2306.01116, appendix G.2), as DCLM carries them out.

Lines go that are mostly upper case, nothing but digits, a counter such as "3 likes", or a single word; a few phrases
go from short lines. A page that loses too many of its words by this goes whole. Order and details are those of
`mlfoundations/dclm`, `dclm_baseline_refinedweb.yaml` and `modifiers.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds
from pipeline_lib.filters.edits import Edits
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.dclm_words import count_dclm_words
from pipeline_lib.kernels.line_corrections import line_correction_spans

SIGNALS = (
    "line_corrections_num_chars",  # after the corrections
    # words (by the texts' word definition, those that begin with a letter or digit) lost of those before; 1 where
    # there were none, and below 0 where a cut made two words of one
    "line_corrections_dropped_word_ratio",
)

_EDIT_RULES = (
    "line_corrections.whitespace",  # at the ends of the text, and lines of nothing else
    "line_corrections.uppercase",
    "line_corrections.digits",
    "line_corrections.counter",
    "line_corrections.too_few_words",
    "line_corrections.phrase",
    "line_corrections.final_phrase",
    "line_corrections.first_phrase",
)


@dataclass(frozen=True, kw_only=True)
class LineCorrectionRules:
    """Which lines and phrases go, and how much may; defaults: DCLM's. None, or an empty list: no such step.

    In phrases letters stand for either case and `.` for any character, as DCLM reads them: "read more..." is also what
    "Read more >>" ends with. Words of lines are what str.split gives.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = (
        "max_uppercase_ratio",
        "max_digit_ratio",
        "counters",
        "min_line_words",
        "phrases",
        "final_phrases",
        "first_phrases",
        "max_phrase_line_words",
    )

    max_uppercase_ratio: float | None = 0.5  # of the characters of a line
    max_digit_ratio: float | None = 0.999999
    counters: tuple[str, ...] = (
        "likes",
        "shares",
        "comments",
        "retweets",
        "reposts",
        "quotes",
        "bookmarks",
        "upvotes",
        "downvotes",
        "downloads",
        "views",
        "followers",
    )
    min_line_words: int | None = 2  # empty lines stay
    phrases: tuple[str, ...] = ("items in cart",)
    final_phrases: tuple[str, ...] = ("read more...",)
    first_phrases: tuple[str, ...] = ("sign-in",)
    max_phrase_line_words: int | None = 10  # None: in lines of any length
    max_dropped_word_ratio: float | None = 0.05

    def __post_init__(self) -> None:
        check_thresholds(self)
        for name in ("counters", "phrases", "final_phrases", "first_phrases"):
            for phrase in getattr(self, name):
                if not phrase.strip() or "\n" in phrase:
                    raise ValueError(f"{name}: {phrase!r} cannot stand in a line; expected a word or phrase")

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "line_corrections",
            [
                ("empty", "line_corrections_num_chars", "<", 1),
                ("too_many_words_dropped", "line_corrections_dropped_word_ratio", ">", self.max_dropped_word_ratio),
            ],
        )


def edit(texts: Texts, rules: LineCorrectionRules) -> Edits:
    """The edits that the rules ask for."""
    spans = line_correction_spans(
        *texts.buffers,
        max_uppercase_ratio=rules.max_uppercase_ratio,
        max_digit_ratio=rules.max_digit_ratio,
        counters=rules.counters,
        min_words=rules.min_line_words,
        max_phrase_line_words=rules.max_phrase_line_words,
        phrases=rules.phrases,
        final_phrases=rules.final_phrases,
        first_phrases=rules.first_phrases,
    )
    return Edits(
        text=spans[:, 0].copy(),
        start=spans[:, 1].copy(),
        end=spans[:, 2].copy(),
        rule=spans[:, 3].astype(np.int8),
        rules=_EDIT_RULES,
        replacement=np.zeros(len(spans), np.int8),
    )


def measure(before: Texts, after: Texts, edits: Edits, rules: LineCorrectionRules) -> Signals:
    """Signals of corrected texts, beside those they were."""
    num_before = count_dclm_words(*before.buffers, before.words)
    lost = num_before - count_dclm_words(*after.buffers, after.words)
    dropped = np.divide(lost, num_before, out=np.ones(len(lost), np.float64), where=num_before != 0)
    columns = [after.num_chars.astype(np.float64), dropped]
    return dict(zip(SIGNALS, columns, strict=True))
