"""Token shards are bound to the tokenizer that made them."""

import contextlib
import dataclasses

import pyarrow as pa
import pytest

from storage.tables import DamagedFile, SchemaMismatch
from storage.token_shards import TokenizerIdentity, TokenizerMismatch, open_token_shard, write_token_shard

IDENTITY = TokenizerIdentity(digest="ab" * 32, vocab_size=300, unk_id=0, bos_id=1, eos_id=2, pad_id=3)


def documents(identity=IDENTITY, rows=((b"a", [1, 5, 2]), (b"b", [1, 2]))):
    return pa.Table.from_pylist(
        [{"doc_id": name.decode(), "num_bytes": len(tokens) - 2, "tokens": tokens} for name, tokens in rows],
        schema=identity.schema(),
    )


def test_a_shard_reads_back_and_names_its_tokenizer(tmp_path):
    write_token_shard(documents(), tmp_path / "a.arrow", IDENTITY)
    back = open_token_shard(tmp_path / "a.arrow", IDENTITY)
    assert back.equals(documents())
    assert TokenizerIdentity.from_schema(back.schema, "here") == IDENTITY


def test_a_shard_without_documents_is_a_shard(tmp_path):
    write_token_shard(documents(rows=()), tmp_path / "a.arrow", IDENTITY)
    assert open_token_shard(tmp_path / "a.arrow", IDENTITY).num_rows == 0


def test_chunks_and_slices_do_not_change_a_file(tmp_path):
    whole = documents(rows=[(bytes([97 + number]), list(range(number))) for number in range(9)])
    write_token_shard(whole, tmp_path / "whole.arrow", IDENTITY)
    write_token_shard(pa.concat_tables([whole[:4], whole[4:]]), tmp_path / "chunks.arrow", IDENTITY)
    write_token_shard(pa.concat_tables([whole, whole])[9:], tmp_path / "slice.arrow", IDENTITY)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize(("vocab_size", "expected"), [(65_536, pa.uint16()), (65_537, pa.uint32())])
def test_ids_take_two_bytes_as_long_as_they_fit(tmp_path, vocab_size, expected):
    identity = dataclasses.replace(IDENTITY, vocab_size=vocab_size)
    write_token_shard(documents(identity, [(b"a", [vocab_size - 1])]), tmp_path / "a.arrow", identity)
    back = open_token_shard(tmp_path / "a.arrow", identity)
    assert back["tokens"].type.value_type == expected
    assert back["tokens"].to_pylist() == [[vocab_size - 1]]


@pytest.mark.parametrize(
    "change", [{"digest": "cd" * 32}, {"vocab_size": 301}, {"bos_id": 7}, {"eos_id": 7}, {"pad_id": 0}, {"unk_id": 9}]
)
def test_another_tokenizer_is_refused(tmp_path, change):
    write_token_shard(documents(), tmp_path / "a.arrow", IDENTITY)
    with pytest.raises(TokenizerMismatch, match="tokenize again"):
        open_token_shard(tmp_path / "a.arrow", dataclasses.replace(IDENTITY, **change))


def test_ids_that_do_not_fit_the_tokenizers_type_are_not_written(tmp_path):
    large = dataclasses.replace(IDENTITY, vocab_size=100_000)
    with pytest.raises(pa.ArrowInvalid):
        write_token_shard(documents(large, [(b"a", [70_000])]), tmp_path / "a.arrow", IDENTITY)


def test_a_shortened_shard_is_damaged(tmp_path):
    path = tmp_path / "a.arrow"
    write_token_shard(documents(), path, IDENTITY)
    content = path.read_bytes()
    for length in (0, 7, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedFile):
            open_token_shard(path)


def test_an_arrow_file_of_another_program_is_no_shard(tmp_path):
    table = pa.table({"tokens": [[1, 2]]})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DamagedFile, match="not a token shard of ours"):
        open_token_shard(tmp_path / "a.arrow")


def test_a_flipped_bit_in_the_footer_is_damage_and_no_other_error(tmp_path):
    path = tmp_path / "a.arrow"
    write_token_shard(documents(), path, IDENTITY)
    content = path.read_bytes()
    for place in range(len(content) - 700, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x80]) + content[place + 1 :])
        with contextlib.suppress(DamagedFile, SchemaMismatch, TokenizerMismatch):
            open_token_shard(path, IDENTITY)
