import dataclasses
import os
import random
import string
import struct
import tempfile

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_lib.dedup import device_verification
from pipeline_lib.dedup.engine import find_duplicates
from pipeline_lib.dedup.fingerprints import FLOOR_BYTES
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.signatures import fingerprints
from storage.schemas import DOCUMENTS

NGRAM, BANDS, ROWS = 2, 6, 2
SOURCES = ("wiki", "books")

slow_start = settings(
    deadline=None,  # the first example compiles the kernels
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the fixtures only hand over functions
)

# texts of a few words, so that equal, similar, contained and short ones are common
drawn_pages = st.tuples(
    st.lists(st.sampled_from("abcdefg"), max_size=12).map(" ".join),
    st.sampled_from([None, 2020, 2021]),
    st.sampled_from(["", "", "https://a.example/1", "http://www.a.example/1", "https://b.example/"]),
    st.sampled_from([None, 0.5, 0.9]),
    st.sampled_from(["wiki", "books", "web"]),
)
orders = st.sampled_from(
    [
        ("longest", "earliest"),
        ("latest", "longest"),
        ("earliest",),
        ("quality", "latest"),
        ("source", "quality"),
        (),
    ]
)
choices = st.fixed_dictionaries(
    {
        "keep": orders,
        "similarity": st.sampled_from(["jaccard", "containment"]),
        "threshold": st.sampled_from([0.3, 0.5, 0.8, 1.0]),
        "exact": st.booleans(),
        "url": st.booleans(),
        "near": st.sampled_from([True, True, True, False]),
    }
)


def parameters_of(choice):
    keep = choice["keep"]
    return DedupParameters(
        ngram=NGRAM,
        bands=BANDS,
        rows=ROWS,
        quality_signal="quality" if "quality" in keep else None,
        source_priority=SOURCES if "source" in keep else (),
        **choice,
    )


def make_pages(page, drawn, first_number=0):
    return [
        page(number=first_number + number, text=text, year=year, url=url, quality=quality, source=source)
        for number, (text, year, url, quality, source) in enumerate(drawn)
    ]


def shingles(text):
    words = text.split()
    return {tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)}


def similarity(removed, kept, kind):
    one, other = shingles(removed.text), shingles(kept.text)
    return len(one & other) / len(one if kind == "containment" else one | other)


class Oracle:
    """The rules of `find_duplicates` as one would write them down, in quadratic time."""

    def __init__(self, pages, parameters, earlier):
        self.parameters = parameters
        # two pages may have one doc_id: an earlier run may have read the same crawl
        self.every = [*(("", each) for each in pages), *((run, each) for run in earlier for each in earlier[run])]
        rows = pa.Table.from_pylist([each.row() for _, each in self.every], DOCUMENTS)
        signed = fingerprints(rows, parameters.signatures()).to_pylist()
        self.fingerprint = dict(zip(self.every, signed, strict=True))
        self.cluster = {each: {each} for each in self.every}
        self.removed = {}
        self.kept = [each for each in self.every if each[0]]
        for each in sorted((each for each in self.every if not each[0]), key=self.preference):
            self.judge(each)

    def preference(self, each):
        page = each[1]
        values = {
            "longest": -len(page.text),
            "earliest": (page.year is None, page.year or 0),
            "latest": (page.year is None, -(page.year or 0)),
            "quality": (page.quality is None, -(page.quality or 0)),
            "source": [*SOURCES, "web"].index(page.source),
        }
        text_hash = struct.unpack("<QQ", self.fingerprint[each]["text_hash"])
        return [*(values[criterion] for criterion in self.parameters.keep), text_hash, page.doc_id]

    def judge(self, each):
        found = self.removal(each)
        if found is None:
            self.kept.append(each)
        else:
            self.removed[each] = found
            self.unite(each, found[1])

    def removal(self, each):
        words = each[1].text.split()
        if self.parameters.exact and words:
            for other in self.kept:
                if other[1].text.split() == words:
                    return "exact_duplicate", other, 1.0, 0
        url = self.fingerprint[each]["url_hash"]
        if self.parameters.url and any(url):
            for other in self.kept:
                replaced = other[0] and self.parameters.keep[:1] == ("latest",)
                if self.fingerprint[other]["url_hash"] == url and not replaced:
                    return "url_duplicate", other, None, 0
        if not self.parameters.near or len(words) < NGRAM:
            return None
        if self.parameters.exact:
            for other, found in self.removed.items():
                if other[1].text.split() == words and found[0] == "near_duplicate":
                    return found
        similar = []
        for place, other in enumerate(self.kept):
            shared = self.bands_shared(each, other) if len(other[1].text.split()) >= NGRAM else 0
            if shared:
                alike = similarity(each[1], other[1], self.parameters.similarity)
                if alike >= self.parameters.threshold:
                    self.unite(each, other)
                    similar.append((-alike, place, shared))
        if not similar:
            return None
        negated, place, shared = min(similar)
        return "near_duplicate", self.kept[place], -negated, shared

    def bands_shared(self, one, other):
        left, right = self.fingerprint[one]["signature"], self.fingerprint[other]["signature"]
        return sum(
            left[band * ROWS : (band + 1) * ROWS] == right[band * ROWS : (band + 1) * ROWS] for band in range(BANDS)
        )

    def unite(self, one, other):
        self.cluster[one] |= self.cluster[other]
        for member in self.cluster[one]:
            self.cluster[member] = self.cluster[one]

    def duplicates(self):
        return {
            each[1].doc_id: (rule, kept[1].doc_id, kept[0] or None, alike, shared)
            for each, (rule, kept, alike, shared) in self.removed.items()
        }

    def clusters(self):
        return {
            each[1].doc_id: (min(page.doc_id for _, page in members), each not in self.removed)
            for each, members in self.cluster.items()
            if not each[0] and len(members) > 1
        }


