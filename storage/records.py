"""Records: JSON files of ours that carry the digest of what they say, so that a damaged one is known as such."""

import json
from collections.abc import Mapping
from typing import Any

from storage.digests import value_digest

_DIGEST = "record_sha256"


def record_bytes(value: Mapping[str, Any]) -> bytes:
    """The JSON of a record, with the digest of all else in it.

    Raises:
        ValueError: a value that JSON has no word for, such as NaN.
    """
    # by way of JSON, which makes keys strings: the digest is of what a reader will find
    plain = json.loads(json.dumps(value, allow_nan=False))
    return json.dumps({**plain, _DIGEST: value_digest(plain)}, indent=1, sort_keys=True).encode()


def parse_record(content: bytes) -> dict[str, Any]:
    """What `record_bytes` was given.

    Raises:
        ValueError: not a JSON object, or not the one that was written.
    """
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply to be a record") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected keys and values, found {type(value).__name__}")  # noqa: TRY004 (data, not a caller)
    recorded = value.pop(_DIGEST, None)
    found = value_digest(value)
    if recorded != found:
        raise ValueError(f"says what has SHA-256 {found[:12]}…, written was {str(recorded)[:12]}…")
    return value
