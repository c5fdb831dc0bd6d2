import json
import operator
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import pytest

from pipeline_lib.filters.conditions import Bound
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rules.gopher_quality import GopherQualityRules
from pipeline_lib.filters.rules.language import LanguageRules
from pipeline_lib.report.blocks import Figure, Figures, Pairs
from pipeline_lib.report.parameters import ReportParameters
from pipeline_lib.report.stage import report_part
from pipeline_lib.report.what_if import what_if_blocks
from storage.accounts import Account
from storage.manifests import Part, PartWriter, PublishedStage, StageAddress
from storage.schemas import DOCUMENTS, signals_schema

ADDRESS = "jane.doe@watermill.org"  # in documents of the made run
FILTERS = FilterParameters(
    rules=("language", "gopher_quality"),
    language=LanguageRules(languages=("en", "de"), min_score=None),
    gopher_quality=GopherQualityRules(
        min_mean_word_chars=None, max_mean_word_chars=None, max_words=None, min_alphabetic_word_ratio=None
    ),
)
DROPPING = {  # a count for each rule: which of them are drawn, and in which order
    "language.other_language": 50,
    "gopher_quality.too_few_words": 40,
    "gopher_quality.too_many_hash_signs": 30,
    "gopher_quality.too_many_ellipses": 10,
}


def judged(stages: Mapping[str, PublishedStage]) -> dict[str, PublishedStage]:
    """The stages, as if judged by filters that drop not all of these random documents."""
    judge = stages["judge"]
    documents = sum(DROPPING.values())
    account = Account(documents_in=documents, documents_out=0, dropped=DROPPING)
    manifest = replace(judge.manifest, account=account, parameters=json.loads(json.dumps(asdict(FILTERS))))
    return {**stages, "judge": replace(judge, manifest=manifest)}


@pytest.fixture(scope="module")
def blocks(made_run) -> list[Any]:
    return what_if_blocks(judged(made_run.stages), samples=2, seed=0, excerpt_chars=200)


@pytest.fixture(scope="module")
def broken(made_run) -> list[list[str]]:
    """The rules that each document breaks, in order."""
    extract, signals = made_run.stages["extract"], made_run.stages["signals"]
    found = []
    for part in extract.part_names:
        rows = signals.read("signals", part, signals_schema(list(FilterParameters().signals()))).to_pylist()
        languages = extract.read("documents", part, DOCUMENTS, ["language"])["language"].to_pylist()
        found += [broken_by({**row, "language": language}) for row, language in zip(rows, languages, strict=True)]
    return found


def broken_by(document: Mapping[str, Any]) -> list[str]:
    worse = {"<": operator.lt, "<=": operator.le, ">": operator.gt}
    return [
        each.rule
        for each in FILTERS.conditions()
        if (
            worse[each.comparison](document[each.signal], each.threshold)
            if isinstance(each, Bound)
            else document["language"] not in ("en", "de")
        )
    ]


def figures_of(blocks: list[Any]) -> dict[str, Figure]:
    return {figure.name: figure for block in blocks if isinstance(block, Figures) for figure in block.figures}


def drawn_values(figure: Figure) -> list[dict[str, Any]]:
    (values,) = figure.specification["datasets"].values()
    return values


def cells(figure: Figure) -> dict[str, list[str]]:
    return {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in figure.table.rows}


def test_what_a_rule_costs_is_counted_over_all_documents(blocks, broken):
    costs = cells(figures_of(blocks)["rule-costs"])
    assert costs.keys() >= DROPPING.keys()
    for rule, numbers in costs.items():
        assert [int(number) for number in numbers] == [
            sum(rule in rules for rules in broken),
            sum(rules[:1] == [rule] for rules in broken),
            sum(rules == [rule] for rules in broken),
        ]


def test_the_segments_of_a_bar_add_up_to_what_breaks_the_rule(blocks):
    figure = figures_of(blocks)["rule-costs"]
    drawn: dict[str, int] = {}
    for row in drawn_values(figure):
        assert row["documents"] >= 0
        drawn[row["rule"]] = drawn.get(row["rule"], 0) + row["documents"]
    assert drawn == {rule: int(numbers[0]) for rule, numbers in cells(figure).items()}


def test_the_heat_map_shows_shares_of_the_rule_at_the_left(blocks, broken):
    squares = drawn_values(figures_of(blocks)["rule-overlap"])
    assert len({square["rule"] for square in squares}) <= 12
    for square in squares:
        of_both = sum({square["rule"], square["also"]} <= set(rules) for rules in broken)
        assert square["documents"] == of_both
        assert square["share"] == of_both / sum(square["rule"] in rules for rules in broken)


def test_curves_are_those_of_the_rules_that_drop_most_with_their_threshold_marked(blocks, broken):
    figures = [figure for name, figure in figures_of(blocks).items() if name.startswith("retention-")]
    assert [figure.name.removeprefix("retention-") for figure in figures] == list(DROPPING)[1:]
    kept = cells(figures[0])
    assert kept["50"][0] == str(sum(not rules for rules in broken))
    numbers = [int(each[0]) for each in kept.values()]
    assert numbers == sorted(numbers, reverse=True)  # the more words are asked for, the fewer documents stay
    assert {"threshold": 50.0} in [row for rows in figures[0].specification["datasets"].values() for row in rows]


def test_kept_and_dropped_neighbours_stand_side_by_side(blocks):
    (pairs,) = [block for block in blocks if isinstance(block, Pairs)]
    assert [pair.title for pair in pairs.pairs] == [rule for rule in list(DROPPING)[1:] for _ in range(2)]
    for pair in pairs.pairs:
        kept, dropped = pair.sides
        assert (kept.tone, dropped.tone) == ("kept", "dropped")
        assert kept.verdict.startswith("Kept: ")
        assert dropped.verdict.startswith("Dropped: ")
    words = [[int(side.verdict.split(": ")[1]) for side in pair.sides] for pair in pairs.pairs[:2]]
    assert words[0][1] < 50 <= words[0][0]
    assert words[0][0] <= words[1][0]  # the nearest first
    assert ADDRESS not in str(pairs)


def test_without_a_judged_run_there_is_nothing_to_show(made_run):
    for missing in ("judge", "signals", "extract"):
        stages = {name: stage for name, stage in made_run.stages.items() if name != missing}
        assert what_if_blocks(stages, samples=2, seed=0, excerpt_chars=200) == []


def test_hostile_documents_at_the_line_are_text(hostile_run, facts, hostile):
    writer = PartWriter(store=hostile_run.store, address=StageAddress(stage="report", key="what-if"), part="all")
    report_part(Part(name="all"), judged(hostile_run.stages), writer, ReportParameters(), facts=facts)
    page = hostile_run.store.read_bytes("stages/report/what-if/report/report.html").decode()
    assert 'id="figure-rule-costs"' in page
    assert 'id="figure-rule-overlap"' in page
    assert "<script>window.broken" not in page
    assert '<img src=x onerror="window' not in page
