"""The stage train, driven as the flows drive it."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from model.batches import TooFewTokens
from model.config import DecoderParameters
from model.model_files import read_decoder, read_description
from model.parameters import TrainingParameters
from model.training import TrainingStep
from model.training_stage import train_part
from storage.accounts import Account
from storage.checkpoints import ForeignCheckpoint

PARAMETERS = TrainingParameters(
    model=DecoderParameters(preset="test", num_layers=1, width=32, feed_forward_width=32),
    context=32, batch_tokens=128, micro_batch_tokens=64, steps=4, checkpoint_every=2, validate_every=2,
    validation_tokens=64, device="cpu", precision="float32", num_threads=1,
)  # fmt: skip


def test_training_publishes_a_model_its_description_and_its_log(mill, prose) -> None:
    shards = [prose(5, 1), prose(3, 2)]
    tokens = mill.tokens(shards, prose(2, 3))
    heard: list[TrainingStep] = []
    stage = mill.run("train", train_part, {"tokens": tokens}, PARAMETERS, heard.append)

    with stage.local_file("config") as path:
        description = read_description(path)
    assert description.tokenizer == mill.tokenizer.identity
    assert description.config == PARAMETERS.model.config(vocab_size=260, context=32)
    with stage.local_file("model") as path:
        read_decoder(path, description.config)
    with stage.local_file("log") as path:
        log = [json.loads(line) for line in path.read_text().splitlines()]
    assert [TrainingStep(**entry) for entry in log] == heard
    assert [entry["step"] for entry in log] == [1, 2, 3, 4]

    account = stage.manifest.account
    num_tokens = sum(len(mill.tokenizer.document(text)) for texts in shards for text in texts)
    assert (account.unit_in, account.unit_out, account.documents_in) == ("tokens", "tokens", num_tokens)
    assert account.documents_out % 32 == 1
    assert set(account.dropped) == {"incomplete_last_row"}
    assert account.dropped["incomplete_last_row"] < 32

    metrics = stage.manifest.parts[0].metrics
    assert metrics["parameters"] == description.config.num_parameters()
    assert metrics["tokens_seen"] == 4 * 128
    assert metrics["epochs"] == pytest.approx(512 / (account.documents_out - 1))
    assert metrics["final_loss"] == heard[-1].loss
    assert metrics["validation_curve"] == [[2, heard[1].validation_loss], [4, heard[3].validation_loss]]
    assert metrics["validation_loss"] == heard[3].validation_loss
    assert metrics["tokens_per_second"] > 0
    json.dumps(metrics, allow_nan=False)


def test_equal_inputs_give_the_same_model_file_with_or_without_a_break(mill, prose) -> None:
    tokens = mill.tokens([prose(5, 1)], prose(2, 3))

    class BrokenOff(Exception):
        pass

    def give_up(entry: TrainingStep) -> None:
        if entry.step == 3:
            raise BrokenOff

    def model_digest(stage: str, on_step: Callable[[TrainingStep], None] | None = None) -> str:
        published = mill.run(stage, train_part, {"tokens": tokens}, PARAMETERS, on_step)
        return published.record("model", "all").sha256

    with pytest.raises(BrokenOff):
        model_digest("broken", give_up)
    assert model_digest("broken") == model_digest("whole")


def test_checkpoints_of_other_shards_or_parameters_are_refused(mill, prose) -> None:
    one = mill.tokens([prose(5, 1)], prose(2, 3))
    mill.run("train", train_part, {"tokens": one}, PARAMETERS)
    with pytest.raises(ForeignCheckpoint, match="other parameters"):
        mill.run("train", train_part, {"tokens": one}, replace(PARAMETERS, seed=1))
    other = mill.tokens([prose(5, 9)], prose(2, 3))
    with pytest.raises(ForeignCheckpoint, match="other shards"):
        mill.run("train", train_part, {"tokens": other}, PARAMETERS)


def test_a_corpus_shorter_than_one_row_is_an_error_that_says_so(mill) -> None:
    with pytest.raises(TooFewTokens, match="at least context \\+ 1 = 33 tokens, the shards have 4"):
        mill.run("train", train_part, {"tokens": mill.tokens([["ab"]], ["ab"])}, PARAMETERS)


@pytest.mark.parametrize("validation", [[], ["short"]])
def test_too_little_held_out_text_leaves_the_curve_empty(mill, prose, validation: list[str]) -> None:
    stage = mill.run("train", train_part, {"tokens": mill.tokens([prose(3, 1)], validation)}, PARAMETERS)
    metrics = stage.manifest.parts[0].metrics
    assert metrics["validation_curve"] == []
    assert metrics["validation_loss"] is None


def test_tokens_that_exactly_fill_their_rows_are_all_used(mill) -> None:
    text = "x" * (3 * 32 + 1 - 2)  # with start and end: three rows and the token after
    stage = mill.run("train", train_part, {"tokens": mill.tokens([[text]], [])}, replace(PARAMETERS, steps=1))
    assert stage.manifest.account == Account(
        documents_in=97, documents_out=97, dropped={"incomplete_last_row": 0}, unit_in="tokens", unit_out="tokens"
    )
