"""Text from a decoder: one token after the other, the likeliest or a drawn one."""

# B batch, T time, V vocabulary

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from model.decoder import Decoder, KeyValueCache
from model.parameters import SamplingParameters


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
