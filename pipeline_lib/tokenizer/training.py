"""Training of a SentencePiece BPE model, such that equal text gives equal bytes."""

import io
import itertools
from collections.abc import Iterable, Iterator

import sentencepiece

from pipeline_lib.tokenizer.parameters import TokenizerParameters

UNK, BOS, EOS, PAD = "<unk>", "<s>", "</s>", "<pad>"
# Control symbols have an id but no spelling: no text can write them. The chat ones and six to spare, so that
# fine-tuning needs no other tokenizer.
CONTROL_SYMBOLS = ("<|im_start|>", "<|im_end|>", *(f"<|reserved_{number}|>" for number in range(6)))
# A line break and a tab are tokens of their own: SentencePiece would not learn them, as it trains on lines.
USER_SYMBOLS = ("\n", "\t")
MAX_LINE_CHARS = 8192

# SentencePiece leaves out every line with its own mark for unknown characters.
_RESERVED = str.maketrans({"\u2585": " "})


class CorpusTooSmall(ValueError):
    """The text cannot fill the vocabulary asked for."""


def train_model(texts: Iterable[str], parameters: TokenizerParameters) -> bytes:
    """The serialized SentencePiece model of a text sample.

    Identity normalisation, all spaces kept, byte fallback: decoding gives back the text, except that U+2581, by which
    SentencePiece spells a space, becomes one.

    Raises:
        CorpusTooSmall: the text has fewer pieces than `vocab_size`, or more characters.
    """
    lines = training_lines(texts)
    first = next(lines, None)
    if first is None:
        raise CorpusTooSmall("there is no text to train a tokenizer on: is everything filtered out, or held out?")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=itertools.chain([first], lines),
            model_writer=model,
            model_type="bpe",
            vocab_size=parameters.vocab_size,
            hard_vocab_limit=False,  # a vocabulary that is not full comes back, and is refused below
            character_coverage=parameters.character_coverage,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=3,
            unk_piece=UNK,
            bos_piece=BOS,
            eos_piece=EOS,
            pad_piece=PAD,
            unk_surface="\ufffd",
            control_symbols=list(CONTROL_SYMBOLS),
            user_defined_symbols=list(USER_SYMBOLS),
            max_sentence_length=4 * MAX_LINE_CHARS,
            input_sentence_size=0,  # all: the sample is bounded already
            num_threads=1,  # stands in the model's bytes; the pieces do not depend on it
            minloglevel=2,
        )
    except RuntimeError as error:
        if "required_chars" not in str(error):
            raise
        raise CorpusTooSmall(
            f"vocab_size={parameters.vocab_size} does not hold the characters of this text ({error}); "
            "raise tokenizer.vocab_size or lower tokenizer.character_coverage"
        ) from error
    num_pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
    if num_pieces < parameters.vocab_size:
        raise CorpusTooSmall(
            f"this text has merges for {num_pieces} pieces, not for vocab_size={parameters.vocab_size}; "
            f"set tokenizer.vocab_size to at most {num_pieces}, or train on more text"
        )
    return model.getvalue()


def training_lines(texts: Iterable[str]) -> Iterator[str]:
    """The texts' lines, without empty ones; lines beyond MAX_LINE_CHARS in pieces of that length.

    Raw data in one line would otherwise be left out by SentencePiece without a word.
    """
    for text in texts:
        for line in text.translate(_RESERVED).split("\n"):
            for start in range(0, len(line), MAX_LINE_CHARS):
                yield line[start : start + MAX_LINE_CHARS]
