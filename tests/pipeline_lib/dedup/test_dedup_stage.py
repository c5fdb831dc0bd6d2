import random
import string
import struct

import pytest

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.stage import dedup_part
from storage.manifests import PartWriter, StageAddress
from storage.parameters import shaping_parameters


def letters(seed: int, num_words: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(num_words)]


def text(seed: int, num_words: int = 200) -> str:
    return " ".join(letters(seed, num_words))


def changed(original: str, num_words: int, at: int = 0) -> str:
    """The text with neighbouring words replaced: of shingles of 5 words, num_words + 4 are lost."""
    words = original.split()
    words[at : at + num_words] = letters(10_000 + at, num_words)
    return " ".join(words)


def shingles(text: str, ngram: int) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)}


def jaccard(one: str, other: str, ngram: int = 5) -> float:
    left, right = shingles(one, ngram), shingles(other, ngram)
    return len(left & right) / len(left | right)


def test_a_removed_document_removes_no_other(run_dedup, page):
    """A chain: B is like A, C is like B, but C is not like A, who is kept."""
    a = text(1) + " and a longer end"
    b = changed(a, 15)
    c = changed(b, 15, at=180)
    assert jaccard(a, b) >= 0.8 <= jaccard(b, c)
    assert jaccard(a, c) < 0.8
    with run_dedup([page(number=number, text=each) for number, each in enumerate([c + " x", a, b])]) as outcome:
        (removed,) = outcome.duplicates.values()
        assert removed["doc_id"] == page(number=2, text="").doc_id
        # kept or not, all that hang together stay on one side of a split
        assert len({row["cluster_id"] for row in outcome.clusters.values()}) == 1
        assert [row["kept"] for row in outcome.clusters.values()].count(True) == 2


def test_the_most_similar_kept_document_is_the_witness(run_dedup, page):
    removed = text(2)
    far = changed(removed, 15, at=180) + " one two"
    near = changed(removed, 12, at=90) + " one"
    assert 0.8 <= jaccard(removed, far) < jaccard(removed, near)
    assert jaccard(far, near) < 0.8
    documents = [page(number=number, text=each) for number, each in enumerate([removed, far, near])]
    with run_dedup(documents, DedupParameters(bands=40, rows=4)) as outcome:
        (row,) = outcome.duplicates.values()
        assert (row["doc_id"], row["kept_id"]) == (documents[0].doc_id, documents[2].doc_id)
        assert row["similarity"] == jaccard(removed, near)
        assert row["threshold"] == 0.8
        assert row["bands_shared"] > 0


def test_texts_without_words_are_like_no_other_and_short_ones_only_like_their_equals(run_dedup, page):
    texts = ["", "", " \n ", "* * *", "---", "one two", "One, two!", "one two three", "page 1", "page 2"]
    with run_dedup([page(number=number, text=each) for number, each in enumerate(texts)]) as outcome:
        assert len(outcome.duplicates) == 1
        (row,) = outcome.duplicates.values()
        assert {row["doc_id"], row["kept_id"]} == {page(number=number, text="").doc_id for number in (5, 6)}
        assert (row["rule"], row["similarity"], row["bands_shared"]) == ("exact_duplicate", 1.0, 0)
        assert len(outcome.clusters) == 2


def test_equal_texts_of_a_near_duplicate_go_with_it(run_dedup, page):
    """Their best is removed, so their witness is who removed it: nobody's witness is gone."""
    best = text(3) + " with more words at the end"
    copy = changed(text(3), 3)
    documents = [page(number=number, text=each) for number, each in enumerate([copy, best, copy.upper(), copy + "."])]
    with run_dedup(documents) as outcome:
        assert set(outcome.duplicates) == {documents[number].doc_id for number in (0, 2, 3)}
        assert {row["kept_id"] for row in outcome.duplicates.values()} == {documents[1].doc_id}
        assert {row["rule"] for row in outcome.duplicates.values()} == {"near_duplicate"}
        assert {row["similarity"] for row in outcome.duplicates.values()} == {jaccard(best, copy)}
        assert outcome.account.dropped == {"near_duplicate": 3}


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (("longest", "earliest"), 2),
        (("longest", "latest"), 3),
        (("earliest",), 0),
        (("latest",), 3),
        (("latest", "longest"), 3),
        ((), None),
    ],
)
def test_who_is_kept_follows_the_stated_order(run_dedup, page, keep, kept):
    documents = [
        page(number=0, text=text(4), year=2019),
        page(number=1, text=text(4) + " end"),  # no time of fetch: neither earliest nor latest
        page(number=2, text=text(4) + " the end", year=2020),
        page(number=3, text=text(4) + " the END", year=2021),
    ]
    with run_dedup(documents, DedupParameters(keep=keep)) as outcome:
        by_text_hash = sorted(outcome.fingerprints, key=lambda row: struct.unpack("<QQ", row["text_hash"]))
        expected = by_text_hash[0]["doc_id"] if kept is None else documents[kept].doc_id
        assert {row["kept_id"] for row in outcome.duplicates.values()} == {expected}
        assert len(outcome.duplicates) == 3


