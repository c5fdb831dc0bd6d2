"""The order of all documents of a corpus: by a seeded hash of their id, so that neither parts nor workers matter."""

import bisect

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels.seeded_hash import Hashes, seeded_hash

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
    """Where a shard starts among documents that are in the order of the seed, and how many it has; by bisection."""
    first, end = shard_bounds(shard, num_shards)

    def hash_at(row: int) -> int:
        return int(shuffle_hashes(doc_ids.slice(row, 1), seed)[0])

    rows = range(len(doc_ids))
    start = bisect.bisect_left(rows, first, key=hash_at)
    stop = bisect.bisect_left(rows, end, lo=start, key=hash_at)
    return start, stop - start
