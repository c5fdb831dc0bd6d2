"""Scratch folders go at the end, and tell whose they are when they could not."""

from dataclasses import replace
from pathlib import Path

import pytest
from dead_process import dead_process

from storage.processes import this_process
from storage.scratch import is_scratch, owner_is_gone, remove_dead_scratch, scratch_folder
from storage.store import Store


def test_a_scratch_folder_lies_in_a_local_store_and_goes_whatever_happens(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    (tmp_path / "store").mkdir()
    seen = []

    def fail_in_it() -> None:
        with scratch_folder(store, "verify") as folder:
            (folder / "file").write_text("x")
            seen.append((folder.parent, is_scratch(folder.name), owner_is_gone(folder.name)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_in_it()
    assert seen == [(tmp_path / "store", True, False)]
    assert list((tmp_path / "store").iterdir()) == []


def test_folders_of_dead_processes_go_and_no_others(tmp_path: Path) -> None:
    dead, living, other = (
        f"gristmill-lines.{dead_process().mark()}-0123abcd",
        f"gristmill-lines.{this_process().mark()}-0123abcd",
        "stages",
    )
    for name in (dead, living, other):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    assert remove_dead_scratch(Store(str(tmp_path))) == 1
    assert {path.name for path in tmp_path.iterdir()} == {living, other}


def test_a_place_that_is_named_is_used(tmp_path: Path) -> None:
    with scratch_folder(Store("memory://scratch"), "verify", tmp_path / "mine") as folder:
        assert folder.parent == tmp_path / "mine"
    assert list((tmp_path / "mine").iterdir()) == []


def test_whose_process_is_gone_can_be_told_of_this_machine_only() -> None:
    elsewhere = replace(this_process(), machine="0" * 8)
    assert owner_is_gone(f"gristmill-verify.{dead_process().mark()}-0123abcd") is True
    assert owner_is_gone(f"gristmill-verify.{this_process().mark()}-0123abcd") is False
    assert owner_is_gone(f"gristmill-verify.{elsewhere.mark()}-0123abcd") is None
    assert owner_is_gone("gristmill-x7f3k2") is None
    assert not is_scratch("stages")
