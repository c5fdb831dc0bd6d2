"""Bits per byte against the dumbest way to score: one token at a time, each with its own pass."""

import gzip
import lzma
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.config import DecoderConfig
from model.decoder import Decoder, initialise
from model.evaluation.bits_per_byte import bits_per_byte, confidence_interval, document_nats, windows
from model.evaluation.compression import gzip_bits_per_byte, xz_bits_per_byte

CONTEXT = 8
CONFIG = DecoderConfig(
    vocab_size=30, context=CONTEXT, num_layers=1, width=16, num_heads=2, num_key_value_heads=1, feed_forward_width=24,
    head_width=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    decoder = Decoder(CONFIG)
    initialise(decoder, seed=0)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.mul_(10 if weight.dim() == 2 else 1)
    return decoder


def nats_one_token_at_a_time(decoder: Decoder, tokens: list[int]) -> float:
    """Each token in a pass of its own, after as much of the document as its window shows."""
    total = 0.0
    last = len(tokens) - 1
    for target in range(1, len(tokens)):
        if target <= CONTEXT:
            start = 0
        else:
            turns = math.ceil((target - CONTEXT) / (CONTEXT // 2))  # windows after the first
            start = min(CONTEXT + turns * (CONTEXT // 2), last) - CONTEXT
        with torch.no_grad():
            logits = decoder(torch.tensor([tokens[start:target]]))[0, -1].double()
        total -= float(logits.log_softmax(dim=0)[tokens[target]])
    return total


def test_documents_of_all_lengths_are_scored_as_one_token_at_a_time(decoder: Decoder) -> None:
    draw = random.Random(0)
    documents = [[1, *(draw.randrange(30) for _ in range(length - 1))] for length in [*range(1, 30), 61]]
    draw.shuffle(documents)
    found = document_nats(decoder, [np.array(tokens, np.uint16) for tokens in documents], dtype=torch.float32)
    expected = [nats_one_token_at_a_time(decoder, tokens) for tokens in documents]
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_documents_score_does_not_depend_on_its_company(decoder: Decoder) -> None:
    one, other = np.array([1, 5, 6, 2], np.uint16), np.arange(20, dtype=np.uint16)
    together = document_nats(decoder, [one, other, one], dtype=torch.float32)
    alone = document_nats(decoder, [one], dtype=torch.float32)
    assert together[0] == pytest.approx(together[2])
    assert together[0] == pytest.approx(alone[0], rel=1e-6)


@given(st.lists(st.integers(0, 100), max_size=5), st.integers(1, 20))
def test_every_token_but_the_first_is_scored_once_with_half_a_context_before_it(lengths, context) -> None:
    scored = []
    for window in windows(lengths, context):
        assert 0 <= window.start < window.end < lengths[window.document]
        assert window.end - window.start <= context
        for target in range(window.first_scored, window.end + 1):
            assert target - window.start >= min(target, max(1, context - context // 2))
            scored.append((window.document, target))
    assert sorted(scored) == [(doc, target) for doc, length in enumerate(lengths) for target in range(1, length)]
    assert len(scored) == len(set(scored))


def test_bits_per_byte_weighs_bytes_not_documents() -> None:
    nats, num_bytes = np.array([math.log(2) * 8, math.log(2) * 300]), np.array([1, 99])
    assert bits_per_byte(nats, num_bytes) == pytest.approx(3.08)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_its_vocabulary(decoder: Decoder) -> None:
    blank = Decoder(CONFIG)
    initialise(blank, 0)
    with torch.no_grad():
        blank.model.embed_tokens.weight.zero_()
    documents = [np.array([1, *[7] * 49], np.uint16)] * 3
    nats = document_nats(blank, documents, dtype=torch.float32)
    # 49 tokens, one of them the end, which no byte stands for
    assert bits_per_byte(nats, np.array([48] * 3)) == pytest.approx(math.log2(30) * 49 / 48, rel=1e-6)


def test_documents_without_text_have_no_bits_per_byte() -> None:
    with pytest.raises(ValueError, match="without a byte"):
        bits_per_byte(np.array([1.0]), np.array([0]))


def test_the_interval_holds_the_value_narrows_with_documents_and_repeats() -> None:
    draw = np.random.default_rng(0)
    num_bytes = draw.integers(100, 1000, 400)
    nats = num_bytes * draw.normal(1.2, 0.2, 400)
    few = confidence_interval(nats[:20], num_bytes[:20], seed=0)
    many = confidence_interval(nats, num_bytes, seed=0)
    assert many[0] < bits_per_byte(nats, num_bytes) < many[1]
    assert many[1] - many[0] < few[1] - few[0]
    assert confidence_interval(nats, num_bytes, seed=0) == many
    same = np.full(50, 10.0)
    assert confidence_interval(same, np.full(50, 5), seed=0) == pytest.approx([2 / math.log(2)] * 2)


def test_compressors_are_the_programs_at_their_best() -> None:
    text = b"the mill turns and turns " * 200 + bytes(range(256))
    assert gzip_bits_per_byte(text) == 8 * len(gzip.compress(text, 9, mtime=0)) / len(text)
    assert xz_bits_per_byte(text) == 8 * len(lzma.compress(text, preset=9)) / len(text)
    with pytest.raises(ValueError, match="no text"):
        gzip_bits_per_byte(b"")
