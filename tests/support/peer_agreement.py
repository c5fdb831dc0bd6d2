"""Our reasons beside a peer's: found, compared, counted and printed."""

# ruff: noqa: T201 (figures for people: pytest -s)

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import polars as pl
import pyarrow as pa
import pytest
from peer_process import peer_python

from pipeline_lib.filters.conditions import Condition, Signals
from pipeline_lib.filters.decide import rejected_by
from pipeline_lib.filters.measuring import Documents, measure
from pipeline_lib.filters.parameters import FilterParameters

Reasons = list[str | None]
BrokenRules = list[list[str]]  # of each document, in the order in which they are asked
WriteLines = Callable[[str, Iterable[str | None]], str]  # key and values; the path (fixture `write_lines`)

NEEDS_PEERS = [
    pytest.mark.peers,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(peer_python() is None, reason="needs the peers' environment: `make peers`"),
]

RARE = 3  # documents


def reasons(pages: pa.ChunkedArray, filters: FilterParameters) -> Reasons:
    """The first rule that each page breaks."""
    signals = pl.DataFrame(measure(Documents(texts=pages), filters).signals)
    found: Reasons = signals.select(rejected_by(filters.conditions())).to_series().to_list()
    return found


def broken_rules(signals: Signals | pl.DataFrame, conditions: Sequence[Condition]) -> BrokenRules:
    """All rules that each page breaks."""
    frame = pl.DataFrame(signals)
    columns = frame.select(condition.broken().alias(condition.rule) for condition in conditions)
    return [[rule for rule, broken in row.items() if broken] for row in columns.iter_rows(named=True)]


def first(broken: BrokenRules) -> Reasons:
    return [each[0] if each else None for each in broken]


def report(name: str, ours: Reasons, theirs: Reasons) -> int:
    """Print how often each reason was given, and where the two differ; returns how many differ."""
    differences = Counter((mine, other) for mine, other in zip(ours, theirs, strict=True) if mine != other)
    dropped = Counter(reason for reason in theirs if reason is not None)
    print(f"\n{name}: {len(ours)} documents, {sum(differences.values())} differ: {dict(differences)}")
    print(f"  dropped: {dict(dropped)}")
    return sum(differences.values())


def report_broken(name: str, ours: BrokenRules, theirs: BrokenRules, conditions: Sequence[Condition]) -> list[int]:
    """Print as `report` does, how often each rule is broken at all and which hardly ever; returns where any differs."""
    report(name, first(ours), first(theirs))
    differ = [k for k, (mine, other) in enumerate(zip(ours, theirs, strict=True)) if mine != other]
    by_rule = Counter(rule for k in differ for rule in set(ours[k]) ^ set(theirs[k]))
    counts = Counter(rule for each in theirs for rule in each)
    print(f"  broken at all: {dict(counts)}")
    print(f"  differ in any rule, each asked alone: {len(differ)}: {dict(by_rule)}")
    rare = {each.rule: counts[each.rule] for each in conditions if counts[each.rule] <= RARE}
    print(f"  broken by {RARE} documents or fewer: {rare}")
    return differ
