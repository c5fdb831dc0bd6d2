"""The order of all documents of a corpus: by a seeded hash of their id, so that neither parts nor workers matter."""

import bisect

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.corpus.seeded_hash import Hashes, seeded_hash

_HASHES = 1 << 64


def shuffle_hashes(doc_ids: pa.Array | pa.ChunkedArray, seed: int) -> Hashes:
    """The place of each document in the order, as uint64; documents of equal hash stand by doc_id."""
    return seeded_hash(doc_ids, seed, "shuffle")


def shuffle_order(doc_ids: pa.Array | pa.ChunkedArray, seed: int) -> pa.Array:
    """The rows of the documents in the order, uint64."""
    keyed = pa.table({"hash": shuffle_hashes(doc_ids, seed), "doc_id": doc_ids})
    return pc.sort_indices(keyed, sort_keys=[("hash", "ascending"), ("doc_id", "ascending")])


def shard_bounds(shard: int, num_shards: int) -> tuple[int, int]:
    """The hashes [first, end) of a shard: equal ranges that leave nothing out. `end` may be 2**64."""
    return -(-_HASHES * shard // num_shards), -(-_HASHES * (shard + 1) // num_shards)


def shard_rows(doc_ids: pa.ChunkedArray, seed: int, shard: int, num_shards: int) -> tuple[int, int]:
    """Where a shard stands among documents that are in order, and how many it has; found by bisection.

    Raises:
        ValueError: the documents are not in the order of this seed.
    """
    first, end = shard_bounds(shard, num_shards)

    def hash_at(row: int) -> int:
        return int(shuffle_hashes(doc_ids.slice(row, 1), seed)[0])

    rows = range(len(doc_ids))
    start = bisect.bisect_left(rows, first, key=hash_at)
    stop = bisect.bisect_left(rows, end, lo=start, key=hash_at)
    hashes = shuffle_hashes(doc_ids.slice(start, stop - start), seed)
    if len(hashes) and (bool(np.any(hashes[1:] < hashes[:-1])) or int(hashes[0]) < first or int(hashes[-1]) >= end):
        raise ValueError(f"encoded documents are not in the order of seed {seed}: encode them with the same seed")
    return start, stop - start
