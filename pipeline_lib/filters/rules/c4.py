"""C4's rules (Raffel et al. 2020, JMLR 21(140)): lines are edited, then pages judged, as datatrove's `C4QualityFilter`.

The edits leave the kept lines, without whitespace at their ends and without citations, joined by `\\n`. A page is
judged by what is left: its sentences (`pipeline_lib.kernels.sentences` has our rule), and whether a line that was
tested for it held "lorem ipsum" or a curly bracket. datatrove names the reason whose line comes first where a page has
both; here lorem ipsum goes before the bracket.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds
from pipeline_lib.filters.edits import Edits
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.c4_lines import EDIT_RULES, line_edits
from pipeline_lib.kernels.sentences import count_sentences

SIGNALS = ("c4_num_kept_lines", "c4_has_lorem_ipsum", "c4_has_curly_bracket", "c4_num_sentences")


@dataclass(frozen=True, kw_only=True)
class C4LineRules:
    """Which lines go. All of this changes the text, and so what is measured after.

    Defaults: FineWeb's use of datatrove's filter, which has the paper's numbers but does not ask for end marks;
    `require_end_mark` turns C4's own rule on.

    Attributes:
        end_marks: what a line may end with; C4's own code (TFDS, `c4_utils.py`) does not have the apostrophe.
        ellipsis_ends_line: whether `...` is an end mark (Dolma); elsewhere it is none.
        min_words: in a line; datatrove has the paper's 3, C4's own code 5.
        words_after_citations: words are counted once citations are cut out, as C4's own code does; datatrove counts
            them before.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_word_chars: int | None = 1000
    remove_citations: bool = True  # [12], [], [edit], [citation needed]
    require_end_mark: bool = False
    end_marks: str = ".?!\"'"
    ellipsis_ends_line: bool = False
    min_words: int | None = 3
    words_after_citations: bool = False
    remove_javascript: bool = True
    remove_policy: bool = True  # terms of use, privacy policy, cookies

    def __post_init__(self) -> None:
        check_thresholds(self)
        if self.require_end_mark and not self.end_marks:
            raise ValueError("end_marks is empty while require_end_mark is on: every line would be dropped")


@dataclass(frozen=True, kw_only=True)
class C4Rules:
    """Which pages go, once `lines` are edited; defaults as in datatrove."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("lines",)

    lines: C4LineRules = field(default_factory=C4LineRules)
    drop_lorem_ipsum: bool = True
    drop_curly_bracket: bool = True
    min_sentences: int | None = 5

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        return bounds(
            "c4",
            [
                ("lorem_ipsum", "c4_has_lorem_ipsum", ">", 0 if self.drop_lorem_ipsum else None),
                ("curly_bracket", "c4_has_curly_bracket", ">", 0 if self.drop_curly_bracket else None),
                ("too_few_sentences", "c4_num_sentences", "<", self.min_sentences),
            ],
        )


def edit(texts: Texts, rules: C4Rules) -> Edits:
    """The edits that the line rules ask for."""
    lines = rules.lines
    found = line_edits(
        *texts.buffers,
        max_word_chars=lines.max_word_chars,
        remove_citations=lines.remove_citations,
        require_end_mark=lines.require_end_mark,
        end_marks=lines.end_marks,
        ellipsis_ends_line=lines.ellipsis_ends_line,
        words_after_citations=lines.words_after_citations,
        min_words=lines.min_words,
        remove_javascript=lines.remove_javascript,
        remove_policy=lines.remove_policy,
    )
    return Edits(
        text=found.text,
        start=found.start,
        end=found.end,
        rule=found.rule,
        rules=EDIT_RULES,
        replacement=found.is_line_break.astype(np.int8),
        replacements=("", "\n"),
        signals={
            "c4_num_kept_lines": found.num_kept_lines.astype("float64"),
            "c4_has_lorem_ipsum": found.has_lorem_ipsum.astype("float64"),
            "c4_has_curly_bracket": found.has_curly_bracket.astype("float64"),
        },
    )


def measure(before: Texts, after: Texts, edits: Edits, rules: C4Rules) -> Signals:
    """Signals of pages whose lines are edited."""
    return {**edits.signals, "c4_num_sentences": count_sentences(*after.buffers).astype("float64")}
