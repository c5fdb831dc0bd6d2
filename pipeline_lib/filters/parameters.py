"""What filtering is told: which rules in which order, and which part of that changes what is measured."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pipeline_lib.filters import c4, fineweb_quality, gopher_quality, gopher_repetition, language, length
from pipeline_lib.filters.c4 import C4LineRules, C4Rules
from pipeline_lib.filters.conditions import Condition
from pipeline_lib.filters.fineweb_quality import FineWebQualityRules
from pipeline_lib.filters.gopher_quality import GopherQualityRules
from pipeline_lib.filters.gopher_repetition import GopherRepetitionRules
from pipeline_lib.filters.language import LanguageRules
from pipeline_lib.filters.length import LengthRules

RuleSetName = Literal["language", "length", "gopher_repetition", "gopher_quality", "c4", "fineweb_quality"]

# `whitespace`: what str.split gives. datatrove's default words (spaCy's) are others, and give other decisions.
WordDefinition = Literal["whitespace"]

SIGNALS = (
    "num_chars",  # of the extracted text, as are bytes of UTF-8
    "num_bytes",
    *language.SIGNALS,
    *length.SIGNALS,
    *gopher_repetition.SIGNALS,
    *gopher_quality.SIGNALS,
    *c4.SIGNALS,
    *fineweb_quality.SIGNALS,
)


@dataclass(frozen=True, kw_only=True)
class FilterParameters:
    """The rules that documents are judged by, in order: the first that a document breaks is the reason it goes.

    Default order: FineWeb's (datatrove's `examples/fineweb.py`), without its URL lists. C4 edits lines: rule sets that
    stand after it see its text, those before it the extracted text. Without C4 nothing is edited.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    words: WordDefinition = "whitespace"
    rules: tuple[RuleSetName, ...] = ("language", "gopher_repetition", "gopher_quality", "c4", "fineweb_quality")
    language: LanguageRules = field(default_factory=LanguageRules)
    length: LengthRules = field(default_factory=LengthRules)
    gopher_repetition: GopherRepetitionRules = field(default_factory=GopherRepetitionRules)
    gopher_quality: GopherQualityRules = field(default_factory=GopherQualityRules)
    c4: C4Rules = field(default_factory=C4Rules)
    fineweb_quality: FineWebQualityRules = field(default_factory=FineWebQualityRules)

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.rules if self.rules.count(name) > 1})
        if twice:
            raise ValueError(f"rules names {', '.join(twice)} more than once: a rule set has one place in the order")

    def conditions(self) -> tuple[Condition, ...]:
        """All conditions in the order in which they are asked."""
        conditions: dict[RuleSetName, tuple[Condition, ...]] = {
            "language": self.language.conditions(),
            "length": self.length.conditions(),
            "gopher_repetition": self.gopher_repetition.conditions(),
            "gopher_quality": self.gopher_quality.conditions(),
            "c4": self.c4.conditions(),
            "fineweb_quality": self.fineweb_quality.conditions(),
        }
        return tuple(condition for name in self.rules for condition in conditions[name])


@dataclass(frozen=True, kw_only=True)
class SignalParameters:
    """What shapes signals and edited text, and nothing else: see `signal_parameters`.

    All signals are measured whatever the rules; `after_line_edits` names the rule sets, in alphabetical order, that
    measure the text as C4's line rules left it. C4's own signals always do.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    words: WordDefinition = "whitespace"
    stop_words: tuple[str, ...]
    short_line_chars: int
    lines: C4LineRules
    publish_line_edits: bool
    after_line_edits: tuple[RuleSetName, ...]


def signal_parameters(filters: FilterParameters) -> SignalParameters:
    """The part of the parameters that changes what is measured: not the thresholds, nor the order before C4."""
    edits = "c4" in filters.rules
    after = filters.rules[filters.rules.index("c4") + 1 :] if edits else ()
    return SignalParameters(
        words=filters.words,
        stop_words=tuple(sorted(set(filters.gopher_quality.stop_words))),
        short_line_chars=filters.fineweb_quality.short_line_chars,
        lines=filters.c4.lines,
        publish_line_edits=edits,
        after_line_edits=tuple(sorted(name for name in after if name != "language")),
    )
