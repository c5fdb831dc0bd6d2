"""Dedup measured on documents whose similarities are all known: what is removed wrongly, and what is missed.

Precision: of the removed documents, those with a *kept* document truly as similar as the threshold. It must be all.
Recall: of the documents with a better kept document truly as similar as the threshold, those that are removed. It must
be what the bands promise: two documents of similarity s meet with probability 1 - (1 - s^rows)^bands.
"""

import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from labelled_duplicates import LabelledDocuments, Writer, label, labelled_duplicates
from plain_shingles import words_of
from text_collection import PART, TextCollection

from pipeline_lib.dedup.engine import find_duplicates
from pipeline_lib.dedup.parameters import DedupParameters
from storage.schemas import document_id

TOLERANCE = 0.02
REAL_PAGES = 0.4  # of the set with real pages: some 50 of them


@pytest.fixture(scope="module")
def invented() -> LabelledDocuments:
    return labelled_duplicates(seed=5)


@pytest.fixture(scope="module")
def with_real_pages(shared_data) -> LabelledDocuments:
    return labelled_duplicates(seed=6, scale=REAL_PAGES, pages=shared_data)


def meet(similarity: float, parameters: DedupParameters) -> float:
    """How likely two documents share a band."""
    banding = parameters.banding()
    return 1 - (1 - similarity**banding.rows) ** banding.bands


def chances(similarities: Iterable[float], parameters: DedupParameters) -> float:
    """How likely at least one of several is met."""
    return 1 - math.prod(1 - meet(similarity, parameters) for similarity in similarities)


def better_kept(labelled: LabelledDocuments, doc_ids: Sequence[str], removed: set[str], threshold: float):
    """By document: the similarities of those kept documents that are better and as similar as the threshold."""
    rank = sorted(range(len(doc_ids)), key=lambda each: (-len(labelled.texts[each]), doc_ids[each]))
    place = {document: number for number, document in enumerate(rank)}
    found = {
        document: [
            alike
            for other, alike in others.items()
            if alike >= threshold and place[other] < place[document] and doc_ids[other] not in removed
        ]
        for document, others in enumerate(labelled.similar)
    }
    return {document: similarities for document, similarities in found.items() if similarities}


def pairs_met(labelled: LabelledDocuments, parameters: DedupParameters) -> list[tuple[float, bool]]:
    """Similarity of each pair, and whether the two share a band: by the signatures as they are stored, compared in
    plain Python. Texts of fewer words than a shingle have no signature to compare."""
    rows, num_permutations = parameters.banding().rows, parameters.banding().num_permutations
    (fingerprints,) = TextCollection(labelled.texts, parameters).fingerprints(PART)
    signatures, num_shingles = (fingerprints[name].to_pylist() for name in ("signature", "num_shingles"))

    def share_a_band(one: list[int], other: list[int]) -> bool:
        return any(one[at : at + rows] == other[at : at + rows] for at in range(0, num_permutations, rows))

    return [
        (alike, share_a_band(signatures[one], signatures[other]))
        for one, other, alike in labelled.pairs()
        if num_shingles[one] > 0
    ]


def in_parts(page, texts):
    documents = [page(number=number, text=text) for number, text in enumerate(texts)]
    return [document.doc_id for document in documents], {f"part-{k}": documents[k::3] for k in range(3)}


def ids(labelled: LabelledDocuments) -> list[str]:
    return [document_id(PART, number) for number in range(len(labelled.texts))]


def removed_ids(labelled: LabelledDocuments, parameters: DedupParameters, scratch: Path) -> set[str]:
    """What the engine removes, without the stages around it."""
    decisions = find_duplicates(TextCollection(labelled.texts, parameters), parameters, scratch=scratch)
    return set(decisions.duplicates(PART)["doc_id"].to_pylist())


@pytest.fixture(params=["invented", "with_real_pages"])
def labelled(request) -> LabelledDocuments:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9])
def test_nothing_is_removed_wrongly(run_dedup, page, labelled, threshold):
    doc_ids, parts = in_parts(page, labelled.texts)
    with run_dedup(parts, DedupParameters(threshold=threshold)) as outcome:
        removed = outcome.duplicates
    number = {doc_id: document for document, doc_id in enumerate(doc_ids)}
    near = [row for row in removed.values() if row["rule"] == "near_duplicate"]
    exact = [row for row in removed.values() if row["rule"] == "exact_duplicate"]
    assert len(near) > 50
    assert len(near) + len(exact) == len(removed)
    for row in removed.values():
        assert row["kept_id"] not in removed
    for row in near:
        truth = labelled.similar[number[row["doc_id"]]]
        assert row["similarity"] == truth[number[row["kept_id"]]]
        assert row["similarity"] >= threshold
    for row in exact:
        one, other = (labelled.texts[number[row[column]]] for column in ("doc_id", "kept_id"))
        assert words_of(one) == words_of(other) != []


