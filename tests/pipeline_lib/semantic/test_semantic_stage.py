import math
import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_crawl import english_sentences

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.semantic.clusters import usual_num_clusters
from pipeline_lib.semantic.parameters import SemanticParameters
from pipeline_lib.semantic.products import scale_of

GIVEN = "given-by-the-test"  # a folder's name, whose vectors the fixture gives instead

few_runs = settings(
    max_examples=15,  # a run of seven stages each
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the fixtures only hand over functions
)

# Pairs that mean the same on the whole; what paraphrases really do, small and by hand.
SYNONYMS = {
    "function": "routine", "object": "thing", "value": "quantity", "statement": "sentence", "name": "label",
    "called": "invoked", "used": "employed", "if": "whenever", "must": "shall", "can": "may", "returns": "gives",
    "method": "operation", "class": "type", "expression": "term", "also": "too", "exception": "error",
}  # fmt: skip


def essay(seed: int, num_sentences: int = 40) -> list[str]:
    return random.Random(seed).sample(english_sentences(), num_sentences)


def reworded(sentences: list[str]) -> list[str]:
    return [" ".join(SYNONYMS.get(word, word) for word in sentence.split()) for sentence in sentences]


def rearranged(sentences: list[str], seed: int) -> list[str]:
    """Sentences in another order, and words that trade places within them."""
    rng = random.Random(seed)
    moved = []
    for sentence in rng.sample(sentences, len(sentences)):
        words = sentence.split()
        for at in range(0, len(words) - 1, 3):
            words[at], words[at + 1] = words[at + 1], words[at]
        moved.append(" ".join(words))
    return moved


def test_paraphrases_go_at_the_default_threshold_and_what_only_shares_a_language_stays(run_semantic, page):
    originals = [essay(seed) for seed in range(12)]
    others = essay(99, 14)
    copies = {
        0: reworded(originals[0]),
        1: rearranged(originals[1], seed=1),
        2: [*originals[2][:20], *others[:12], *originals[2][20:]],
        3: [*rearranged(reworded(originals[3]), seed=3)[:-2], *others[12:14]],
    }
    pages = [page(number=number, text=". ".join(each)) for number, each in enumerate(originals)]
    pages += [page(number=100 + number, text=". ".join(each), year=2026) for number, each in copies.items()]
    with run_semantic(pages) as outcome:
        assert outcome.dedup_duplicates == {}  # shingles see too little of any of it
        found = {frozenset((doc_id, row["kept_id"])) for doc_id, row in outcome.duplicates.items()}
        assert found == {frozenset((page(number=n).doc_id, page(number=100 + n).doc_id)) for n in copies}
        for row in outcome.duplicates.values():
            assert (row["rule"], row["kept_run"], row["bands_shared"]) == ("semantic_duplicate", None, 0)
            assert 0.85 == row["threshold"] <= row["similarity"] <= 1.0
            assert row["kept_id"] not in outcome.duplicates
        assert outcome.account.dropped == {"semantic_duplicate": len(copies)}


small_vectors = st.tuples(*[st.integers(-3, 3)] * 3)


