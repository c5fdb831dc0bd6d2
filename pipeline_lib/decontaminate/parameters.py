"""What a recipe says about evaluation sets: where their items are, and how much of one a document may have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_set(value: Any) -> Any:
    return {"paths": [value]} if isinstance(value, str) else value


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Items of an evaluation, in JSON Lines (plain, gzip, zstd) or Parquet: one a row. A path alone will do for one.

    Attributes:
        paths: files, globs, folders or fsspec URLs.
        name: how decisions and reports call it; null: each file is a set of its own, called after the file.
        fields: the fields whose text makes an item, such as [question, choices, answer]; `a.b` is the field b inside
            the field a. Lists and objects stand for all text and numbers in them, in order. Empty: every field that
            holds text, but for ids.
        items: where the items of a row are, if a row holds several: `data.paragraphs.qas` for files in the form of
            SQuAD. A field that an item lacks is looked for around it.
        id_field: the field with an item's name; null: the first there is of id, task_id, question_id, else the number
            of the row.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    paths: Annotated[tuple[str, ...], BeforeValidator(_listed)]
    name: str | None = None
    fields: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    items: str | None = None
    id_field: str | None = None

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("an evaluation set needs paths: files, globs, folders or URLs")
        if self.name is not None and (not self.name or ":" in self.name):
            raise ValueError(f"name={self.name!r}: expected a name without a colon, such as gsm8k")
        for key, path in (*(("fields", each) for each in self.fields), ("items", self.items)):
            if path is not None and not all(path.split(".")):
                raise ValueError(f"{key}={path!r}: expected field names with single dots between them")


@dataclass(frozen=True, kw_only=True)
class NgramParameters:
    """How items are cut into n-grams: all that has to be computed anew when it changes.

    Attributes:
        ngram, min_words: see `DecontaminationParameters`.
    """

    ngram: int
    min_words: int


@dataclass(frozen=True, kw_only=True)
class VerdictParameters:
    """From which share on a document holds an item, and what becomes of it.

    Attributes:
        threshold, action: see `DecontaminationParameters`.
    """

    threshold: float
    action: Literal["drop", "report"]


@dataclass(frozen=True, kw_only=True)
class CommonParameters:
    """Which n-grams say nothing: those that more than `ignore_common` documents have."""

    ignore_common: int


@dataclass(frozen=True, kw_only=True)
class DecontaminationParameters:
    """Which evaluations a model trained on the corpus is to be measured by, and what counts as having seen an item.

    Attributes:
        evaluation_sets: paths, or sets with fields and a name. None: nothing is looked for.
        ngram: words an n-gram. 13: GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C). Words are folded as for
            duplicates, with their digits, so that case, accents, punctuation and whitespace hide no match.
        min_words: items with fewer words are not looked for, and counted; those with fewer than `ngram` are looked for
            as a whole. 8: GPT-3's least n.
        threshold: a document holds an item if it has at least this share of the n-grams of one of its fields; fields of
            fewer than `ngram` words are taken together with those behind them. 0.5: marin's share of a paragraph. GPT-3
            took a single n-gram for enough, which a quotation is, too.
        ignore_common: n-grams in more documents than this do not count; null: all count. GPT-3 ignored those in more
            than 10, and so whatever of a benchmark has been copied to eleven pages; the threshold does better with
            licences and other boilerplate, of which no item is made to its half.
        action: `drop` documents that hold an item, or only `report` them.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    evaluation_sets: tuple[Annotated[EvaluationSet, BeforeValidator(_as_set)], ...] = ()
    ngram: int = 13
    min_words: int = 8
    threshold: float = 0.5
    ignore_common: int | None = None
    action: Literal["drop", "report"] = "drop"

    def __post_init__(self) -> None:
        if not 1 <= self.ngram <= 1000:
            raise ValueError(f"ngram={self.ngram}: an n-gram has 1 to 1000 words; 13 is usual")
        if not 1 <= self.min_words <= self.ngram:
            raise ValueError(
                f"min_words={self.min_words}: expected 1 to ngram={self.ngram}; 8 is usual, fewer words stand anywhere"
            )
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"threshold={self.threshold}: a share is above 0 and at most 1; 0.5 is usual")
        if self.ignore_common is not None and self.ignore_common < 1:
            raise ValueError(f"ignore_common={self.ignore_common}: expected at least 1, or null to count all n-grams")
        _refuse_twice([each.name for each in self.evaluation_sets if each.name is not None])

    @property
    def is_on(self) -> bool:
        return bool(self.evaluation_sets)

    def ngrams(self) -> NgramParameters:
        return NgramParameters(ngram=self.ngram, min_words=self.min_words)

    def verdict(self) -> VerdictParameters:
        return VerdictParameters(threshold=self.threshold, action=self.action)


def _refuse_twice(names: Sequence[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"evaluation_sets: {twice[0]!r} is the name of two sets; give each its own")
