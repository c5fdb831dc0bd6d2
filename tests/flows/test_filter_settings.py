from dataclasses import replace
from pathlib import Path

import pytest

from flows.filter_settings import change_filters, load_filters
from flows.recipe import load_recipe
from flows.settings import SettingsError
from flows.verbs.files import judge
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.presets import describe_presets, preset_names

SOURCE = ["source.paths=[a.warc.gz]"]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_described_and_gives_filters(name: str) -> None:
    assert describe_presets()[name].endswith(".")
    assert load_filters(name).conditions() or name == "none"


def test_fineweb_is_its_four_filters_in_its_order() -> None:
    filters = load_filters("fineweb")
    assert filters.rules == ("gopher_repetition", "gopher_quality", "c4", "fineweb_quality")
    assert filters.c4.lines.require_end_mark is False
    assert load_filters("c4").c4.lines.require_end_mark is True


def test_presets_combine_in_the_order_they_are_named() -> None:
    assert load_filters("gopher-quality,gopher-repetition").rules == ("gopher_quality", "gopher_repetition")
    with pytest.raises(SettingsError, match="c4 different values"):
        load_filters("c4,c4-fineweb")


def test_a_file_mixes_a_preset_with_thresholds_and_a_rule_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "preset: gopher-quality\n"
        "gopher_quality: {min_words: 80}\n"
        "custom:\n"
        "  - {name: shouting, drop_where: gopher_quality_hash_ratio > 0.01 and num_chars < 500}\n",
        encoding="utf-8",
    )
    filters = load_filters(str(path), ["gopher_quality.max_words=1000"], "punct")
    assert filters.gopher_quality.min_words == 80
    assert filters.gopher_quality.max_words == 1000
    assert filters.words == "punct"
    assert filters.conditions()[-1].rule == "custom.shouting"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("filters:\n  " + path.read_text().replace("\n", "\n  "), encoding="utf-8")
    assert load_filters(str(recipe), ["filters.gopher_quality.max_words=1000"], "punct") == filters


@pytest.mark.parametrize(
    ("rules", "overrides", "complaint"),
    [
        ("finweb", [], "did you mean 'fineweb'"),
        ("missing.yaml", [], "no file missing.yaml"),
        ("fineweb", ["gopher_quality.min_word=80"], "gopher_quality.min_words"),
        ("fineweb", ["filters.gopher_quality.min_words=many"], "gopher_quality.min_words: .*many"),
        ("fineweb", ["gopher_quality.min_words"], "expected key=value"),
        ("fineweb", ["custom=[{name: a, drop_where: word_count < 3}]"], "no signal is called 'word_count'"),
        ("fineweb", ["gopher_quality=5"], "gopher_quality"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_key(rules: str, overrides: list[str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load_filters(rules, overrides)


def test_changing_filters_keeps_the_rest_and_a_preset_begins_anew() -> None:
    filters = FilterParameters(rules=("length",))
    changed = change_filters(filters, ["filters.length.min_chars=7", "gopher_quality.min_words=null"])
    assert changed == replace(
        filters,
        length=replace(filters.length, min_chars=7),
        gopher_quality=replace(filters.gopher_quality, min_words=None),
    )
    assert change_filters(filters, ["filters.preset=gopher-quality"]).rules == ("gopher_quality",)


def test_a_recipe_names_a_preset_and_changes_what_it_likes() -> None:
    recipe = load_recipe("minicrawl", [*SOURCE, "filters.preset=c4", "filters.c4.min_sentences=9"])
    assert recipe.filters.rules == ("c4",)
    assert (recipe.filters.c4.min_sentences, recipe.filters.c4.lines.require_end_mark) == (9, True)
    with pytest.raises(SettingsError, match=r"filters\.preset: no preset 'c5'; did you mean 'c4'"):
        load_recipe("minicrawl", [*SOURCE, "filters.preset=c5"])


def test_the_help_of_judge_lists_the_presets_that_there_are() -> None:
    listed = " ".join((judge.help or "").partition("Presets: ")[2].split()).rstrip(".")
    assert listed.split(", ") == preset_names()
