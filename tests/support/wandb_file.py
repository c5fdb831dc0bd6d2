"""Reads the file of an offline W&B run: a LevelDB log, whose records are W&B's own protobuf messages."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

_HEADER_BYTES = 7  # of the file: `:W&B`, a magic number, a version
_BLOCK_BYTES = 32_768
_FULL, _FIRST, _LAST = 1, 2, 4  # kinds of pieces; the one between is 3


def read_wandb_file(path: Path) -> dict[str, Any]:
    """What a run says: `name`, `config`, `history` (metric -> [(step, value)]), `summary`, `exit_code`."""
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    history: dict[str, list[tuple[int, float]]] = defaultdict(list)
    found: dict[str, Any] = {"config": config, "summary": summary, "history": history, "exit_code": None}
    for content in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["name"] = record.run.display_name
            config.update(_values(record.run.config.update))
        elif kind == "config":
            config.update(_values(record.config.update))
        elif kind == "summary":
            summary.update(_values(record.summary.update))
        elif kind == "exit":
            found["exit_code"] = record.exit.exit_code
        elif kind == "history":
            row = _values(record.history.item)
            for name, value in row.items():
                step = row.get(f"{name.partition('/')[0]}/step")
                if step is not None and not name.endswith("/step"):
                    history[name].append((step, value))
    return found


def _values(items: Any) -> dict[str, Any]:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


def _records(content: bytes) -> Iterator[bytes]:
    at, pieces = _HEADER_BYTES, b""
    while at + 7 <= len(content):
        left = _BLOCK_BYTES - at % _BLOCK_BYTES
        if left < 7:
            at += left  # nothing fits: zeros
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        piece = content[at + 7 : at + 7 + length]
        at += 7 + length
        pieces = piece if kind in (_FULL, _FIRST) else pieces + piece
        if kind in (_FULL, _LAST):
            yield pieces
