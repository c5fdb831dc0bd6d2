"""What other thresholds would keep of a run's documents, in seconds: nothing is measured, and nothing is written."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline_lib.filters.conditions import Condition
from pipeline_lib.filters.new_measuring import new_measuring
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.stage import recorded_filters
from pipeline_lib.filters.stored_signals import Place, read_columns, read_documents, read_some
from pipeline_lib.filters.what_if import (
    Curve,
    Found,
    Outcome,
    Overlap,
    RuleCost,
    Volume,
    Wanted,
    changed_rules,
    compare,
    curve_grids,
    needed_columns,
)
from pipeline_lib.report.excerpts import excerpt, one_line
from pipeline_lib.report.quantities import NOTHING, count, share, size, value
from storage.manifests import PublishedStage, open_stage
from storage.runs import Run
from storage.store import Store
from storage.wrong_request import WrongRequest

_STAGES = ("extract", "signals", "judge", "privacy")
_EXCERPT_CHARS = 300
_URL_CHARS = 160
_TOP_LINES = 3
_SEED = 0

_WIDTH = 100
_NAME_WIDTH = 52
_PAIRS = 10
_POINTS = 8


@dataclass(frozen=True, kw_only=True)
class RuleChange:
    """One rule under the run's filters and under the changed ones; None: these do not ask it."""

    rule: str
    before: RuleCost | None
    after: RuleCost | None


@dataclass(frozen=True, kw_only=True)
class Example:
    """A document, the rule it is shown for, and the beginning of its text with addresses masked."""

    doc_id: str
    url: str
    title: str
    language: str
    rule: str
    value: float | None
    evidence: str | None
    text: str