def test_each_kind_of_removal_can_be_left_out(run_dedup, page):
    documents = [page(number=number, text=each) for number, each in enumerate([text(5), text(5), changed(text(5), 1)])]
    with run_dedup(documents, DedupParameters(near=False)) as outcome:
        assert outcome.account.dropped == {"exact_duplicate": 1}
    with run_dedup(documents, DedupParameters(exact=False)) as outcome:
        assert outcome.account.dropped == {"near_duplicate": 2}


def test_texts_are_compared_as_edited_and_only_those_that_judge_left(run_dedup, page):
    words = text(6)
    documents = [
        page(number=0, text=words),
        page(number=1, text="é " + text(7) + words, cut=(0, len(("é " + text(7)).encode()))),
        page(number=2, text=words + " x y z", dropped=True),
    ]
    with run_dedup({"part-0": documents[:1], "part-1": documents[1:]}) as outcome:
        (row,) = outcome.duplicates.values()
        assert row["rule"] == "exact_duplicate"
        assert {row["doc_id"], row["kept_id"]} == {documents[0].doc_id, documents[1].doc_id}
        assert outcome.account.documents_in == 2


def test_numbers_alone_make_no_exact_duplicate(run_dedup, page):
    documents = [page(number=number, text=f"{text(8)} version {number} of 2020") for number in range(2)]
    with run_dedup(documents) as outcome:
        (row,) = outcome.duplicates.values()
        assert (row["rule"], row["similarity"]) == ("near_duplicate", 1.0)


def test_a_corpus_of_nothing_has_its_tables(run_dedup):
    with run_dedup({"part-0": [], "part-1": []}) as outcome:
        assert outcome.duplicates == outcome.clusters == {}
        assert outcome.account.documents_in == 0
        for part in ("part-0", "part-1"):
            assert outcome.stages["dedup"].has("duplicates", part)
            assert outcome.stages["dedup"].has("clusters", part)


def test_the_same_file_listed_twice_is_an_error_that_says_so(run_dedup, page):
    documents = [page(number=1, text=text(9))]
    with pytest.raises(ValueError, match="listed twice"), run_dedup({"part-0": documents, "part-1": documents}):
        pass


def test_signatures_of_other_texts_are_refused(run_dedup, page):
    documents = [page(number=number, text=each) for number, each in enumerate([text(1), text(1) + " x"])]
    shorter = [page(number=number, text=each) for number, each in enumerate([text(1, 20), text(1, 21)])]
    with run_dedup(documents) as one, run_dedup(shorter) as other:
        mixed = {**one.stages, "signatures": other.stages["signatures"]}
        store = one.stages["extract"].store
        writer = PartWriter(store=store, address=StageAddress(stage="dedup", key="mixed"), part="all")
        with pytest.raises(ValueError, match="made from other texts"):
            dedup_part(None, mixed, writer, DedupParameters())