def duplicates_of(decisions, parts):
    rows = [row for part in parts for row in decisions.duplicates(part).to_pylist()]
    names = ("rule", "kept_id", "kept_run", "similarity", "bands_shared")
    return {row["doc_id"]: tuple(row[name] for name in names) for row in rows}


def clusters_of(decisions, parts):
    rows = [row for part in parts for row in decisions.clusters(part).to_pylist()]
    return {row["doc_id"]: (row["cluster_id"], row["kept"]) for row in rows}


@slow_start
@given(
    st.lists(drawn_pages, max_size=16),
    st.lists(st.lists(drawn_pages, max_size=6), max_size=2),
    choices,
    st.randoms(use_true_random=False),
)
def test_decisions_are_those_of_plain_python_whatever_part_a_document_is_in(decide, page, drawn, before, choice, rng):
    parameters = parameters_of(choice)
    pages = make_pages(page, drawn)
    runs = {f"run-{at}": make_pages(page, each, 100 * at + 8) for at, each in enumerate(before)}
    oracle = Oracle(pages, parameters, runs)

    rng.shuffle(pages)
    cut = rng.randint(0, len(pages))
    parts = {"one": pages[:cut], "none": [], "two": pages[cut:]}
    earlier = {run: {"first": each[:2], "second": each[2:]} for run, each in runs.items()}
    decisions = decide(parts, parameters, earlier)

    assert duplicates_of(decisions, parts) == oracle.duplicates()
    assert clusters_of(decisions, parts) == oracle.clusters()
    assert decisions.account.documents_in == len(pages)
    assert decisions.account.documents_out == len(pages) - len(oracle.removed)
    for part, its_pages in parts.items():
        removed = oracle.duplicates()
        assert decisions.kept_rows(part).tolist() == [
            row for row, each in enumerate(its_pages) if each.doc_id not in removed
        ]
        witnesses = decisions.witnesses(part)
        assert witnesses.rows.tolist() == [row for row, each in enumerate(its_pages) if each.doc_id in removed]
        for row, kept_part, kept_row in zip(
            witnesses.rows.tolist(), witnesses.kept_part.tolist(), witnesses.kept_row.tolist(), strict=True
        ):
            _, kept_id, kept_run, _, _ = removed[its_pages[row].doc_id]
            if kept_run is not None:
                assert (kept_part, kept_row) == (-1, -1)
            else:
                assert list(parts.values())[kept_part][kept_row].doc_id == kept_id
        for row in decisions.duplicates(part).to_pylist():
            line = {"exact_duplicate": 1.0, "url_duplicate": None, "near_duplicate": parameters.threshold}
            assert row["threshold"] == line[row["rule"]]
            assert row["cluster_id"] == oracle.clusters()[row["doc_id"]][0]


@slow_start
@given(
    st.lists(drawn_pages, max_size=16),
    st.lists(drawn_pages, max_size=6),
    choices,
    st.sampled_from([1, 2, 256]),
    st.sampled_from([16, 1 << 13, 1 << 30]),  # bytes that a pair is said to take: room for all, for eight, for none
)
def test_sets_compared_on_a_device_change_nothing(decide, page, drawn, before, choice, max_candidates, pair_bytes):
    parameters = dataclasses.replace(parameters_of(choice), max_candidates=max_candidates)
    pages = make_pages(page, drawn)
    parts = {"one": pages[::2], "two": pages[1::2]}
    earlier = {"run": {"part": make_pages(page, before, 100)}}
    expected = decide(parts, parameters, earlier)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(device_verification, "PAIR_BYTES", pair_bytes)
        found = decide(parts, parameters, earlier, compare_on="cpu")
    assert found.metrics == expected.metrics
    assert found.account == expected.account
    for part in parts:
        assert found.duplicates(part).equals(expected.duplicates(part))
        assert found.clusters(part).equals(expected.clusters(part))
        assert found.kept_rows(part).tolist() == expected.kept_rows(part).tolist()


def vocabulary(rng, num_words):
    """In letters: numbers are all the same to shingles."""
    return ["".join(rng.choices(string.ascii_lowercase, k=8)) for _ in range(num_words)]


