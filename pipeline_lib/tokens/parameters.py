"""What a recipe says about tokens."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class EncodeParameters:
    """How a part is encoded. `seed` decides the order of its documents, as it does that of the shards."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TokenParameters:
    """How tokens are shuffled into shards.

    Attributes:
        seed: the order of all documents.
        num_shards: files of training tokens; each is made in memory, so that it takes about 1/num_shards of them.
        num_validation_shards: files of validation tokens.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    seed: int = 0
    num_shards: int = 2
    num_validation_shards: int = 1

    def __post_init__(self) -> None:
        for name, number in (
            ("num_shards", self.num_shards),
            ("num_validation_shards", self.num_validation_shards),
        ):
            if not 1 <= number <= 100_000:
                raise ValueError(f"{name}={number}: expected 1 to 100000")

    @property
    def encoding(self) -> EncodeParameters:
        """The parameters of the encode stage that fit: another number of shards needs no other encoding."""
        return EncodeParameters(seed=self.seed)
