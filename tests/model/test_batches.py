"""Batches: every row of an epoch once, whatever the shards, and the same rows for the same step."""

from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batches import Batches, Rows, TokenStream, TooFewTokens, permute
from storage.tables import DamagedFile
from storage.token_shards import TokenizerIdentity, TokenizerMismatch, write_token_shard

TOKENIZER = TokenizerIdentity(digest="ab" * 32, vocab_size=500, unk_id=0, bos_id=1, eos_id=2, pad_id=3)


def write_shard(path: Path, documents: list[list[int]], tokenizer: TokenizerIdentity = TOKENIZER) -> Path:
    columns = {
        "doc_id": [f"{number:032x}" for number in range(len(documents))],
        "num_bytes": [len(tokens) for tokens in documents],
        "tokens": documents,
    }
    write_token_shard(pa.table(columns, schema=tokenizer.schema()), path, tokenizer)
    return path


@given(st.integers(1, 600), st.text(max_size=5))
def test_permute_is_a_permutation(size: int, key: str) -> None:
    assert sorted(permute(np.arange(size), size, key).tolist()) == list(range(size))


@given(st.integers(1, 1 << 40), st.lists(st.integers(0, (1 << 40) - 1), max_size=8))
def test_permute_has_one_answer_for_a_place_whoever_asks(size: int, places: list[int]) -> None:
    places = [place % size for place in places]
    together = permute(np.array(places, np.int64), size, "k").tolist()
    assert together == [int(permute(np.array([place]), size, "k")[0]) for place in places]
    assert all(0 <= row < size for row in together)


def test_permute_mixes_and_keys_differ() -> None:
    places = np.arange(10_000)
    one, other = permute(places, 10_000, "0/0"), permute(places, 10_000, "0/1")
    assert abs(np.corrcoef(places, one)[0, 1]) < 0.05
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.05


def test_the_order_of_rows_is_pinned() -> None:
    # a checkpoint of an older version of this program must mean the same rows
    assert permute(np.arange(12), 12, "0/0").tolist() == [4, 6, 7, 10, 11, 8, 2, 3, 5, 1, 0, 9]


documents = st.lists(st.lists(st.integers(0, 499), max_size=9), max_size=6)


@settings(deadline=None)  # files are written
@given(st.lists(documents, min_size=1, max_size=4), st.integers(1, 7))
def test_rows_are_the_concatenated_shards_cut_at_every_context(tmp_path_factory, shards, context: int) -> None:
    folder = tmp_path_factory.mktemp("shards")
    stream = TokenStream.open([write_shard(folder / f"{n}.arrow", shard) for n, shard in enumerate(shards)])
    expected = list(chain.from_iterable(chain.from_iterable(shards)))
    assert stream.num_tokens == len(expected)
    if len(expected) < context + 1:
        with pytest.raises(TooFewTokens, match=f"the shards have {len(expected)}"):
            Rows(stream, context, "training")
        return
    rows = Rows(stream, context, "training")
    found = np.zeros((rows.num_rows, context + 1), np.int64)
    rows.read(np.arange(rows.num_rows), found)
    for number in range(rows.num_rows):
        assert found[number].tolist() == expected[number * context : number * context + context + 1]
    assert len(expected) - rows.num_tokens < context


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 3))
def test_an_epoch_takes_every_row_once_wherever_batches_end(num_rows: int, rows_per_batch: int, seed: int) -> None:
    rows = Rows(TokenStream(TOKENIZER, [np.arange(num_rows + 1, dtype=np.uint16)]), 1, "training")
    batches = Batches(rows, rows_per_batch=rows_per_batch, seed=seed)
    seen = list(chain.from_iterable(batches.row_numbers(step).tolist() for step in range(3 * num_rows)))
    for epoch in range(2):
        assert sorted(seen[epoch * num_rows : (epoch + 1) * num_rows]) == list(range(num_rows))


def test_a_step_has_the_same_batch_whatever_was_read_before(tmp_path: Path) -> None:
    stream = TokenStream.open([write_shard(tmp_path / "a.arrow", [list(range(400))])])

    def batches() -> Batches:
        return Batches(Rows(stream, 8, "training"), rows_per_batch=4, seed=7)

    through = batches()
    in_order = [through.read(step).clone() for step in range(30)]
    assert in_order[20].equal(batches().read(20))
    assert in_order[20].shape == (4, 9)
    assert not in_order[20].equal(Batches(Rows(stream, 8, "training"), rows_per_batch=4, seed=8).read(20))


def test_an_epoch_differs_from_the_one_before(tmp_path: Path) -> None:
    stream = TokenStream.open([write_shard(tmp_path / "a.arrow", [list(range(401))])])
    batches = Batches(Rows(stream, 8, "training"), rows_per_batch=50, seed=0)
    assert batches.row_numbers(0).tolist() != batches.row_numbers(1).tolist()


def test_shards_of_two_tokenizers_do_not_mix(tmp_path: Path) -> None:
    other = TokenizerIdentity(digest="cd" * 32, vocab_size=500, unk_id=0, bos_id=1, eos_id=2, pad_id=3)
    paths = [write_shard(tmp_path / "a.arrow", [[1, 2]]), write_shard(tmp_path / "b.arrow", [[1, 2]], other)]
    with pytest.raises(TokenizerMismatch, match=r"b\.arrow"):
        TokenStream.open(paths)


def test_an_id_beyond_the_vocabulary_is_found_before_training(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="token id 500 of 500"):
        TokenStream.open([write_shard(tmp_path / "a.arrow", [[1, 2], [500]])])


def test_no_shards_at_all_are_an_error_that_says_so() -> None:
    with pytest.raises(TooFewTokens, match="no token shards"):
        TokenStream.open([])


def test_large_vocabularies_come_in_32_bits(tmp_path: Path) -> None:
    large = TokenizerIdentity(digest="ef" * 32, vocab_size=100_000, unk_id=0, bos_id=1, eos_id=2, pad_id=3)
    stream = TokenStream.open([write_shard(tmp_path / "a.arrow", [[99_999, 70_000, 1]], large)])
    assert Batches(Rows(stream, 2, "training"), rows_per_batch=1, seed=0).read(0).tolist() == [[99_999, 70_000, 1]]
