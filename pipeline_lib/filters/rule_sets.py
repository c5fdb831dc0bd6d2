"""The rule sets there are, by name: what each looks at, and which of them edit texts."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args

from pipeline_lib.filters.conditions import Signals
from pipeline_lib.filters.edits import Edits
from pipeline_lib.filters.rules import (
    bad_words,
    c4,
    classifier,
    curator_english,
    dclm_cleaning,
    dclm_quality,
    dclm_repetition,
    dolma_gopher,
    fineweb_quality,
    gopher_quality,
    gopher_repetition,
    language,
    length,
    line_corrections,
    perplexity,
    pii_density,
    url,
)
from pipeline_lib.filters.texts import Texts

RuleSetName = Literal[
    "url",
    "language",
    "length",
    "gopher_repetition",
    "gopher_quality",
    "c4",
    "fineweb_quality",
    "dclm_cleaning",
    "dclm_quality",
    "dclm_repetition",
    "line_corrections",
    "dolma_gopher",
    "curator_english",
    "bad_words",
    "pii_density",
    "classifier",
    "perplexity",
]

# The order of signals in tables; which rules are asked first, parameters say.
RULE_SET_NAMES: tuple[RuleSetName, ...] = get_args(RuleSetName)


class ReadsTexts(Protocol):
    """A module whose signals are those of a text."""

    @property
    def SIGNALS(self) -> tuple[str, ...]: ...  # noqa: N802 (a module's constant)

    def measure(self, texts: Texts, rules: Any) -> Signals: ...


class EditsTexts(Protocol):
    """A module that edits texts; rule sets after it see what it left."""

    @property
    def SIGNALS(self) -> tuple[str, ...]: ...  # noqa: N802 (a module's constant)

    def edit(self, texts: Texts, rules: Any) -> Edits: ...

    def measure(self, before: Texts, after: Texts, edits: Edits, rules: Any) -> Signals: ...


READING: Mapping[str, ReadsTexts] = {
    "length": length,
    "gopher_repetition": gopher_repetition,
    "gopher_quality": gopher_quality,
    "fineweb_quality": fineweb_quality,
    "dclm_quality": dclm_quality,
    "dclm_repetition": dclm_repetition,
    "dolma_gopher": dolma_gopher,
    "curator_english": curator_english,
    "pii_density": pii_density,
    "classifier": classifier,
    "perplexity": perplexity,
}

EDITING: Mapping[str, EditsTexts] = {
    "c4": c4,
    "dclm_cleaning": dclm_cleaning,
    "line_corrections": line_corrections,
}

# Measured of every document, whatever the rules; the score is that of the language that extraction found.
BASE_SIGNALS = ("num_chars", "num_bytes", *language.SIGNALS)

SIGNALS_OF: Mapping[str, tuple[str, ...]] = {
    "url": url.SIGNALS,
    "language": (),
    "bad_words": bad_words.SIGNALS,
    **{name: module.SIGNALS for name, module in READING.items()},
    **{name: module.SIGNALS for name, module in EDITING.items()},
}

RULE_SET_OF: Mapping[str, RuleSetName] = {
    signal: name for name in RULE_SET_NAMES for signal in SIGNALS_OF[name]
}  # by signal


def looks_for_nothing(rules: object) -> bool:
    """Whether a rule set needs lists or a model, and is given none: it measures nothing and drops nothing."""
    match rules:
        case url.UrlRules():
            return not url.list_keys(rules) and not rules.excluded_domains
        case bad_words.BadWordsRules():
            return not rules.lists and rules.folder is None
        case classifier.ClassifierRules() | perplexity.PerplexityRules():
            return rules.model is None
    return False
