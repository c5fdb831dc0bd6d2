"""All files below a folder, with their sizes and times, on every kind of store."""

import time

from storage.store import is_unfinished


def test_files_are_listed_by_path_with_size_and_time(store) -> None:
    began = time.time() - 5  # clocks of file systems are coarse
    for path in ("stages/a/key/documents/part-0.parquet", "stages/a/key/manifest.json", "stages/ab/other"):
        store.publish_bytes(path, path.encode())
    found = store.files("stages/a")
    paths = ["stages/a/key/documents/part-0.parquet", "stages/a/key/manifest.json"]
    assert [(file.path, file.bytes) for file in found] == [(path, len(path)) for path in paths]
    assert all(file.modified is not None and began < file.modified < time.time() + 5 for file in found)
    assert [file.path for file in store.files("")] == [*paths, "stages/ab/other"]
    assert store.files("nothing/here") == []


def test_a_file_is_gone_from_the_list_when_it_is_removed(store) -> None:
    store.publish_bytes("stages/a/one", b"1")
    store.publish_bytes("stages/a/two", b"2")
    assert len(store.files("stages")) == 2
    store.remove("stages/a/one")
    assert [file.path for file in store.files("stages")] == ["stages/a/two"]
    store.remove("stages/a")
    assert store.files("stages") == []


def test_an_unfinished_file_is_told_by_its_name() -> None:
    assert is_unfinished(".part-0.parquet.12-ab.partial")
    assert not is_unfinished("part-0.parquet")
