"""What a recipe says about the tokenizer."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class TokenizerParameters:
    """A SentencePiece BPE vocabulary.

    The default of `character_coverage` is SentencePiece's own; characters beyond it become UTF-8 bytes. A `vocab_size`
    of 8192 leaves most of the weights of a model of a few million to its layers. `sample_bytes` of 32 MiB takes all
    that the demo recipe reads.

    Attributes:
        vocab_size: pieces in all: special ones, 256 bytes, characters and merges.
        sample_bytes: UTF-8 bytes of training text to learn from, taken by document in an order that the seed decides;
            at most one document more. As much validation text is measured.
        seed: which documents the sample takes.
        character_coverage: share of the sample's characters that get a piece of their own.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    vocab_size: int = 8192
    sample_bytes: int = 32 << 20
    seed: int = 0
    character_coverage: float = 0.9995

    def __post_init__(self) -> None:
        if not 272 <= self.vocab_size <= 1 << 20:
            raise ValueError(
                f"vocab_size={self.vocab_size}: expected 272 (256 bytes, 14 special pieces, two characters) up to "
                f"{1 << 20}"
            )
        if self.sample_bytes < 1:
            raise ValueError(f"sample_bytes={self.sample_bytes}: a tokenizer cannot be trained on nothing")
        if not 0.9 <= self.character_coverage <= 1:
            raise ValueError(f"character_coverage={self.character_coverage}: expected 0.9 to 1")
