"""Checkpoints of a training run: arrays as safetensors, the rest as JSON, published whole; nothing is unpickled.

A checkpoint is a folder `step-00000100` with `state-<digest>.safetensors` and `checkpoint.json`. The JSON is published
last and names the digest of the arrays: without it, or when the digest differs, the checkpoint does not exist and the
one before serves. The two newest are kept.

Two processes may come to train the same model in one folder, where one was taken for dead. Arrays are named by what is
in them: neither writes over those that the other's JSON names, and both find whole checkpoints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from storage.digests import file_digest
from storage.records import parse_record, record_bytes
from storage.store import Store

CHECKPOINT_VERSION = 2
_KEPT = 2
_NAME_DIGITS = 16
_COMMIT = "checkpoint.json"
_STEP = "step-"


class ForeignCheckpoint(ValueError):
    """A checkpoint of another run: made with other parameters, data or weights than the reader's."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a run after `step` steps.

    Attributes:
        arrays: weights and optimizer state, by flat name.
        facts: what else the run wants back (JSON values only).
    """

    step: int
    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FoundCheckpoint:
    """The newest checkpoint that is whole, if any, and what was wrong with each newer one."""

    checkpoint: Checkpoint | None
    damaged: tuple[str, ...]


def save_checkpoint(store: Store, folder: str, checkpoint: Checkpoint, fingerprint: Mapping[str, str]) -> None:
    """Publish a checkpoint under a folder of the store, then remove all but the newest two.

    `fingerprint` says, by name, everything that must be equal for the run to continue from here.
    """
    place = f"{folder}/{_STEP}{checkpoint.step:08d}"
    with store.unfinished(f"{place}/state") as unfinished:
        save_file({name: np.asarray(array, order="C") for name, array in checkpoint.arrays.items()}, unfinished)
        sha256 = file_digest(unfinished)
        store.publish(unfinished, f"{place}/{_arrays_name(sha256)}")
    commit = {
        "version": CHECKPOINT_VERSION,
        "step": checkpoint.step,
        "sha256": sha256,
        "fingerprint": dict(fingerprint),
        "facts": dict(checkpoint.facts),
    }
    store.publish_bytes(f"{place}/{_COMMIT}", record_bytes(commit))
    for name in _step_names(store, folder)[_KEPT:]:
        store.remove(f"{folder}/{name}")


def find_checkpoint(store: Store, folder: str, fingerprint: Mapping[str, str]) -> FoundCheckpoint:
    """Read the newest checkpoint that is whole; damaged and unfinished ones are passed over, and named.

    Raises:
        ForeignCheckpoint: the newest whole one has another fingerprint.
    """
    damaged = []
    for name in _step_names(store, folder):
        place = f"{folder}/{name}"
        try:
            commit = _read_commit(store, place)
        except _Damaged as problem:
            damaged.append(f"{store.full_path(place)}: {problem}")
            continue
        _require_fingerprint(commit["fingerprint"], fingerprint, store.full_path(place))
        try:
            arrays = _read_arrays(store, place, commit["sha256"])
        except _Damaged as problem:
            damaged.append(f"{store.full_path(place)}: {problem}")
            continue
        checkpoint = Checkpoint(step=commit["step"], arrays=arrays, facts=commit["facts"])
        return FoundCheckpoint(checkpoint=checkpoint, damaged=tuple(damaged))
    return FoundCheckpoint(checkpoint=None, damaged=tuple(damaged))


class _Damaged(ValueError):
    """Why a checkpoint does not count."""


def _arrays_name(sha256: str) -> str:
    return f"state-{sha256[:_NAME_DIGITS]}.safetensors"


def _step_names(store: Store, folder: str) -> list[str]:
    """Newest first."""
    names = [name for name in store.names(folder) if name.startswith(_STEP) and name.removeprefix(_STEP).isdecimal()]
    return sorted(names, key=lambda name: int(name.removeprefix(_STEP)), reverse=True)


_COMMIT_TYPES = {"version": int, "step": int, "sha256": str, "fingerprint": dict, "facts": dict}


def _read_commit(store: Store, place: str) -> dict[str, Any]:
    try:
        commit = parse_record(store.read_bytes(f"{place}/{_COMMIT}"))
    except FileNotFoundError:
        raise _Damaged(f"no {_COMMIT}: it was never finished") from None
    except (ValueError, RecursionError, OSError) as error:
        raise _Damaged(f"{_COMMIT} cannot be read: {error}") from error
    if not isinstance(commit, dict) or any(type(commit.get(name)) is not kind for name, kind in _COMMIT_TYPES.items()):
        raise _Damaged(f"{_COMMIT} lacks one of {list(_COMMIT_TYPES)}")
    if commit["version"] != CHECKPOINT_VERSION:
        raise _Damaged(f"version {commit['version']}, this program reads {CHECKPOINT_VERSION}")
    if place.rsplit(_STEP, 1)[1] != f"{commit['step']:08d}":
        raise _Damaged(f"{_COMMIT} is of step {commit['step']}")
    return commit


def _read_arrays(store: Store, place: str, sha256: str) -> dict[str, npt.NDArray[Any]]:
    name = _arrays_name(sha256)
    try:
        with store.local_copy(f"{place}/{name}") as local:
            found = file_digest(local)
            if found != sha256:
                raise _Damaged(f"{name} has SHA-256 {found[:12]}…, published was {sha256[:12]}…")
            arrays: dict[str, npt.NDArray[Any]] = load_file(local)
            return arrays
    except FileNotFoundError:
        raise _Damaged(f"{name} is gone") from None
    except (SafetensorError, OSError) as error:
        raise _Damaged(f"{name} cannot be read: {error}") from error


def _require_fingerprint(found: Mapping[str, Any], expected: Mapping[str, str], place: str) -> None:
    different = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if different:
        raise ForeignCheckpoint(
            f"{place} was made with other {', '.join(different)} than this run has; "
            "continue the run it belongs to, or delete the folder to start anew"
        )
