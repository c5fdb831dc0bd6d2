"""Muon, AdamW and the schedule: what they do to weights, against plain arithmetic."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.config import DecoderConfig
from model.decoder import Decoder, initialise
from model.optimizer import Muon, Optimizer, orthogonalise
from model.parameters import Schedule

CONFIG = DecoderConfig(
    vocab_size=40, context=8, num_layers=2, width=16, num_heads=2, num_key_value_heads=1, feed_forward_width=24,
    head_width=8,
)  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 6, 20), (2, 20, 6), (1, 1, 5)])
@pytest.mark.parametrize(("dtype", "slack"), [(torch.float32, 0.2), (torch.bfloat16, 0.25)])
def test_orthogonalise_sets_singular_values_to_about_one(shape, dtype, slack) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalise((matrices * 1e-3).to(dtype)).float()
    assert found.shape == matrices.shape
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    singular = torch.linalg.svdvals(found)
    assert bool(((singular - 1).abs() < slack).all())
    assert (found - left @ right).abs().max() < slack


def test_orthogonalise_treats_each_matrix_as_if_alone() -> None:
    matrices = torch.randn(4, 6, 9, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([orthogonalise(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonalise(matrices), alone)


def test_orthogonalise_leaves_a_matrix_of_zeros_alone() -> None:
    assert torch.equal(orthogonalise(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


def test_muon_follows_its_definition_matrix_by_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(6, 9, generator=generator) for name in ("a", "b")} | {
        "c": torch.randn(9, 6, generator=generator)
    }
    expected = {name: weight.clone() for name, weight in weights.items()}
    momentum = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    muon = Muon(weights, weight_decay=0.1, dtype=torch.float32)
    for _ in range(3):
        for name, weight in weights.items():
            weight.grad = torch.randn(weight.shape, generator=generator)
            momentum[name] = 0.9 * momentum[name] + 0.1 * weight.grad
            ahead = 0.1 * weight.grad + 0.9 * momentum[name]
            update = 0.2 * math.sqrt(9) * orthogonalise(ahead[None])[0]
            decayed = torch.where(update * expected[name] >= 0, expected[name] * (1 - 0.01 * 0.1), expected[name])
            expected[name] = decayed - 0.01 * update
        muon.step(0.01, 0.9)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name])


def trained(num_steps: int) -> tuple[Decoder, Optimizer]:
    decoder = Decoder(CONFIG)
    initialise(decoder, 0)
    optimizer = new_optimizer(decoder)
    take_steps(decoder, optimizer, 0, num_steps)
    return decoder, optimizer


def new_optimizer(decoder: Decoder) -> Optimizer:
    return Optimizer(
        decoder, matrix_learning_rate=0.01, vector_learning_rate=0.003, weight_decay=0.1, dtype=torch.float32
    )


def take_steps(decoder: Decoder, optimizer: Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        ids = torch.randint(0, 40, (4, 9), generator=torch.Generator().manual_seed(step))
        decoder.summed_loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step(step, 1.0)


def test_every_weight_is_moved_and_every_gradient_forgotten() -> None:
    decoder, _ = trained(1)
    fresh, _ = trained(0)
    for (name, after), before in zip(decoder.named_parameters(), fresh.parameters(), strict=True):
        assert not torch.equal(after, before), name
        assert after.grad is None


def test_state_copied_into_a_new_optimizer_continues_to_the_bit() -> None:
    decoder, optimizer = trained(3)
    other = Decoder(CONFIG)
    other.load_state_dict(decoder.state_dict())
    resumed = new_optimizer(other)
    assert resumed.state().keys() == optimizer.state().keys()
    for name, tensor in resumed.state().items():
        tensor.copy_(optimizer.state()[name])
    take_steps(decoder, optimizer, 3, 6)
    take_steps(other, resumed, 3, 6)
    for one, two in zip(decoder.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_gradient_that_is_no_number_changes_nothing() -> None:
    decoder, optimizer = trained(2)
    before = [weight.clone() for weight in decoder.parameters()]
    decoder.summed_loss(torch.tensor([[1, 2]]), torch.tensor([[2, 3]])).mul(math.inf).backward()
    assert not math.isfinite(optimizer.step(2, 1.0))
    for one, two in zip(decoder.parameters(), before, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule(steps=10, warmup_steps=2, decay_ratio=0.4), [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        (Schedule(steps=4, warmup_steps=0, decay_ratio=1.0), [1, 0.75, 0.5, 0.25]),
        (Schedule(steps=4, warmup_steps=0, decay_ratio=0.0), [1, 1, 1, 1]),
        (Schedule(steps=2, warmup_steps=10, decay_ratio=0.4), [0.1, 0.2]),
        (Schedule(steps=1, warmup_steps=0, decay_ratio=0.4), [1]),
    ],
)
def test_the_schedule_warms_up_stays_and_falls(schedule, factors) -> None:
    assert [schedule.factor(step) for step in range(schedule.steps)] == pytest.approx(factors)


@given(st.integers(1, 200), st.integers(0, 50), st.floats(0, 1))
def test_no_step_of_a_run_is_wasted_on_a_learning_rate_of_zero(steps, warmup_steps, decay_ratio) -> None:
    schedule = Schedule(steps=steps, warmup_steps=warmup_steps, decay_ratio=decay_ratio)
    factors = np.array([schedule.factor(step) for step in range(steps)])
    assert bool(np.all((factors > 0) & (factors <= 1)))
