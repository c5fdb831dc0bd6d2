"""The page as a reader's browser gets it: all of it there, nothing of it alive."""

import base64
import hashlib
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_run import publish_run

from pipeline_lib.report.composition import compose, corpus_section
from pipeline_lib.report.learning import training_section
from pipeline_lib.report.parameters import ReportParameters
from pipeline_lib.report.scores import evaluation_section
from pipeline_lib.report.stage import report_part
from pipeline_lib.report.tokenizer_fit import tokenizer_section
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, StageAddress
from storage.store import Store

VOID = {"meta", "wbr", "rect"}
SCRIPTS = 900_000  # characters that no page is without


class Elements(HTMLParser):
    """Every element of a page with its attributes, the text of scripts and styles, and all other text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: list[tuple[str, dict[str, str], str]] = []
        self.text = ""
        self.open: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop()[0] == tag, f"<{tag}> is closed where another element is open"

    def handle_data(self, data):
        tag, attributes = self.open[-1] if self.open else ("", {})
        if tag in ("script", "style"):
            self.raw.append((tag, attributes, data))
        else:
            self.text += data

    def scripts(self, **attributes: str) -> list[str]:
        return ["".join(text) for tag, found, text in self.raw if tag == "script" and found == attributes]


def make_page(run, facts, parameters: ReportParameters | None = None, key: str = "k") -> tuple[str, PartResult]:
    writer = PartWriter(store=run.store, address=StageAddress(stage="report", key=key), part="all")
    result = report_part(Part(name="all"), run.stages, writer, parameters or ReportParameters(), facts=facts)
    page = run.store.read_bytes(f"stages/report/{key}/{writer.files[0].path}").decode()
    return page, result


@pytest.fixture(scope="module")
def plain_page(made_run, facts) -> tuple[str, PartResult]:
    return make_page(made_run, facts)


def charts_data(page: Elements) -> dict[str, list[dict]]:
    """By chart, the rows that it draws (its first data set: thresholds are a second one)."""
    (text,) = page.scripts(type="application/json", id="chart-specifications")
    return {name: max(chart["datasets"].values(), key=len) for name, chart in json.loads(text).items()}


def test_a_whole_run_shows_every_section_in_one_file_of_modest_size(plain_page):
    html, result = plain_page
    page = Elements(html)

    titles = "Funnel Extraction Quality rules Duplicates Corpus Tokenizer Training Evaluation Timings Provenance"
    assert result.metrics["sections"] == titles.lower().replace("quality ", "").split()
    assert all(title in page.text for title in titles.split())
    for shown in ("1.654", "2.12", "gopher_repetition.empty", "near_duplicate", "numpy.docs.invalid", "threshold: 0.8"):
        assert shown in page.text
    assert result.account == Account(documents_in=11, documents_out=11, unit_in="stages", unit_out="stages")
    assert len(html) < 1_500_000
    assert not page.open


def test_the_same_run_gives_the_same_page(made_run, facts, plain_page):
    assert make_page(made_run, facts, key="again")[0] == plain_page[0]


def test_addresses_are_masked_in_documents_that_no_stage_has_masked(made_run, plain_page):
    assert any("jane.doe@" in text for text in made_run.documents["text"].to_pylist())
    assert "jane.doe@" not in plain_page[0]
    assert plain_page[0].count("@example.") > 5


def test_a_table_says_what_each_chart_says(plain_page):
    page = Elements(plain_page[0])

    charts = [attributes["data-chart"] for _, attributes in page.elements if "data-chart" in attributes]
    assert set(charts) == set(charts_data(page))
    assert len(charts) == len(set(charts))
    assert [tag for tag, _ in page.elements].count("figure") == len(charts)
    assert {"funnel", "reasons", "languages", "hosts", "lengths", "loss", "throughput", "scores", "timings"} <= {
        *charts
    }
    # the bars of the funnel and its table
    kept = [row["count"] for row in charts_data(page)["funnel"] if row["fate"] == "kept"]
    assert kept == [120, 96, 72, 72]
    assert "120 documents96 documents24" in page.text.replace("\n", "")


def test_nothing_that_was_crawled_becomes_markup_or_code(hostile_run, facts, hostile):
    hostile_facts = {**facts, "recipe_name": f"demo{hostile}", "run_id": f"x{hostile}", "recipe": {"name": hostile}}
    html, _ = make_page(hostile_run, {**hostile_facts, "ui_url": "javascript:alert(1)"})
    page = Elements(html)

    assert not page.open
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 4
    assert tags.count("style") == 1
    assert "img" not in tags
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert all(attributes["href"].startswith("#") for _, attributes in page.elements if "href" in attributes)
    assert "<!--" not in html
    assert "\x00" not in html
    assert "\u202e" not in html
    # it is there all the same, as text and in the data of the charts
    assert '<img src=x onerror="window.broken=2">' in page.text
    hosts = [row["name"] for row in charts_data(page)["hosts"]]
    assert any("</script><script>" in host for host in hosts)


def test_the_policy_runs_the_two_scripts_of_the_page_and_lets_nothing_in_or_out(plain_page):
    page = Elements(plain_page[0])

    (policy,) = (
        attributes["content"]
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in policy
    assert "http" not in policy
    scripts = [text for text in page.scripts() if text]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert directives["script-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)
    assert len(digests) == 2
    loading = {"src", "srcset", "data", "poster"}
    assert not [name for _, attributes in page.elements for name in attributes if name in loading]
    assert not [tag for tag, _ in page.elements if tag in ("link", "iframe", "object", "base", "form")]


def test_a_run_that_ended_at_the_corpus_has_no_empty_sections(made_run, facts):
    ended = ("fetch", "extract", "signals", "judge", "dedup", "privacy", "corpus")
    run = type(made_run)(**{**vars(made_run), "stages": {name: made_run.stages[name] for name in ended}})
    html, result = make_page(run, facts, key="corpus-only")

    assert not {"tokenizer", "training", "evaluation"} & {*result.metrics["sections"]}
    assert result.account.documents_out == len(ended)
    assert "Loss" not in Elements(html).text


def test_what_is_shown_is_bounded_by_the_parameters(made_run, facts):
    few = ReportParameters(
        num_samples=1, samples_per_rule=1, num_clusters=1, excerpt_chars=40, top_hosts=1, num_signals=1, top_languages=1
    )
    html, _ = make_page(made_run, facts, few, key="few")
    page = Elements(html)

    assert [row["name"] for row in charts_data(page)["hosts"]] == [
        "numpy.docs.invalid",
        "all others",
    ]
    assert sum(name.startswith("signal-") for name in charts_data(page)) == 1
    assert page.text.count("similarity 0.") == 1
    texts = made_run.documents["text"].to_pylist()
    assert sum(text[:25] in page.text for text in texts) >= 2
    assert not any(text[:45] in page.text for text in texts)


@pytest.mark.parametrize(
    ("wrong", "message"), [({"num_samples": 0}, "num_samples=0"), ({"excerpt_chars": 5}, "excerpt_chars=5")]
)
def test_parameters_that_show_nothing_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ReportParameters(**wrong)


_KEYS = (
    "train validation bytes_per_token languages hosts bytes tokens documents tokenizer vocab_size sample_bytes "
    "length_histogram other_hosts samples prompt continuation parameters val_bits_per_byte xz_bits_per_byte "
    "val_bits_per_byte_interval gzip_bits_per_byte step loss"
)
keys = st.sampled_from(_KEYS.split())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**15) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(keys, json_values, max_size=8))
def test_metrics_that_are_not_what_they_were_are_left_out(with_metrics, made_run, metrics):
    made = {name: with_metrics(made_run.stages[name], metrics).manifest for name in ("corpus", "tokenizer", "evaluate")}
    made["train"] = with_metrics(made_run.stages["train"], metrics).manifest

    corpus_section(compose(made["corpus"]), None, [], top_hosts=3, top_languages=3)
    tokenizer_section(made["tokenizer"], made["corpus"], top_hosts=3)
    evaluation_section(made["evaluate"], excerpt_chars=100)
    training_section(made["train"], [metrics] if "step" in metrics else [])


def test_more_documents_make_the_page_no_larger(facts, tmp_path):
    sizes = []
    for per_part in (320, 1280):  # in both every rule drops something
        run = publish_run(Store(str(tmp_path / str(per_part))), per_part=per_part, hostile="")
        page, _ = make_page(run, facts)
        sizes.append(len(page) - SCRIPTS)
    assert sizes[1] < 1.05 * sizes[0]


def test_samples_name_the_command_that_shows_all_documents(made_run, facts):
    page, _ = make_page(made_run, facts, key="command")
    command = f'<span class="code">gristmill browse {facts["run_id"]}</span>'
    assert page.count(command) == 3  # kept ones, dropped ones, pairs of duplicates
    nameless, _ = make_page(made_run, {**facts, "run_id": None}, key="nameless")
    assert "gristmill browse" not in nameless
