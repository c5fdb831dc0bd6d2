"""The n-gram model against its formula, worked in plain Python."""

import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.classifier.model_folder import NoSuchModel
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.perplexity.counting import count_ngrams
from pipeline_lib.perplexity.model import load, save
from pipeline_lib.perplexity.ngrams import (
    BrokenNgrams,
    NgramModel,
    NgramParameters,
    NothingToCount,
    bits_per_byte,
    build_table,
    train,
)

PIECES = "the|mill |turns|é|猫|שלום|\u0301|\x00|\ufffd| |\n|ab|aba"
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=20).map("".join)


def column(documents: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(documents, pa.large_string())])


def key(gram: bytes) -> int:
    return len(gram) << 56 | int.from_bytes(gram, "big")


class Plain:
    """The formula, gram by gram."""

    def __init__(self, grams: dict[bytes, int]) -> None:
        self.grams = grams
        self.total = sum(count for gram, count in grams.items() if len(gram) == 1)

    def probability(self, context: bytes, byte: int) -> float:
        shorter = self.probability(context[1:], byte) if context else 1 / 256
        seen = self.grams.get(context, 0) if context else self.total
        if not seen:
            return shorter
        kept = {gram: count for gram, count in self.grams.items() if gram[:-1] == context}
        rest = seen - sum(kept.values())
        return (kept.get(context + bytes([byte]), 0) + (len(kept) + rest) * shorter) / (seen + len(kept))

    def bits(self, text: bytes, order: int) -> float:
        costs = [
            -math.log2(self.probability(text[max(0, i - order + 1) : i], text[i])) for i in range(len(text))
        ]  # fmt: skip
        return sum(costs) / len(costs) if costs else 8.0


def counted(documents: list[str], order: int, min_count: int = 1) -> dict[bytes, int]:
    grams: Counter[bytes] = Counter()
    for document in documents:
        raw = document.encode()
        grams.update(raw[i : i + n] for n in range(1, order + 1) for i in range(len(raw) - n + 1))
    return {gram: count for gram, count in grams.items() if len(gram) == 1 or count >= min_count}


def as_arrays(grams: dict[bytes, int]) -> tuple[np.ndarray, np.ndarray]:
    ordered = sorted(grams, key=key)
    return np.array([key(gram) for gram in ordered], np.uint64), np.array([grams[g] for g in ordered], np.uint32)


@given(st.lists(texts, max_size=5), st.integers(1, 7))
def test_ngrams_are_counted_within_texts(documents: list[str], length: int) -> None:
    data, offsets = string_buffers(pa.array(["cut off", *documents], pa.large_string()).slice(1))
    keys, counts = count_ngrams(data, offsets, np.arange(len(documents)), length)
    expected = {gram: count for gram, count in counted(documents, length).items() if len(gram) == length}
    assert dict(zip(keys.tolist(), counts.tolist(), strict=True)) == {key(g): c for g, c in expected.items()}
    assert (keys[1:] > keys[:-1]).all()


@given(st.lists(texts, min_size=1, max_size=5), st.lists(texts, max_size=4), st.integers(1, 7), st.integers(1, 3))
def test_texts_cost_what_the_formula_says(learnt, scored, order, min_count) -> None:
    grams = counted(learnt, order, min_count)
    if not grams:
        return
    found = bits_per_byte(*string_buffers(column(scored + learnt)), build_table(*as_arrays(grams), order), order)
    plain = Plain(grams)
    for bits, text in zip(found, scored + learnt, strict=True):
        assert bits == pytest.approx(plain.bits(text.encode(), order), rel=1e-5)


@given(st.lists(texts, min_size=1, max_size=4), st.integers(1, 3), st.binary(max_size=5))
def test_probabilities_of_all_bytes_add_up_to_one(learnt: list[str], min_count: int, context: bytes) -> None:
    grams = counted(learnt, 6, min_count)
    if not grams:
        return
    table = build_table(*as_arrays(grams), 6)
    lines = [context + bytes([byte]) for byte in range(256)] + [context]
    raw = np.frombuffer(b"".join(lines), np.uint8)
    cost = bits_per_byte(raw, np.cumsum([0, *map(len, lines)], dtype=np.int64), table, 6)
    whole = cost[:256] * (len(context) + 1) - (cost[256] * len(context) if context else 0)
    assert (2.0**-whole).sum() == pytest.approx(1, abs=1e-5)


WORDS = ["the", "mill", "turns", "by", "day", "and", "night", "it", "takes", "grain", "that", "comes", "in", "sacks"]


