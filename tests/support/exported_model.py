"""A two-layer model with random weights and a tokenizer of bytes, exported as runs export theirs."""

import json
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from model.config import DecoderConfig
from model.decoder import Decoder, initialise
from model.export.huggingface import config_json
from model.model_files import write_weights
from storage.token_shards import TokenizerIdentity

CONTEXT = 32
CONFIG = DecoderConfig(
    vocab_size=270, context=CONTEXT, num_layers=2, width=64, num_heads=2, num_key_value_heads=1,
    feed_forward_width=96, head_width=32,
)  # fmt: skip
IDENTITY = TokenizerIdentity(digest="70" * 32, vocab_size=270, unk_id=0, bos_id=1, eos_id=2, pad_id=3)


def byte_tokenizer() -> Tokenizer:
    """Bytes, and two merges, as the exported files have it: ids 0 to 3 special, byte b is 4 + b."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": 3} | {f"<0x{byte:02X}>": 4 + byte for byte in range(256)}
    vocab |= {letter: 260 + i for i, letter in enumerate(["t", "h", "e", "th", "the", "▁"])}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=[("t", "h"), ("th", "e")], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(each, normalized=False, special=True) for each in list(vocab)[:4]])
    return tokenizer


def write_export(folder: Path) -> Path:
    """Write the model into a folder; returns it."""
    decoder = Decoder(CONFIG)
    initialise(decoder, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in decoder.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, 0.1, generator=generator)
    write_weights(decoder, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_json(CONFIG, IDENTITY, "float32")))
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
