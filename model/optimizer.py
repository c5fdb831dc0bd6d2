"""Muon for the layers' matrices, AdamW for embeddings and norms, and the schedule of their learning rates.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks") steps along the orthogonal matrix
nearest to the momentum. At equal tokens it learned far faster here than AdamW with the same model and schedule.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from model.decoder import Decoder

# Polar Express (Amsel et al. 2025, arXiv:2505.16932): polynomials x -> x (a + b x² + c x⁴), one an iteration, that
# drive all singular values to 1 as fast as five such steps can. Computed for norms up to 1: hence the 1 % of room.
_POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169301323),
)
_NORM_ROOM = 1.01

# Updates as large as AdamW's usual ones, so that one scale of learning rates serves both (Liu et al. 2025, Moonlight,
# arXiv:2502.16982).
_RMS_SCALE = 0.2

# Momentum grows while the first gradients still turn quickly (modded-nanogpt's records).
_MOMENTUM_START, _MOMENTUM_END, _MOMENTUM_STEPS = 0.85, 0.95, 100

_ADAM_BETAS = (0.9, 0.95)  # GPT-3 (Brown et al. 2020, arXiv:2005.14165)
_ADAM_EPSILON = 1e-10  # rare tokens have small gradients; a larger one would silence them

MAX_GRAD_NORM = 1.0  # GPT-3; only spikes are cut, Muon itself does not see the scale


def orthogonalise(matrices_XMN: Tensor) -> Tensor:
    """The nearest (semi-)orthogonal matrix of each, by five Newton-Schulz-like steps: singular values end up within
    a fifth or so of 1, which is as good as exact for training. Shape (X, M, N), in the type they come in."""
    is_tall = matrices_XMN.shape[1] > matrices_XMN.shape[2]
    x = matrices_XMN.mT if is_tall else matrices_XMN
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) * _NORM_ROOM + 1e-7)
    for a, b, c in _POLAR_EXPRESS:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal_XMN: Tensor = x.mT if is_tall else x
    return orthogonal_XMN


class Muon:
    """Matrices of one shape are stacked and orthogonalised together: a model has few shapes and many matrices.

    Weight decay is cautious (Chen et al. 2025, arXiv:2510.12402): it only shrinks what the update shrinks too.
    """

    def __init__(self, named: Mapping[str, Tensor], *, weight_decay: float, dtype: torch.dtype) -> None:
        self._named = dict(named)
        self._weight_decay = weight_decay
        self._dtype = dtype
        self._names_by_shape: dict[torch.Size, list[str]] = {}
        for name, weight in self._named.items():
            self._names_by_shape.setdefault(weight.shape, []).append(name)
        self._momentum = {
            shape: torch.zeros(len(names), *shape, device=self._named[names[0]].device)
            for shape, names in self._names_by_shape.items()
        }

    def state(self) -> dict[str, Tensor]:
        """Views of the state, by name."""
        return {
            f"muon.momentum.{name}": self._momentum[shape][place]
            for shape, names in self._names_by_shape.items()
            for place, name in enumerate(names)
        }

    @torch.no_grad()
    def step(self, learning_rate: float, momentum: float) -> None:
        for shape, names in self._names_by_shape.items():
            weights = [self._named[name] for name in names]
            grads_XMN = torch.stack([_grad(weight) for weight in weights])
            momentum_XMN = self._momentum[shape].lerp_(grads_XMN, 1 - momentum)
            ahead_XMN = grads_XMN.lerp_(momentum_XMN, momentum)  # Nesterov's
            scale = _RMS_SCALE * math.sqrt(max(shape))
            updates_XMN = orthogonalise(ahead_XMN.to(self._dtype)).float().mul_(scale)
            for weight, update in zip(weights, updates_XMN, strict=True):
                shrinks = (update * weight) >= 0
                weight.sub_(weight * shrinks, alpha=learning_rate * self._weight_decay)
                weight.sub_(update, alpha=learning_rate)


class Optimizer:
    """Both optimizers over a decoder's weights, one step at a time."""

    def __init__(
        self,
        decoder: Decoder,
        *,
        matrix_learning_rate: float,
        vector_learning_rate: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        named = dict(decoder.named_parameters())
        matrices = {name: weight for name, weight in named.items() if ".layers." in name and weight.dim() == 2}
        self._others = {name: weight for name, weight in named.items() if name not in matrices}
        self._weights = list(named.values())
        self._matrix_learning_rate = matrix_learning_rate
        self._vector_learning_rate = vector_learning_rate
        self._muon = Muon(matrices, weight_decay=weight_decay, dtype=dtype)
        self._adamw = torch.optim.AdamW(
            list(self._others.values()), betas=_ADAM_BETAS, eps=_ADAM_EPSILON, weight_decay=0.0, fused=True
        )
        for weight in self._others.values():  # AdamW makes its state at the first step; a checkpoint may come before
            self._adamw.state[weight] = {
                "step": torch.zeros((), device=weight.device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }

    def state(self) -> dict[str, Tensor]:
        """Views of all state, by name: copy into them to restore."""
        adamw = {
            f"adamw.{kind}.{name}": tensor
            for name, weight in self._others.items()
            for kind, tensor in self._adamw.state[weight].items()
        }
        return self._muon.state() | adamw

    def step(self, step: int, schedule: float) -> float:
        """Change the weights by their gradients, and forget these.

        Args:
            step: number of steps before this one.
            schedule: factor on both learning rates, 0 to 1.

        Returns:
            The norm of all gradients before clipping.
        """
        norm = float(torch.nn.utils.clip_grad_norm_(self._weights, MAX_GRAD_NORM))
        if math.isfinite(norm):
            for group in self._adamw.param_groups:
                group["lr"] = self._vector_learning_rate * schedule
            self._adamw.step()
            self._muon.step(self._matrix_learning_rate * schedule, muon_momentum(step))
        for weight in self._weights:
            weight.grad = None
        return norm


def muon_momentum(step: int) -> float:
    progress = min(1.0, step / _MOMENTUM_STEPS)
    return _MOMENTUM_START + (_MOMENTUM_END - _MOMENTUM_START) * progress


def _grad(weight: Tensor) -> Tensor:
    assert weight.grad is not None, "every matrix of a decoder takes part in its loss"
    return weight.grad
