"""`what_if` on a small run whose stages are published by hand."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pytest
from published_stages import document_row, publish_stage, publish_tables

from flows.what_if import describe_what_if, judged_filters, what_if
from pipeline_lib.filters.parameters import FilterParameters, signal_parameters
from pipeline_lib.filters.rules.gopher_quality import GopherQualityRules
from pipeline_lib.filters.stage import judge_part, signals_part
from storage.manifests import Part, PublishedStage, publish_manifest
from storage.runs import Run, StageOutcome
from storage.schemas import DOCUMENTS
from storage.store import Store
from storage.wrong_request import WrongRequest

PARTS = ("part-00000", "part-00001", "part-00002")
FILTERS = FilterParameters(rules=("language", "gopher_quality"), also_measure=("length",))
HOSTILE = "\x1b[2J\u202e"  # clears a terminal, turns a line around


def text(num_words: int) -> str:
    return " ".join(["the", "miller", "and", "of", *["wheel"] * num_words][:num_words])


def published(store: Store, filters: FilterParameters, documents: Sequence[tuple[int, str]]) -> Run:
    """A run over documents of so many words and a language, in three parts."""
    tables = {
        part: {
            "documents": (
                pa.Table.from_pylist(
                    [
                        document_row(
                            number,
                            language=language,
                            text=text(num_words) + f" {HOSTILE}miller@mill-house.org",
                            url=f"https://site.example/{number}{HOSTILE}",
                        )
                        for number, (num_words, language) in list(enumerate(documents))[at :: len(PARTS)]
                    ],
                    schema=DOCUMENTS,
                ),
                DOCUMENTS,
            )
        }
        for at, part in enumerate(PARTS)
    }
    extract = publish_tables(store, "extract", tables)
    inputs = {"extract": extract}
    parts = [Part(name=part) for part in PARTS]
    signals = publish_stage(
        store, "signals", parts, lambda part, out: signals_part(part, inputs, out, signal_parameters(filters))
    )
    signals = _with_parameters(signals, signal_parameters(filters))
    judged = {**inputs, "signals": signals}
    judge = publish_stage(store, "judge", parts, lambda part, out: judge_part(part, judged, out, filters))
    judge = _with_parameters(judge, filters)
    for stage in (extract, signals, judge):
        publish_manifest(store, stage.manifest)
    return Run(
        run_id="small-1",
        recipe_name="small",
        recipe={},
        recipe_digest="",
        created_at="",
        status="completed",
        stages=[
            StageOutcome(
                name=each.manifest.stage, key="by-hand", account=each.manifest.account, reused=False, seconds=0
            )
            for each in (extract, signals, judge)
        ],
    )


def _with_parameters(stage: PublishedStage, filters: FilterParameters) -> PublishedStage:
    return replace(stage, manifest=replace(stage.manifest, parameters=json.loads(json.dumps(asdict(filters)))))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Store, Run]:
    """Documents of 30, 31, ... 129 words (and an address); every fifth is in Finnish."""
    store = Store(str(tmp_path_factory.mktemp("what-if") / "store"))
    documents = [(words, "fi" if words % 5 == 0 else "en") for words in range(30, 130)]
    return store, published(store, FILTERS, documents)


def asking(**thresholds: int | None) -> FilterParameters:
    return replace(FILTERS, gopher_quality=replace(FILTERS.gopher_quality, **thresholds))


def test_the_runs_own_filters_keep_what_the_run_kept(made):
    store, run = made
    found = what_if(store, run)
    judge = run.stage("judge")
    assert found.total.documents == 100
    assert found.after == found.before
    assert found.after.documents == judge.account.documents_out
    firsts = {change.rule: change.after.first for change in found.rules if change.after.first}
    assert firsts == judge.account.dropped
    assert found.changed == ()


def test_another_threshold_drops_and_keeps_other_documents(made):
    store, run = made
    found = what_if(store, run, asking(min_words=80), samples=2)
    # of n words and an address the whitespace words are n + 1
    lost = [words for words in range(30, 130) if words % 5 and 50 <= words + 1 < 80]
    assert found.newly_dropped.documents == len(lost)
    assert found.newly_dropped.characters == sum(len(text(each) + f" {HOSTILE}miller@mill-house.org") for each in lost)
    assert found.newly_kept.documents == 0
    assert found.after.documents == found.before.documents - len(lost)
    assert found.changed == ("gopher_quality.too_few_words",)
    (line,) = found.lines
    assert [example.value for example in line.inside] == [80, 82]  # that of 81 is Finnish: another rule drops it
    assert [example.value for example in line.outside] == [79, 78]
    assert {example.rule for example in found.dropped} == {"gopher_quality.too_few_words"}
    assert len(found.dropped) == 2


def test_a_loosened_rule_keeps_more_and_says_which_rule_had_dropped_them(made):
    store, run = made
    found = what_if(store, run, asking(min_words=None))
    assert found.newly_dropped.documents == 0
    assert found.newly_kept.documents == sum(1 for words in range(30, 130) if words % 5 and words + 1 < 50)
    assert Counter(example.rule for example in found.kept) == {"gopher_quality.too_few_words": 3}
    switched_off = next(change for change in found.rules if change.rule == "gopher_quality.too_few_words")
    assert switched_off.after is None
    assert switched_off.before is not None


def test_a_rule_set_can_be_asked_that_was_measured_and_not_asked(made):
    store, run = made
    filters = replace(FILTERS, rules=("language", "gopher_quality", "length"))
    filters = replace(filters, length=replace(filters.length, min_chars=400))
    found = what_if(store, run, filters)
    added = {change.rule: change for change in found.rules if change.before is None}
    assert added.keys() == {rule for rule in found.changed if rule.startswith("length.")}
    assert found.newly_dropped.documents == added["length.too_short"].after.first > 0


def test_excerpts_are_masked_and_control_nothing(made):
    store, run = made
    found = what_if(store, run, asking(min_words=80))
    for example in (*found.dropped, *found.lines[0].inside, *found.lines[0].outside):
        assert "miller@mill-house.org" not in example.text
        assert "the miller and of" in example.text
    described = describe_what_if(found)
    assert "\x1b" not in described + json.dumps(found.as_json(), ensure_ascii=False)
    assert "\u202e" not in described


def test_the_words_for_people_fit_a_terminal_and_name_the_change(made):
    store, run = made
    described = describe_what_if(what_if(store, run, asking(min_words=80)))
    assert (
        "gopher_quality.too_few_words drops gopher_quality_num_words < 80 (was gopher_quality_num_words < 50)"
        in described
    )
    assert "newly dropped" in described
    assert "80*" in described
    assert max(len(line) for line in described.splitlines()) <= 110


def test_the_answer_is_json_as_it_stands(made):
    store, run = made
    found = what_if(store, run, asking(min_words=80))
    value = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert value["newly_dropped"]["documents"] == found.newly_dropped.documents
    assert value["lines"][0]["outside"][0]["value"] == 79


def test_a_named_rule_is_the_one_whose_line_is_shown(made):
    store, run = made
    for name in ("language.other_language", "other_language"):
        (line,) = what_if(store, run, rule=name).lines
        assert line.rule == "language.other_language"
        assert {example.evidence for example in line.outside} == {"fi"}
        assert line.inside == ()
    with pytest.raises(WrongRequest, match=r"no rule 'too_few_word'.*did you mean gopher_quality.too_few_words"):
        what_if(store, run, rule="too_few_word")


@pytest.mark.parametrize(
    ("filters", "key"),
    [
        (replace(FILTERS, words="punct"), "filters.words"),
        (
            replace(FILTERS, gopher_quality=GopherQualityRules(stop_words=("le", "la"))),
            "filters.gopher_quality.stop_words",
        ),
        (replace(FILTERS, rules=("gopher_repetition",)), r"filters.rules \(gopher_repetition was not measured\)"),
        (replace(FILTERS, rules=("c4", "gopher_quality")), r"filters.rules \(c4 was not measured\)"),
    ],
)
def test_what_would_have_to_be_measured_is_refused_by_key(made, filters, key):
    store, run = made
    with pytest.raises(WrongRequest, match=rf"^{key}: run small-1 stored no such signals.*gristmill run"):
        what_if(store, run, filters)


def test_a_run_that_judged_nothing_is_refused(made):
    store, run = made
    with pytest.raises(WrongRequest, match="has judged nothing"):
        what_if(store, replace(run, stages=run.stages[:2]))


def test_a_run_without_documents_is_no_error(tmp_path):
    store = Store(str(tmp_path))
    run = published(store, FILTERS, [])
    found = what_if(store, run, asking(min_words=80))
    assert found.total.documents == found.after.documents == 0
    assert found.curves == ()
    assert "newly dropped" in describe_what_if(found)


def test_the_filters_of_a_run_are_those_it_recorded(made):
    assert judged_filters(*made) == FILTERS


def test_asking_loads_neither_torch_nor_prefect():
    heavy = ("torch", "prefect", "flows.recipe")
    code = f"import sys, flows.what_if; print([name for name in {heavy} if name in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert found.stdout.strip() == "[]"
