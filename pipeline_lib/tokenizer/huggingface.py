"""The same tokenizer as files of Hugging Face's `tokenizers` and `transformers`: equal ids for every text."""

from typing import Any

from tokenizers import AddedToken, decoders, models, normalizers, processors
from tokenizers import Tokenizer as FastTokenizer

from pipeline_lib.tokenizer.model import SPACE, Tokenizer
from pipeline_lib.tokenizer.training import BOS, CONTROL_SYMBOLS, EOS, PAD, UNK, USER_SYMBOLS

_PROBES = (
    "The quick brown fox,  and   more: 12345\n\n\tdef f(x):\r\n        return x + 1\n",
    "Zürich e\u0301 日本語 \U0001f469\u200d\U0001f467 \x00\ufeff\u00a0 \u2581 <0x0A>",
)


def tokenizer_json(model: bytes) -> str:
    """The `tokenizer.json` of a SentencePiece model of `train_model`.

    Encoding puts `<s>` in front, as in training; `add_special_tokens=False` leaves it out. Text that spells a special
    token, such as a literal `</s>`, gives the ids of its letters where `split_special_tokens` is on.

    Raises:
        ValueError: the ids are not those of SentencePiece.
    """
    tokenizer = Tokenizer(model)
    vocab = {piece: token for token, piece in enumerate(tokenizer.pieces)}
    special = [piece for token, piece in enumerate(tokenizer.pieces) if tokenizer.is_special[token]]
    learned = {
        piece: token
        for piece, token in vocab.items()
        if not (tokenizer.is_special[token] or tokenizer.is_byte[token] or piece in USER_SYMBOLS)
    }
    fast = FastTokenizer(
        models.BPE(vocab=vocab, merges=_merges(learned), unk_token=UNK, fuse_unk=True, byte_fallback=True)
    )
    fast.normalizer = normalizers.Replace(" ", SPACE)
    fast.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    fast.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.identity.bos_id)]
    )
    fast.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in special])
    fast.add_tokens([AddedToken(symbol, normalized=False, special=False) for symbol in USER_SYMBOLS])
    fast.encode_special_tokens = True
    for probe in _PROBES:
        found, expected = fast.encode(probe, add_special_tokens=False).ids, tokenizer.encode(probe)
        if found != expected:
            raise ValueError(f"tokenizer.json would give {found} for {probe!r}, SentencePiece gives {expected}")
    fast.encode_special_tokens = False  # not part of the file: `split_special_tokens` of the configuration says it
    content: str = fast.to_str(pretty=True)
    return content


def tokenizer_config(*, max_tokens: int) -> dict[str, Any]:
    """The `tokenizer_config.json` beside it; `max_tokens` is the model's context.

    `split_special_tokens` is on: no text can smuggle in a special token, exactly as in training.
    """
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "unk_token": UNK,
        "pad_token": PAD,
        "additional_special_tokens": list(CONTROL_SYMBOLS),
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
        "model_max_length": max_tokens,
    }


def _merges(learned: dict[str, int]) -> list[tuple[str, str]]:
    """The pairs that make pieces, first those of the piece that SentencePiece prefers (smallest id)."""
    merges = []
    for piece in sorted(learned, key=lambda piece: learned[piece]):
        pairs = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = [pair for pair in pairs if pair[0] in learned and pair[1] in learned]
        merges += sorted(known, key=lambda pair: (learned[pair[0]], learned[pair[1]]))
    return merges