def similar_pages(page, num_pages, seed=1):
    """Pages of which most are damaged copies of others, some of copies: chains, equal texts, and equal URLs too."""
    rng = random.Random(seed)
    words = vocabulary(rng, 5000)
    texts = [rng.choices(words, k=200)]
    for _ in range(num_pages - 1):
        if rng.random() < 0.1:
            texts.append(rng.choices(words, k=200))
            continue
        copy = list(rng.choice(texts))
        for _ in range(rng.choice([0, 1, 1, 2, 3, 8])):
            copy[rng.randrange(len(copy))] = rng.choice(words)
        texts.append(copy)
    urls = [f"https://site.example/{rng.randrange(3 * num_pages)}" for _ in texts]
    return [
        page(number=number, text=" ".join(text), url=url, year=rng.choice([2020, 2021, None]))
        for number, (text, url) in enumerate(zip(texts, urls, strict=True))
    ]


def test_little_memory_many_threads_and_other_parts_change_no_decision(decide, page, monkeypatch):
    pages = similar_pages(page, 400)
    earlier = {"before": {"part": similar_pages(page, 60, seed=1)}}  # the first texts are those of `pages`
    tables = []
    for memory_bytes, cores, num_parts in ((1 << 30, 1, 1), (FLOOR_BYTES * 500, 1, 1), (FLOOR_BYTES * 500, 7, 5)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        changed = DedupParameters(memory_bytes=memory_bytes)
        parts = {f"part-{number}": pages[number::num_parts] for number in range(num_parts)}
        decisions = decide(parts, changed, earlier)
        assert decisions.account.dropped.keys() == {"exact_duplicate", "url_duplicate", "near_duplicate"}
        tables.append((duplicates_of(decisions, parts), clusters_of(decisions, parts), decisions.account))
        metrics = {name: value for name, value in decisions.metrics.items() if name != "spilled_bytes"}
        tables[-1] += (metrics,)
    assert any(kept_run == "before" for _, _, kept_run, _, _ in tables[0][0].values())
    assert tables[0][3]["largest_candidate_component"] * 200 * 8 > 2 * (1 << 16)  # one is read through a map
    assert tables[1] == tables[0]
    assert tables[2] == tables[0]


def test_too_many_documents_for_the_memory_are_an_error_that_says_what_to_do(decide, page):
    pages = [page(number=number, text="some words") for number in range(11)]
    parameters = DedupParameters(memory_bytes=10 * FLOOR_BYTES)
    with pytest.raises(ValueError, match=r"memory_bytes=1300: 11 documents and more .* set dedup.memory_bytes higher"):
        decide({"part": pages}, parameters)
    assert decide({"part": pages[:10]}, parameters).account.documents_out == 1


def test_a_new_capture_replaces_an_earlier_one_only_where_the_latest_is_kept(decide, page):
    old = page(number=1, text="one text of that page", url="https://site.example/page", year=2020)
    new = page(number=2, text="quite another text by now", url="https://site.example/page", year=2021)
    earlier = {"week-1": {"part": [old]}}
    for keep, removed in (
        (("longest", "latest"), [("url_duplicate", old.doc_id, "week-1", None, 0)]),
        (("latest",), []),
    ):
        decisions = decide({"part": [new]}, DedupParameters(keep=keep), earlier)
        assert list(duplicates_of(decisions, ["part"]).values()) == removed


def test_what_is_quoted_whole_is_contained_but_not_similar(decide, page):
    words = vocabulary(random.Random(1), 300)
    whole, quotation = (page(number=at, text=" ".join(words[:end])) for at, end in enumerate((300, 150)))
    parts = {"part": [quotation, whole]}
    # bands of one row, since bands go by Jaccard similarity, which is a half here
    bands = {"bands": 64, "rows": 1, "threshold": 0.9}
    assert duplicates_of(decide(parts, DedupParameters(**bands)), parts) == {}
    decisions = decide(parts, DedupParameters(similarity="containment", **bands))
    ((doc_id, found),) = duplicates_of(decisions, parts).items()
    assert doc_id == quotation.doc_id
    assert found[:4] == ("near_duplicate", whole.doc_id, None, 1.0)
    # the longer one is not contained in the shorter: where that one is kept, both stay
    shortest_first = DedupParameters(similarity="containment", keep=("quality",), quality_signal="quality", **bands)
    liked = [page(number=7, text=quotation.text, quality=1.0), whole]
    assert duplicates_of(decide({"part": liked}, shortest_first), ["part"]) == {}


def test_a_doc_id_that_is_none_is_refused_with_its_part(page, tmp_path):
    class Nameless:
        parts = ("somewhere",)

        def fingerprints(self, part):
            rows = pa.Table.from_pylist([{**page(number=1, text="a b").row(), "doc_id": "page-1"}], DOCUMENTS)
            yield fingerprints(rows, DedupParameters().signatures())

    with pytest.raises(ValueError, match="somewhere: expected a doc_id of 32 lower-case hex digits, found 'page-1'"):
        find_duplicates(Nameless(), DedupParameters(), scratch=tmp_path)


def test_a_full_disk_says_where(decide, page, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    pages = [page(number=number, text=f"one two three four five six {number}") for number in range(3)]  # to compare
    with pytest.raises(OSError, match=f"{tempfile.gettempdir()}.*No space left on device.*make room there"):
        decide({"part": pages}, DedupParameters())
