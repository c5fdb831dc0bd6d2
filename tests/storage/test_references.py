"""What is reachable is what any number of steps along references comes to, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from storage.references import reachable

PLACES = st.integers(0, 7)


@given(st.dictionaries(PLACES, st.lists(PLACES, max_size=4)), st.sets(PLACES))
def test_reachable_is_the_smallest_set_that_holds_the_roots_and_what_its_places_refer_to(references, roots) -> None:
    found = reachable(roots, lambda place: references.get(place, []))
    expected = set(roots)
    for _ in range(8):  # there are no more places
        expected |= {other for place in expected for other in references.get(place, [])}
    assert found == expected


def test_a_circle_ends_and_each_place_is_asked_once() -> None:
    asked = []

    def refers_to(place: int) -> list[int]:
        asked.append(place)
        return [(place + 1) % 3, place]

    assert reachable([0, 0], refers_to) == {0, 1, 2}
    assert sorted(asked) == [0, 1, 2]
