"""On what a model is evaluated: apart from the evaluation, which imports PyTorch."""

from dataclasses import dataclass
from typing import ClassVar

from model.parameters import DeviceChoice, PrecisionChoice, SamplingParameters


@dataclass(frozen=True, kw_only=True)
class EvaluationParameters:
    """On what a model is evaluated.

    Attributes:
        max_bytes: of held-out text: documents from the first shard on, as many as fit, at least one.
        prompts: beginnings that the model continues.
        max_new_tokens, temperature, seed: of the continuations; the seed is the confidence interval's, too.
        device, precision, num_threads: as in training.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_bytes: int = 1_000_000
    prompts: tuple[str, ...] = ("This function returns", "The following example shows", "To install the package,")
    max_new_tokens: int = 80
    temperature: float = 0.8
    seed: int = 0
    device: DeviceChoice = "auto"
    precision: PrecisionChoice = "auto"
    num_threads: int | None = None

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, found {self.max_bytes}")
        if self.num_threads is not None and self.num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, or null for PyTorch's choice, found {self.num_threads}")
        self.sampling()

    def sampling(self) -> SamplingParameters:
        return SamplingParameters(
            max_new_tokens=self.max_new_tokens, temperature=self.temperature, seed=self.seed
        )  # fmt: skip
