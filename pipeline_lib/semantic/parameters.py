"""What decides which documents say the same."""

import re
from dataclasses import dataclass, field
from typing import ClassVar

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.torch_devices import DeviceChoice, check_device_choice
from storage.parameters import SHAPES_NOTHING

HASHING = "hashing"

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_MAX_DIMENSIONS = 1 << 16
_MIN_MEMORY_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class EmbeddingParameters:
    """What shapes embeddings: all that has to be computed anew when it changes; see `SemanticParameters`."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    embedding: str = HASHING
    dimensions: int = 512

    @property
    def is_function(self) -> bool:
        """Whether `embedding` names a function, `module:function`."""
        return _FUNCTION.fullmatch(self.embedding) is not None

    @property
    def is_model(self) -> bool:
        """Whether `embedding` is a folder."""
        return self.embedding != HASHING and not self.is_function


@dataclass(frozen=True, kw_only=True)
class SemanticParameters:
    """What is a semantic duplicate: a document is removed where its embedding has a cosine of at least `threshold` to
    that of a kept document of the same cluster (SemDeDup, Abbas et al. 2023, arXiv:2303.09540).

    Attributes:
        enabled: off unless it is asked for.
        embedding: `hashing`: hashed words, with no model; or the folder of an exported model of ours: the mean of its
            last hidden states; or `module:function`, a function from a list of N texts to an array (N, D). The function
            is imported and run: use recipes that name one only from people whose code you would run.
        dimensions: of `hashing`.
        threshold: a cosine from here on removes. It means another similarity under each embedding: what a model gives
            unrelated pages is often above 0.8. 0.85, for `hashing`: a text with every tenth word replaced has 0.96 to
            the original (one in a hundred 0.87 or less), unrelated pages in the same language 0.1 to 0.5.
        num_clusters: of k-means: documents are compared inside of a cluster only. null: one for every 4096 documents,
            but at most as many as the square root of their number, so that both assigning and comparing stay below
            N^1.5. SemDeDup: 50,000 clusters for 440 million.
        iterations: of k-means, at most. Ours: 10; on a sample, of 64 documents a cluster.
        seed: of the sample, and so of the first centres.
        device: where products are computed; the result is the same to the last bit.
        memory_bytes: how much memory the work may take, beside what is read of one part at a time.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    enabled: bool = False
    embedding: str = HASHING
    dimensions: int = 512
    threshold: float = 0.85
    num_clusters: int | None = None
    iterations: int = 10
    seed: int = 0
    device: DeviceChoice = field(default="auto", metadata=SHAPES_NOTHING)
    memory_bytes: int = field(default=2 << 30, metadata=SHAPES_NOTHING)

    def __post_init__(self) -> None:
        if not self.embedding.strip():
            raise ValueError(f"embedding={self.embedding!r}: expected hashing, a model's folder, or module:function")
        if not 1 <= self.dimensions <= _MAX_DIMENSIONS:
            raise ValueError(f"dimensions={self.dimensions}: expected 1 to {_MAX_DIMENSIONS}; 512 is usual")
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"threshold={self.threshold}: a cosine above 0 and at most 1; 0.85 is usual for hashing")
        if self.num_clusters is not None and self.num_clusters < 1:
            raise ValueError(f"num_clusters={self.num_clusters}: expected at least 1, or null")
        if self.iterations < 0:
            raise ValueError(f"iterations={self.iterations}: expected 0 or more; 10 is usual")
        if self.memory_bytes < _MIN_MEMORY_BYTES:
            raise ValueError(f"memory_bytes={self.memory_bytes}: expected at least {_MIN_MEMORY_BYTES}; 2 GiB is usual")
        check_device_choice(self.device)

    def embeddings(self) -> EmbeddingParameters:
        """What the stage `embeddings` needs of these: another threshold embeds nothing anew."""
        return EmbeddingParameters(
            embedding=self.embedding, dimensions=self.dimensions if self.embedding == HASHING else 0
        )


@dataclass(frozen=True, kw_only=True)
class SemanticStageParameters:
    """Of the stage `semantic`: who is kept of documents that are alike, dedup says."""

    semantic: SemanticParameters
    dedup: DedupParameters