@few_runs
@given(st.lists(small_vectors, max_size=14), st.randoms(use_true_random=False), st.sampled_from([0.5, 0.9, 1.0]))
def test_decisions_are_those_of_plain_python_whatever_part_a_document_is_in(
    run_semantic, page, vectors, rng, threshold
):
    pages = [page(number=n, text=f"text {n}", vector=tuple(map(float, v))) for n, v in enumerate(vectors)]
    semantic = SemanticParameters(embedding=GIVEN, threshold=threshold, num_clusters=1)
    dedup = DedupParameters(exact=False, near=False, url=False, keep=("longest",))
    parts = {"one": pages[: len(pages) // 2], "two": pages[len(pages) // 2 :]}
    with run_semantic(parts, semantic, dedup) as outcome:
        fingerprints = {
            row["doc_id"]: (-row["num_chars"], *np.frombuffer(row["text_hash"], "<u8").tolist(), row["doc_id"])
            for part in parts
            for row in outcome.stages["signatures"].read("fingerprints", part, _fingerprints(dedup)).to_pylist()
        }
    best_first = sorted(pages, key=lambda each: fingerprints[each.doc_id])
    kept, witness = [], {}
    cluster = {each.doc_id: {each.doc_id} for each in pages}
    for each in best_first:
        if not any(each.vector):
            continue
        similar = [(-_cosine(each, other), place, other) for place, other in enumerate(kept)]
        similar = [found for found in similar if -found[0] >= threshold - 1e-12]
        if similar:
            negated, _, other = min(similar, key=lambda found: (round(found[0], 9), found[1]))
            witness[each.doc_id] = (other.doc_id, pytest.approx(-negated, abs=2e-3))
            cluster[other.doc_id] |= cluster[each.doc_id]
            cluster[each.doc_id] = cluster[other.doc_id]
        else:
            kept.append(each)
    # rounding to 12 bits may move a cosine over the line, where it is nearer to it than that
    near_the_line = any(
        0 < abs(_cosine(one, other) - threshold) < 2e-3
        for one in pages for other in pages if any(one.vector) and any(other.vector)
    )  # fmt: skip
    if not near_the_line and threshold < 1.0:
        assert {doc_id: (row["kept_id"], row["similarity"]) for doc_id, row in outcome.duplicates.items()} == witness
    assert outcome.metrics["documents_without_embedding"] == sum(not any(each.vector) for each in pages)
    assert not {row["kept_id"] for row in outcome.duplicates.values()} & outcome.duplicates.keys()

    rng.shuffle(pages)
    cut = rng.randint(0, len(pages))
    with run_semantic({"p": pages[:cut], "q": pages[cut:]}, semantic, dedup) as shuffled:
        assert shuffled.duplicates == outcome.duplicates
        assert shuffled.clusters == outcome.clusters


def _fingerprints(dedup: DedupParameters):
    from storage.schemas import fingerprints_schema

    return fingerprints_schema(dedup.signatures().num_permutations)


def _cosine(one, other) -> float:
    dot = sum(a * b for a, b in zip(one.vector, other.vector, strict=True))
    return dot / math.sqrt(sum(a * a for a in one.vector)) / math.sqrt(sum(b * b for b in other.vector))


def many(page, num_pages: int = 1500, dimensions: int = 24, seed: int = 0):
    """Pages around 40 directions: many pairs above 0.9, and many below."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(40, dimensions))
    vectors = middles[rng.integers(0, 40, num_pages)] + 0.35 * rng.normal(size=(num_pages, dimensions))
    return [page(number=n, text=f"page {n}", vector=tuple(v)) for n, v in enumerate(vectors.tolist())]


NO_DEDUP = DedupParameters(exact=False, near=False, url=False)


@pytest.mark.parametrize("num_clusters", [None, 7])
def test_threads_memory_and_parts_change_no_byte(run_semantic, page, num_clusters):
    pages = many(page)
    settings_of = {"embedding": GIVEN, "threshold": 0.9, "num_clusters": num_clusters}
    roomy, tight = (SemanticParameters(**settings_of, memory_bytes=each) for each in (1 << 31, 1 << 24))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with run_semantic(pages, roomy, NO_DEDUP) as outcome:
            assert 300 < len(outcome.duplicates) < 1460  # some of every kind
            assert not {row["kept_id"] for row in outcome.duplicates.values()} & outcome.duplicates.keys()
        torch.set_num_threads(3)
        with run_semantic({"a": pages[700:], "b": [], "c": pages[:700]}, tight, NO_DEDUP) as other:
            assert other.duplicates == outcome.duplicates
            assert other.clusters == outcome.clusters
            assert other.metrics == outcome.metrics
    finally:
        torch.set_num_threads(threads)


def test_every_similar_pair_within_a_cluster_leaves_at_most_one(run_semantic, page):
    pages = many(page, num_pages=2500)
    semantic = SemanticParameters(embedding=GIVEN, threshold=0.9, num_clusters=1)
    with run_semantic(pages, semantic, NO_DEDUP) as outcome:
        vectors = np.array([each.vector for each in pages if each.doc_id not in outcome.duplicates])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0.0)
    assert cosines.max() < 0.9 + 1e-3


def test_another_seed_draws_other_clusters(run_semantic, page):
    pages = many(page)
    found = []
    for seed in (0, 1):
        semantic = SemanticParameters(embedding=GIVEN, threshold=0.9, num_clusters=30, seed=seed)
        with run_semantic(pages, semantic, NO_DEDUP) as outcome:
            found.append(outcome.metrics["largest_kmeans_cluster"])
    assert found[0] != found[1]


def test_clusters_are_those_of_dedup_united(run_semantic, page):
    """Two clusters of dedup's become one where one's kept document is removed for the other's."""
    one, other, third = (". ".join(essay(seed)) for seed in (1, 2, 3))
    pages = [
        page(number=1, text=one, year=2020), page(number=2, text=one, year=2021),
        page(number=3, text=other, year=2022), page(number=4, text=other, year=2023),
        page(number=5, text=third, year=2020), page(number=6, text=third, year=2021),
        page(number=7, text="alone with its words", year=2020),
    ]  # fmt: skip
    vectors = {one: (1.0, 0.0), other: (1.0, 0.1), third: (0.0, 1.0), pages[6].text: (-1.0, 0.0)}
    pages = [page(number=p.number, text=p.text, year=p.year, vector=vectors[p.text]) for p in pages]
    dedup = DedupParameters(url=False, keep=("earliest",))
    with run_semantic({"a": pages[:3], "b": pages[3:]}, SemanticParameters(embedding=GIVEN), dedup) as outcome:
        ids = {each.number: each.doc_id for each in pages}
        assert outcome.dedup_duplicates.keys() == {ids[2], ids[4], ids[6]}
        assert {doc_id: row["kept_id"] for doc_id, row in outcome.duplicates.items()} == {ids[3]: ids[1]}
        united = min(ids[number] for number in (1, 2, 3, 4))
        apart = min(ids[5], ids[6])
        assert {doc_id: (row["cluster_id"], row["kept"]) for doc_id, row in outcome.clusters.items()} == {
            ids[1]: (united, True), ids[2]: (united, False), ids[3]: (united, False), ids[4]: (united, False),
            ids[5]: (apart, True), ids[6]: (apart, False),
        }  # fmt: skip
        assert outcome.duplicates[ids[3]]["cluster_id"] == united
        assert (outcome.account.documents_in, outcome.account.documents_out) == (4, 3)


def test_documents_without_an_embedding_are_like_no_other(run_semantic, page):
    nan, inf = float("nan"), float("inf")
    hostile = [(0.0, 0.0), (0.0, 0.0), (nan, 1.0), (nan, 1.0), (inf, 0.0), (inf, 0.0), (-0.0, 0.0)]
    tiny, huge = (1e-30, 1e-38), (3e38, 3e30)  # whose squares no float32 holds
    pages = [page(number=n, text=f"page {n}", vector=v) for n, v in enumerate([*hostile, tiny, tiny, huge])]
    semantic = SemanticParameters(embedding=GIVEN, threshold=0.99)
    with run_semantic(pages, semantic, NO_DEDUP) as outcome:
        assert len(outcome.duplicates) == 2
        assert outcome.duplicates.keys() <= {each.doc_id for each in pages[7:]}
        assert {row["similarity"] for row in outcome.duplicates.values()} == {1.0}
        assert outcome.metrics["documents_without_embedding"] == 7
        embeddings = outcome.stages["embeddings"].manifest.parts[0].metrics
        assert (embeddings["documents_not_finite"], embeddings["documents_without_direction"]) == (4, 3)


@pytest.mark.parametrize("pages_of_a_part", [0, 1])
def test_runs_with_hardly_a_document_work(run_semantic, page, pages_of_a_part):
    with run_semantic([page(number=1, text="a few words")][:pages_of_a_part]) as outcome:
        assert outcome.duplicates == {}
        assert outcome.account.documents_out == pages_of_a_part


def test_too_many_documents_for_the_memory_are_refused(run_semantic, page):
    pages = many(page, num_pages=200)
    semantic = SemanticParameters(embedding=GIVEN)
    object.__setattr__(semantic, "memory_bytes", 30_000)  # less than parameters may say, for a test's few pages
    with (
        pytest.raises(ValueError, match=r"200 documents take 200 bytes each; set semantic\.memory_bytes higher"),
        run_semantic(pages, semantic, NO_DEDUP),
    ):
        pass


@pytest.mark.parametrize(
    ("num_documents", "num_clusters"),
    [(1, 1), (4096, 1), (4097, 2), (100_000, 25), (16_777_216, 4096), (440_000_000, 20_976)],
)
def test_usual_numbers_of_clusters(num_documents, num_clusters):
    assert usual_num_clusters(num_documents) == num_clusters


@pytest.mark.parametrize("dimensions", [1, 2, 512, 4096, 65536])
def test_no_product_of_rounded_vectors_exceeds_what_float32_holds_exactly(dimensions):
    assert scale_of(dimensions) + math.sqrt(dimensions) / 2 <= 4096
    assert scale_of(dimensions) >= 3968
