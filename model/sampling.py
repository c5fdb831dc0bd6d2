"""Text from a decoder: one token after the other, the likeliest or a drawn one."""

# B batch, T time, V vocabulary

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from model.decoder import Decoder, KeyValueCache


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


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """New tokens, without the end-of-text token that may have stopped them."""

    tokens: tuple[int, ...]
    stopped_by: Literal["end_of_text", "max_new_tokens"]


@torch.no_grad()
def continue_tokens(
    decoder: Decoder, prompt: Sequence[int], sampling: SamplingParameters, *, end_of_text: int
) -> Continuation:
    """Continue token ids, a document's first token included.

    Text may grow beyond the model's context: what is longest ago is then forgotten, half a context at a time.

    Raises:
        ValueError: the prompt is empty, or has ids that the model does not know.
    """
    config = decoder.config
    if not prompt:
        raise ValueError("there must be at least one token to continue: begin with the start-of-text token")
    unknown = [token for token in prompt if not 0 <= token < config.vocab_size]
    if unknown:
        raise ValueError(f"token {unknown[0]} in the prompt, the model knows 0 to {config.vocab_size - 1}")
    generator = torch.Generator().manual_seed(sampling.seed)
    weight = decoder.model.embed_tokens.weight
    tokens = list(prompt)
    unread = tokens[-config.context :]
    cache = KeyValueCache.empty(config, 1, weight)
    for _ in range(sampling.max_new_tokens):
        if cache.length + len(unread) > config.context:
            unread = tokens[-max(1, config.context // 2) :]
            cache = KeyValueCache.empty(config, 1, weight)
        logits_V = decoder(torch.tensor([unread], device=weight.device), cache)[0, -1].float().cpu()
        token = choose_token(logits_V, sampling, generator)
        if token == end_of_text:
            return Continuation(tokens=tuple(tokens[len(prompt) :]), stopped_by="end_of_text")
        tokens.append(token)
        unread = [token]
    return Continuation(tokens=tuple(tokens[len(prompt) :]), stopped_by="max_new_tokens")


def choose_token(logits_V: Tensor, sampling: SamplingParameters, generator: torch.Generator) -> int:
    """The id of the next token, given its logits on the CPU."""
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    # the highest becomes 0 first, so that no temperature is too low to divide by
    probabilities_V = ((logits_V.double() - logits_V.max()) / sampling.temperature).softmax(dim=0)
    sorted_V, order_V = probabilities_V.sort(descending=True, stable=True)
    if sampling.top_k is not None:
        sorted_V[sampling.top_k :] = 0
    # a token is in the nucleus while those before it have not filled it: the first always is
    sorted_V[sorted_V.cumsum(dim=0) - sorted_V >= sampling.top_p * sorted_V.sum()] = 0
    return int(order_V[torch.multinomial(sorted_V, 1, generator=generator)])
