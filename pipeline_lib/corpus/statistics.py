"""What a set of documents is made of: the figures that the report draws."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NUM_LENGTH_BINS = 32
MAX_HOSTS = 50


def describe(documents: pa.Table) -> dict[str, Any]:
    """Figures of documents (columns language, host, text), as JSON values that add up over parts.

    `length_histogram` counts documents by length: bin i holds those of 2**i up to but not including 2**(i + 1)
    characters. `hosts` names the MAX_HOSTS hosts with most documents; what the others have is in `other_hosts`.
    """
    num_bytes = pc.binary_length(documents["text"])
    num_chars = pc.utf8_length(documents["text"])
    hosts = _count_by(documents["host"], num_bytes)
    names = sorted(hosts, key=lambda host: (-hosts[host]["documents"], host))
    rest = [hosts[host] for host in names[MAX_HOSTS:]]
    return {
        "documents": documents.num_rows,
        "bytes": int(pc.sum(num_bytes).as_py() or 0),
        "chars": int(pc.sum(num_chars).as_py() or 0),
        "languages": _count_by(documents["language"], num_bytes),
        "hosts": {host: hosts[host] for host in names[:MAX_HOSTS]},
        "other_hosts": {
            "hosts": len(rest),
            "documents": sum(host["documents"] for host in rest),
            "bytes": sum(host["bytes"] for host in rest),
        },
        "length_histogram": _length_histogram(num_chars),
    }


def _count_by(key: pa.ChunkedArray, num_bytes: pa.ChunkedArray) -> dict[str, dict[str, int]]:
    table = pa.table({"key": key, "bytes": num_bytes}).group_by("key").aggregate([("bytes", "count"), ("bytes", "sum")])
    rows = sorted(table.to_pylist(), key=lambda row: str(row["key"]))
    return {row["key"]: {"documents": row["bytes_count"], "bytes": row["bytes_sum"]} for row in rows}


def _length_histogram(num_chars: pa.ChunkedArray) -> list[int]:
    lengths = num_chars.to_numpy().astype(np.float64)
    bins = np.frexp(np.maximum(lengths, 1))[1] - 1  # frexp, not log2: exact at powers of two
    counted: list[int] = np.bincount(np.minimum(bins, NUM_LENGTH_BINS - 1), minlength=NUM_LENGTH_BINS).tolist()
    return counted
