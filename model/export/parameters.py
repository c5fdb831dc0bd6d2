"""How a model is exported: apart from the export, which imports PyTorch."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from model.parameters import SamplingParameters


@dataclass(frozen=True, kw_only=True)
class ExportParameters:
    """How a model is exported.

    Attributes:
        dtype: of the weights: float32 keeps every bit, bfloat16 halves the file.
        sampling: what `generate` does with it by default; its seed has no place in the files.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    dtype: Literal["float32", "bfloat16"] = "float32"
    sampling: SamplingParameters = field(default_factory=SamplingParameters)
