"""C4's rules (Raffel et al. 2020, JMLR 21(140)): lines are edited, then pages judged, as datatrove's `C4QualityFilter`.

The edits leave the kept lines, without whitespace at their ends and without citations, joined by `\\n`. A page is
judged by what is left: its sentences (`pipeline_lib.kernels.sentences` has our rule), and whether a line that was
tested for it held "lorem ipsum" or a curly bracket. datatrove names the reason whose line comes first where a page has
both; here lorem ipsum goes before the bracket.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.c4_lines import EDIT_RULES, LineEdits, line_edits
from pipeline_lib.kernels.sentences import count_sentences
from storage.schemas import EDITS

SIGNALS = ("c4_num_kept_lines", "c4_has_lorem_ipsum", "c4_has_curly_bracket", "c4_num_sentences")


@dataclass(frozen=True, kw_only=True)
class C4LineRules:
    """Which lines go. All of this changes the text, and so what is measured after.

    Defaults: FineWeb's use of datatrove's filter, which has the paper's numbers but does not ask for end marks (`.`,
    `?`, `!`, `"` or `'`, and not `...`); `require_end_mark` turns C4's own rule on. Words are those before citations
    are cut out.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_word_chars: int | None = 1000
    remove_citations: bool = True  # [12], [], [edit], [citation needed]
    require_end_mark: bool = False
    min_words: int | None = 3
    remove_javascript: bool = True
    remove_policy: bool = True  # terms of use, privacy policy, cookies

    def __post_init__(self) -> None:
        check_thresholds(self)


@dataclass(frozen=True, kw_only=True)
class C4Rules:
    """Which pages go, once `lines` are edited; defaults as in datatrove."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

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


def edit_lines(texts: pa.ChunkedArray, lines: C4LineRules) -> LineEdits:
    """The edits that the line rules ask for."""
    return line_edits(
        *string_buffers(texts),
        max_word_chars=lines.max_word_chars,
        remove_citations=lines.remove_citations,
        require_end_mark=lines.require_end_mark,
        min_words=lines.min_words,
        remove_javascript=lines.remove_javascript,
        remove_policy=lines.remove_policy,
    )


def edits_table(doc_ids: pa.ChunkedArray, edits: LineEdits) -> pa.Table:
    """The edits as rows of `EDITS`."""
    rules = pa.DictionaryArray.from_arrays(pa.array(edits.rule), pa.array(EDIT_RULES, pa.string()))
    replacements = pa.DictionaryArray.from_arrays(
        pa.array(edits.is_line_break.astype(np.int8)), pa.array(["", "\n"], pa.large_string())
    )
    columns = [
        doc_ids.take(pa.array(edits.text)),
        rules.cast(pa.string()),
        pa.array(edits.start),
        pa.array(edits.end),
        replacements.cast(pa.large_string()),
    ]
    return pa.table(columns, schema=EDITS)


def measure(edited: pa.ChunkedArray, edits: LineEdits) -> Signals:
    """Signals of pages whose lines are edited; `edits` are those that made the texts what they are."""
    columns = [
        edits.num_kept_lines.astype("float64"),
        edits.has_lorem_ipsum.astype("float64"),
        edits.has_curly_bracket.astype("float64"),
        count_sentences(*string_buffers(edited)).astype("float64"),
    ]
    return dict(zip(SIGNALS, columns, strict=True))
