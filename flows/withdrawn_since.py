"""What was withdrawn since a run was made: how many documents of its corpus, and of its model's training text.

It is computed when it is asked, from the corpus itself, so that a run that was under way when something was withdrawn
is marked like all others; and remembered (`storage.answers`), so that a list of runs is shown at once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.code_digest import code_digest
from storage.answers import answer
from storage.exclusions import DamagedExclusion, Exclusion, Exclusions, read_exclusions
from storage.manifests import MissingStage, PublishedStage, open_stage
from storage.runs import Run
from storage.store import Store
from storage.tables import DamagedFile, SchemaMismatch

if TYPE_CHECKING:
    from pipeline_lib.withdrawn.rule import Matcher

_WORKERS = 4  # reading a few columns waits for the disk or the network
_SHOWN = 3
_RULE = "pipeline_lib.withdrawn.holdings"


@dataclass(frozen=True, kw_only=True)
class WithdrawnSince:
    """Documents of a run's corpus that are withdrawn now: at least one, each counted once.

    Attributes:
        splits: how many, by split: those with any.
        by: how many each thing on the list withdrew, the most first.
        is_trained: a model has learned from the corpus.
        problem: why it cannot be told; nothing else is, then.
    """

    splits: Mapping[str, int] = field(default_factory=dict)
    by: Mapping[Exclusion, int] = field(default_factory=dict)
    is_trained: bool = False
    problem: str | None = None

    @property
    def documents(self) -> int:
        return sum(self.splits.values())

    def describe(self) -> str:
        """`3 documents (domain example.org); 2 of them in what its model was trained on`."""
        if self.problem is not None:
            return f"cannot be told: {self.problem}"
        named = list(map(str, self.by))
        more = f" and {len(named) - _SHOWN:,} more" if len(named) > _SHOWN else ""
        said = f"{self.documents:,} document{'s' * (self.documents != 1)} ({', '.join(named[:_SHOWN])}{more})"
        if not self.is_trained:
            return said
        return f"{said}; {self.splits.get('train', 0):,} of them in what its model was trained on"

    def as_json(self) -> dict[str, Any]:
        if self.problem is not None:
            return {"problem": self.problem}
        return {
            "documents": self.documents,
            "splits": dict(self.splits),
            "by": [{"kind": each.kind, "value": each.value, "documents": count} for each, count in self.by.items()],
            "model": self.is_trained,
        }


def withdrawn_since(store: Store, runs: Iterable[Run]) -> dict[str, WithdrawnSince]:
    """The marks of runs, by run id: of those whose corpus holds something withdrawn, or might for all that is known."""
    try:
        exclusions = read_exclusions(store)
    except DamagedExclusion as error:
        return {run.run_id: WithdrawnSince(problem=str(error)) for run in runs if run.stage("corpus") is not None}
    matchers = _Matchers(exclusions)
    marks = ((run.run_id, _mark(store, run, exclusions, matchers)) for run in runs)
    return {run_id: mark for run_id, mark in marks if mark is not None}


class _Matchers:
    """What a run has not applied, ready to be looked up in: made once for all runs that have applied the same."""

    def __init__(self, exclusions: Exclusions) -> None:
        self._exclusions = exclusions
        self._made: dict[frozenset[str], Matcher] = {}

    def of(self, applied: frozenset[str]) -> "Matcher":
        # here, not above: compiled kernels take a second to load, and mostly all answers are known
        from flows.compiled import keep_compiled_kernels

        keep_compiled_kernels()
        from pipeline_lib.withdrawn.rule import Matcher, Withdrawn

        if applied not in self._made:
            self._made[applied] = Matcher(Withdrawn.of(self._exclusions.not_applied(applied)))
        return self._made[applied]


def _mark(store: Store, run: Run, exclusions: Exclusions, matchers: _Matchers) -> WithdrawnSince | None:
    corpus, applied = run.stage("corpus"), frozenset(run.exclusions)
    if corpus is None or exclusions.withdrawing <= applied:
        return None
    question = {
        "asks": "what withdraws documents of a corpus",
        "corpus": corpus.key,
        "exclusions": list(exclusions.names),
        "applied": sorted(applied),
        "code": code_digest([_RULE]),
    }
    try:
        found = answer(store, question, lambda: _count(open_stage(store, corpus.address), matchers.of(applied)))
    except MissingStage:
        return WithdrawnSince(problem="its corpus is in the store no more")
    except (DamagedFile, SchemaMismatch) as error:
        return WithdrawnSince(problem=str(error))
    if not found["splits"]:
        return None
    return WithdrawnSince(
        splits=found["splits"],
        by={Exclusion(*each["withdrawn"]): each["documents"] for each in found["by"]},
        is_trained=run.stage("train") is not None,
    )


def _count(corpus: PublishedStage, matcher: "Matcher") -> dict[str, Any]:
    from pipeline_lib.withdrawn.holdings import holdings

    splits: Counter[str] = Counter()
    by: Counter[Exclusion] = Counter()
    for holding in holdings(corpus, matcher, _WORKERS):
        splits[holding.file.table] += holding.documents.num_rows
        for row in holding.documents["place"].value_counts().to_pylist():
            by[matcher.listed[row["values"]]] += row["counts"]
    ordered = sorted(by, key=lambda each: (-by[each], each))
    return {
        "splits": dict(splits),
        "by": [{"withdrawn": [each.kind, each.value], "documents": by[each]} for each in ordered],
    }
