"""The decoder: causal, cacheable, and the same by every way of computing it."""

import pytest
import torch

from model.config import DecoderConfig
from model.decoder import Decoder, KeyValueCache, attend_by_matmul, initialise
from model.head_loss import summed_cross_entropy

CONFIG = DecoderConfig(
    vocab_size=97, context=24, num_layers=2, width=32, num_heads=4, num_key_value_heads=2, feed_forward_width=48,
    head_width=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    decoder = Decoder(CONFIG)
    initialise(decoder, seed=3)
    with torch.no_grad():
        for name, weight in decoder.named_parameters():  # larger than at the start, so that differences would show
            weight.mul_(1 if "norm" in name else 8)
    return decoder


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(0, CONFIG.vocab_size, (rows, length), generator=torch.Generator().manual_seed(1))


def test_no_token_sees_those_after_it(decoder: Decoder) -> None:
    one = ids(1, 20)
    other = one.clone()
    other[0, 12:] = (other[0, 12:] + 1) % CONFIG.vocab_size
    with torch.no_grad():
        torch.testing.assert_close(decoder(one)[:, :12], decoder(other)[:, :12])
        assert not torch.allclose(decoder(one)[:, 12], decoder(other)[:, 12])


def test_every_token_sees_all_those_before_it(decoder: Decoder) -> None:
    one = ids(1, 20)
    other = one.clone()
    other[0, 0] = (other[0, 0] + 1) % CONFIG.vocab_size
    with torch.no_grad():
        differences = (decoder(one) - decoder(other)).abs().amax(dim=2)
    assert bool((differences[0] > 0).all())


def test_the_order_of_tokens_matters(decoder: Decoder) -> None:
    with torch.no_grad():
        assert not torch.allclose(decoder(torch.tensor([[5, 6, 7]]))[0, 2], decoder(torch.tensor([[6, 5, 7]]))[0, 2])


@pytest.mark.parametrize("pieces", [[20], [1] * 20, [7, 1, 1, 11], [19, 1]])
def test_the_cache_gives_what_one_pass_gives(decoder: Decoder, pieces: list[int]) -> None:
    whole = ids(3, 20)
    cache = KeyValueCache.empty(CONFIG, 3, decoder.lm_head.weight)
    with torch.no_grad():
        logits = torch.cat([decoder(piece, cache) for piece in whole.split(pieces, dim=1)], dim=1)
        torch.testing.assert_close(logits, decoder(whole), atol=2e-5, rtol=1e-5)


def test_more_tokens_than_the_context_are_refused(decoder: Decoder) -> None:
    with pytest.raises(ValueError, match="context of 24"):
        decoder(ids(1, 25))


@pytest.mark.parametrize(("num_heads", "num_key_value_heads"), [(4, 4), (4, 2), (4, 1)])
def test_attention_by_matrix_products_is_attention(num_heads: int, num_key_value_heads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, 11, heads, 8, generator=generator).transpose(1, 2)
        for heads in (num_heads, num_key_value_heads, num_key_value_heads)
    )
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(attend_by_matmul(q, k, v), expected)


@pytest.mark.parametrize("num_rows", [1, 255, 256, 700])
def test_the_chunked_loss_and_its_gradients_are_those_of_cross_entropy(num_rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(num_rows, 16, generator=generator, requires_grad=True)
    weight = torch.randn(50, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 50, (num_rows,), generator=generator)
    (summed_cross_entropy(hidden, weight, targets) * 0.3).backward()
    found = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    (expected * 0.3).backward()
    torch.testing.assert_close(summed_cross_entropy(hidden, weight, targets), expected)
    torch.testing.assert_close(found[0], hidden.grad)
    torch.testing.assert_close(found[1], weight.grad)


def test_the_chunked_loss_survives_scores_that_would_overflow() -> None:
    hidden, weight = torch.full((1, 1), 1e4, requires_grad=True), torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = summed_cross_entropy(hidden, weight, torch.tensor([1]))
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert hidden.grad is not None
    assert hidden.grad.item() == pytest.approx(2.0)


def test_losses_for_training_and_for_scoring_are_the_same(decoder: Decoder) -> None:
    whole = ids(3, 21)
    token_losses = decoder.token_losses(whole[:, :-1], whole[:, 1:])
    assert token_losses.shape == (3, 20)
    torch.testing.assert_close(decoder.summed_loss(whole[:, :-1], whole[:, 1:]), token_losses.sum())


def test_initial_weights_follow_from_the_seed_alone() -> None:
    def weights(seed: int, numbers_drawn_before: int) -> torch.Tensor:
        torch.rand(numbers_drawn_before)
        decoder = Decoder(CONFIG)
        initialise(decoder, seed)
        return torch.cat([weight.detach().flatten() for weight in decoder.parameters()])

    assert torch.equal(weights(0, 0), weights(0, 5))
    assert not torch.equal(weights(0, 0), weights(1, 0))


def test_a_fresh_model_knows_nothing() -> None:
    decoder = Decoder(CONFIG)
    initialise(decoder, seed=0)
    loss = decoder.token_losses(ids(4, 21)[:, :-1], ids(4, 21)[:, 1:]).mean().item()
    assert loss == pytest.approx(torch.tensor(float(CONFIG.vocab_size)).log().item(), rel=0.02)