@dataclass(frozen=True, kw_only=True)
class LineExamples:
    """Documents on both sides of a rule's line that no other rule drops, the nearest first."""

    rule: str
    drops: str
    inside: tuple[Example, ...]
    outside: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """The answer. `before` is what the run's filters keep, `after` what the changed ones would; texts as extracted.

    Attributes:
        rules: in the order in which the changed filters ask them, then those that only the run asked.
        changed: the rules with another threshold than the run's, or that the run did not ask.
        overlaps, curves, lines: under the changed filters.
        dropped, kept: some of the documents whose fate changes.
    """

    run_id: str
    total: Volume
    before: Volume
    after: Volume
    newly_dropped: Volume
    newly_kept: Volume
    changed: tuple[str, ...]
    rules: tuple[RuleChange, ...]
    overlaps: tuple[Overlap, ...]
    curves: tuple[Curve, ...]
    lines: tuple[LineExamples, ...]
    dropped: tuple[Example, ...]
    kept: tuple[Example, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def judged_filters(store: Store, run: Run) -> FilterParameters:
    """The filters that a run judged by.

    Raises:
        WrongRequest: it judged nothing, or by rules that this version does not read.
    """
    return _filters_of(_open(store, run)["judge"], run)


def what_if(
    store: Store, run: Run, filters: FilterParameters | None = None, *, samples: int = 3, rule: str | None = None
) -> WhatIf:
    """What `filters` would keep of a run's documents, beside what the run's own keep; None: look at these.

    Args:
        samples: documents on each side of a line, and of each changed fate.
        rule: show documents at the line of this rule, instead of at those that changed.

    Raises:
        WrongRequest: the run judged nothing, the filters want signals that it did not measure, no such rule.
    """
    inputs = _open(store, run)
    own = _filters_of(inputs["judge"], run)
    asked = own if filters is None else filters
    in_the_way = new_measuring(own, asked)
    if in_the_way:
        raise WrongRequest(
            f"{', '.join(in_the_way)}: run {run.run_id} stored no such signals, so this has to be measured, not only "
            "decided; `gristmill run` with the same --set does that"
        )
    before, after = own.conditions(), asked.conditions()
    changed = changed_rules(before, after)
    dropped = inputs["judge"].manifest.account.dropped
    lines = _lines(after, changed, dropped, rule)
    columns = needed_columns([*before, *after])
    outcome = compare(
        read_columns(inputs, columns),
        before,
        after,
        grids=curve_grids(read_some(inputs, columns), before, after),
        wanted=Wanted(lines=lines, samples=samples, seed=_SEED),
    )
    return _answer(run, outcome, changed, inputs)


def _open(store: Store, run: Run) -> dict[str, PublishedStage]:
    inputs = {each.name: open_stage(store, each.address) for each in run.stages if each.name in _STAGES}
    if not {"extract", "signals", "judge"} <= inputs.keys():
        raise WrongRequest(
            f"run {run.run_id} has judged nothing ({run.status}): there is nothing to decide anew; "
            "`gristmill runs` lists the others"
        )
    return inputs


def _filters_of(judge: PublishedStage, run: Run) -> FilterParameters:
    try:
        return recorded_filters(judge.manifest)
    except ValueError as error:
        raise WrongRequest(
            f"run {run.run_id} was judged by rules that this version does not read; run it again: {error}"
        ) from error


def _lines(
    conditions: Sequence[Condition], changed: Sequence[str], dropped: Mapping[str, int], rule: str | None
) -> tuple[str, ...]:
    """The rules of which documents are shown."""
    names = [condition.rule for condition in conditions]
    if rule is None:
        most = sorted((name for name in names if dropped.get(name)), key=lambda name: -dropped[name])
        return tuple(changed or most[:_TOP_LINES])
    if rule in names:
        return (rule,)
    by_reason = [name for name in names if name.partition(".")[2] == rule]
    if len(by_reason) == 1:
        return tuple(by_reason)
    close = by_reason or difflib.get_close_matches(rule, names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"
    raise WrongRequest(f"no rule {rule!r} is asked by these filters; {hint}")


def _answer(run: Run, outcome: Outcome, changed: tuple[str, ...], inputs: Mapping[str, PublishedStage]) -> WhatIf:
    shown = [*outcome.dropped, *outcome.kept]
    shown += [found for line in outcome.lines for found in (*line.inside, *line.outside)]
    documents = read_documents(inputs, {(found.part, found.row) for found in shown})

    def examples(found: Sequence[Found]) -> tuple[Example, ...]:
        return tuple(_example(each, documents) for each in found)

    before = {cost.rule: cost for cost in outcome.before.rules}
    after = {cost.rule: cost for cost in outcome.after.rules}
    return WhatIf(
        run_id=run.run_id,
        total=outcome.total,
        before=outcome.before.kept,
        after=outcome.after.kept,
        newly_dropped=outcome.newly_dropped,
        newly_kept=outcome.newly_kept,
        changed=changed,
        rules=tuple(
            RuleChange(rule=rule, before=before.get(rule), after=after.get(rule)) for rule in {**after, **before}
        ),
        overlaps=outcome.overlaps,
        curves=outcome.curves,
        lines=tuple(
            LineExamples(rule=line.rule, drops=line.drops, inside=examples(line.inside), outside=examples(line.outside))
            for line in outcome.lines
        ),
        dropped=examples(outcome.dropped),
        kept=examples(outcome.kept),
    )


def _example(found: Found, documents: Mapping[Place, Mapping[str, str]]) -> Example:
    document = documents[found.part, found.row]
    return Example(
        doc_id=found.doc_id,
        url=one_line(document["url"], _URL_CHARS),
        title=one_line(document["title"], _URL_CHARS),
        language=one_line(document["language"], 20),
        rule=found.rule,
        value=found.value,
        evidence=None if found.evidence is None else one_line(found.evidence, _URL_CHARS),
        text=excerpt(document["text"], _EXCERPT_CHARS),
    )


def describe_what_if(answer: WhatIf) -> str:
    """The same, for people at a terminal."""
    blocks = [
        _describe_kept(answer),
        _describe_rules(answer),
        _describe_overlaps(answer),
        *(
            _describe_curve(curve, answer)
            for curve in answer.curves
            if curve.rule in {line.rule for line in answer.lines}
        ),
        *(_describe_line(line) for line in answer.lines),
        _describe_examples("newly dropped", answer.dropped, answer.newly_dropped.documents, with_rule=True),
        _describe_examples("newly kept, was dropped", answer.kept, answer.newly_kept.documents, with_rule=True),
    ]
    return "\n\n".join("\n".join(lines) for lines in (list(block) for block in blocks) if lines)


def _describe_kept(answer: WhatIf) -> Iterator[str]:
    rules = {change.rule: change for change in answer.rules}
    for rule in answer.changed:
        before, after = rules[rule].before, rules[rule].after
        was = "was not asked" if before is None else f"was {before.drops}"
        yield f"{rule} drops {'' if after is None else after.drops} ({was})"
    for change in answer.rules:
        if change.after is None:
            yield f"{change.rule} is not asked"
    is_other = bool(answer.changed) or any(change.after is None for change in answer.rules)
    if is_other:
        yield ""
    yield f"{answer.run_id:<36}{'documents':>14}{'of all':>10}{'text':>12}{'of all':>10}{'characters':>18}"
    rows = [("kept", answer.before)]
    if answer.before != answer.after or is_other:
        rows = [("kept by the run's filters", answer.before), ("kept by the changed filters", answer.after)]
        rows += [("  newly dropped", answer.newly_dropped), ("  newly kept", answer.newly_kept)]
    for name, volume in (*rows, ("extracted", answer.total)):
        yield (
            f"{name:<36}{count(volume.documents):>14}{share(volume.documents, answer.total.documents):>10}"
            f"{size(volume.bytes):>12}{share(volume.bytes, answer.total.bytes):>10}{count(volume.characters):>18}"
        )


def _describe_rules(answer: WhatIf) -> Iterator[str]:
    yield f"{'rule, in the order asked':<{_NAME_WIDTH}}{'break it':>14}{'dropped by it':>16}{'by it only':>14}"
    unbroken = 0
    for change in answer.rules:
        latest = change.after or change.before
        if latest is None or not any(cost.breaks for cost in (change.before, change.after) if cost is not None):
            unbroken += 1
            continue
        if change.after is not None:
            yield _cost(change.rule, change.after)
        else:
            yield f"{change.rule}: not asked"
        if change.before is None:
            yield "  was not asked"
        elif change.after is None or _counts(change.before) != _counts(change.after):
            yield _cost("  was", change.before)
    if unbroken:
        yield f"and {count(unbroken)} rules that no document breaks"


def _cost(name: str, cost: RuleCost) -> str:
    return f"{name:<{_NAME_WIDTH}}{count(cost.breaks):>14}{count(cost.first):>16}{count(cost.only):>14}"


def _counts(cost: RuleCost) -> tuple[int, int, int]:
    return cost.breaks, cost.first, cost.only


def _describe_overlaps(answer: WhatIf) -> Iterator[str]:
    pairs = [pair for pair in answer.overlaps if pair.documents][:_PAIRS]
    if pairs:
        yield f"{'break both':>14}{'of the fewer':>14}  pair of rules"
    for pair in pairs:
        yield f"{count(pair.documents):>14}{share(pair.share_of_smaller, 1):>14}  {pair.rule}, {pair.other}"


def _describe_curve(curve: Curve, answer: WhatIf) -> Iterator[str]:
    """The points next to the rule's own."""
    own = next(at for at, point in enumerate(curve.points) if point.threshold == curve.threshold)
    begin = max(0, min(own - _POINTS // 2, len(curve.points) - _POINTS))
    chosen = range(begin, min(begin + _POINTS, len(curve.points)))
    yield f"kept of all, were {curve.rule} to drop {curve.signal} {curve.comparison}"
    yield "".join(f"{value(curve.points[at].threshold) + ('*' if at == own else ''):>12}" for at in chosen)
    yield "".join(f"{share(curve.points[at].kept, answer.total.documents):>12}" for at in chosen)


def _describe_line(line: LineExamples) -> Iterator[str]:
    yield from _describe_examples(f"{line.rule}: kept, just inside", line.inside)
    yield from _describe_examples(f"{line.rule}: dropped by it only, just outside", line.outside)
    if not line.inside and not line.outside:
        yield f"{line.rule}: no document hangs on it alone"


def _describe_examples(
    title: str, examples: Sequence[Example], of: int | None = None, *, with_rule: bool = False
) -> Iterator[str]:
    if examples:
        yield title if of is None else f"{title}: {len(examples)} of {count(of)}"
    for example in examples:
        found = example.evidence or (NOTHING if example.value is None else value(example.value, 6))
        yield f"  {f'{example.rule} ' if with_rule else ''}{found}  {one_line(example.url, _WIDTH - 20)}"
        yield f"      {' '.join(excerpt(example.text, _WIDTH - 10).split())}"
