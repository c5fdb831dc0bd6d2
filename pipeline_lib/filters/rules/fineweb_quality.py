"""FineWeb's own rules (Penedo et al. 2024, arXiv:2406.17557), as datatrove's `FineWebQualityFilter`.

They look at lines as a list or a menu would have them. In FineWeb they come after C4's, and so see the text that C4's
line rules left.
"""

from dataclasses import dataclass
from typing import ClassVar

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds, ratio
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.lines import line_shapes

SIGNALS = (
    "fineweb_quality_num_lines",  # that are not blank
    "fineweb_quality_end_mark_line_ratio",
    "fineweb_quality_short_line_ratio",
    "fineweb_quality_repeated_line_char_ratio",
    "fineweb_quality_newlines_per_word",
)


@dataclass(frozen=True, kw_only=True)
class FineWebQualityRules:
    """Bounds, all of them allowed values; None: no such rule.

    Defaults: datatrove's code (whose 0.01 for repeated lines is not the 0.1 that the paper reports).
    `short_line_chars` is part of what is measured: changing it measures anew, changing a bound only decides anew.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("short_line_chars",)

    min_end_mark_line_ratio: float | None = 0.12
    max_short_line_ratio: float | None = 0.67
    short_line_chars: int = 30
    max_repeated_line_char_ratio: float | None = 0.01
    max_newlines_per_word: float | None = 0.3

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "fineweb_quality",
            [
                ("empty", "fineweb_quality_num_lines", "<", 1),
                (
                    "too_few_end_marks",
                    "fineweb_quality_end_mark_line_ratio",
                    "<",
                    self.min_end_mark_line_ratio,
                ),
                ("too_many_short_lines", "fineweb_quality_short_line_ratio", ">", self.max_short_line_ratio),
                (
                    "repeated_line_chars",
                    "fineweb_quality_repeated_line_char_ratio",
                    ">",
                    self.max_repeated_line_char_ratio,
                ),
                ("too_many_newlines", "fineweb_quality_newlines_per_word", ">", self.max_newlines_per_word),
            ],
        )


def measure(texts: Texts, rules: FineWebQualityRules) -> Signals:
    lines = line_shapes(*texts.buffers, rules.short_line_chars)
    columns = [
        lines.num_lines.astype("float64"),
        ratio(lines.num_end_mark_lines, lines.num_lines),
        ratio(lines.num_short_lines, lines.num_lines),
        ratio(lines.repeated_chars, lines.num_chars),
        ratio(lines.num_newlines, texts.num_words),
    ]
    return dict(zip(SIGNALS, columns, strict=True))
