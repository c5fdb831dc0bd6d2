"""The stage `privacy`: edits that mask addresses of people and machines."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pyarrow as pa

from pipeline_lib.kernels.addresses import find_emails, find_ipv4, find_ipv6
from pipeline_lib.kernels.arrow import Bytes, Offsets, string_buffers
from pipeline_lib.privacy.addresses import (
    CONTEXT_BYTES,
    REPLACEMENT_EMAILS,
    REPLACEMENT_IPV4,
    REPLACEMENT_IPV6,
    email_at,
    is_public_ipv4,
    is_public_ipv6,
    replacement,
)
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.survivors import read_survivors, trail_of
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import EDITS


class _Mask(NamedTuple):
    """Bytes [start, end) of the text of a row, and what they become."""

    row: int
    start: int
    end: int
    rule: str
    replacement: str


def mask_addresses(documents: pa.Table, parameters: PrivacyParameters) -> pa.Table:
    """Edits (schema EDITS, rules `email`, `ipv4`, `ipv6`) that replace the addresses in the documents' texts.

    Args:
        documents: doc_id, text.
    """
    data, offsets = string_buffers(documents["text"])
    masks: list[_Mask] = []
    if parameters.emails:
        masks += _emails(data, offsets)
    if parameters.ips:
        masks += _ipv4(data, offsets)
        masks += _ipv6(data, offsets)
    masks = _merged(masks)
    return pa.table(
        {
            "doc_id": documents["doc_id"].take(pa.array([mask.row for mask in masks], pa.int64())),
            "step": pa.array([0] * len(masks), pa.int32()),
            "rule": pa.array([mask.rule for mask in masks], pa.string()),
            "start": pa.array([mask.start for mask in masks], pa.int64()),
            "end": pa.array([mask.end for mask in masks], pa.int64()),
            "replacement": pa.array([mask.replacement for mask in masks], pa.large_string()),
        },
        schema=EDITS,
    )


def _emails(data: Bytes, offsets: Offsets) -> Iterator[_Mask]:
    for row, start, end in find_emails(data, offsets).tolist():
        span = data[offsets[row] + start : offsets[row] + end].tobytes()
        at = span.index(b"@")
        address = email_at(span[:at], span[at + 1 :])
        if address is not None:
            before, behind = address
            first, last = at - before, at + 1 + behind
            mask = replacement(span[first:last], REPLACEMENT_EMAILS)
            yield _Mask(row, start + first, start + last, "email", mask)


def _ipv4(data: Bytes, offsets: Offsets) -> Iterator[_Mask]:
    for row, start, end in find_ipv4(data, offsets).tolist():
        text = offsets[row]
        spelled = data[text + start : text + end].tobytes()
        before = data[text + max(0, start - CONTEXT_BYTES) : text + start].tobytes()
        behind = data[text + end : min(text + end + 2, offsets[row + 1])].tobytes()
        if is_public_ipv4(spelled, before, behind):
            yield _Mask(row, start, end, "ipv4", replacement(spelled, REPLACEMENT_IPV4))


def _ipv6(data: Bytes, offsets: Offsets) -> Iterator[_Mask]:
    for row, start, end in find_ipv6(data, offsets).tolist():
        spelled = data[offsets[row] + start : offsets[row] + end].tobytes()
        if is_public_ipv6(spelled):
            yield _Mask(row, start, end, "ipv6", replacement(spelled, REPLACEMENT_IPV6))


def _merged(masks: list[_Mask]) -> list[_Mask]:
    """In order; those that overlap become one, with the rule and replacement of the first, longest before shorter."""
    merged: list[_Mask] = []
    for mask in sorted(masks, key=lambda mask: (mask.row, mask.start, -mask.end)):
        if merged and merged[-1].row == mask.row and mask.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, mask.end))
        else:
            merged.append(mask)
    return merged


def privacy_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: PrivacyParameters
) -> PartResult:
    """Mask the documents of a part that are left: reads the stages of the trail so far; writes `edits`."""
    documents = read_survivors(trail_of(inputs), part.name, ["doc_id", "text"])
    edits = mask_addresses(documents, parameters)
    output.table("edits", edits, EDITS)
    by_rule = Counter(edits["rule"].to_pylist())
    return PartResult(
        account=Account(documents_in=documents.num_rows, documents_out=documents.num_rows),
        metrics={
            "documents_edited": len(edits["doc_id"].unique()),
            "masked": {rule: by_rule[rule] for rule in ("email", "ipv4", "ipv6")},
        },
    )
