"""A decoder as `transformers` knows it: Qwen3's configuration, in both directions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.config import BadModelConfig, DecoderConfig
from model.decoder import Decoder
from model.model_files import DamagedModel, read_decoder, read_json
from model.parameters import SamplingParameters
from storage.token_shards import TokenizerIdentity

MODEL_TYPE = "qwen3"

# What a Qwen3 configuration may also say, and our decoder is only one value of.
_FIXED: dict[str, Any] = {
    "model_type": MODEL_TYPE,
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "use_sliding_window": False,
    "sliding_window": None,
}
_NAMES = {
    "vocab_size": "vocab_size",
    "context": "max_position_embeddings",
    "num_layers": "num_hidden_layers",
    "width": "hidden_size",
    "num_heads": "num_attention_heads",
    "num_key_value_heads": "num_key_value_heads",
    "feed_forward_width": "intermediate_size",
    "head_width": "head_dim",
    "rope_theta": "rope_theta",
    "norm_epsilon": "rms_norm_eps",
    "tied_embeddings": "tie_word_embeddings",
}


def config_json(config: DecoderConfig, tokenizer: TokenizerIdentity, dtype: str) -> dict[str, Any]:
    """`config.json`. Version 5 of transformers reads `rope_parameters` and `dtype`, earlier ones `rope_theta` and
    `torch_dtype`: both are there, for none of them says so when it finds a default instead."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        **_FIXED,
        **{theirs: getattr(config, ours) for ours, theirs in _NAMES.items()},
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rope_scaling": None,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
        "dtype": dtype,
        "torch_dtype": dtype,
    }


def generation_config_json(tokenizer: TokenizerIdentity, sampling: SamplingParameters) -> dict[str, Any]:
    """`generation_config.json`: what `generate` does unless told otherwise."""
    chosen: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
        if sampling.top_k is not None:
            chosen["top_k"] = sampling.top_k
    return {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
        "max_new_tokens": sampling.max_new_tokens,
        **chosen,
    }


def config_from_json(value: Any, place: str) -> DecoderConfig:
    """The decoder that a `config.json` describes.

    Raises:
        DamagedModel: it describes something else, or nothing.
    """
    if not isinstance(value, Mapping):
        raise DamagedModel(f"{place}: expected a JSON object, found {type(value).__name__}")
    different = sorted(name for name, fixed in _FIXED.items() if value.get(name, fixed) != fixed)
    rope = value.get("rope_parameters") or {}
    if not isinstance(rope, Mapping) or rope.get("rope_type", "default") != "default" or value.get("rope_scaling"):
        different.append("rope_parameters")
    if different or "model_type" not in value:
        raise DamagedModel(
            f"{place}: not a plain {MODEL_TYPE} model: {', '.join(different or ['model_type'])} differ from what this "
            "program computes"
        )
    found = {ours: value.get(theirs) for ours, theirs in _NAMES.items()}
    if isinstance(rope, Mapping) and "rope_theta" in rope:
        found["rope_theta"] = rope["rope_theta"]
    try:
        return DecoderConfig.from_json(found)
    except BadModelConfig as error:
        raise DamagedModel(f"{place}: {error}") from error


def read_exported(folder: Path) -> Decoder:
    """The decoder of an exported folder (`config.json`, `model.safetensors`), in float32, on the CPU.

    Raises:
        DamagedModel: the files are not of one Qwen3 model.
    """
    config = config_from_json(read_json(folder / "config.json"), str(folder / "config.json"))
    return read_decoder(folder / "model.safetensors", config)
