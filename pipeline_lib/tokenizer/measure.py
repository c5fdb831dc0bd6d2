"""How well a tokenizer fits: bytes of text per token, by language and by host."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.tokenizer.model import Tokenizer

MAX_HOSTS = 20


def bytes_per_token(documents: pa.Table, tokenizer: Tokenizer) -> dict[str, Any]:
    """Figures of documents (columns language, host, text) as JSON values: overall, each language, the largest hosts.

    Counted are the tokens of the text, not `<s>` and `</s>`. More bytes per token means a better fit; null stands
    where there is no text.
    """
    _, offsets = tokenizer.encode_column(documents["text"])
    counted = pa.table(
        {
            "language": documents["language"],
            "host": documents["host"],
            "bytes": pc.binary_length(documents["text"]).cast(pa.int64()),
            "tokens": np.diff(offsets) - 2,
        }
    )
    languages = _by(counted, "language")
    hosts = _by(counted, "host")
    largest = sorted(hosts, key=lambda host: (-hosts[host]["bytes"], host))[:MAX_HOSTS]
    return {
        **_figures(counted.num_rows, pc.sum(counted["bytes"]).as_py() or 0, pc.sum(counted["tokens"]).as_py() or 0),
        "languages": languages,
        "hosts": {host: hosts[host] for host in largest},
    }


def _by(counted: pa.Table, key: str) -> dict[str, dict[str, Any]]:
    grouped = counted.group_by(key).aggregate([("bytes", "count"), ("bytes", "sum"), ("tokens", "sum")])
    return {
        row[key]: _figures(row["bytes_count"], row["bytes_sum"], row["tokens_sum"])
        for row in sorted(grouped.to_pylist(), key=lambda row: str(row[key]))
    }


def _figures(num_documents: int, num_bytes: int, num_tokens: int) -> dict[str, Any]:
    return {
        "documents": num_documents,
        "bytes": num_bytes,
        "tokens": num_tokens,
        "bytes_per_token": round(num_bytes / num_tokens, 4) if num_tokens else None,
    }
