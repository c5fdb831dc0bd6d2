import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_stages import doc_id

from pipeline_lib.filters.conditions import Bound, Condition, Membership
from pipeline_lib.filters.custom import CustomCondition
from pipeline_lib.filters.new_measuring import new_measuring
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rules.gopher_quality import GopherQualityRules
from pipeline_lib.filters.what_if import (
    Outcome,
    Volume,
    Wanted,
    changed_rules,
    compare,
    curve_grids,
    curve_thresholds,
    needed_columns,
)

Document = dict[str, Any]

SIGNALS = ("short", "ratio", "flag")
WORSE = {"<": operator.lt, "<=": operator.le, ">": operator.gt}
CUSTOM = CustomCondition(rule="custom.both", expression="short > 2 and ratio > 0.5")
GRID = np.array([-1.0, 0.0, 0.25, 0.5, 1.0, 3.0, 9.0])

values = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, math.nan, math.inf])
documents_lists = st.lists(
    st.fixed_dictionaries(
        {
            "language": st.sampled_from(["en", "de", "ja"]),
            "num_bytes": st.integers(0, 9).map(float),
            "num_chars": st.integers(0, 9).map(float),
            **dict.fromkeys(SIGNALS, values),
        }
    ),
    max_size=40,
).map(lambda rows: [{"doc_id": doc_id(number), **row} for number, row in enumerate(rows)])


@st.composite
def conditions_lists(draw: st.DrawFn) -> list[Condition]:
    """Some of the rules there could be, in some order."""
    asked: list[Condition] = [
        Bound(
            rule=f"test.{signal}{at}",
            signal=signal,
            comparison=draw(st.sampled_from(["<", "<=", ">"])),
            threshold=draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])),
        )
        for signal in SIGNALS
        for at in range(draw(st.integers(0, 2)))
    ]
    if draw(st.booleans()):
        asked.append(Membership(rule="language.other", column="language", allowed=("en", "de")))
    if draw(st.booleans()):
        asked.append(CUSTOM)
    return draw(st.permutations(asked))


def breaks(document: Document, condition: Condition) -> bool:
    """What the rules say, with NaN above every number, as Polars has it."""
    if isinstance(condition, Membership):
        return document["language"] not in condition.allowed
    if isinstance(condition, Bound):
        value = document[condition.signal]
        if math.isnan(value):
            return condition.comparison == ">"
        return bool(WORSE[condition.comparison](value, condition.threshold))
    short, ratio = (math.inf if math.isnan(document[name]) else document[name] for name in ("short", "ratio"))
    return bool(short > 2 and ratio > 0.5)


def broken_by(document: Document, conditions: Sequence[Condition]) -> list[str]:
    return [condition.rule for condition in conditions if breaks(document, condition)]


def volume(documents: Sequence[Document]) -> Volume:
    return Volume(
        documents=len(documents),
        bytes=int(sum(each["num_bytes"] for each in documents)),
        characters=int(sum(each["num_chars"] for each in documents)),
    )


def frame(documents: Sequence[Document]) -> pl.DataFrame:
    schema = {name: pl.String if name in ("doc_id", "language") else pl.Float64 for name in COLUMNS}
    return pl.DataFrame(list(documents), schema=schema, orient="row" if documents else None)


COLUMNS = ("doc_id", "language", "num_bytes", "num_chars", *SIGNALS)


def outcome(
    documents: Sequence[Document],
    before: Sequence[Condition],
    after: Sequence[Condition],
    cuts: Sequence[int] = (),
    **wanted: Any,
) -> Outcome:
    """The documents, divided into parts at the cuts."""
    ends = [0, *sorted(min(cut, len(documents)) for cut in cuts), len(documents)]
    parts = [(f"part-{at}", frame(documents[begin:end])) for at, (begin, end) in enumerate(pairwise(ends))]
    grids = {each.rule: GRID for each in after if isinstance(each, Bound)}
    return compare(parts, before, after, grids=grids, wanted=Wanted(**wanted))


