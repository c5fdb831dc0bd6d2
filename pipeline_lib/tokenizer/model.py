"""A trained tokenizer: text to ids, a column at a time or one string, and ids to text."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sentencepiece import SentencePieceProcessor

from pipeline_lib.kernels.arrow import string_buffers, string_column
from pipeline_lib.tokenizer.segments import Ids, count_segments, find_distinct, join_ids
from pipeline_lib.tokenizer.training import USER_SYMBOLS
from storage.tables import DamagedFile
from storage.token_shards import TokenizerIdentity

SPACE = "\u2581"  # how SentencePiece spells a space inside pieces
# Round trip of a model that normalises, adds a space in front, or folds spaces would differ here.
_PROBE = " a  b\ufb01 \r\n\t c\u0301 \U0001f600  "


class Tokenizer:
    """Encodes and decodes with a serialized SentencePiece model of `train_model`.

    A document is `<s>`, the ids of its text, `</s>`: `<s>` first, so that a model knows a beginning from a middle and
    generation has something to start from; `</s>` last, so that it learns to stop.

    Raises:
        DamagedFile: the bytes are no SentencePiece model.
        ValueError: the model changes text, or its pieces cross spaces: not one of ours.
    """

    def __init__(self, model: bytes) -> None:
        self._processor = SentencePieceProcessor()
        try:
            self._processor.load_from_serialized_proto(model)
        except (RuntimeError, ValueError) as error:
            raise DamagedFile(f"{len(model)} bytes that are no SentencePiece model: {error}") from error
        self.identity = TokenizerIdentity(
            digest=hashlib.sha256(model).hexdigest(),
            vocab_size=self._processor.get_piece_size(),
            unk_id=self._processor.unk_id(),
            bos_id=self._processor.bos_id(),
            eos_id=self._processor.eos_id(),
            pad_id=self._processor.pad_id(),
        )
        every_id = list(range(self.identity.vocab_size))
        self.pieces: list[str] = self._processor.id_to_piece(every_id)
        # special: of no text (`<unk>` and the control symbols); byte: one byte of a character without a piece
        self.is_special = np.array(self._processor.is_control(every_id)) | np.array(
            self._processor.is_unknown(every_id)
        )
        self.is_byte = np.array(self._processor.is_byte(every_id))
        crossing = [piece for piece in self.pieces if SPACE in piece.lstrip(SPACE) or _holds_user_symbol(piece)]
        probe = self.encode(_PROBE)
        changed = self.decode(probe) != _PROBE or self.token_bytes()[probe].sum() != len(_PROBE.encode())
        if crossing or changed:
            raise ValueError(
                "this SentencePiece model normalises text, or has pieces across spaces or line breaks"
                f"{f' ({crossing[0]!r})' if crossing else ''}; use one that a run trained"
            )

    def encode(self, text: str) -> list[int]:
        """The ids of a text alone, without `<s>` and `</s>`. A lone surrogate, which is no character, becomes `?`."""
        ids: list[int] = self._processor.encode(text.encode("utf-8", "replace"))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Special ones have none; an unknown or impossible id or byte becomes U+FFFD."""
        known = [int(each) if 0 <= each < self.identity.vocab_size else self.identity.unk_id for each in ids]
        text: str = self._processor.decode(known)
        return text

    def encode_column(self, texts: pa.Array | pa.ChunkedArray) -> tuple[Ids, npt.NDArray[np.int64]]:
        """The ids of each document, from `<s>` to `</s>`.

        Returns:
            ids: int32, of all documents.
            offsets: int64, shape (documents + 1,): document i is `ids[offsets[i]:offsets[i + 1]]`.
        """
        data, offsets = string_buffers(texts)
        text_segments = count_segments(data, offsets)
        numbers, starts, ends = find_distinct(data, offsets, text_segments)
        view = data.data
        segments = [view[start:end].tobytes() for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        encoded: list[Ids] = self._processor.encode(segments, out_type="numpy", num_threads=1)
        id_offsets = np.zeros(len(segments) + 1, np.int64)
        np.cumsum([len(ids) for ids in encoded], out=id_offsets[1:])
        ids = np.concatenate(encoded) if encoded else np.zeros(0, np.int32)
        return join_ids(numbers, text_segments, ids, id_offsets, self.identity.bos_id, self.identity.eos_id)

    def decode_column(self, tokens: pa.Array | pa.ChunkedArray) -> pa.Array:
        """The text of each document (large_string), as `decode` gives it, without a Python object for any.

        Args:
            tokens: (N,) lists of ids, no nulls; whole documents, as `encode_column` gave them.

        Raises:
            DamagedFile: ids that this tokenizer has not, or that spell no UTF-8.
        """
        lists = pa.concat_arrays(tokens.chunks) if isinstance(tokens, pa.ChunkedArray) else tokens
        lists = lists.cast(pa.large_list(pa.field("token", lists.type.value_type, nullable=False)))
        bounds = lists.offsets.to_numpy()
        ids = lists.values.slice(bounds[0], bounds[-1] - bounds[0])
        if len(ids) and pc.max(ids).as_py() >= self.identity.vocab_size:
            raise DamagedFile(f"id {pc.max(ids).as_py()}, but the tokenizer has {self.identity.vocab_size}")
        spelled = pa.array(self._spellings(), pa.large_binary()).take(ids)
        _, offsets, data = spelled.buffers()
        starts = np.frombuffer(offsets, np.int64)[spelled.offset :]
        text = string_column(np.frombuffer(data, np.uint8), np.ascontiguousarray(starts[bounds - bounds[0]]))
        try:
            text.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DamagedFile(f"ids that spell no UTF-8 text: {error}") from error
        return text

    def _spellings(self) -> list[bytes]:
        """The bytes that each id stands for."""
        unknown = "\ufffd".encode()
        return [
            unknown
            if token == self.identity.unk_id
            else b""
            if self.is_special[token]
            else bytes([int(piece[3:5], 16)])
            if self.is_byte[token]
            else piece.replace(SPACE, " ").encode()
            for token, piece in enumerate(self.pieces)
        ]

    def token_bytes(self) -> npt.NDArray[np.int32]:
        """UTF-8 bytes of text behind each id, shape (vocab_size,): 0 for special ones, 1 for a byte.

        A text's ids have as many bytes as the text, except that a U+2581 in it counts as the space it becomes.
        """
        lengths = np.array([len(piece.replace(SPACE, " ").encode()) for piece in self.pieces], np.int32)
        lengths[self.is_byte] = 1
        lengths[self.is_special] = 0
        return lengths


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.model`."""
    return Tokenizer(path.read_bytes())


def identity(model: bytes) -> TokenizerIdentity:
    """What token shards made with this model are bound to."""
    return Tokenizer(model).identity


def _holds_user_symbol(piece: str) -> bool:
    return len(piece) > 1 and any(symbol in piece for symbol in USER_SYMBOLS)
