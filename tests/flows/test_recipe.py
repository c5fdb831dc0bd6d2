"""Recipes: what is not known is refused with a suggestion, before any work."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.recipe import builtin_recipes, load_recipe
from flows.settings import SettingsError


def test_the_built_in_recipes_describe_themselves() -> None:
    assert set(builtin_recipes()) == {"commoncrawl", "demo", "minicrawl"}
    assert all(builtin_recipes().values())


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("dedup.treshold=0.7", "unknown key 'dedup.treshold'; did you mean 'dedup.threshold'"),
        ("threshold=0.7", "did you mean 'decontamination.threshold' or 'dedup.threshold'"),
        ("min_words=3", "did you mean 'decontamination.min_words' or .*'filters.gopher_quality.min_words'"),
        ("filters={gopher_qualty: {min_words: 3}}", "did you mean 'filters.gopher_quality'"),
        ("dedup.threshold", "expected key=value"),
        ("dedup.threshold=7", "threshold=7.0"),
        ("dedup={keep: quality, quality_signal: c4_num_sentence}", "did you mean 'c4_num_sentences'"),
        ("filters.gopher_quality.min_words=many", "filters.gopher_quality.min_words: .*integer.*found 'many'"),
        ("source.paths=[a.warc.gz]", "kind is documentation"),
        ("name.first=x", "unknown key 'name.first'"),
        ("goal=everything", "goal: .*'corpus', 'tokens' or 'model'"),
        ("dedup=[", "not YAML"),
    ],
)
def test_a_wrong_override_is_refused_with_what_would_do(override: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load_recipe("demo", [override])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("source: {kind: warc}", "no WARC file is named"),
        ("source: {kind: warc, path: [a]}", "unknown key 'source.path'; did you mean 'source.paths'"),
        ("- a\n- b\n", "expected keys and values"),
        ("source: [", "is not YAML"),
        ("", "expected keys and values"),
        ("1: 2", "expected keys and values"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=f"mine.yaml.*{complaint}"):
        load_recipe(str(path))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_recipe(str(path))


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'demo'"):
        load_recipe("dmeo")


def test_a_resolved_recipe_can_be_run_again_as_it_is(tmp_path: Path) -> None:
    first = load_recipe("demo", ["dedup.threshold=0.7", "filters.rules=[gopher_quality]", "training.steps=3"])
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(first.model_dump(mode="json")))
    again = load_recipe(str(path))
    assert again == first
    assert again.digest() == first.digest()


def test_the_digest_is_of_what_shapes_the_run() -> None:
    base = load_recipe("demo")
    assert load_recipe("demo", ["name=other", "description=nothing"]).digest() == base.digest()
    assert load_recipe("demo", ["dedup.threshold=0.79"]).digest() != base.digest()
    assert load_recipe("demo", ["dedup.memory_bytes=1000000000"]).digest() == base.digest()


def test_one_path_needs_no_list() -> None:
    assert load_recipe("minicrawl", ["source.paths=a.warc.gz"]).source.paths == ("a.warc.gz",)


def test_a_group_that_is_off_is_on_when_one_of_its_keys_is_set_and_a_single_value_makes_a_list() -> None:
    crawl = "source.crawl=CC-MAIN-2026-43"
    assert load_recipe("commoncrawl", [crawl]).source.index is None
    index = load_recipe("commoncrawl", [crawl, "source.index=null", "source.index.domains=python.org"]).source.index
    assert index is not None
    assert (index.domains, index.statuses) == (("python.org",), (200,))
    assert load_recipe("commoncrawl", [crawl, "source.index={statuses: 301}"]).source.index.statuses == (301,)


def test_manners_are_no_part_of_a_recipes_digest_and_what_is_read_is() -> None:
    crawl = "source.crawl=CC-MAIN-2026-43"
    plain = load_recipe("commoncrawl", [crawl]).digest()
    assert load_recipe("commoncrawl", [crawl, "fetch.requests_per_second=1", "fetch.contact=me"]).digest() == plain
    assert load_recipe("commoncrawl", [crawl, "source.sample=3"]).digest() != plain


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "no crawl is named"),
        (["source.crawl=../etc"], "expected an id such as CC-MAIN-2026-43"),
        (["source.crawl=latest", "source.sample=2", "source.files=3"], "choose files by one of these"),
        (["source.crawl=latest", "source.index.domains=a.org", "source.files=3"], "index names records of any file"),
        (["source.crawl=latest", "source.index.kind=api"], "kind=api answers for hosts, domains or urls only"),
        (["source.crawl=latest", "source.index.languages=german"], "no ISO 639-3 code"),
        (["source.crawl=latest", "source.kind=warc", "source.paths=a.warc"], "set kind to commoncrawl"),
    ],
)
def test_a_crawl_that_cannot_be_meant_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_recipe("commoncrawl", overrides)


def test_the_rules_of_a_run_are_what_decides_which_documents_of_its_sources_it_keeps() -> None:
    rules = load_recipe("demo").rules_digest()
    for other in ("name=other", "goal=corpus", "training.steps=3", "corpus.validation_ratio=0.5", "dedup_index=weekly"):
        assert load_recipe("demo", [other]).rules_digest() == rules
    assert load_recipe("demo", ["dedup.memory_bytes=100000000"]).rules_digest() == rules  # manners
    assert load_recipe("demo", ["dedup.threshold=0.79"]).rules_digest() != rules
    assert load_recipe("demo", ["extract.max_depth=100"]).rules_digest() != rules


@pytest.mark.parametrize("name", ["Weekly", "../weekly", "", "a/b"])
def test_a_name_that_is_none_of_an_index_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="dedup_index"):
        load_recipe("demo", [f"dedup_index={name!r}"])


def test_what_ends_before_a_model_loads_no_pytorch() -> None:
    """Two seconds of every run of a corpus, and of every question about one."""
    code = "import sys, flows.end_to_end, flows.why; print('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert found.stdout.strip() == "False"


def test_a_recipe_for_the_latest_crawl_has_an_index_of_its_own_unless_it_says_otherwise():
    latest = ("source.crawl=latest",)
    own = load_recipe("commoncrawl", latest).dedup_index
    assert own.startswith("commoncrawl-")
    assert load_recipe("commoncrawl", (*latest, "dedup_index=null")).dedup_index is None
    assert load_recipe("commoncrawl", (*latest, "dedup_index=weekly")).dedup_index == "weekly"
    assert load_recipe("commoncrawl", ("source.crawl=CC-MAIN-2026-43",)).dedup_index is None


@pytest.mark.parametrize(
    ("change", "is_the_same"),
    [
        ("source.index_server=https://mirror.example", True),
        ("filters.gopher_quality.min_words=60", True),  # other rules for crawls to come: what is kept stays compared
        ("goal=corpus", True),
        ("source.sample=4", False),  # a trial
        ("source.index.domains=python.org", False),
        ("name=mine", False),
    ],
)
def test_the_index_of_a_recipe_goes_with_its_name_and_what_it_takes_of_a_crawl(change, is_the_same):
    own, other = (
        load_recipe("commoncrawl", ("source.crawl=latest", *changes)).dedup_index for changes in ((), (change,))
    )
    assert (own == other) == is_the_same
