"""A trained model as two files: weights as safetensors, and a JSON description of what they are the weights of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from model.config import BadModelConfig, DecoderConfig
from model.decoder import Decoder
from storage.token_shards import TokenizerIdentity

DESCRIPTION_FORMAT = "gristmill.decoder"
DESCRIPTION_VERSION = 1

_TENSORS_A_LAYER = 11
_FLOATS = ("F32", "BF16", "F16")


class DamagedModel(ValueError):
    """Files that are no model, or not the model that they say they are."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What stands beside the weights: the decoder's dimensions, and the tokenizer whose ids it knows."""

    config: DecoderConfig
    tokenizer: TokenizerIdentity

    def as_json(self) -> dict[str, Any]:
        return {
            "format": DESCRIPTION_FORMAT,
            "version": DESCRIPTION_VERSION,
            "config": self.config.as_json(),
            "tokenizer": dict(vars(self.tokenizer)),
        }

    @classmethod
    def from_json(cls, value: Any, place: str) -> Self:
        """Raises DamagedModel: the value is no description of a model that this program knows."""
        if not isinstance(value, Mapping) or value.get("format") != DESCRIPTION_FORMAT:
            raise DamagedModel(f"{place}: not a description of a model of ours (format {DESCRIPTION_FORMAT!r})")
        if value.get("version") != DESCRIPTION_VERSION:
            raise DamagedModel(
                f"{place}: version {value.get('version')!r}, this program reads {DESCRIPTION_VERSION}; train again"
            )
        tokenizer = value.get("tokenizer")
        if not isinstance(tokenizer, Mapping) or {name: type(each) for name, each in tokenizer.items()} != {
            "digest": str, "vocab_size": int, "unk_id": int, "bos_id": int, "eos_id": int, "pad_id": int
        }:  # fmt: skip
            raise DamagedModel(f"{place}: no description of a tokenizer in it")
        try:
            config = DecoderConfig.from_json(value.get("config"))
        except BadModelConfig as error:
            raise DamagedModel(f"{place}: {error}") from error
        if tokenizer["vocab_size"] != config.vocab_size:
            raise DamagedModel(
                f"{place}: a tokenizer of {tokenizer['vocab_size']} ids and a model of {config.vocab_size}"
            )
        return cls(config=config, tokenizer=TokenizerIdentity(**tokenizer))


def weight_tensors(decoder: Decoder, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The tensors that a weights file holds, under their names; a tied head is left out: the embedding is the head."""
    tied = {"lm_head.weight"} if decoder.config.tied_embeddings else set()
    return {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in decoder.state_dict().items()
        if name not in tied
    }


def write_weights(decoder: Decoder, path: Path, dtype: torch.dtype = torch.float32) -> None:
    save_file(weight_tensors(decoder, dtype), path, metadata={"format": "pt"})


def write_description(description: ModelDescription, path: Path) -> None:
    path.write_text(json.dumps(description.as_json(), indent=2) + "\n", encoding="utf-8")


def read_description(path: Path) -> ModelDescription:
    return ModelDescription.from_json(read_json(path), str(path))


def read_json(path: Path) -> Any:
    """Raises DamagedModel: the file is no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedModel(f"{path}: no JSON: {error}") from error


def read_decoder(path: Path, config: DecoderConfig) -> Decoder:
    """The decoder of a weights file, in float32, on the CPU.

    Nothing is allocated before the file is known to hold exactly the numbers that the configuration calls for.

    Raises:
        DamagedModel: the file is no safetensors file, or of another model, or has weights that are no finite numbers.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            num_expected = config.num_layers * _TENSORS_A_LAYER + (2 if config.tied_embeddings else 3)
            num_numbers = sum(_tensor_size(file, name) for name in names)
            if len(names) != num_expected or num_numbers != config.num_parameters():
                raise DamagedModel(
                    f"{path}: the configuration calls for {num_expected} tensors of {config.num_parameters()} numbers "
                    f"in all, found {len(names)} of {num_numbers}; are the two files of one model?"
                )
            decoder = Decoder(config)
            for name, weight in decoder.named_parameters():
                if name not in names:
                    raise DamagedModel(f"{path}: no tensor {name!r}")
                _copy_weight(file, name, weight, path)
            return decoder
    except (SafetensorError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DamagedModel(f"{path}: not a whole safetensors file: {error}") from error


def _tensor_size(file: Any, name: str) -> int:
    """How many numbers a tensor of an open safetensors file has, by its header."""
    size = 1
    for length in file.get_slice(name).get_shape():
        size *= int(length)
    return size


@torch.no_grad()
def _copy_weight(file: Any, name: str, weight: Tensor, path: Path) -> None:
    header = file.get_slice(name)
    shape, dtype = tuple(header.get_shape()), header.get_dtype()
    if shape != tuple(weight.shape) or dtype not in _FLOATS:
        raise DamagedModel(
            f"{path}: {name!r} should be {tuple(weight.shape)} in one of {_FLOATS}, found {shape} in {dtype}"
        )
    tensor = file.get_tensor(name)
    if not bool(torch.isfinite(tensor).all()):
        raise DamagedModel(f"{path}: {name!r} holds numbers that are not finite")
    weight.copy_(tensor)
