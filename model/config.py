"""What a decoder looks like: widths, heads and layers, by preset or one by one.

The layout is Qwen3's (Yang et al. 2025, arXiv:2505.09388), so that a trained model is an ordinary `Qwen3ForCausalLM`
to every program that knows one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

Preset = Literal["test", "nano", "10M", "30M", "60M", "135M"]


class BadModelConfig(ValueError):
    """A description of a model that no model can have; the message says which field and why."""


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A decoder, complete: what its weights' names and shapes follow from.

    `head_width` is 64 because the attention kernels of the serving programs are built for 64 and 128. `norm_epsilon`
    and `rope_theta` are what Qwen3 and Llama (Touvron et al. 2023, arXiv:2302.13971) have at short contexts.
    """

    vocab_size: int
    context: int
    num_layers: int
    width: int
    num_heads: int
    num_key_value_heads: int
    feed_forward_width: int
    head_width: int = 64
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-6
    tied_embeddings: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and (type(value) is not int or not 1 <= value < 1 << 31):
                raise BadModelConfig(f"{field.name} must be a whole number of at least 1, found {value!r}")
            if field.type is float and (
                isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf
            ):
                raise BadModelConfig(f"{field.name} must be a finite number above 0, found {value!r}")
            if field.type is bool and type(value) is not bool:
                raise BadModelConfig(f"{field.name} must be true or false, found {value!r}")
        if self.num_heads % self.num_key_value_heads:
            raise BadModelConfig(
                f"num_heads={self.num_heads} is no multiple of num_key_value_heads={self.num_key_value_heads}: "
                "each key-value head serves the same number of query heads"
            )
        if self.head_width % 2:
            raise BadModelConfig(f"head_width={self.head_width} is odd: rotary positions turn pairs of channels")

    def num_parameters(self) -> int:
        """Numbers that training can change; a tied head counts once."""
        attention = self.width * self.head_width * (2 * self.num_heads + 2 * self.num_key_value_heads)
        norms = 2 * self.width + 2 * self.head_width
        layer = attention + 3 * self.width * self.feed_forward_width + norms
        embeddings = self.vocab_size * self.width * (1 if self.tied_embeddings else 2)
        return self.num_layers * layer + embeddings + self.width

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises BadModelConfig: the value is not the JSON object that `as_json` gives."""
        if not isinstance(value, Mapping):
            raise BadModelConfig(f"expected an object with the fields of a decoder, found {type(value).__name__}")
        known = {field.name for field in fields(cls)}
        if set(value) != known:
            raise BadModelConfig(
                f"a decoder's fields are {sorted(known)}; missing {sorted(known - set(value))}, "
                f"unknown {sorted(set(value) - known)}"
            )
        return cls(**value)


@dataclass(frozen=True, kw_only=True)
class _Dimensions:
    num_layers: int
    width: int
    num_heads: int
    num_key_value_heads: int


# Deep rather than wide, heads of 64, key-value heads shared where that costs no quality. Parameters with the
# vocabulary in brackets: test 0.14 M (512), nano 3.1 M (4096), 10M 8 M (8192), 30M 32 M (16384), 60M 61 M and
# 135M 141 M (32000).
PRESETS: dict[Preset, _Dimensions] = {
    "test": _Dimensions(num_layers=2, width=64, num_heads=1, num_key_value_heads=1),
    "nano": _Dimensions(num_layers=6, width=192, num_heads=3, num_key_value_heads=1),
    "10M": _Dimensions(num_layers=8, width=256, num_heads=4, num_key_value_heads=2),
    "30M": _Dimensions(num_layers=10, width=448, num_heads=7, num_key_value_heads=7),
    "60M": _Dimensions(num_layers=12, width=576, num_heads=9, num_key_value_heads=3),
    "135M": _Dimensions(num_layers=20, width=704, num_heads=11, num_key_value_heads=11),
}


@dataclass(frozen=True, kw_only=True)
class DecoderParameters:
    """What a recipe says of a decoder: a preset, and what shall differ from it (`None`: nothing).

    The vocabulary comes from the tokenizer. `feed_forward_width` is by default 8/3 of the width, to the nearest 64:
    SwiGLU with as many parameters as a plain network four times as wide (Shazeer 2020, arXiv:2002.05202).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    preset: Preset = "nano"
    num_layers: int | None = None
    width: int | None = None
    num_heads: int | None = None
    num_key_value_heads: int | None = None
    feed_forward_width: int | None = None
    tied_embeddings: bool = True

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise BadModelConfig(f"preset {self.preset!r} is none of {list(PRESETS)}")
        self.config(vocab_size=64, context=64)

    def config(self, *, vocab_size: int, context: int) -> DecoderConfig:
        preset = PRESETS[self.preset]

        def chosen(own: int | None, otherwise: int) -> int:
            return otherwise if own is None else own

        width = chosen(self.width, preset.width)
        return DecoderConfig(
            vocab_size=vocab_size,
            context=context,
            num_layers=chosen(self.num_layers, preset.num_layers),
            width=width,
            num_heads=chosen(self.num_heads, preset.num_heads),
            num_key_value_heads=chosen(self.num_key_value_heads, preset.num_key_value_heads),
            feed_forward_width=chosen(self.feed_forward_width, max(64, round(8 / 3 * width / 64) * 64)),
            tied_embeddings=self.tied_embeddings,
        )
