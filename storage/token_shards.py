"""Token shards: Arrow IPC files, memory-mapped, one row a document, bound to the tokenizer that made them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from storage.schemas import encoded_schema
from storage.tables import DamagedFile, check_schema

_PREFIX = b"gristmill.tokenizer."


class TokenizerMismatch(ValueError):
    """Token ids made by another tokenizer than the reader was built for."""


@dataclass(frozen=True, kw_only=True)
class TokenizerIdentity:
    """What must be equal for token ids to mean the same.

    `digest` is the SHA-256 of the serialized SentencePiece model, in hex.
    """

    digest: str
    vocab_size: int
    unk_id: int
    bos_id: int
    eos_id: int
    pad_id: int

    @property
    def token_type(self) -> pa.DataType:
        return pa.uint16() if self.vocab_size <= 1 << 16 else pa.uint32()

    def metadata(self) -> dict[bytes, bytes]:
        return {_PREFIX + name.encode(): str(value).encode() for name, value in vars(self).items()}

    def schema(self) -> pa.Schema:
        return encoded_schema(self.token_type, self.metadata())

    @classmethod
    def from_schema(cls, schema: pa.Schema, place: str) -> Self:
        found = {
            key.removeprefix(_PREFIX).decode(): value.decode()
            for key, value in (schema.metadata or {}).items()
            if key.startswith(_PREFIX)
        }
        try:
            return cls(
                digest=found["digest"],
                vocab_size=int(found["vocab_size"]),
                unk_id=int(found["unk_id"]),
                bos_id=int(found["bos_id"]),
                eos_id=int(found["eos_id"]),
                pad_id=int(found["pad_id"]),
            )
        except (KeyError, ValueError) as error:
            raise DamagedFile(f"{place}: not a token shard of ours: {error!r} in its metadata") from error

    def require(self, other: Self, place: str) -> None:
        """Refuse ids made with another tokenizer."""
        if other != self:
            raise TokenizerMismatch(
                f"{place} was encoded with tokenizer {other.digest[:12]} ({other.vocab_size} ids), "
                f"expected {self.digest[:12]} ({self.vocab_size} ids); tokenize again with the expected tokenizer"
            )


def write_token_shard(table: pa.Table, path: Path, tokenizer: TokenizerIdentity) -> None:
    """Write documents (columns of `encoded_schema`) as an uncompressed Arrow IPC file, in one record batch."""
    schema = tokenizer.schema()
    table = table.cast(schema).combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table)


def open_token_shard(path: Path, tokenizer: TokenizerIdentity | None = None) -> pa.Table:
    """Memory-map a shard: no token is copied.

    Raises:
        TokenizerMismatch: it was made with another tokenizer than the given one.
        DamagedFile: it is no whole Arrow IPC file.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()
        found = TokenizerIdentity.from_schema(table.schema, str(path))
        check_schema(table.schema, found.schema(), str(path))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DamagedFile(f"{path}: not a whole Arrow IPC file: {error}") from error
    if tokenizer is not None:
        tokenizer.require(found, str(path))
    return table
