"""The decoder: Qwen3's layers under Qwen3's names, so that the weights are their own export.

Each layer adds to the stream what attention and a SwiGLU network make of its RMS-normed copy (Zhang & Sennrich 2019,
arXiv:1910.07467). Queries and keys are RMS-normed head by head before they are rotated (rotary positions by halves, as
in GPT-NeoX; Su et al. 2021, arXiv:2104.09864). Nothing has a bias. Do not add what stock classes lack (soft-capped
logits, value embeddings, scalars a layer): the model would load elsewhere and silently compute something else.
"""

# B batch, T time, S time of keys (cached and new), D model width, N heads, K key-value heads, H head width,
# F feed-forward width, V vocabulary

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import DecoderConfig
from model.head_loss import summed_cross_entropy, token_cross_entropies

_MAX_MATMUL_CONTEXT = 1024
_INIT_STD = 0.02  # GPT-2 (Radford et al. 2019), with residual projections scaled by the square root of their number


class _Linear(nn.Linear):
    """Weights come from `initialise` or from a file, never from the layer: building a model draws no random number."""

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__(num_in, num_out, bias=False)

    def reset_parameters(self) -> None:
        pass


class _Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        pass


class RMSNorm(nn.Module):
    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)


@dataclass(kw_only=True)
class KeyValueCache:
    """Keys and values of the tokens so far, one pair a layer, each of shape (B, K, context, H); `length` are filled."""

    keys: list[Tensor]
    values: list[Tensor]
    length: int = 0

    @classmethod
    def empty(cls, config: DecoderConfig, batch_size: int, like: Tensor) -> "KeyValueCache":
        """Room for `config.context` tokens, with the type and device of `like`."""
        shape = (batch_size, config.num_key_value_heads, config.context, config.head_width)
        return cls(
            keys=[like.new_zeros(shape) for _ in range(config.num_layers)],
            values=[like.new_zeros(shape) for _ in range(config.num_layers)],
        )


@dataclass(frozen=True, kw_only=True)
class _Positions:
    """Rotation of the new tokens, and who of them may see which keys; the same for all layers."""

    cos_TH: Tensor  # noqa: N815 (tensor names end in their dimensions)
    sin_TH: Tensor  # noqa: N815 (likewise)
    # None: causal, and nothing cached; or one new token, which sees everything
    mask_TS: Tensor | None  # noqa: N815 (likewise)


class Attention(nn.Module):
    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        D, H = config.width, config.head_width
        self.layer = layer
        self.head_width = H
        self.is_grouped = config.num_heads != config.num_key_value_heads
        self.q_proj = _Linear(D, config.num_heads * H)
        self.k_proj = _Linear(D, config.num_key_value_heads * H)
        self.v_proj = _Linear(D, config.num_key_value_heads * H)
        self.o_proj = _Linear(config.num_heads * H, D)
        self.q_norm = RMSNorm(H, config.norm_epsilon)
        self.k_norm = RMSNorm(H, config.norm_epsilon)

    def forward(self, x_BTD: Tensor, positions: _Positions, cache: KeyValueCache | None) -> Tensor:
        B, T, _ = x_BTD.shape
        q_BNTH = self.q_norm(self.q_proj(x_BTD).view(B, T, -1, self.head_width)).transpose(1, 2)
        k_BKTH = self.k_norm(self.k_proj(x_BTD).view(B, T, -1, self.head_width)).transpose(1, 2)
        v_BKTH = self.v_proj(x_BTD).view(B, T, -1, self.head_width).transpose(1, 2)
        q_BNTH = _rotate(q_BNTH, positions)
        k_BKTH = _rotate(k_BKTH, positions)
        k_BKSH, v_BKSH = k_BKTH, v_BKTH
        if cache is not None:
            start, end = cache.length, cache.length + T
            cache.keys[self.layer][:, :, start:end] = k_BKTH
            cache.values[self.layer][:, :, start:end] = v_BKTH
            k_BKSH = cache.keys[self.layer][:, :, :end]
            v_BKSH = cache.values[self.layer][:, :, :end]
        if cache is None and x_BTD.device.type == "cpu" and T <= _MAX_MATMUL_CONTEXT:
            y_BNTH = attend_by_matmul(q_BNTH, k_BKSH, v_BKSH)
        else:
            y_BNTH = functional.scaled_dot_product_attention(
                q_BNTH,
                k_BKSH,
                v_BKSH,
                attn_mask=positions.mask_TS,
                is_causal=positions.mask_TS is None and T > 1,
                enable_gqa=self.is_grouped,
            )
        y_BTD: Tensor = self.o_proj(y_BNTH.transpose(1, 2).reshape(B, T, -1))
        return y_BTD


class MLP(nn.Module):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = _Linear(config.width, config.feed_forward_width)
        self.up_proj = _Linear(config.width, config.feed_forward_width)
        self.down_proj = _Linear(config.feed_forward_width, config.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        y_BTD: Tensor = self.down_proj(functional.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return y_BTD


class Layer(nn.Module):
    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.width, config.norm_epsilon)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, positions: _Positions, cache: KeyValueCache | None) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), positions, cache)
        y_BTD: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return y_BTD


