"""Signatures for datasketch: what dedup has stored, in an index that answers for texts as they come.

Signatures are those of `datasketch.MinHash(scheme="affine32")`, made of shingle hashes of ours; so a text of one's own
can be looked up among the documents of a crawl, in memory or in Redis:

    parameters = DedupParameters()
    index = new_index(parameters, {"type": "redis", "basename": b"crawl", "redis": {"host": "127.0.0.1"}})
    for path in Path("stages/signatures").glob("*/fingerprints/*.parquet"):
        insert_documents(index, pq.read_table(path), parameters.seed)
    ...
    doc_ids = index.query(minhash("a text of one's own", parameters.signatures()))

What is found shares a band with the text, and is a candidate, no more: about 1 in 10 of pairs of similarity 0.56 share
one of 14 bands of 8, too. `jaccard` of two MinHash estimates their similarity, with an error of about 0.04 for 112
values; only comparing the shingles of both texts, as dedup does, measures it.

Keys are doc_ids as bytes, and datasketch is told not to pickle them. By default it does where it stores in Redis, and
unpickles whatever it then finds there: whoever can write to that Redis could run code in every process that asks it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from datasketch import MinHash, MinHashLSH

from pipeline_lib.dedup.parameters import DedupParameters, SignatureParameters
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.shingles import Values, fingerprint, permutations, shingle_sets

SCHEME = "affine32"


def shingle_hashes(text: str, ngram: int = 5) -> Values:
    """uint32 (S,): a hash for each distinct shingle of a text, ascending; none where it has fewer words than `ngram`.

    They are what signatures permute: `MinHash(scheme="affine32", hashfunc=int)` updated with each of them has the
    values of the text's signature. Two shingles of a text may have the same hash, with odds of 1 in 4 billion a pair.
    """
    data, offsets = _buffers(text)
    _, num_shingles = _signed(text, SignatureParameters(ngram=ngram, num_permutations=1))
    shingles, sizes = np.empty(int(num_shingles[0]), np.uint64), np.empty(1, np.int64)
    first = np.zeros(1, np.int64)
    shingle_sets(data, offsets, first, num_shingles, ngram, fold_tables(), first, sizes, shingles)
    return (shingles[: sizes[0]] >> np.uint64(32)).astype(np.uint32)


def minhash(text: str, parameters: SignatureParameters) -> MinHash:
    """The MinHash of a text: equal to that of the stored signature of a document with the same text.

    It can be updated with further shingle hashes.
    """
    signatures, _ = _signed(text, parameters)
    return _minhash(signatures[0], parameters.seed, permutations(parameters.num_permutations, parameters.seed))


def minhashes(fingerprints: pa.Table, seed: int = 1) -> Iterator[tuple[str, MinHash]]:
    """doc_id and MinHash of each document that has a shingle.

    Documents that are too short have none: all of them would have the same signature, and find each other.

    Args:
        fingerprints: of `fingerprints_schema`, as the stage `signatures` writes them.
        seed: as in the parameters of that stage.
    """
    signed = fingerprints.filter(pa.array(fingerprints["num_shingles"].to_numpy() > 0)).combine_chunks()
    signatures = signed["signature"].combine_chunks()
    values = signatures.flatten().to_numpy().reshape(signed.num_rows, -1)
    shared = permutations(signatures.type.list_size, seed)
    for doc_id, signature in zip(signed["doc_id"].to_pylist(), values, strict=True):
        yield doc_id, _minhash(signature.copy(), seed, shared)


def new_index(parameters: DedupParameters, storage: Mapping[str, Any] | None = None) -> MinHashLSH:
    """An index with the bands and rows of dedup: what it finds are dedup's candidates.

    Args:
        storage: datasketch's `storage_config`; None: in memory. With the `basename` of an index that is in Redis
            already, it is that one.
    """
    banding = parameters.banding()
    config = None if storage is None else dict(storage)
    return MinHashLSH(
        num_perm=banding.num_permutations, params=(banding.bands, banding.rows), storage_config=config, prepickle=False
    )


def insert_documents(index: MinHashLSH, fingerprints: pa.Table, seed: int = 1) -> int:
    """Insert documents under their doc_ids, as bytes; returns how many: those that are too short are left out.

    Args:
        fingerprints, seed: as in `minhashes`.

    Raises:
        ValueError: a doc_id is in the index already; or signatures have another length than the index asks for.
    """
    num_inserted = 0
    with index.insertion_session() as session:
        for doc_id, each in minhashes(fingerprints, seed):
            session.insert(doc_id.encode(), each)
            num_inserted += 1
    return num_inserted


def _buffers(text: str) -> tuple[Any, Any]:
    # half of a surrogate pair is in no stored text
    return string_buffers(pa.array([text.encode(errors="replace").decode()], pa.large_string()))


def _signed(text: str, parameters: SignatureParameters) -> tuple[Values, Any]:
    """uint32 (1, P) and int32 (1,): signature, and number of shingles with repeats."""
    data, offsets = _buffers(text)
    factors, summands = permutations(parameters.num_permutations, parameters.seed)
    signatures = np.empty((1, parameters.num_permutations), np.uint32)
    num_shingles, text_hashes = np.empty(1, np.int32), np.empty((1, 2), np.uint64)
    fingerprint(
        data, offsets, parameters.ngram, factors, summands, fold_tables(), signatures, num_shingles, text_hashes
    )
    return signatures, num_shingles


def _minhash(signature: Values, seed: int, shared: tuple[Values, Values]) -> MinHash:
    """Shared permutations: making them takes longer than all else."""
    return MinHash(seed=seed, hashvalues=signature, permutations=shared, scheme=SCHEME, hashfunc=int)
