"""What filtering is told: which rules in which order, and which part of that changes what is measured."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from pipeline_lib.filters.conditions import Condition, RuleSet, measured_part
from pipeline_lib.filters.custom import CustomCondition, CustomRule, check_columns, columns_of
from pipeline_lib.filters.rule_sets import (
    BASE_SIGNALS,
    EDITING,
    RULE_SET_NAMES,
    RULE_SET_OF,
    SIGNALS_OF,
    RuleSetName,
    looks_for_nothing,
)
from pipeline_lib.filters.rules.bad_words import BadWordsRules
from pipeline_lib.filters.rules.c4 import C4Rules
from pipeline_lib.filters.rules.classifier import ClassifierRules
from pipeline_lib.filters.rules.curator_english import CuratorEnglishRules
from pipeline_lib.filters.rules.dclm_cleaning import DclmCleaningRules
from pipeline_lib.filters.rules.dclm_quality import DclmQualityRules
from pipeline_lib.filters.rules.dclm_repetition import DclmRepetitionRules
from pipeline_lib.filters.rules.dolma_gopher import DolmaGopherRules
from pipeline_lib.filters.rules.fineweb_quality import FineWebQualityRules
from pipeline_lib.filters.rules.gopher_quality import GopherQualityRules
from pipeline_lib.filters.rules.gopher_repetition import GopherRepetitionRules
from pipeline_lib.filters.rules.language import LanguageRules
from pipeline_lib.filters.rules.length import LengthRules
from pipeline_lib.filters.rules.line_corrections import LineCorrectionRules
from pipeline_lib.filters.rules.perplexity import PerplexityRules
from pipeline_lib.filters.rules.pii_density import PiiDensityRules
from pipeline_lib.filters.rules.url import UrlRules
from pipeline_lib.kernels.words import WordDefinition


@dataclass(frozen=True, kw_only=True)
class FilterParameters:
    """The rules that documents are judged by, in order: the first that a document breaks is the reason it goes.

    Default order: FineWeb's (datatrove's `examples/fineweb.py`), without its URL lists. Some rule sets edit texts:
    those that stand after such a one see its text, those before it do not. What is not in `rules` edits nothing.

    Attributes:
        words: what a word is, for all rules; see `pipeline_lib.kernels.words`.
        also_measure: rule sets whose signals are stored though no rule asks for them, so that a changed order or a
            rule of one's own finds them there.
        custom: a user's own rules; asked last, or where `rules` says `custom`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    words: WordDefinition = "whitespace"
    rules: tuple[RuleSetName | Literal["custom"], ...] = (
        "language",
        "gopher_repetition",
        "gopher_quality",
        "c4",
        "fineweb_quality",
    )
    also_measure: tuple[RuleSetName, ...] = (
        "length",
        "gopher_repetition",
        "gopher_quality",
        "c4",
        "fineweb_quality",
    )
    url: UrlRules = field(default_factory=UrlRules)
    language: LanguageRules = field(default_factory=LanguageRules)
    length: LengthRules = field(default_factory=LengthRules)
    gopher_repetition: GopherRepetitionRules = field(default_factory=GopherRepetitionRules)
    gopher_quality: GopherQualityRules = field(default_factory=GopherQualityRules)
    c4: C4Rules = field(default_factory=C4Rules)
    fineweb_quality: FineWebQualityRules = field(default_factory=FineWebQualityRules)
    dclm_cleaning: DclmCleaningRules = field(default_factory=DclmCleaningRules)
    dclm_quality: DclmQualityRules = field(default_factory=DclmQualityRules)
    dclm_repetition: DclmRepetitionRules = field(default_factory=DclmRepetitionRules)
    line_corrections: LineCorrectionRules = field(default_factory=LineCorrectionRules)
    dolma_gopher: DolmaGopherRules = field(default_factory=DolmaGopherRules)
    curator_english: CuratorEnglishRules = field(default_factory=CuratorEnglishRules)
    bad_words: BadWordsRules = field(default_factory=BadWordsRules)
    pii_density: PiiDensityRules = field(default_factory=PiiDensityRules)
    classifier: ClassifierRules = field(default_factory=ClassifierRules)
    perplexity: PerplexityRules = field(default_factory=PerplexityRules)
    custom: tuple[CustomRule, ...] = ()

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.rules if self.rules.count(name) > 1})
        if twice:
            raise ValueError(f"rules names {', '.join(twice)} more than once: a rule set has one place in the order")
        names = [rule.name for rule in self.custom]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"custom names the rule {name!r} more than once")
        known = {"language", *BASE_SIGNALS, *RULE_SET_OF}
        for rule in self.custom:
            check_columns(rule, known)
            for column in columns_of(rule.drop_where):
                owner = RULE_SET_OF.get(column)
                if owner is not None and looks_for_nothing(self.rule_set(owner)):
                    raise ValueError(
                        f"custom rule {rule.name!r} looks at {column}, but {owner} is given no list and no model"
                    )

    def rule_set(self, name: RuleSetName) -> RuleSet:
        """The parameters of a rule set."""
        rules: RuleSet = getattr(self, name)
        return rules

    def conditions(self) -> tuple[Condition, ...]:
        """All conditions in the order in which they are asked."""
        asked: list[Condition] = []
        for name in self.rules if "custom" in self.rules else (*self.rules, "custom"):
            if name == "custom":
                asked += [
                    CustomCondition(rule=f"custom.{rule.name}", expression=rule.drop_where) for rule in self.custom
                ]
            elif not looks_for_nothing(self.rule_set(name)):
                asked += self.rule_set(name).conditions()
        return tuple(asked)

    def measured(self) -> tuple[RuleSetName, ...]:
        """The rule sets whose signals are measured, in the order of `RULE_SET_NAMES`: those that are asked, that custom
        rules look at, or that are to be measured besides; without those that have no list and no model."""
        columns = [column for rule in self.custom for column in columns_of(rule.drop_where)]
        wanted: Collection[str] = {
            *self.rules,
            *self.also_measure,
            *(RULE_SET_OF[column] for column in columns if column in RULE_SET_OF),
        }
        return tuple(
            name
            for name in RULE_SET_NAMES
            if name in wanted and SIGNALS_OF[name] and not looks_for_nothing(self.rule_set(name))
        )

    def signals(self) -> tuple[str, ...]:
        """The signals that are measured, in the order in which they stand in tables."""
        return (*BASE_SIGNALS, *(signal for name in self.measured() for signal in SIGNALS_OF[name]))


def signal_parameters(filters: FilterParameters) -> FilterParameters:
    """The part of the parameters that changes what is measured: equal for all that give the same signals and texts.

    Thresholds are switched off; of the order there is left which rule sets measure before and after which edits.
    """
    measured = filters.measured()
    order: list[RuleSetName] = []
    segment: set[str] = set()
    for name in filters.rules:
        if name in EDITING:
            order += [each for each in RULE_SET_NAMES if each in segment]
            order.append(name)  # type: ignore[arg-type]  # `custom` edits nothing
            segment = set()
        elif name in measured:
            segment.add(name)
    order += [each for each in RULE_SET_NAMES if each in segment]
    first_edit = next((at for at, name in enumerate(order) if name in EDITING), len(order))
    before_edits = {*order[:first_edit], *(name for name in measured if name not in order)}
    parts: dict[str, Any] = {
        name: measured_part(filters.rule_set(name) if name in measured else type(filters.rule_set(name))())
        for name in RULE_SET_NAMES
    }
    return replace(
        filters,
        rules=tuple(order[first_edit:]),
        also_measure=tuple(name for name in RULE_SET_NAMES if name in before_edits),
        custom=(),
        **parts,
    )
