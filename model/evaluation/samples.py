"""What the model writes when asked: continuations of fixed prompts, by the likeliest tokens and by drawn ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from model.decoder import Decoder
from model.parameters import SamplingParameters
from model.sampling import continue_tokens
from storage.token_shards import TokenizerIdentity


@dataclass(frozen=True, kw_only=True)
class Sample:
    prompt: str
    continuation: str
    choice: Literal["likeliest", "drawn"]
    temperature: float
    num_tokens: int
    stopped_by: Literal["end_of_text", "max_new_tokens"]

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def sample_texts(
    decoder: Decoder,
    prompts: Sequence[str],
    sampling: SamplingParameters,
    tokenizer: TokenizerIdentity,
    *,
    encode: Callable[[str], Sequence[int]],
    decode: Callable[[Sequence[int]], str],
) -> list[Sample]:
    """Two continuations of each prompt: of the likeliest tokens, and as `sampling` says."""
    samples = []
    for prompt in prompts:
        ids = [tokenizer.bos_id, *encode(prompt)]
        ways: tuple[tuple[Literal["likeliest", "drawn"], SamplingParameters], ...] = (
            ("likeliest", replace(sampling, temperature=0.0)),
            ("drawn", sampling),
        )
        for choice, way in ways:
            continuation = continue_tokens(decoder, ids, way, end_of_text=tokenizer.eos_id)
            # a token may be a part of a character, or begin with the space after the prompt: decode both as one
            whole = decode([*ids, *continuation.tokens])
            samples.append(
                Sample(
                    prompt=prompt,
                    continuation=whole.removeprefix(prompt),
                    choice=choice,
                    temperature=way.temperature,
                    num_tokens=len(continuation.tokens),
                    stopped_by=continuation.stopped_by,
                )
            )
    return samples
