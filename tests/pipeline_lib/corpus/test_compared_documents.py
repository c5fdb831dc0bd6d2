"""Two corpora are compared as two Python dictionaries would be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.corpus.compared_documents import compare_documents, joined

HALVES = st.sampled_from([0, 1, 2, 2**63, 2**64 - 1])
DOCUMENTS = st.dictionaries(st.tuples(HALVES, HALVES), st.sampled_from([0, 1, 2**64 - 1]), max_size=12)


def arrays(documents: dict, shuffled: list) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array(shuffled, np.uint64).reshape(-1, 2)
    return ids, np.array([documents[each] for each in shuffled], np.uint64)


@given(DOCUMENTS, DOCUMENTS, st.data())
def test_documents_of_one_of_both_and_with_another_text(first, second, data) -> None:
    given_arrays = [arrays(each, data.draw(st.permutations(list(each)))) for each in (first, second)]
    found = compare_documents(*given_arrays)

    def ids(array: np.ndarray) -> list[tuple[int, int]]:
        return [(int(high), int(low)) for high, low in array]

    assert ids(found.only_first) == sorted(first.keys() - second.keys())
    assert ids(found.only_second) == sorted(second.keys() - first.keys())
    assert ids(found.changed) == sorted(each for each in first.keys() & second.keys() if first[each] != second[each])
    assert found.num_common == len(first.keys() & second.keys())


@given(st.lists(DOCUMENTS, max_size=3))
def test_pieces_are_joined_in_their_order(pieces) -> None:
    ids, texts = joined([arrays(each, list(each)) for each in pieces])
    assert [tuple(map(int, each)) for each in ids] == [each for piece in pieces for each in piece]
    assert texts.tolist() == [text for piece in pieces for text in piece.values()]
    assert ids.shape == (len(texts), 2)