def test_as_many_documents_are_removed_as_the_bands_promise(labelled, tmp_path):
    parameters = DedupParameters()
    removed = removed_ids(labelled, parameters, tmp_path)
    # copies word for word are always found: they would hide what the bands miss
    due = {
        document: similarities
        for document, similarities in better_kept(labelled, ids(labelled), removed, parameters.threshold).items()
        if max(similarities) < 1
    }
    assert len(due) > 200
    recall = mean(ids(labelled)[document] in removed for document in due)
    promised = mean(chances(similarities, parameters) for similarities in due.values())
    assert recall == pytest.approx(promised, abs=TOLERANCE)


@pytest.mark.parametrize("threshold", [0.7, 0.8])
def test_a_recall_that_is_asked_for_is_kept(labelled, tmp_path, threshold):
    removed = removed_ids(labelled, DedupParameters(threshold=threshold, recall=0.99), tmp_path)
    due = better_kept(labelled, ids(labelled), removed, threshold)
    assert len(due) > 250
    assert mean(ids(labelled)[document] in removed for document in due) >= 0.99


@pytest.mark.parametrize("threshold", [0.6, 0.9])
def test_a_recall_that_is_asked_for_is_kept_just_at_the_threshold(tmp_path, threshold):
    """Where it is hardest: many pairs, each with nothing in common with the others."""
    writer = Writer(rng=random.Random(1))
    pairs = [writer.graded(length=250, least=threshold, most=threshold + 0.02) for _ in range(700)]
    labelled = label([writer.prose(each) for pair in pairs for each in pair], ["graded"] * 2 * len(pairs))
    removed = removed_ids(labelled, DedupParameters(threshold=threshold, recall=0.99), tmp_path)
    due = [pair for pair in labelled.pairs() if pair[2] >= threshold]
    assert len(due) > 500
    doc_ids = ids(labelled)
    assert mean(not removed.isdisjoint({doc_ids[one], doc_ids[other]}) for one, other, _ in due) >= 0.99


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (28, 4), (20, 10)])
def test_pairs_meet_as_often_as_their_similarity_promises(invented, bands, rows):
    """Of all pairs, like or not, and of every tenth of similarity: by the signatures that are stored."""
    parameters = DedupParameters(bands=bands, rows=rows)
    met = pairs_met(invented, parameters)
    assert mean(each for _, each in met) == pytest.approx(mean(meet(s, parameters) for s, _ in met), abs=TOLERANCE)
    for tenth in range(5, 10):
        inside = [(alike, each) for alike, each in met if tenth / 10 <= alike < (tenth + 1) / 10]
        promised = [meet(alike, parameters) for alike, _ in inside]
        # pairs of one family share words and so their luck: three standard errors of a third as many pairs
        spread = 3 * math.sqrt(3 * sum(p * (1 - p) for p in promised)) / len(promised)
        assert mean(each for _, each in inside) == pytest.approx(mean(promised), abs=max(TOLERANCE, spread))


def test_texts_without_words_stay_and_site_frames_do_not_take_their_pages_along(run_dedup, page, invented):
    """Pages around which a site puts the same words share bands by the dozen, and are no duplicates for that."""
    doc_ids, parts = in_parts(page, invented.texts)
    with run_dedup(parts) as outcome:
        removed = set(outcome.duplicates)
        assert outcome.metrics["pairs_refused"] > 1000
    threshold = DedupParameters().threshold
    unlike_all = [d for d, others in enumerate(invented.similar) if not any(s >= threshold for s in others.values())]
    for kind, at_least in (("empty", 12), ("template", 30), ("alone", 190), ("contained", 78)):
        these = [document for document in unlike_all if invented.kinds[document] == kind]
        assert len(these) >= at_least
        assert not removed & {doc_ids[document] for document in these}


def mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)
