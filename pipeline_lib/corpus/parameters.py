"""What a recipe says about the corpus."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class CorpusParameters:
    """How documents are split.

    `validation_ratio` is the share of duplicate clusters held out; a document without near-duplicates is a cluster of
    its own. The default holds out 0.75 to 1 MB of the 15 to 20 MB that the demo recipe reads.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    seed: int = 0
    validation_ratio: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.validation_ratio < 1:
            raise ValueError(
                f"validation_ratio={self.validation_ratio}: expected a share from 0 (no validation) up to but not "
                "including 1 (nothing left to train on)"
            )
