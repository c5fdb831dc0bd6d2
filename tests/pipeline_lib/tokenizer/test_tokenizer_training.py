"""Training: the same bytes for the same text, and a helpful refusal of what cannot be trained."""

import hashlib
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.training import (
    CONTROL_SYMBOLS,
    MAX_LINE_CHARS,
    USER_SYMBOLS,
    CorpusTooSmall,
    train_model,
    training_lines,
)

TEXTS = [f"the cat number {number} sat on a mat\n\twhile it rained in {number * 7}" for number in range(300)]
PARAMETERS = TokenizerParameters(vocab_size=320)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_trains_the_same_bytes(hash_seed):
    program = (
        "import hashlib, sys; from pipeline_lib.tokenizer.training import train_model; "
        "from pipeline_lib.tokenizer.parameters import TokenizerParameters; "
        "texts = sys.stdin.read().split(chr(0)); "
        "print(hashlib.sha256(train_model(texts, TokenizerParameters(vocab_size=320))).hexdigest())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        input="\0".join(TEXTS),
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == hashlib.sha256(train_model(TEXTS, PARAMETERS)).hexdigest()


def test_special_ids_are_where_model_and_exports_expect_them():
    tokenizer = Tokenizer(train_model(TEXTS, PARAMETERS))
    identity = tokenizer.identity
    assert (identity.unk_id, identity.bos_id, identity.eos_id, identity.pad_id) == (0, 1, 2, 3)
    assert identity.vocab_size == 320
    assert tokenizer.pieces[:14] == ["<unk>", "<s>", "</s>", "<pad>", *CONTROL_SYMBOLS, *USER_SYMBOLS]
    assert tokenizer.pieces[14:270] == [f"<0x{byte:02X}>" for byte in range(256)]


def test_text_too_small_for_the_vocabulary_is_refused_with_the_largest_size_that_works():
    with pytest.raises(CorpusTooSmall, match="vocab_size=8192") as refused:
        train_model(TEXTS, TokenizerParameters(vocab_size=8192))
    largest = int(re.search(r"at most (\d+)", str(refused.value))[1])
    assert Tokenizer(train_model(TEXTS, TokenizerParameters(vocab_size=largest))).identity.vocab_size == largest
    with pytest.raises(CorpusTooSmall):
        train_model(TEXTS, TokenizerParameters(vocab_size=largest + 1))


def test_more_characters_than_the_vocabulary_holds_is_refused_with_what_to_change():
    everything = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 500))
    with pytest.raises(CorpusTooSmall, match=r"tokenizer\.vocab_size or lower tokenizer\.character_coverage"):
        train_model([everything], PARAMETERS)


@pytest.mark.parametrize("texts", [[], [""], ["\n\n"]])
def test_no_text_at_all_is_refused(texts):
    with pytest.raises(CorpusTooSmall, match="no text"):
        train_model(texts, PARAMETERS)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"vocab_size": 100}, "vocab_size"),
        ({"vocab_size": 1 << 21}, "vocab_size"),
        ({"sample_bytes": 0}, "sample_bytes"),
        ({"character_coverage": 0.5}, "character_coverage"),
    ],
)
def test_impossible_parameters_are_refused_by_name(changes, name):
    with pytest.raises(ValueError, match=name):
        TokenizerParameters(**changes)


@given(st.lists(st.text(st.sampled_from("ab \n\t\r\u2585"), max_size=30)))
def test_training_lines_are_all_of_the_text_but_line_breaks(texts):
    expected = "".join(texts).replace("\n", "").replace("\u2585", " ")
    lines = list(training_lines(texts))
    assert "".join(lines) == expected
    assert all(lines)


def test_a_line_of_raw_data_is_cut_and_learned_from_instead_of_left_out():
    line = "q" * (3 * MAX_LINE_CHARS + 5)
    assert [len(each) for each in training_lines([line])] == [MAX_LINE_CHARS] * 3 + [5]
    assert "q" in Tokenizer(train_model([line, *TEXTS], PARAMETERS)).pieces
    assert "▅q" not in "".join(Tokenizer(train_model(["▅q" * 9, *TEXTS], PARAMETERS)).pieces)
