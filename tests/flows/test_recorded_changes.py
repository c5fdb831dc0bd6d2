"""What changed between two nested mappings, key by key."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.recorded_changes import changed_values, dotted

VALUES = st.none() | st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2)
NESTED = st.recursive(
    st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | VALUES, max_size=3),
)


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for key, value in flat.items():
        *folders, last = key.split(".")
        place = whole
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return whole


@given(NESTED)
def test_dotted_keys_say_all_that_the_mapping_says(value) -> None:
    assert nested(dict(dotted(value))) == value


@given(NESTED, NESTED)
def test_every_key_with_another_value_is_named_once_and_no_other(one, other) -> None:
    flat = [dict(dotted(each)) for each in (one, other)]
    changed = changed_values(*flat)
    assert len({key for key, _, _ in changed}) == len(changed)
    expected = {key for key in flat[0].keys() | flat[1].keys() if flat[0].get(key) != flat[1].get(key)}
    assert {key for key, _, _ in changed} == expected
    assert all((a, b) == (flat[0].get(key), flat[1].get(key)) for key, a, b in changed)
