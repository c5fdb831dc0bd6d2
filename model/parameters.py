"""What a recipe says of a model: how it is trained, and how it writes.

Apart from the code that does it, since that imports PyTorch, which takes two seconds: a run that ends at the corpus,
and every question about one, do without.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from model.config import DecoderParameters

DeviceChoice = Literal["auto", "cpu", "cuda"]
PrecisionChoice = Literal["auto", "bfloat16", "float32"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Warm-up, stable, decay (Hu et al. 2024, MiniCPM, arXiv:2404.06395), the decay linear to 0 (Hägele et al. 2024,
    arXiv:2405.18392)."""

    steps: int
    warmup_steps: int
    decay_ratio: float

    def factor(self, step: int) -> float:
        """Factor on the learning rate of the step with `step` steps before it; above 0 for every step of the run."""
        decay_steps = self.decay_ratio * self.steps
        falling = (self.steps - step) / decay_steps if decay_steps > 0 else 1.0
        return min(1.0, (step + 1) / max(1, self.warmup_steps), falling)


@dataclass(frozen=True, kw_only=True)
class TrainingParameters:
    """How a decoder is trained. The budget is steps, never time: weights must not depend on a machine's pace.

    The defaults are for minutes on a few CPU cores, and were measured on documentation of Python packages (8192 token
    ids, 4 layers of width 192, 0.56 M tokens unless it says otherwise; bits per byte of held-out text).

    Attributes:
        model: the decoder's dimensions.
        context: tokens a row, and the most that the model can look back.
        batch_tokens: tokens a step, a multiple of the context. 4096 learned more in a second than 2048, of which
            Muon's own work takes a fifth.
        micro_batch_tokens: tokens that go through the network at once, whole rows, a divisor of batch_tokens: less
            takes less memory, and gives the same up to rounding.
        steps: budget; tokens seen = steps · batch_tokens, over as many epochs as that takes.
        matrix_learning_rate: Muon's, in AdamW's units. 0.02 was worse than 0.01 (2.25 against 2.23, 6 layers).
        vector_learning_rate: AdamW's, of embeddings and norms. Short runs like it high (0.02 gave 2.088, 0.05 2.062,
            0.1 2.084), long ones do not care (2.5 M tokens: 0.01 gave 1.680, 0.03 1.681).
        weight_decay: cautious, on matrices only; 0.1 is GPT-3's.
        warmup_steps: steps until the learning rates are full.
        decay_ratio: share of the steps, at the end, over which they fall to 0.
        seed: of initial weights and of the order of rows.
        precision: type of the matrix products; `auto` is bfloat16 where the hardware has it. The weights differ between
            the two.
        num_threads: CPU threads; `None` leaves PyTorch's choice. The weights' last bits depend on it.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validation losses; there is one after the last step in any case.
        validation_tokens: held-out tokens, from the first on, that a validation loss is taken over.
        compile: run the layers through torch.compile, which needs a C++ compiler and some minutes: for long runs.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    model: DecoderParameters = field(default_factory=DecoderParameters)
    context: int = 256
    batch_tokens: int = 4096
    micro_batch_tokens: int = 4096
    steps: int = 600
    matrix_learning_rate: float = 1e-2
    vector_learning_rate: float = 2e-2
    weight_decay: float = 0.1
    warmup_steps: int = 10
    decay_ratio: float = 0.4
    seed: int = 0
    device: DeviceChoice = "auto"
    precision: PrecisionChoice = "auto"
    num_threads: int | None = None
    checkpoint_every: int = 50
    validate_every: int = 50
    validation_tokens: int = 32_768
    compile: bool = False

    def __post_init__(self) -> None:
        for name in (
            "context", "batch_tokens", "micro_batch_tokens", "steps", "checkpoint_every", "validate_every",
            "validation_tokens",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.num_threads is not None and self.num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, or null for PyTorch's choice, found {self.num_threads}")
        if self.batch_tokens % self.micro_batch_tokens or self.micro_batch_tokens % self.context:
            raise ValueError(
                f"batch_tokens={self.batch_tokens} must be a multiple of micro_batch_tokens={self.micro_batch_tokens}, "
                f"and that of context={self.context}"
            )
        for name in ("matrix_learning_rate", "vector_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, found {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay must be at least 0, found {self.weight_decay}")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be at least 0, found {self.warmup_steps}")
        if not 0 <= self.decay_ratio <= 1:
            raise ValueError(f"decay_ratio must be between 0 and 1, found {self.decay_ratio}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, found {self.seed}")

    def schedule(self) -> Schedule:
        return Schedule(steps=self.steps, warmup_steps=self.warmup_steps, decay_ratio=self.decay_ratio)


@dataclass(frozen=True, kw_only=True)
class SamplingParameters:
    """How the next token is chosen.

    Attributes:
        max_new_tokens: where to stop if the model does not.
        temperature: 0 takes the likeliest token every time; 1 draws as the model predicts.
        top_k: draw among so many likeliest tokens only (Fan et al. 2018, arXiv:1805.04833); `None`: among all.
        top_p: draw among the fewest tokens that have this share of the probability together (Holtzman et al. 2019,
            arXiv:1904.09751); 1: among all.
        seed: of the draw.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_new_tokens: int = 100
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, found {self.max_new_tokens}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be at least 0, found {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, or null for all tokens, found {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, found {self.top_p}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, found {self.seed}")
