"""The shuffled order, and its ranges."""

import itertools

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokens.encoding import encode_documents
from pipeline_lib.tokens.shuffle import shard_bounds, shard_rows, shuffle_hashes, shuffle_order


@given(st.integers(1, 1000))
def test_shards_cover_all_hashes_without_overlap(num_shards):
    bounds = [shard_bounds(shard, num_shards) for shard in range(num_shards)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 1 << 64
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(bounds))


@settings(deadline=None)  # the first example waits for the compiler
@given(st.sets(st.text(max_size=5), max_size=30), st.integers(0, 3), st.integers(1, 9))
def test_each_document_stands_in_the_one_shard_whose_range_holds_its_hash(doc_ids, seed, num_shards):
    unordered = pa.array(sorted(doc_ids), pa.string())
    ordered = pa.chunked_array([unordered.take(shuffle_order(unordered, seed))])
    found = []
    for shard in range(num_shards):
        first, end = shard_bounds(shard, num_shards)
        rows = ordered.slice(*shard_rows(ordered, seed, shard, num_shards))
        assert all(first <= value < end for value in shuffle_hashes(rows, seed).tolist())
        found += rows.to_pylist()
    assert found == ordered.to_pylist()


@settings(deadline=None)
@given(st.lists(st.text("ab ", max_size=12), max_size=12), st.integers(1, 20))
def test_encoding_in_batches_is_encoding_at_once(model, texts, batch_bytes):
    doc_ids = pa.array([str(number) for number in range(len(texts))], pa.string())
    table = pa.table({"doc_id": doc_ids, "text": pa.array(texts, pa.large_string())})
    expected = encode_documents(table, Tokenizer(model), seed=0)
    found = encode_documents(table, Tokenizer(model), seed=0, batch_bytes=batch_bytes)
    assert found.equals(expected)
