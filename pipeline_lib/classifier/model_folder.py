"""A small scoring model as a folder: arrays in `model.safetensors`, and a JSON file that says what they are.

The digest in the JSON file is over all of the model but its metrics. Equal models give equal bytes, and nothing in them
is run on loading.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from storage.digests import canonical_json
from storage.wrong_request import WrongRequest

ARRAYS = "model.safetensors"

_PARTIAL = ".partial"


class NoSuchModel(WrongRequest):
    """A folder that is not there, or is not a whole model of the kind that was asked for."""


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """What a folder must say of itself."""

    file: str  # the JSON file's name
    format: str
    version: int
    made_by: str  # what to do to get one
    arrays: Mapping[str, type[np.generic]]  # one-dimensional ones, by name


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """What is stored of a model: `description` shapes its scores, `metrics` only tell of it."""

    description: dict[str, Any]
    metrics: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


def write_model(model: StoredModel, folder: Path, kind: ModelKind) -> str:
    """Write the folder's two files, the JSON file last, each replaced as a whole; returns the digest."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = _digest(model, kind)
    stated = {
        "format": kind.format,
        "version": kind.version,
        "digest": digest,
        **model.description,
        "metrics": model.metrics,
    }
    arrays = folder / (ARRAYS + _PARTIAL)
    save_file(model.arrays, arrays)
    arrays.replace(folder / ARRAYS)
    text = folder / (kind.file + _PARTIAL)
    text.write_text(json.dumps(stated, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    text.replace(folder / kind.file)
    return digest


def stated_digest(folder: Path, kind: ModelKind) -> str:
    """The digest that a folder gives itself; reading the model checks it.

    Raises:
        NoSuchModel: nothing there, or no model of this kind.
    """
    return str(_read_statement(folder, kind)["digest"])


def read_model(folder: Path, kind: ModelKind) -> StoredModel:
    """Raises NoSuchModel: nothing there, not a model of this kind, or a damaged one."""
    stated = _read_statement(folder, kind)
    metrics = stated.pop("metrics", None)
    digest = stated.pop("digest")
    description = {name: value for name, value in stated.items() if name not in ("format", "version")}
    path = folder / ARRAYS
    try:
        with safe_open(path, framework="numpy") as file:
            if set(file.keys()) != set(kind.arrays):
                raise NoSuchModel(f"{path}: expected the arrays {sorted(kind.arrays)}, found {sorted(file.keys())}")
            arrays = {name: file.get_tensor(name) for name in kind.arrays}
    except (SafetensorError, OSError) as error:
        raise NoSuchModel(f"{path}: not a whole safetensors file: {error}; {kind.made_by}") from error
    for name, dtype in kind.arrays.items():
        if arrays[name].ndim != 1 or arrays[name].dtype != dtype:
            raise NoSuchModel(
                f"{path}: {name!r} is {arrays[name].dtype} of shape {arrays[name].shape}, expected one row of "
                f"{np.dtype(dtype)}"
            )
    model = StoredModel(
        description=description, metrics=metrics if isinstance(metrics, dict) else {}, arrays=arrays
    )  # fmt: skip
    found = _digest(model, kind)
    if found != digest:
        raise NoSuchModel(
            f"{folder}: {kind.file} and {ARRAYS} are not of one model: digest {digest} is stated, {found} is found; "
            f"{kind.made_by}"
        )
    return model


def is_model(folder: Path, kind: ModelKind) -> bool:
    """Whether a folder has the file that a model of this kind would have; what is in it is another question."""
    return (folder / kind.file).is_file()


def _read_statement(folder: Path, kind: ModelKind) -> dict[str, Any]:
    path = folder / kind.file
    if not path.is_file():
        what = "no such folder" if not folder.is_dir() else f"no {kind.file} in it"
        raise NoSuchModel(f"{folder}: {what}; {kind.made_by}")
    try:
        stated = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise NoSuchModel(f"{path}: no JSON: {error}; {kind.made_by}") from error
    if not isinstance(stated, dict) or stated.get("format") != kind.format:
        raise NoSuchModel(f"{path}: expected the format {kind.format!r}; {kind.made_by}")
    if stated.get("version") != kind.version:
        raise NoSuchModel(
            f"{path}: version {stated.get('version')!r}, this program reads {kind.version}; {kind.made_by}"
        )
    if not isinstance(stated.get("digest"), str):
        raise NoSuchModel(f"{path}: no digest in it; {kind.made_by}")
    return stated


def _digest(model: StoredModel, kind: ModelKind) -> str:
    digest = hashlib.sha256(canonical_json([kind.format, kind.version, model.description]).encode())
    for name in sorted(model.arrays):
        array = np.ascontiguousarray(model.arrays[name])
        digest.update(f"\n{name} {array.dtype.str} {len(array)}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()
