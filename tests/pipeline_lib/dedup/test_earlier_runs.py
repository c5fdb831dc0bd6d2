"""Runs deduplicated against what earlier ones kept: each kept document once, by whichever run came first."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from indexed_runs import Series
from published_stages import doc_id

from pipeline_lib.dedup.earlier_runs import EarlierRunLost, IndexedDocuments, recorded_parameters
from pipeline_lib.dedup.index_stage import TABLE, IndexParameters
from pipeline_lib.dedup.parameters import DedupParameters, SignatureParameters
from pipeline_lib.kernels.bands import band_keys
from storage.manifests import manifest_path

WORDS = [f"word{letter}{other}" for letter in "abcdefghij" for other in "klmnopqrst"]
# signatures of few words, and every similar pair a candidate, so that a plain oracle knows what has to be found
PINNED = "637492748e860ae4032e06a6ee9eb596cfbfeaa2f6450e914bef215ddb226f81"
ALIKE = DedupParameters(ngram=1, bands=64, rows=1, threshold=0.6, url=False)


def prose(seed: int, num_words: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=num_words))


def jaccard(one: str, other: str) -> float:
    left, right = set(one.split()), set(other.split())
    return len(left & right) / len(left | right)


@pytest.fixture
def series():
    made = Series()
    yield made
    made.store.remove("stages")


def test_a_later_run_leaves_out_what_an_earlier_one_kept_and_names_it(series) -> None:
    first = series.run("january", [{0: prose(0)}, {1: prose(1), 2: prose(2)}])
    second = series.run("february", [{10: prose(10), 11: prose(1)}, {12: prose(2) + " and a little more"}])
    third = series.run("march", [{20: prose(10), 21: prose(0), 22: prose(22)}])

    assert set(first.corpus) == {doc_id(0), doc_id(1), doc_id(2)}
    assert set(second.corpus) == {doc_id(10)}
    assert set(third.corpus) == {doc_id(22)}
    found = {
        each: (row["rule"], row["kept_id"], row["kept_run"])
        for each, row in {**second.duplicates, **third.duplicates}.items()
    }
    assert found == {
        doc_id(11): ("exact_duplicate", doc_id(1), "january"),
        doc_id(12): ("near_duplicate", doc_id(2), "january"),
        doc_id(20): ("exact_duplicate", doc_id(10), "february"),
        doc_id(21): ("exact_duplicate", doc_id(0), "january"),
    }
    near = second.duplicates[doc_id(12)]
    assert near["threshold"] == 0.8 <= near["similarity"] < 1.0
    assert near["bands_shared"] >= 1
    assert second.stages["dedup"].manifest.account.dropped == {"exact_duplicate": 1, "near_duplicate": 1}


def test_an_earlier_document_stays_whatever_the_order_of_preference_says(series) -> None:
    series.run("short", [{0: prose(3)}])
    longer = prose(3) + " and much better at the end"
    assert series.run("long", [{1: longer}]).corpus == {}


def test_a_document_that_its_run_dropped_after_all_keeps_no_other_out(series) -> None:
    """An index names what is in the corpus: neither removed duplicates nor what a stage after dedup took."""
    first = series.run("first", [{0: prose(4), 1: prose(4), 2: prose(5)}], dropped_late=[doc_id(2)])
    index = first.stages["index"]
    named = index.read(TABLE, "part-00000", recorded_parameters(index).schema(), columns=["doc_id"])
    assert named["doc_id"].to_pylist() == list(first.corpus)
    second = series.run("second", [{10: prose(4), 11: prose(5)}])
    assert list(second.corpus) == [doc_id(11)]


def test_the_same_sources_in_a_larger_run_leave_only_what_is_new(series) -> None:
    """Documents of the same id are in both: the earlier one is the witness of the later."""
    series.run("week", [{0: prose(6), 1: prose(7)}])
    larger = series.run("both weeks", [{0: prose(6), 1: prose(7)}, {2: prose(8)}])
    assert list(larger.corpus) == [doc_id(2)]
    witnesses = {each: (row["kept_id"], row["kept_run"]) for each, row in larger.duplicates.items()}
    assert witnesses == {doc_id(number): (doc_id(number), "week") for number in (0, 1)}


def test_an_index_holds_the_band_keys_that_its_signatures_have(series) -> None:
    run = series.run("run", [{0: prose(0), 1: "too short"}, {}])
    index = run.stages["index"]
    parameters = recorded_parameters(index)
    assert parameters == IndexParameters(signatures=SignatureParameters(), bands=14)
    table = index.read(TABLE, "part-00000", parameters.schema())
    signatures = table["signature"].combine_chunks().flatten().to_numpy().reshape(2, 112)
    expected = np.empty((14, 2), np.uint64)
    band_keys(signatures, 14, expected)
    assert table["band_keys"].to_pylist() == expected.T.tolist()
    assert index.read(TABLE, "part-00001", parameters.schema()).num_rows == 0


def test_runs_with_other_bands_of_the_same_permutations_go_together(series) -> None:
    series.run("fourteen", [{0: prose(0)}])
    series.parameters = replace(series.parameters, bands=28, rows=4)
    assert list(series.run("twenty-eight", [{1: prose(0) + " more", 2: prose(1)}]).corpus) == [doc_id(2)]


def test_bands_that_cut_signatures_unevenly_are_refused() -> None:
    with pytest.raises(ValueError, match="bands=13: expected a divisor of the 112 permutations"):
        IndexParameters(signatures=SignatureParameters(), bands=13)


@pytest.mark.parametrize("stage", ["signatures", "extract", "judge"])
def test_a_stage_of_an_earlier_run_that_is_gone_is_named(series, stage) -> None:
    run = series.run("january", [{0: prose(0)}])
    series.store.remove(manifest_path(run.stages[stage].manifest.address))
    with pytest.raises(EarlierRunLost, match=rf"\(january\).*stages/{stage}/january.*Run the recipe of that run again"):
        IndexedDocuments(run.stages["index"], "january", DedupParameters().banding()).check()


@pytest.mark.parametrize("stage, table", [("index", "kept"), ("extract", "documents")])
def test_a_damaged_file_of_an_earlier_run_ends_a_later_one_with_its_name(series, stage, table) -> None:
    series.run("january", [{0: prose(0)}])
    path = f"stages/{stage}/january/{table}/part-00000.parquet"
    series.store.publish_bytes(path, series.store.read_bytes(path)[:-40])
    with pytest.raises(EarlierRunLost, match=rf"\(january\).*stages/{stage}/january/{table}/part-00000"):
        series.run("february", [{1: prose(0) + " and more"}])


def test_what_is_indexed_of_a_text_is_what_it_always_was(series) -> None:
    """Indexes stay, programs change: a change here needs another version of `index_schema`."""
    run = series.run("run", [{0: prose(0)}])
    assert run.stages["index"].manifest.content_digest(TABLE) == PINNED


texts = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=7).map(" ".join), max_size=7)
few_words = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def unions(decide, one, other, parameters):
    """What is kept by the two runs in either order, and by one run of all; rows of duplicates, too."""
    for order in ([one, other], [other, one], [one + other]):
        kept: dict[str, dict[str, list]] = {}
        rows = []
        for number, pages in enumerate(order):
            parts = {"part-0": pages[::2], "part-1": pages[1::2]}
            decisions = decide(parts, parameters, kept)
            kept[f"run-{number}"] = {
                part: [pages[row] for row in decisions.kept_rows(part)] for part, pages in parts.items()
            }
            rows += [row for part in parts for row in decisions.duplicates(part).to_pylist()]
        yield [each for parts in kept.values() for pages in parts.values() for each in pages], rows


def numbered(page, one, other):
    """Pages of two crawls."""
    return (
        [page(number=number, text=text) for number, text in enumerate(one)],
        [page(number=100 + number, text=text) for number, text in enumerate(other)],
    )


@few_words
@given(texts, texts)
def test_of_equal_texts_every_order_of_runs_keeps_one(decide, page, one, other) -> None:
    """The exact rule does not mind the order: the union of the runs has each text once."""
    for kept, _ in unions(decide, *numbered(page, one, other), replace(ALIKE, near=False)):
        assert sorted(each.text for each in kept) == sorted({*one, *other})


@few_words
@given(texts, texts)
def test_every_order_of_runs_keeps_a_witness_of_each_document_and_no_two_that_are_alike(
    decide, page, one, other
) -> None:
    """Which of similar texts stays goes with the order, and in chains how many do; not what they stand for."""
    pages = numbered(page, one, other)
    text_of = {each.doc_id: each.text for each in [*pages[0], *pages[1]]}
    for kept, rows in unions(decide, *pages, ALIKE):
        assert len(kept) + len(rows) == len(text_of)
        assert {row["kept_id"] for row in rows} <= {each.doc_id for each in kept}
        for row in rows:
            alike = jaccard(text_of[row["doc_id"]], text_of[row["kept_id"]])
            assert alike == row["similarity"] >= ALIKE.threshold
        for place, each in enumerate(kept):
            assert all(jaccard(each.text, before.text) < ALIKE.threshold for before in kept[:place])