class Trunk(nn.Module):
    """Token ids to the last hidden states: everything below the head. Its name in the weights is `model`."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = _Embedding(config.vocab_size, config.width)
        self.layers = nn.ModuleList(Layer(config, number) for number in range(config.num_layers))
        self.norm = RMSNorm(config.width, config.norm_epsilon)

    def forward(self, ids_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        start = 0 if cache is None else cache.length
        T = ids_BT.shape[1]
        if start + T > self.config.context:
            raise ValueError(f"{start + T} tokens do not fit the model's context of {self.config.context}")
        x_BTD = self.embed_tokens(ids_BT)
        positions = _positions(self.config, start, T, ids_BT.device)
        for layer in self.layers:
            x_BTD = layer(x_BTD, positions, cache)
        if cache is not None:
            cache.length += T
        y_BTD: Tensor = self.norm(x_BTD)
        return y_BTD


class Decoder(nn.Module):
    """A causal language model over token ids; `initialise` or `load_state_dict` gives it weights."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = _Linear(config.width, config.vocab_size)
        if config.tied_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, ids_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """Logits of the next token after each, shape (B, T, V), float32 or what autocast makes of it.

        With a cache, `ids_BT` are the tokens that follow those in it, and are added to it.
        """
        logits_BTV: Tensor = self.lm_head(self.model(ids_BT, cache))
        return logits_BTV

    def summed_loss(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Sum of the losses of all targets, each given the ids up to its place, in nats; for training."""
        hidden_BTD = self.model(ids_BT)
        return summed_cross_entropy(hidden_BTD.flatten(0, 1), self.lm_head.weight, targets_BT.flatten())

    def token_losses(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Loss of each target given the ids up to its place, in nats, shape (B, T), float32; without gradients."""
        with torch.no_grad():
            hidden_BTD = self.model(ids_BT)
            losses_R = token_cross_entropies(hidden_BTD.flatten(0, 1), self.lm_head.weight, targets_BT.flatten())
            return losses_R.view(targets_BT.shape)


def attend_by_matmul(q_BNTH: Tensor, k_BKTH: Tensor, v_BKTH: Tensor) -> Tensor:
    """Causal attention of rows among themselves as two plain matrix products, shape (B, N, T, H).

    On CPUs and at short contexts this is twice as fast, forward and back, as the fused kernel (T = 256, bfloat16:
    30 ms against 57 ms). Its scores take B·N·T² numbers of memory.
    """
    B, N, T, H = q_BNTH.shape
    K = k_BKTH.shape[1]
    future_TT = torch.ones(T, T, dtype=torch.bool, device=q_BNTH.device).triu(diagonal=1)
    mask_TT = torch.zeros(T, T, dtype=q_BNTH.dtype, device=q_BNTH.device).masked_fill_(future_TT, -math.inf)
    # queries that share a key head stand below each other: keys need no copies
    q_BKQH = (q_BNTH * H**-0.5).reshape(B, K, N // K * T, H)
    scores_BNTT = (q_BKQH @ k_BKTH.mT).view(B, N, T, T) + mask_TT
    weights_BKQT = scores_BNTT.softmax(dim=-1).to(v_BKTH.dtype).view(B, K, N // K * T, T)
    y_BNTH: Tensor = (weights_BKQT @ v_BKTH).view(B, N, T, H)
    return y_BNTH


@torch.no_grad()
def initialise(decoder: Decoder, seed: int) -> None:
    """Fill the weights with GPT-2's initial distribution: the same for the same seed, whatever was drawn before."""
    generator = torch.Generator().manual_seed(seed)
    residual_std = _INIT_STD / math.sqrt(2 * decoder.config.num_layers)
    for name, weight in decoder.named_parameters():
        if weight.dim() == 1:
            weight.fill_(1.0)
        else:
            is_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            weight.normal_(0.0, residual_std if is_residual else _INIT_STD, generator=generator)


def _positions(config: DecoderConfig, start: int, num_new: int, device: torch.device) -> _Positions:
    # float32 whatever autocast says: the angles of late positions need every bit
    inverse_H = config.rope_theta ** -(torch.arange(0, config.head_width, 2, device=device).float() / config.head_width)
    angles_TH = torch.outer(torch.arange(start, start + num_new, device=device).float(), inverse_H).repeat(1, 2)
    mask_TS = None
    if start > 0 and num_new > 1:
        mask_TS = torch.ones(num_new, start + num_new, dtype=torch.bool, device=device).tril(diagonal=start)
    return _Positions(cos_TH=angles_TH.cos(), sin_TH=angles_TH.sin(), mask_TS=mask_TS)


def _rotate(x_BNTH: Tensor, positions: _Positions) -> Tensor:
    left, right = x_BNTH.chunk(2, dim=-1)
    turned_BNTH = torch.cat((-right, left), dim=-1)
    cos_TH, sin_TH = positions.cos_TH.to(x_BNTH.dtype), positions.sin_TH.to(x_BNTH.dtype)
    return x_BNTH * cos_TH + turned_BNTH * sin_TH