def prose(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [f"{i} " + " ".join(draw.choices(WORDS, k=draw.randint(5, 60))) for i in range(count)]


@pytest.fixture(scope="module")
def trained() -> NgramModel:
    return train([column(prose(200)), column(prose(200, 1))], NgramParameters(max_ngrams=2000))


def cost(model: NgramModel, documents: list[str]) -> list[float]:
    return bits_per_byte(*string_buffers(column(documents)), model.table, model.order).tolist()


def test_text_like_what_was_learnt_is_cheap_and_noise_is_not(trained: NgramModel) -> None:
    alike, noise, nothing = cost(trained, [prose(1, 9)[0], "%&qZ7!x)(§$" * 10, ""])
    assert alike < 2 < 6 < noise
    assert nothing == 8.0
    assert trained.metrics["held_out_bits_per_byte"] == pytest.approx(alike, abs=0.3)
    assert trained.metrics["held_out_percentile_30"] <= trained.metrics["held_out_percentile_60"]


def test_the_model_is_no_larger_than_asked_for(trained: NgramModel) -> None:
    assert 1000 < len(trained.keys) <= 2000
    assert trained.metrics["min_count"] > 1


def test_every_text_of_a_training_is_accounted_for() -> None:
    documents = prose(100)
    sizes = np.cumsum([len(text) for text in documents])
    metrics = train(
        [column([*documents[:50], documents[3]]), column(documents[50:]), column(documents[:10])],
        NgramParameters(max_bytes=int(sizes[79])),
    ).metrics
    assert (metrics["num_texts"], metrics["num_repeated"], metrics["num_over_limit"]) == (111, 1, 30)
    assert metrics["num_counted"] + metrics["num_held_out"] == 80


def test_two_trainings_of_a_model_give_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    documents = prose(200)
    save(train([column(documents)], NgramParameters()), tmp_path / "one")
    save(train([column(documents[150:]), column(documents[:150])], NgramParameters()), tmp_path / "two")
    for name in ("ngrams.json", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_saved_model_costs_the_same_to_the_last_bit(trained: NgramModel, tmp_path: Path) -> None:
    save(trained, tmp_path)
    assert cost(load(tmp_path), prose(20, 5)) == cost(trained, prose(20, 5))
    assert load(tmp_path).metrics == trained.metrics


@pytest.mark.parametrize(
    ("grams", "order"),
    [
        ({}, 6),
        ({b"ab": 1}, 6),  # its parts have no counts
        ({b"a": 1, b"b": 1, b"ab": 2}, 6),  # more often than its parts
        ({b"a": 1, b"b": 0}, 6),
        ({b"a": 2, b"b": 1, b"ab": 1}, 1),
    ],
)
def test_counts_that_no_text_has_are_refused(grams: dict[bytes, int], order: int) -> None:
    with pytest.raises(BrokenNgrams, match=r"expected ascending|of its own"):
        build_table(*as_arrays(grams), order)


def test_what_is_no_ngram_model_of_ours_is_refused(trained: NgramModel, tmp_path: Path) -> None:
    with pytest.raises(NoSuchModel, match="no such folder"):
        load(tmp_path / "nowhere")
    save(trained, tmp_path)
    stated = json.loads((tmp_path / "ngrams.json").read_text())
    (tmp_path / "ngrams.json").write_text(json.dumps({**stated, "order": 5}))
    with pytest.raises(NoSuchModel, match="not of one model"):
        load(tmp_path)
    (tmp_path / "ngrams.json").write_text(json.dumps({**stated, "format": "gristmill.classifier"}))
    with pytest.raises(NoSuchModel, match="format"):
        load(tmp_path)


def test_nothing_to_count_is_said() -> None:
    with pytest.raises(NothingToCount, match="no text to count"):
        train([column(["", ""])], NgramParameters())
    with pytest.raises(NothingToCount, match="beyond max_bytes=3"):
        train([column(["four"])], NgramParameters(max_bytes=3))


@pytest.mark.parametrize(
    "wrong", [{"order": 8}, {"order": 0}, {"max_ngrams": 1}, {"max_bytes": 0}, {"held_out_ratio": 1.0}, {"seed": -1}]
)
def test_ngram_parameters_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NgramParameters(**wrong)


def test_a_text_of_ten_megabytes_is_scored(trained: NgramModel) -> None:
    (bits,) = cost(trained, ["the mill turns " * 700_000])
    assert 0 < bits < 2


def test_english_prose_costs_two_bits_and_other_languages_more(shared_data: Path) -> None:
    def read(name: str, count: int) -> list[str]:
        raw = pa.input_stream(str(shared_data / f"text/{name}.jsonl.zst"), compression="zstd").read()
        return [json.loads(line)["text"] for line in raw.split(b"\n")[:count]]

    model = train([column(read("en_mixed", 300))], NgramParameters())
    assert 1.8 < model.metrics["held_out_bits_per_byte"] < 2.3
    assert min(cost(model, read("de_eltec", 1))) > 4
