"""The exported tokenizer.json gives SentencePiece's ids, in `tokenizers` and in `transformers`."""

import json

import pytest
import tokenizers
import transformers
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.tokenizer.huggingface import tokenizer_config, tokenizer_json

AWKWARD = [
    "",
    " ",
    "\n",
    "\t",
    "Hello world",
    "  two in front, behind  ",
    "a" + " " * 40 + "b",
    "tab\there\t\ttwo",
    "line\nbreak\n\n\nthree\r\nCRLF",
    "    indent\n        deeper\n",
    "emoji \U0001f600 \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1eb\U0001f1f7 ok",
    "\ufb01 ligature \u00bd \uff21 fullwidth \u2460",
    "naïve café e\u0301 o\u0308\u0323 combining",
    "日本語のテキスト 中文 한국어 العربية עברית",
    "123456 3.14 1,000",
    "\u00a0nbsp\u3000ideographic\u200bzero\ufeff",
    "\u2581 literal \u2581\u2581 block \u2585",
    "\x00null\x01\x7f",
    "\U0001d56c\U00012000 rare",
    "x<s>y</s><unk><pad>z<0x0A>",
    "<|im_start|>user\nhi<|im_end|>\n<|reserved_0|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]
alphabet = [
    " ",
    "  ",
    "\n",
    "\t",
    "\u2581",
    "ka",
    "to",
    "mi",
    "the",
    "ing",
    "9",
    "é",
    "日本",
    "\U0001f600",
    "<s>",
    "\x00",
]
texts = st.lists(st.sampled_from(alphabet) | st.characters(exclude_categories=["Cs"]), max_size=40).map("".join)


@pytest.fixture(scope="module")
def fast(model):
    fast = tokenizers.Tokenizer.from_str(tokenizer_json(model))
    fast.encode_special_tokens = True  # what split_special_tokens sets
    return fast


@pytest.fixture(scope="module")
def auto(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    (folder / "tokenizer.json").write_text(tokenizer_json(model))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(max_tokens=512)))
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_has_equal_ids_and_comes_back(tokenizer, fast, auto, text):
    expected = tokenizer.encode(text)
    assert fast.encode(text, add_special_tokens=False).ids == expected
    assert auto(text, add_special_tokens=False)["input_ids"] == expected
    assert auto.decode(expected) == tokenizer.decode(expected)


@given(text=texts)
def test_any_text_has_equal_ids_and_comes_back(tokenizer, fast, text):
    expected = tokenizer.encode(text)
    assert fast.encode(text, add_special_tokens=False).ids == expected
    assert fast.decode(expected, skip_special_tokens=False) == tokenizer.decode(expected)


def test_transformers_puts_the_beginning_in_front_as_training_does(tokenizer, auto):
    assert auto("the ka")["input_ids"] == [tokenizer.identity.bos_id, *tokenizer.encode("the ka")]


def test_transformers_knows_the_special_tokens_and_the_context(tokenizer, auto):
    identity = tokenizer.identity
    assert (auto.unk_token_id, auto.bos_token_id, auto.eos_token_id, auto.pad_token_id) == (
        identity.unk_id,
        identity.bos_id,
        identity.eos_id,
        identity.pad_id,
    )
    assert auto.model_max_length == 512
    assert len(auto) == identity.vocab_size


def test_special_tokens_can_still_be_spelled_where_a_program_asks_for_it(auto):
    ids = auto("<|im_start|>", add_special_tokens=False, split_special_tokens=False)["input_ids"]
    assert ids == auto.convert_tokens_to_ids(["<|im_start|>"])


def test_a_saved_copy_gives_the_same_ids(auto, tokenizer, tmp_path):
    auto.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in AWKWARD:
        assert again(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)
