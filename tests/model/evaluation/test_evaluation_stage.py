"""The stage evaluate, from published inputs to scores."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from model.config import DecoderParameters
from model.evaluation.compression import gzip_bits_per_byte, xz_bits_per_byte
from model.evaluation.parameters import EvaluationParameters
from model.evaluation.stage import NothingToScore, evaluate_part
from model.model_files import DamagedModel
from model.parameters import TrainingParameters
from model.training_stage import train_part
from storage.manifests import PublishedStage
from storage.schemas import DOCUMENT_SCORES
from storage.tables import DamagedFile
from storage.token_shards import TokenizerMismatch

TRAINING = TrainingParameters(
    model=DecoderParameters(preset="test", num_layers=1, width=32, feed_forward_width=32), context=32,
    batch_tokens=128, micro_batch_tokens=128, steps=30, device="cpu", precision="float32", num_threads=1,
)  # fmt: skip
PARAMETERS = EvaluationParameters(
    prompts=("the mill", ""), max_new_tokens=5, device="cpu", precision="float32", num_threads=1
)


def evaluate(mill, tokens: PublishedStage, corpus: PublishedStage, parameters: EvaluationParameters) -> PublishedStage:
    train = mill.run("train", train_part, {"tokens": tokens}, TRAINING)
    return evaluate_trained(mill, train, tokens, corpus, parameters)


def evaluate_trained(mill, train, tokens, corpus, parameters) -> PublishedStage:
    inputs = {"train": train, "tokens": tokens, "corpus": corpus}
    toy = mill.tokenizer
    return mill.run("evaluate", evaluate_part, inputs, parameters, encode=toy.encode, decode=toy.decode)


def test_scores_stand_beside_what_compressors_need_for_the_same_documents(mill, prose) -> None:
    held_out = [*prose(6, 5), "\u65e5\u672c\u8a9e"]
    tokens = mill.tokens([prose(20, 1)], held_out)
    # the corpus has them in other parts and another order, and more of them
    corpus = mill.corpus(held_out[4:], ["never scored"], list(reversed(held_out[:4])))
    stage = evaluate(mill, tokens, corpus, PARAMETERS)
    metrics = stage.manifest.parts[0].metrics

    text = "".join(held_out).encode()
    assert metrics["gzip_bits_per_byte"] == gzip_bits_per_byte(text)
    assert metrics["xz_bits_per_byte"] == xz_bits_per_byte(text)
    assert (metrics["documents"], metrics["bytes"], metrics["tokens"]) == (7, len(text), len(text) + 7)
    low, high = metrics["val_bits_per_byte_interval"]
    assert 1 < low <= metrics["val_bits_per_byte"] <= high < 8  # 30 steps: better than nothing known

    scores = stage.read("documents", "all", DOCUMENT_SCORES)
    assert scores["num_bytes"].to_pylist() == [len(each.encode()) for each in held_out]
    total = sum(scores["nats"].to_pylist()) / len(text) / np.log(2)
    assert metrics["val_bits_per_byte"] == pytest.approx(total)
    with stage.local_file("scores") as path:
        assert json.loads(path.read_text()) == metrics


def test_samples_continue_every_prompt_in_both_ways_and_repeat(mill, prose) -> None:
    held_out = prose(2, 5)
    tokens, corpus = mill.tokens([prose(9, 1)], held_out), mill.corpus(held_out)
    samples = evaluate(mill, tokens, corpus, PARAMETERS).manifest.parts[0].metrics["samples"]
    assert [(sample["prompt"], sample["choice"]) for sample in samples] == [
        ("the mill", "likeliest"), ("the mill", "drawn"), ("", "likeliest"), ("", "drawn"),
    ]  # fmt: skip
    assert all(0 < sample["num_tokens"] <= 5 for sample in samples if sample["stopped_by"] == "max_new_tokens")
    assert not any(sample["continuation"].startswith("the mill") for sample in samples[:2])
    assert evaluate(mill, tokens, corpus, PARAMETERS).manifest.parts[0].metrics["samples"] == samples


@pytest.mark.parametrize(
    ("max_bytes", "num_scored"),
    [(10, 2), (9, 1), (14, 2), (15, 3), (16, 3), (1, 1), (1000, 4)],  # the first document is always scored
)
def test_documents_are_taken_in_shard_order_while_they_fit(mill, prose, max_bytes: int, num_scored: int) -> None:
    held_out = ["aaaaa", "bbbbb", "ccccc", "dddddddd"]
    stage = evaluate(
        mill, mill.tokens([prose(3, 1)], held_out), mill.corpus(held_out), EvaluationParameters(
            max_bytes=max_bytes, prompts=(), device="cpu", precision="float32", num_threads=1
        ),
    )  # fmt: skip
    account = stage.manifest.account
    assert (account.documents_in, account.documents_out) == (4, num_scored)
    assert account.dropped.get("over_limit", 0) == 4 - num_scored


@pytest.mark.parametrize("held_out", [[], [""]])
def test_without_held_out_text_there_is_nothing_to_score(mill, prose, held_out: list[str]) -> None:
    with pytest.raises(NothingToScore, match="Hold out a larger share"):
        evaluate(mill, mill.tokens([prose(3, 1)], held_out), mill.corpus(held_out), PARAMETERS)


def test_a_corpus_of_another_run_is_noticed(mill, prose) -> None:
    held_out = prose(2, 5)
    for corpus in (mill.corpus(held_out[:1]), mill.corpus(prose(2, 6))):
        with pytest.raises(DamagedFile, match="are tokens and corpus of one run"):
            evaluate(mill, mill.tokens([prose(3, 1)], held_out), corpus, PARAMETERS)


def test_shards_of_another_tokenizer_are_refused(mill, prose) -> None:
    held_out = prose(2, 5)
    train = mill.run("train", train_part, {"tokens": mill.tokens([prose(3, 1)], held_out)}, TRAINING)
    toy = mill.tokenizer
    other = replace(mill, tokenizer=replace(toy, identity=replace(toy.identity, digest="71" * 32)))
    with pytest.raises(TokenizerMismatch):
        evaluate_trained(other, train, other.tokens([prose(3, 1)], held_out), mill.corpus(held_out), PARAMETERS)


def test_a_damaged_model_is_refused(mill, prose) -> None:
    held_out = prose(2, 5)
    tokens = mill.tokens([prose(3, 1)], held_out)
    train = mill.run("train", train_part, {"tokens": tokens}, TRAINING)
    with train.local_file("model") as path:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedModel):
        evaluate_trained(mill, train, tokens, mill.corpus(held_out), PARAMETERS)


def test_a_recipe_may_give_prompts_as_a_list() -> None:
    parameters = TypeAdapter(EvaluationParameters).validate_python({"prompts": ["a", "b"], "max_bytes": 10})
    assert parameters.prompts == ("a", "b")


@pytest.mark.parametrize("change", [{"max_bytes": 0}, {"max_new_tokens": 0}, {"temperature": -1.0}, {"num_threads": 0}])
def test_limits_that_make_no_sense_are_refused(change) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        EvaluationParameters(**change)
