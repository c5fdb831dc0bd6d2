"""Dedup measured on documents whose similarities are all known: what is removed wrongly, and what is missed.

Precision: of the removed documents, those with a *kept* document that is truly as similar as the threshold. It must be 1.
Recall: of the documents with a better kept document truly as similar as the threshold, those that are removed. It must
be what the bands promise: two documents of similarity s meet with probability 1 - (1 - s^rows)^bands.
"""

import math
from collections.abc import Iterable, Sequence

import pytest
from labelled_duplicates import LabelledDocuments, labelled_duplicates
from plain_shingles import words_of

from pipeline_lib.dedup.parameters import DedupParameters

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
    return 1 - (1 - similarity**parameters.rows) ** parameters.bands


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


def in_parts(page, texts):
    documents = [page(number=number, text=text) for number, text in enumerate(texts)]
    return [document.doc_id for document in documents], {f"part-{k}": documents[k::3] for k in range(3)}


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


def test_as_many_documents_are_removed_as_the_bands_promise(run_dedup, page, labelled):
    parameters = DedupParameters()
    doc_ids, parts = in_parts(page, labelled.texts)
    with run_dedup(parts, parameters) as outcome:
        removed = set(outcome.duplicates)
    # copies word for word are always found: they would hide what the bands miss
    due = {
        document: similarities
        for document, similarities in better_kept(labelled, doc_ids, removed, parameters.threshold).items()
        if max(similarities) < 1
    }
    assert len(due) > 200
    recall = sum(doc_ids[document] in removed for document in due) / len(due)
    promised = sum(chances(similarities, parameters) for similarities in due.values()) / len(due)
    assert recall == pytest.approx(promised, abs=TOLERANCE)


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (28, 4), (20, 10)])
def test_pairs_meet_as_often_as_their_similarity_promises(run_dedup, page, invented, bands, rows):
    """Of all pairs, like or not, and of every tenth of similarity: by the signatures that are stored."""
    parameters = DedupParameters(bands=bands, rows=rows)
    doc_ids, parts = in_parts(page, invented.texts)
    with run_dedup(parts, parameters) as outcome:
        signature = {row["doc_id"]: row["signature"] for row in outcome.fingerprints}

    def share_a_band(one: int, other: int) -> bool:
        left, right = signature[doc_ids[one]], signature[doc_ids[other]]
        return any(left[at : at + rows] == right[at : at + rows] for at in range(0, bands * rows, rows))

    met = [(alike, share_a_band(one, other)) for one, other, alike in invented.pairs()]
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