@given(documents_lists, conditions_lists(), conditions_lists())
def test_every_count_is_that_of_a_loop_over_the_documents(documents, before, after):
    found = outcome(documents, before, after, cuts=(7, 20), overlaps=99)

    kept_before = [each for each in documents if not broken_by(each, before)]
    kept_after = [each for each in documents if not broken_by(each, after)]
    assert found.total == volume(documents)
    assert found.before.kept == volume(kept_before)
    assert found.after.kept == volume(kept_after)
    assert found.newly_dropped == volume([each for each in kept_before if each not in kept_after])
    assert found.newly_kept == volume([each for each in kept_after if each not in kept_before])
    for conditions, verdict in ((before, found.before), (after, found.after)):
        broken = [broken_by(each, conditions) for each in documents]
        assert [cost.rule for cost in verdict.rules] == [condition.rule for condition in conditions]
        for cost in verdict.rules:
            assert cost.breaks == sum(cost.rule in rules for rules in broken)
            assert cost.first == sum(rules[:1] == [cost.rule] for rules in broken)
            assert cost.only == sum(rules == [cost.rule] for rules in broken)
    broken = [set(broken_by(each, after)) for each in documents]
    counts = {cost.rule: cost.breaks for cost in found.after.rules if cost.breaks}
    assert len(found.overlaps) == len(counts) * (len(counts) - 1) // 2
    for pair in found.overlaps:
        assert pair.documents == sum({pair.rule, pair.other} <= rules for rules in broken)
        assert pair.share_of_smaller == pair.documents / min(counts[pair.rule], counts[pair.other])


@given(documents_lists, conditions_lists())
def test_a_curve_says_what_would_stay_with_each_threshold_and_all_other_rules_as_they_are(documents, conditions):
    found = outcome(documents, conditions, conditions, cuts=(11,))
    bounds = [each for each in conditions if isinstance(each, Bound)]
    assert [curve.rule for curve in found.curves] == [bound.rule for bound in bounds]
    for curve, bound in zip(found.curves, bounds, strict=True):
        assert [point.threshold for point in curve.points] == GRID.tolist()
        for point in curve.points:
            moved = replace(bound, threshold=point.threshold)
            others = [moved if each is bound else each for each in conditions]
            assert point.kept == sum(not broken_by(each, others) for each in documents)


@given(documents_lists, conditions_lists(), st.integers(0, 4))
def test_the_documents_at_a_line_are_the_nearest_that_no_other_rule_drops(documents, conditions, samples):
    rules = tuple(condition.rule for condition in conditions)
    found = outcome(documents, conditions, conditions, cuts=(3, 4, 19), lines=rules, samples=samples)
    for condition, line in zip(conditions, found.lines, strict=True):
        own = [each for each in documents if not set(broken_by(each, conditions)) - {condition.rule}]
        outside = [each for each in own if breaks(each, condition)]
        if not isinstance(condition, Bound):
            assert line.inside == ()
            assert len(line.outside) == min(samples, len(outside))
            assert {each.doc_id for each in line.outside} <= {each["doc_id"] for each in outside}
            continue
        inside = [each for each in own if not breaks(each, condition)]
        for side, shown in ((inside, line.inside), (outside, line.outside)):
            near = sorted(
                (abs(each[condition.signal] - condition.threshold), each["doc_id"])
                for each in side
                if not math.isnan(each[condition.signal])
            )
            assert [each.doc_id for each in shown] == [each for _, each in near[:samples]]
            by_id = {each["doc_id"]: each[condition.signal] for each in side}
            for each in shown:
                value = by_id[each.doc_id]
                assert each.value == (value if math.isfinite(value) else None)


@given(documents_lists, conditions_lists(), conditions_lists())
def test_documents_whose_fate_changes_are_shown_with_the_rule_that_decides(documents, before, after):
    found = outcome(documents, before, after, cuts=(5, 6), samples=5)
    by_id = {each["doc_id"]: each for each in documents}
    for shown, lost, decides, volume_of in (
        (found.dropped, before, after, found.newly_dropped),
        (found.kept, after, before, found.newly_kept),
    ):
        assert len(shown) == min(5, volume_of.documents)
        for each in shown:
            assert not broken_by(by_id[each.doc_id], lost)
            assert each.rule == broken_by(by_id[each.doc_id], decides)[0]


@given(documents_lists, conditions_lists(), conditions_lists(), st.lists(st.integers(0, 40), max_size=4))
def test_the_answer_does_not_depend_on_the_parts(documents, before, after, cuts):
    rules = tuple(condition.rule for condition in after)

    def answer(cuts: Sequence[int]) -> Any:
        found = outcome(documents, before, after, cuts, lines=rules, samples=3)
        ids = [
            [each.doc_id for each in shown]
            for shown in (
                found.dropped,
                found.kept,
                *(side for line in found.lines for side in (line.inside, line.outside)),
            )
        ]
        return replace(found, dropped=(), kept=(), lines=()), ids

    assert answer(cuts) == answer(())