def test_the_clusters_are_counted_and_the_largest_named(run_dedup, page):
    documents = [page(number=number, text=text(number % 3)) for number in range(9)]
    documents += [page(number=number, text=text(number)) for number in (20, 21, 22, 22 + 1)]
    documents += [page(number=100 + number, text=text(20)) for number in range(5)]
    with run_dedup(documents) as outcome:
        assert outcome.metrics["clusters"] == 4
        assert outcome.metrics["cluster_sizes"] == {"3-4": 3, "5-8": 1}
        largest = outcome.metrics["largest_clusters"][0]
        assert (largest["documents"], largest["kept"]) == (6, 1)
        assert largest["cluster_id"] in outcome.clusters


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0},
        {"threshold": 80.0},
        {"bands": 0},
        {"rows": -1},
        {"ngram": 0},
        {"seed": -1},
        {"keep": ("shortest",)},
        {"keep": ("longest", "longest")},
        {"keep": ("earliest", "latest")},
        {"max_candidates": 0},
        {"recall": 1.0},
        {"recall": 0.999999, "threshold": 0.05},
        {"similarity": "cosine"},
        {"quality_signal": "quality"},
        {"keep": ("quality",)},
        {"source_priority": ("*",)},
        {"keep": ("source",)},
        {"memory_bytes": 0},
    ],
)
def test_parameters_that_make_no_sense_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DedupParameters(**wrong)


def test_only_what_shapes_signatures_changes_their_parameters():
    assert DedupParameters(threshold=0.5, keep=("latest",)).signatures() == DedupParameters().signatures()
    assert DedupParameters(bands=28, rows=4).signatures() == DedupParameters().signatures()
    assert DedupParameters(ngram=3).signatures() != DedupParameters().signatures()
    assert DedupParameters(recall=0.99).signatures().num_permutations == 288


def test_how_much_memory_is_given_makes_no_other_output():
    assert shaping_parameters(DedupParameters(memory_bytes=1 << 24)) == shaping_parameters(DedupParameters())


def test_the_best_by_a_signal_is_kept_and_those_without_come_last(run_dedup, page):
    documents = [page(number=number, text=text(4), quality=quality) for number, quality in enumerate([0.5, None, 0.9])]
    documents.append(page(number=3, text=text(4) + " longer"))
    parts = {"part-0": documents[:2], "part-1": [page(number=9, text="", dropped=True), *documents[2:]]}
    with run_dedup(parts, DedupParameters(keep=("quality", "longest"), quality_signal="quality")) as outcome:
        assert {row["kept_id"] for row in outcome.duplicates.values()} == {documents[2].doc_id}
        assert len(outcome.duplicates) == 3
    with (
        pytest.raises(ValueError, match="none of the signals of this run: other, quality"),
        run_dedup(parts, DedupParameters(keep=("quality",), quality_signal="perplexity")),
    ):
        pass


def test_the_source_that_is_named_first_is_kept(run_dedup, page):
    sources = ["crawl/a.warc.gz", "wiki/en.jsonl", "books/one.jsonl", "crawl/b.warc.gz"]
    documents = [page(number=number, text=text(4), source=source) for number, source in enumerate(sources)]
    parts = {"part-0": documents[:2], "part-1": documents[2:]}
    for priority, kept in ((("wiki/*", "*"), 1), (("books/*", "wiki/*"), 2), (("crawl/b*",), 3)):
        parameters = DedupParameters(keep=("source",), source_priority=priority)
        with run_dedup(parts, parameters) as outcome:
            assert {row["kept_id"] for row in outcome.duplicates.values()} == {documents[kept].doc_id}


def test_pages_of_one_canonical_url_are_one_page_whatever_their_text(run_dedup, page):
    documents = [
        page(number=0, text=text(1), url="https://www.site.example/page?utm_source=mail#top", year=2024),
        page(number=1, text=text(2) + " longer", url="http://site.example/page", year=2025),
        page(number=2, text=text(3), url="https://site.example/other"),
        page(number=3, text=text(4), url=""),
        page(number=4, text=text(5), url=""),
    ]
    with run_dedup(documents) as outcome:
        (row,) = outcome.duplicates.values()
        assert (row["doc_id"], row["kept_id"]) == (documents[0].doc_id, documents[1].doc_id)
        assert (row["rule"], row["similarity"], row["threshold"]) == ("url_duplicate", None, None)
        assert outcome.account.dropped == {"url_duplicate": 1}
        assert len({row["cluster_id"] for row in outcome.clusters.values()}) == 1
    with run_dedup(documents, DedupParameters(url=False)) as outcome:
        assert outcome.duplicates == {}
