"""Model files: what was written comes back; what is no model is refused before memory is taken for it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.config import DecoderConfig
from model.decoder import Decoder, initialise
from model.model_files import (
    DamagedModel,
    ModelDescription,
    read_decoder,
    read_description,
    weight_tensors,
    write_description,
    write_weights,
)
from storage.token_shards import TokenizerIdentity

TOKENIZER = TokenizerIdentity(digest="ab" * 32, vocab_size=40, unk_id=0, bos_id=1, eos_id=2, pad_id=3)
CONFIG = DecoderConfig(
    vocab_size=40, context=16, num_layers=2, width=16, num_heads=2, num_key_value_heads=1, feed_forward_width=24,
    head_width=8,
)  # fmt: skip
UNTIED = DecoderConfig(**{**CONFIG.as_json(), "tied_embeddings": False})


def decoder_of(config: DecoderConfig) -> Decoder:
    decoder = Decoder(config)
    initialise(decoder, seed=0)
    return decoder


@pytest.mark.parametrize("config", [CONFIG, UNTIED])
def test_weights_come_back_to_the_bit(tmp_path: Path, config: DecoderConfig) -> None:
    decoder = decoder_of(config)
    write_weights(decoder, tmp_path / "m")
    read = read_decoder(tmp_path / "m", config)
    for (name, one), (other_name, other) in zip(decoder.named_parameters(), read.named_parameters(), strict=True):
        assert name == other_name
        assert torch.equal(one, other)
    ids = torch.arange(8)[None]
    assert torch.equal(decoder(ids), read(ids))


def test_half_precision_files_come_back_as_float32(tmp_path: Path) -> None:
    decoder = decoder_of(CONFIG)
    write_weights(decoder, tmp_path / "m", torch.bfloat16)
    weight = read_decoder(tmp_path / "m", CONFIG).lm_head.weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, decoder.lm_head.weight.bfloat16().float())


def broken_weights(path: Path, **changes: torch.Tensor | None) -> Path:
    tensors = {**weight_tensors(decoder_of(CONFIG)), **changes}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
    return path


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({NORM: None}, "calls for 24 tensors"),
        ({"extra": torch.zeros(1)}, "found 25"),
        ({NORM: None, "model.other.weight": torch.ones(16)}, "no tensor 'model.norm.weight'"),
        ({NORM: torch.ones(4, 4)}, r"should be \(16,\)"),
        ({NORM: torch.ones(16, dtype=torch.int32)}, "I32"),
        ({NORM: torch.full((16,), torch.nan)}, "not finite"),
    ],
)
def test_weights_that_do_not_fit_the_configuration_are_refused(tmp_path: Path, changes, complaint) -> None:
    with pytest.raises(DamagedModel, match=complaint):
        read_decoder(broken_weights(tmp_path / "m", **changes), CONFIG)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not safetensors at all",
        (1 << 62).to_bytes(8, "little") + b"{}",
        (8).to_bytes(8, "little") + b"[[[[[[[[",
        (2).to_bytes(8, "little") + b"{}",
    ],
)
def test_files_that_hold_no_model_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(DamagedModel):
        read_decoder(tmp_path / "m", CONFIG)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    write_weights(decoder_of(CONFIG), tmp_path / "m")
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:-100])
    with pytest.raises(DamagedModel):
        read_decoder(tmp_path / "m", CONFIG)


@pytest.mark.parametrize("change", [{"width": 1 << 30}, {"num_layers": 1 << 30}, {"vocab_size": 1 << 30}])
def test_a_configuration_that_claims_too_much_takes_no_memory(tmp_path: Path, change: dict[str, int]) -> None:
    write_weights(decoder_of(CONFIG), tmp_path / "m")
    with pytest.raises(DamagedModel, match="of one model"):
        read_decoder(tmp_path / "m", DecoderConfig(**{**CONFIG.as_json(), **change}))


def test_a_missing_file_is_missing_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_decoder(tmp_path / "m", CONFIG)


def test_a_description_comes_back(tmp_path: Path) -> None:
    description = ModelDescription(config=CONFIG, tokenizer=TOKENIZER)
    write_description(description, tmp_path / "c")
    assert read_description(tmp_path / "c") == description


GOOD = ModelDescription(config=CONFIG, tokenizer=TOKENIZER).as_json()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b"1" * 10_000,
        json.dumps({**GOOD, "format": "other"}).encode(),
        json.dumps({**GOOD, "version": 2}).encode(),
        json.dumps({**GOOD, "config": None}).encode(),
        json.dumps({**GOOD, "config": {**GOOD["config"], "width": -1}}).encode(),
        json.dumps({**GOOD, "config": {**GOOD["config"], "rope_theta": float("nan")}}).encode(),
        json.dumps({**GOOD, "config": {**GOOD["config"], "vocab_size": 41}}).encode(),
        json.dumps({**GOOD, "tokenizer": None}).encode(),
        json.dumps({**GOOD, "tokenizer": {**GOOD["tokenizer"], "bos_id": "1"}}).encode(),
        json.dumps({**GOOD, "tokenizer": {**GOOD["tokenizer"], "more": 1}}).encode(),
    ],
)
def test_descriptions_of_nothing_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(DamagedModel):
        read_description(tmp_path / "c")
