"""Generation: the likeliest token or a drawn one, within limits, stopping where the model says so."""

import numpy as np
import pytest
import torch

from model.config import DecoderConfig
from model.decoder import Decoder, initialise
from model.parameters import SamplingParameters
from model.sampling import choose_token, continue_tokens

CONFIG = DecoderConfig(
    vocab_size=50, context=16, num_layers=2, width=16, num_heads=2, num_key_value_heads=1, feed_forward_width=24,
    head_width=8,
)  # fmt: skip
NEVER = -1


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    decoder = Decoder(CONFIG)
    initialise(decoder, seed=0)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.mul_(10 if weight.dim() == 2 else 1)
    return decoder


def greedy(**changes: int) -> SamplingParameters:
    return SamplingParameters(temperature=0.0, **changes)


def test_greedy_takes_the_likeliest_token_of_a_full_pass_every_time(decoder: Decoder) -> None:
    tokens = [1, 7, 9]
    with torch.no_grad():
        for _ in range(12):
            tokens.append(int(decoder(torch.tensor([tokens]))[0, -1].argmax()))
    found = continue_tokens(decoder, [1, 7, 9], greedy(max_new_tokens=12), end_of_text=NEVER)
    assert list(found.tokens) == tokens[3:]
    assert found.stopped_by == "max_new_tokens"


def test_text_may_grow_beyond_the_context_and_prompts_may_begin_there(decoder: Decoder) -> None:
    found = continue_tokens(decoder, [1] * 40, greedy(max_new_tokens=50), end_of_text=NEVER)
    assert len(found.tokens) == 50
    with torch.no_grad():
        assert found.tokens[0] == int(decoder(torch.tensor([[1] * 16]))[0, -1].argmax())


def test_the_end_of_text_stops_and_is_not_part_of_the_text(decoder: Decoder) -> None:
    sampling = SamplingParameters(temperature=1.0, max_new_tokens=10)
    free = continue_tokens(decoder, [1], sampling, end_of_text=NEVER)
    place = next(n for n in range(1, 10) if free.tokens[n] not in free.tokens[:n])
    stopped = continue_tokens(decoder, [1], sampling, end_of_text=free.tokens[place])
    assert stopped.tokens == free.tokens[:place]
    assert stopped.stopped_by == "end_of_text"


def test_equal_seeds_draw_equal_texts_and_others_differ(decoder: Decoder) -> None:
    def draw(seed: int) -> tuple[int, ...]:
        torch.rand(seed + 1)  # the global generator has no say
        sampling = SamplingParameters(temperature=1.0, seed=seed, max_new_tokens=20)
        return continue_tokens(decoder, [1], sampling, end_of_text=NEVER).tokens

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


@pytest.mark.parametrize(
    ("sampling", "possible"),
    [
        (SamplingParameters(temperature=1.0, top_p=1.0), {0, 1, 2, 3}),
        (SamplingParameters(temperature=1.0, top_p=1.0, top_k=2), {1, 2}),
        (SamplingParameters(temperature=1.0, top_p=0.39), {1}),  # the first fills it alone
        (SamplingParameters(temperature=1.0, top_p=0.41), {1, 2}),
        (SamplingParameters(temperature=1.0, top_p=0.75), {1, 2, 0}),
        (SamplingParameters(temperature=1.0, top_p=0.5, top_k=2), {1}),  # of what top_k left
        (SamplingParameters(temperature=1e-300, top_p=1.0), {1}),
        (SamplingParameters(temperature=0.0), {1}),
    ],
)
def test_only_tokens_within_the_limits_are_drawn(sampling: SamplingParameters, possible: set[int]) -> None:
    logits = torch.tensor([0.2, 0.4, 0.3, 0.1]).log()
    generator = torch.Generator().manual_seed(0)
    assert {choose_token(logits, sampling, generator) for _ in range(200)} == possible


def test_tokens_are_drawn_as_often_as_the_model_predicts() -> None:
    probabilities = np.array([0.1, 0.6, 0.3])
    generator = torch.Generator().manual_seed(0)
    sampling = SamplingParameters(temperature=0.5, top_p=1.0)
    drawn = [choose_token(torch.tensor(probabilities).log(), sampling, generator) for _ in range(4000)]
    expected = probabilities**2 / (probabilities**2).sum()  # a temperature of 1/2 squares the odds
    assert np.bincount(drawn, minlength=3) / 4000 == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("prompt", "complaint"), [([], "at least one token"), ([1, 50], "token 50"), ([-1], "token -1")]
)
def test_prompts_that_the_model_cannot_read_are_refused(decoder: Decoder, prompt, complaint) -> None:
    with pytest.raises(ValueError, match=complaint):
        continue_tokens(decoder, prompt, greedy(), end_of_text=NEVER)


@pytest.mark.parametrize(
    "change",
    [
        {"max_new_tokens": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"seed": -1},
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(change) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        SamplingParameters(**change)
