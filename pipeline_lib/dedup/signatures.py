"""The stage `signatures`: what dedup has to know of each document, so that it need not read the text of all again."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.dedup.parameters import SignatureParameters
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.bands import SmallIndices
from pipeline_lib.kernels.canonical_urls import canonical_url_hashes
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.shingles import Hashes, Values, fingerprint, permutations
from pipeline_lib.survivors import read_survivors, trail_of
from pipeline_lib.torch_devices import use_gpu
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import fingerprints_schema


def fingerprints(documents: pa.Table, parameters: SignatureParameters) -> pa.Table:
    """One row a document, in the same order: the columns of `fingerprints_schema`.

    Documents with fewer words than a shingle have `num_shingles` 0 and the signature of no shingles; documents without
    a word have a `text_hash` of zeros, too. Neither is ever like another.

    Args:
        documents: doc_id, url, fetched_at, text.
    """
    signatures, num_shingles, text_hashes = _sign(documents["text"], parameters)
    return pa.table(
        {
            "doc_id": documents["doc_id"],
            "text_hash": _binary(text_hashes),
            "url_hash": _binary(canonical_url_hashes(documents["url"])),
            "num_chars": pc.utf8_length(documents["text"]).cast(pa.int64()),
            "fetched_at": documents["fetched_at"],
            "num_shingles": pa.array(num_shingles),
            "signature": pa.FixedSizeListArray.from_arrays(
                pa.array(signatures.reshape(-1)), parameters.num_permutations
            ),
        },
        schema=fingerprints_schema(parameters.num_permutations),
    )


def _sign(texts: pa.ChunkedArray, parameters: SignatureParameters) -> tuple[Values, SmallIndices, Hashes]:
    data, offsets = string_buffers(texts)
    factors, summands = permutations(parameters.num_permutations, parameters.seed)
    if use_gpu(parameters.device):
        import torch  # takes a second to load

        from pipeline_lib.dedup.device_signatures import fingerprint_on_device

        return fingerprint_on_device(data, offsets, parameters.ngram, factors, summands, torch.device("cuda"))
    signatures = np.empty((len(texts), parameters.num_permutations), np.uint32)
    num_shingles = np.empty(len(texts), np.int32)
    text_hashes = np.empty((len(texts), 2), np.uint64)
    fingerprint(
        data, offsets, parameters.ngram, factors, summands, fold_tables(), signatures, num_shingles, text_hashes
    )
    return signatures, num_shingles, text_hashes


def _binary(hashes: Hashes) -> pa.Array:
    """binary(16) of uint64 (N, 2), little end first on every machine."""
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(hashes), [None, pa.py_buffer(np.ascontiguousarray(hashes, "<u8"))]
    )


def signatures_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: SignatureParameters
) -> PartResult:
    """Fingerprint the documents of a part that `judge` left: reads extract, signals, judge; writes `fingerprints`."""
    trail = trail_of(inputs)
    documents = read_survivors(trail, part.name, ["doc_id", "url", "fetched_at", "text"])
    table = fingerprints(documents, parameters)
    output.table("fingerprints", table, fingerprints_schema(parameters.num_permutations))
    num_signed = pc.sum(pc.greater(table["num_shingles"], 0)).as_py() or 0
    return PartResult(
        account=Account(documents_in=table.num_rows, documents_out=table.num_rows),
        metrics={
            "documents_signed": num_signed,
            "documents_too_short_to_sign": table.num_rows - num_signed,
            "shingles": pc.sum(table["num_shingles"].cast(pa.int64())).as_py() or 0,
            "text_bytes": pc.sum(pc.binary_length(documents["text"]).cast(pa.int64())).as_py() or 0,
        },
    )
