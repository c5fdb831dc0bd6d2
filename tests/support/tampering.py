"""What somebody might do to a published stage: flip a byte, or put another table in place with all its digests."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.digests import file_digest, table_digest
from storage.manifests import Manifest, StageAddress, part_record_path, publish_manifest, read_manifest
from storage.records import record_bytes
from storage.store import Store
from storage.tables import read_table, write_table


def flip_byte(path: Path, at: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def manifest_of(store: Store, address: StageAddress) -> Manifest:
    manifest = read_manifest(store, address)
    assert manifest is not None
    return manifest


def replace_table(
    store: Store, address: StageAddress, path: str, schema: pa.Schema, change: Callable[[pa.Table], pa.Table]
) -> None:
    """Write another table over a published one, and rewrite every record of it, as if the stage had made that."""
    full = Path(store.full_path(f"{address.folder}/{path}"))
    write_table(change(read_table(full, schema)), full, schema)
    written = read_table(full, schema)
    manifest = manifest_of(store, address)
    parts = []
    for part in manifest.parts:
        files = [
            replace(
                file,
                rows=written.num_rows,
                bytes=full.stat().st_size,
                sha256=file_digest(full),
                content=table_digest(written),
            )
            if file.path == path
            else file
            for file in part.files
        ]
        parts.append(replace(part, files=tuple(files)))
        store.publish_bytes(part_record_path(address, part.name), record_bytes(parts[-1].as_json()))
    publish_manifest(store, replace(manifest, parts=tuple(parts)), anew=True)


def change_manifest(store: Store, address: StageAddress, **changes: Any) -> None:
    publish_manifest(store, replace(manifest_of(store, address), **changes), anew=True)