def test_a_shown_document_names_its_part_and_row():
    documents = [
        {"doc_id": doc_id(at), "language": "en", "num_bytes": 1.0, "num_chars": 1.0, "short": float(at)}
        | dict.fromkeys(("ratio", "flag"), 0.0)
        for at in range(10)
    ]
    bound = Bound(rule="test.short", signal="short", comparison="<", threshold=6.0)
    (line,) = outcome(documents, [bound], [bound], cuts=(4,), lines=("test.short",), samples=1).lines
    assert [(each.part, each.row, each.value) for each in (*line.inside, *line.outside)] == [
        ("part-1", 2, 6.0),
        ("part-1", 1, 5.0),
    ]


def test_thresholds_of_a_curve_can_be_typed_and_hold_the_rules_own():
    signal = np.random.default_rng(3).lognormal(5, 1, 5000)
    found = curve_thresholds(np.floor(signal), [50.0, 80.0])
    assert {50.0, 80.0} <= set(found)
    assert found.tolist() == sorted(set(found.tolist()))
    assert all(each == int(each) for each in found)
    ratios = curve_thresholds(signal / signal.max(), [0.12345])
    assert all(float(f"{each:.3g}") == each for each in ratios if each != 0.12345)


def test_a_signal_that_says_yes_or_no_has_no_curve():
    assert len(curve_thresholds(np.array([0.0, 1.0, 1.0, math.nan]), [0.5])) == 0


def test_curves_are_asked_where_documents_hang_on_the_rule_alone():
    bounds = [
        Bound(rule="test.short", signal="short", comparison="<", threshold=10.0),
        Bound(rule="test.ratio", signal="ratio", comparison=">", threshold=0.5),
    ]
    sample = frame(
        [
            {"doc_id": doc_id(at), "language": "en", "num_bytes": 1.0, "num_chars": 1.0}
            | {"short": float(at), "ratio": 0.9 if at >= 100 else 0.1, "flag": 0.0}
            for at in range(200)
        ]
    )
    grids = curve_grids(sample, bounds, bounds)
    assert grids.keys() == {"test.short"}  # of the others' ratio there are only two values
    assert grids["test.short"].max() < 100


def test_what_is_read_is_what_rules_look_at():
    assert needed_columns([CUSTOM]) == ["doc_id", "num_bytes", "num_chars", "ratio", "short"]


def test_a_rule_is_changed_where_it_has_another_threshold_or_was_not_asked():
    own = FilterParameters()
    other = replace(own, rules=(*own.rules, "length"), gopher_quality=replace(own.gopher_quality, min_words=80))
    changed = changed_rules(own.conditions(), other.conditions())
    assert "gopher_quality.too_few_words" in changed
    assert {rule.partition(".")[0] for rule in changed} == {"gopher_quality", "length"}


@pytest.mark.parametrize(
    ("changes", "in_the_way"),
    [
        ({"gopher_quality": GopherQualityRules(min_words=80, max_hash_ratio=None)}, ()),
        ({"rules": ("language", "gopher_quality")}, ("filters.rules",)),  # c4 edited what fineweb and the corpus see
        ({"rules": ("gopher_quality", "length", "c4", "fineweb_quality")}, ()),  # asked for or not, they are stored
        ({"rules": ("fineweb_quality", "c4")}, ("filters.rules",)),
        ({"also_measure": ()}, ()),
        ({"words": "punct"}, ("filters.words",)),
        ({"gopher_quality": GopherQualityRules(stop_words=("le", "la"))}, ("filters.gopher_quality.stop_words",)),
    ],
)
def test_filters_that_need_other_signals_are_named_by_key(changes, in_the_way):
    found = new_measuring(FilterParameters(), replace(FilterParameters(), **changes))
    assert [key.partition(" ")[0] for key in found] == list(in_the_way)


def test_a_rule_set_that_was_not_measured_is_named():
    stored = FilterParameters(rules=("language",), also_measure=())
    (key,) = new_measuring(stored, replace(stored, rules=("language", "length")))
    assert key == "filters.rules (length was not measured)"
