"""The GPU's way of signing, on torch's CPU device: the same bits as the kernel."""

import random

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_crawl import english_sentences

from pipeline_lib.dedup import device_signatures
from pipeline_lib.dedup.device_signatures import fingerprint_on_device, minima_on_device
from pipeline_lib.dedup.parameters import SignatureParameters
from pipeline_lib.dedup.signatures import fingerprints
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.shingles import fingerprint, permutations
from pipeline_lib.torch_devices import NoSuchDevice, use_gpu

CPU = torch.device("cpu")

words = st.sampled_from(["one", "two", "Drei", "漢字", "17", "x9", "ﬁ", "-", "…", "\x00"])
texts = st.lists(st.lists(words, max_size=12).map(" ".join), max_size=8)


def by_kernel(column: list[str], ngram: int, num_permutations: int, seed: int):
    data, offsets = string_buffers(pa.array(column, pa.large_string()))
    signatures = np.empty((len(column), num_permutations), np.uint32)
    num_shingles = np.empty(len(column), np.int32)
    text_hashes = np.empty((len(column), 2), np.uint64)
    factors, summands = permutations(num_permutations, seed)
    fingerprint(data, offsets, ngram, factors, summands, fold_tables(), signatures, num_shingles, text_hashes)
    return signatures, num_shingles, text_hashes


def on_device(column: list[str], ngram: int, num_permutations: int, seed: int):
    data, offsets = string_buffers(pa.array(column, pa.large_string()))
    return fingerprint_on_device(data, offsets, ngram, *permutations(num_permutations, seed), CPU)


def assert_equal(one, other) -> None:
    for mine, its in zip(one, other, strict=True):
        assert mine.dtype == its.dtype
        assert np.array_equal(mine, its)


@given(texts, st.integers(1, 4), st.integers(1, 20), st.integers(0, 3))
def test_signatures_are_the_kernels_bit_by_bit(column, ngram, num_permutations, seed):
    arguments = (column, ngram, num_permutations, seed)
    assert_equal(on_device(*arguments), by_kernel(*arguments))


values_32 = st.integers(0, 2**32 - 1)


@given(
    st.lists(st.lists(values_32, max_size=200), max_size=5),
    st.lists(st.tuples(values_32.map(lambda value: value | 1), values_32), min_size=1, max_size=4),
)
def test_minima_are_those_of_whole_numbers(documents, permuted_by):
    def finalized(value: int) -> int:
        value ^= value >> 16
        value = value * 0x85EBCA6B % 2**32
        value ^= value >> 13
        value = value * 0xC2B2AE35 % 2**32
        return value ^ value >> 16

    values = np.array([value for document in documents for value in document], np.uint32)
    ends = np.cumsum([len(document) for document in documents], dtype=np.int64)
    factors, summands = (np.array(column, np.uint32) for column in zip(*permuted_by, strict=True))
    expected = [
        [
            min(((factor * finalized(value) + summand) % 2**32 for value in document), default=2**32 - 1)
            for factor, summand in permuted_by
        ]
        for document in documents
    ]
    assert minima_on_device(values, ends, factors, summands, CPU).tolist() == expected


@pytest.mark.parametrize("text_bytes", [1, 1000, 1 << 30])
def test_long_texts_and_texts_in_several_batches_are_signed_alike(monkeypatch, text_bytes):
    monkeypatch.setattr(device_signatures, "_TEXT_BYTES", text_bytes)
    rng = random.Random(4)
    sentences = english_sentences()
    column = [". ".join(rng.choices(sentences, k=length)) for length in (0, 1, 3, 0, 40, 200, 0)]
    assert_equal(on_device(column, 5, 112, 1), by_kernel(column, 5, 112, 1))


def test_a_part_of_a_column_is_signed_as_itself():
    column = pa.array(["before it " * 20, "one two three four five six", "after it " * 20], pa.large_string())
    data, offsets = string_buffers(column.slice(1, 1))
    found = fingerprint_on_device(data, offsets, 5, *permutations(16, 1), CPU)
    assert_equal(found, by_kernel(["one two three four five six"], 5, 16, 1))


def test_which_device_changes_no_signature_and_a_gpu_that_is_not_there_is_told():
    documents = pa.table({"doc_id": ["0" * 32], "url": ["https://a.example/"], "text": ["one two three four five six"]})
    documents = documents.append_column("fetched_at", pa.nulls(1, pa.timestamp("ms", tz="UTC")))
    on_cpu, anywhere = (fingerprints(documents, SignatureParameters(device=device)) for device in ("cpu", "auto"))
    assert on_cpu.equals(anywhere)
    if not torch.cuda.is_available():
        assert not use_gpu("auto")
        with pytest.raises(NoSuchDevice, match="finds no GPU here"):
            fingerprints(documents, SignatureParameters(device="cuda"))
    with pytest.raises(ValueError, match="device='gpu' is none of auto, cpu, cuda"):
        SignatureParameters(device="gpu")  # type: ignore[arg-type]
