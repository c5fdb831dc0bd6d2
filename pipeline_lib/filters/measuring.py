"""Measure texts: rule sets in their order, each on the text as the edits before it left it."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from pipeline_lib.filters.conditions import Signals
from pipeline_lib.filters.edits import Edits, edited
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rule_sets import EDITING, READING, SIGNALS_OF, RuleSetName
from pipeline_lib.filters.rules import bad_words, url
from pipeline_lib.filters.texts import Texts


@dataclass(frozen=True, kw_only=True)
class Documents:
    """What signals are measured of, one row a document.

    Attributes:
        texts: text without nulls, whole UTF-8.
        urls: None where they are not known; then no rule may look at them.
        languages, language_scores: the language that was found; None where nobody looked.
        given: signals that were measured elsewhere.
    """

    texts: pa.ChunkedArray
    urls: pa.ChunkedArray | None = None
    languages: pa.ChunkedArray | None = None
    language_scores: pa.ChunkedArray | None = None
    given: Signals = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What measuring found.

    Attributes:
        signals: `FilterParameters.signals()`, in that order, each float64 (N,).
        edits: of the rule sets in the order that edit, one after the other.
        texts: the texts with these edits made.
    """

    signals: Signals
    edits: tuple[Edits, ...]
    texts: Texts


def measure(documents: Documents, filters: FilterParameters) -> Measured:
    """All signals of the documents, also of those that a rule drops."""
    texts = Texts(documents.texts, filters.words)
    offsets = texts.buffers[1]
    scores = documents.language_scores
    found: Signals = {
        "num_chars": texts.num_chars.astype("float64"),
        "num_bytes": np.diff(offsets).astype("float64"),
        "language_score": np.full(len(texts), np.nan) if scores is None else scores.to_numpy().astype("float64"),
        **documents.given,
    }
    edits: list[Edits] = []
    measured = filters.measured()
    in_order = [name for name in filters.rules if name in measured]
    for name in (*(name for name in measured if name not in in_order), *in_order):
        if name in EDITING:
            made = EDITING[name].edit(texts, filters.rule_set(name))
            after = edited(texts, made)
            found.update(EDITING[name].measure(texts, after, made, filters.rule_set(name)))
            if name in in_order:
                edits.append(made)
                texts = after
        else:
            found.update(_signals_of(name, texts, documents, filters))
    return Measured(signals={name: found[name] for name in filters.signals()}, edits=tuple(edits), texts=texts)


def _signals_of(name: RuleSetName, texts: Texts, documents: Documents, filters: FilterParameters) -> Signals:
    if all(signal in documents.given for signal in SIGNALS_OF[name]):
        return {}
    if name == "url":
        if documents.urls is None:
            raise ValueError("a rule looks at URLs, but the documents have none")
        return url.measure(documents.urls, filters.url)
    if name == "bad_words":
        return bad_words.measure(texts, filters.bad_words, documents.languages)
    return READING[name].measure(texts, filters.rule_set(name))
