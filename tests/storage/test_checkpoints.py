"""Checkpoints: whole or passed over, of this run or refused."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from storage.checkpoints import Checkpoint, ForeignCheckpoint, find_checkpoint, save_checkpoint
from storage.records import parse_record, record_bytes
from storage.store import Store

FINGERPRINT = {"shards": "aa", "parameters": "bb"}
FOLDER = "stages/train/k/checkpoints"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def save(store: Store, step: int, fingerprint: dict[str, str] = FINGERPRINT) -> None:
    arrays = {"weights.a": np.full((2, 3), step, np.float32), "adamw.step": np.array(step, np.float32)}
    checkpoint = Checkpoint(step=step, arrays=arrays, facts={"log": [{"loss": 0.1 + step}]})
    save_checkpoint(store, FOLDER, checkpoint, fingerprint)


def place(store: Store, step: int) -> Path:
    return Path(store.full_path(f"{FOLDER}/step-{step:08d}"))


def test_a_store_without_checkpoints_has_none(store: Store) -> None:
    found = find_checkpoint(store, FOLDER, FINGERPRINT)
    assert found.checkpoint is None
    assert found.damaged == ()


def test_the_newest_checkpoint_comes_back_to_the_bit_and_two_are_kept(store: Store) -> None:
    for step in (5, 10, 100_000_005, 15):
        save(store, step)
    found = find_checkpoint(store, FOLDER, FINGERPRINT).checkpoint
    assert found is not None
    assert found.step == 100_000_005  # by number, not by name
    assert found.facts == {"log": [{"loss": 100_000_005.1}]}
    np.testing.assert_array_equal(found.arrays["weights.a"], np.full((2, 3), 100_000_005, np.float32))
    assert found.arrays["adamw.step"].shape == ()
    assert store.names(FOLDER) == ["step-00000015", "step-100000005"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "harm", "complaint"),
    [
        ("state-*.safetensors", flip, "SHA-256"),
        ("state-*.safetensors", truncate, "SHA-256"),
        ("state-*.safetensors", Path.unlink, "gone"),
        ("checkpoint.json", Path.unlink, "never finished"),
        ("checkpoint.json", truncate, "cannot be read"),
        ("checkpoint.json", lambda path: path.write_text("[" * 100_000), "cannot be read"),
        ("checkpoint.json", lambda path: path.write_bytes(b"\xff\xfe{}"), "cannot be read"),
        ("checkpoint.json", flip, "cannot be read"),
        ("checkpoint.json", lambda path: path.write_text("[]"), "cannot be read"),
        ("checkpoint.json", lambda path: path.write_bytes(record_bytes({"version": True})), "lacks"),
        ("checkpoint.json", lambda path: edit(path, version=99), "version 99"),
        ("checkpoint.json", lambda path: edit(path, step=7), "step 7"),
        ("checkpoint.json", lambda path: edit(path, sha256="0" * 64), "gone"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_serves(store, name, harm, complaint) -> None:
    save(store, 10)
    save(store, 20)
    (harmed,) = place(store, 20).glob(name)
    harm(harmed)
    found = find_checkpoint(store, FOLDER, FINGERPRINT)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 10
    assert len(found.damaged) == 1
    assert "step-00000020" in found.damaged[0]
    assert complaint in found.damaged[0]


def edit(path: Path, **changes: object) -> None:
    path.write_bytes(record_bytes({**parse_record(path.read_bytes()), **changes}))


def test_arrays_that_are_no_safetensors_are_damage_even_under_their_own_digest(store: Store) -> None:
    save(store, 10)
    hostile = (1 << 62).to_bytes(8, "little") + b"{}"
    digest = sha256(hostile).hexdigest()
    (place(store, 10) / f"state-{digest[:16]}.safetensors").write_bytes(hostile)
    edit(place(store, 10) / "checkpoint.json", sha256=digest)
    found = find_checkpoint(store, FOLDER, FINGERPRINT)
    assert found.checkpoint is None
    assert "cannot be read" in found.damaged[0]


def test_saving_over_a_damaged_checkpoint_of_the_same_step_repairs_it(store: Store) -> None:
    save(store, 10)
    (arrays,) = place(store, 10).glob("state-*")
    flip(arrays)
    save(store, 10)
    assert find_checkpoint(store, FOLDER, FINGERPRINT).damaged == ()


def test_two_that_save_the_same_step_with_other_arrays_both_leave_it_whole(store: Store) -> None:
    """As two machines do whose arithmetic differs in the last bit, when one takes the other for dead."""
    save(store, 10)
    theirs = Checkpoint(step=10, arrays={"weights.a": np.zeros((2, 3), np.float32)}, facts={})
    first = (place(store, 10) / "checkpoint.json").read_bytes()
    save_checkpoint(store, FOLDER, theirs, FINGERPRINT)
    assert find_checkpoint(store, FOLDER, FINGERPRINT).damaged == ()
    (place(store, 10) / "checkpoint.json").write_bytes(first)  # the slower of two that began at once
    found = find_checkpoint(store, FOLDER, FINGERPRINT)
    assert found.damaged == ()
    assert found.checkpoint is not None
    assert found.checkpoint.arrays["weights.a"][0, 0] == 10


@pytest.mark.parametrize("fingerprint", [{**FINGERPRINT, "shards": "cc"}, {"shards": "aa"}, {**FINGERPRINT, "x": "y"}])
def test_a_checkpoint_of_another_run_is_refused_by_what_differs(store: Store, fingerprint: dict[str, str]) -> None:
    save(store, 10, fingerprint)
    with pytest.raises(ForeignCheckpoint, match=r"other (shards|parameters|x) than this run"):
        find_checkpoint(store, FOLDER, FINGERPRINT)


def test_stray_names_in_the_folder_are_no_checkpoints(store: Store) -> None:
    save(store, 10)
    for stray in ("step-", "step-x", "step-²", "notes.txt"):
        store.publish_bytes(f"{FOLDER}/{stray}", b"")
    found = find_checkpoint(store, FOLDER, FINGERPRINT)
    assert found.checkpoint is not None
    assert found.damaged == ()
