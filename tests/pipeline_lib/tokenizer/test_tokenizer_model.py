"""Encoding and decoding: what SentencePiece itself gives, for any text and any ids."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.tokenizer.model import Tokenizer
from storage.tables import DamagedFile

# Spaces in all spellings, both symbols of their own, pieces of the fixture's language, and what needs bytes.
awkward = st.lists(
    st.sampled_from([" ", "  ", "\u2581", "\n", "\t", "\r\n", "ka", "tomi", "the", "7", "\x00", "日本", "é", "e\u0301"])
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
).map("".join)


@settings(deadline=None)  # the first example waits for the compiler
@given(texts=st.lists(awkward, max_size=12), cut=st.integers(0, 12))
def test_a_column_of_documents_gives_the_ids_of_each_text_between_beginning_and_end(tokenizer, texts, cut):
    column = pa.chunked_array([texts[:cut], texts[cut:]], pa.large_string())
    ids, offsets = tokenizer.encode_column(column)
    found = [ids[start:end].tolist() for start, end in itertools.pairwise(offsets)]
    bos, eos = tokenizer.identity.bos_id, tokenizer.identity.eos_id
    assert found == [[bos, *tokenizer.encode(text), eos] for text in texts]


def test_many_distinct_segments_are_all_told_apart(tokenizer):
    text = " ".join(f"{number:x}" for number in range(30_000))  # the table of segments grows three times
    ids, _ = tokenizer.encode_column(pa.array([text, text], pa.large_string()).slice(1))
    assert ids[1:-1].tolist() == tokenizer.encode(text)


@given(text=awkward)
def test_text_comes_back_from_its_ids_with_one_known_exception(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text.replace("\u2581", " ")


@given(ids=st.lists(st.integers(-3, 520) | st.integers()))
def test_any_ids_decode_to_valid_text(tokenizer, ids):
    tokenizer.decode(ids).encode("utf-8")


def test_special_ids_have_no_text_and_unknown_ones_show(tokenizer):
    identity = tokenizer.identity
    assert tokenizer.decode([identity.bos_id, *tokenizer.encode("the"), identity.eos_id, identity.pad_id]) == "the"
    assert tokenizer.decode([-1, 10**6, identity.unk_id]) == "\ufffd" * 3
    assert tokenizer.decode(np.array(tokenizer.encode("the"), np.uint16)) == "the"


@pytest.mark.parametrize("literal", ["<s>", "</s>", "<unk>", "<pad>", "<|im_start|>", "<0x41>"])
def test_text_cannot_spell_a_special_token(tokenizer, literal):
    ids = tokenizer.encode(f"a{literal}b")
    assert not any(tokenizer.is_special[token] for token in ids)
    assert tokenizer.decode(ids) == f"a{literal}b"


def test_half_a_surrogate_pair_is_encoded_as_a_question_mark(tokenizer):
    assert tokenizer.encode("a\ud83d") == tokenizer.encode("a?")


@given(text=awkward)
def test_the_bytes_of_a_text_are_those_of_its_tokens(tokenizer, text):
    total = int(tokenizer.token_bytes()[tokenizer.encode(text)].sum())
    assert total == len(text.replace("\u2581", " ").encode())


@pytest.mark.parametrize("content", [b"", b"no model", b"\x00" * 100])
def test_what_is_no_model_is_refused(content):
    with pytest.raises(DamagedFile, match="SentencePiece"):
        Tokenizer(content)


@pytest.mark.parametrize(
    "options",
    [
        {"normalization_rule_name": "nmt_nfkc"},
        {"add_dummy_prefix": True},
        {"remove_extra_whitespaces": True},
        {"split_by_whitespace": False},
        {"byte_fallback": False},
    ],
)
def test_a_model_that_changes_text_or_joins_words_is_refused(options):
    ours = {
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,
        "remove_extra_whitespaces": False,
        "byte_fallback": True,
        "user_defined_symbols": ["\n", "\t"],
    }
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["of the of the of the people in the end"] * 50),
        model_writer=model,
        model_type="bpe",
        vocab_size=300,
        hard_vocab_limit=False,
        minloglevel=2,
        **{**ours, **options},
    )
    with pytest.raises(ValueError, match="normalises text, or has pieces across spaces"):
        Tokenizer(model.getvalue())


def test_real_pages_in_many_scripts_encode_as_sentencepiece_does(tokenizer):
    folder = Path(__file__).parents[4] / "shared" / "data" / "text"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data: text/langid_udhr.jsonl.zst")
    lines = pa.input_stream(str(folder / "langid_udhr.jsonl.zst"), compression="zstd").read().splitlines()[:60]
    texts = [json.loads(line)["text"] for line in lines]
    ids, offsets = tokenizer.encode_column(pa.array(texts, pa.large_string()))
    for number, text in enumerate(texts):
        assert ids[offsets[number] + 1 : offsets[number + 1] - 1].tolist() == tokenizer.encode(text)


@given(texts=st.lists(awkward, max_size=8), cut=st.integers(0, 8), skip=st.integers(0, 3))
def test_a_column_of_ids_gives_the_text_of_each_document(tokenizer, texts, cut, skip):
    ids, offsets = tokenizer.encode_column(pa.array(texts, pa.large_string()))
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(ids).cast(tokenizer.identity.token_type))
    column = pa.chunked_array([lists[:cut], lists[cut:]], lists.type).slice(skip)
    expected = [tokenizer.decode(ids[start:end]) for start, end in itertools.pairwise(offsets)]
    assert tokenizer.decode_column(column).to_pylist() == expected[skip:]


def test_ids_of_another_tokenizer_and_broken_characters_are_refused(tokenizer):
    (byte,) = [token for token, piece in enumerate(tokenizer.pieces) if piece == "<0xC3>"]
    for wrong in ([tokenizer.identity.vocab_size], [byte]):
        with pytest.raises(DamagedFile):
            tokenizer.decode_column(pa.array([wrong], pa.large_list(pa.uint16())))
