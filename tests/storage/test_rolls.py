"""A roll forgets no name, on stores of all kinds."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from storage.rolls import DamagedRoll, Roll
from storage.store import Store


def test_names_are_kept_in_order_and_once_each(store):
    roll = Roll(store=store, name="names")
    assert roll.names() == []
    for name in ("b", "a", "b", "c"):
        roll.add(name)
    assert Roll(store=store, name="names").names() == ["b", "a", "c"]
    assert Roll(store=store, name="others").names() == []


def test_a_roll_of_the_newest_names_forgets_the_oldest(store):
    roll = Roll(store=store, name="names", keep=3)
    for name in "abcde":
        roll.add(name)
    assert roll.names() == ["c", "d", "e"]


def test_a_file_that_is_there_is_not_created_again(store):
    assert store.create_bytes("folder/file", b"first")
    assert not store.create_bytes("folder/file", b"second")
    # elsewhere it may be ours, whose answer was lost
    assert store.create_bytes("folder/file", b"first") is not store.is_local
    assert store.read_bytes("folder/file") == b"first"
    assert store.names("folder") == ["file"]


def test_names_that_many_add_at_once_are_all_there(tmp_path):
    names = [f"run-{number}" for number in range(40)]
    store = Store(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: Roll(store=store, name="runs").add(name), names))
    assert sorted(Roll(store=store, name="runs").names()) == sorted(names)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"version": 2, "names": []}', b"[]", b'{"version": 1}'])
def test_a_damaged_roll_is_refused_with_what_to_do(tmp_path, damage):
    store = Store(str(tmp_path))
    roll = Roll(store=store, name="names")
    roll.add("a")
    store.publish_bytes("rolls/names/00000001.json", damage)
    with pytest.raises(DamagedRoll, match="Remove rolls/names"):
        roll.add("b")
