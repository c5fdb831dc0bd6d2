"""A store that is only read: whatever would change it is refused, and leaves it as it was."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage.read_only import ReadOnlyStore
from storage.store import Store, StoreError

CHANGES: dict[str, Callable[[Store], object]] = {
    "publish_bytes": lambda store: store.publish_bytes("a", b"2"),
    "create_bytes": lambda store: store.create_bytes("b", b"2"),
    "publishing": lambda store: store.publishing("b").__enter__(),
    "unfinished": lambda store: store.unfinished("b").__enter__(),
    "publish": lambda store: store.publish(Path(__file__), "b"),
    "publish_new": lambda store: store.publish_new(Path(__file__), "b"),
    "remove": lambda store: store.remove("a"),
    "remove_unfinished": lambda store: store.remove_unfinished("."),
    "check_writable": lambda store: store.check_writable(),
}
READS = {
    "exists", "files", "full_path", "local_copy", "names", "open", "open_random", "read_bytes", "scratch_folder",
    "size",
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_refused(store, name: str) -> None:
    store.publish_bytes("a", b"1")
    before = store.files("")
    with pytest.raises((PermissionError, StoreError), match=r"may not be changed"):
        CHANGES[name](ReadOnlyStore(store.url))
    assert store.files("") == before
    assert store.read_bytes("a") == b"1"


def test_it_reads_what_the_store_has(store) -> None:
    store.publish_bytes("folder/a", b"1")
    read_only = ReadOnlyStore(store.url)
    assert read_only.read_bytes("folder/a") == b"1"
    assert read_only.names("folder") == ["a"]
    with read_only.local_copy("folder/a") as path:
        assert path.read_bytes() == b"1"


def test_no_way_to_change_a_store_is_forgotten_here() -> None:
    public = {name for name in vars(Store) if not name.startswith("_")}
    assert public == READS | CHANGES.keys()
