"""Training: it learns, it can be broken off anywhere, and it says when it has gone wrong."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from model.batches import Batches, Rows, TokenStream
from model.config import DecoderConfig, DecoderParameters
from model.decoder import Decoder, initialise
from model.parameters import TrainingParameters
from model.training import CheckpointPlace, Diverged, TrainedDecoder, TrainingStep, train
from storage.checkpoints import ForeignCheckpoint, find_checkpoint
from storage.store import Store
from storage.token_shards import TokenizerIdentity

TOKENIZER = TokenizerIdentity(digest="ab" * 32, vocab_size=32, unk_id=0, bos_id=1, eos_id=2, pad_id=3)
CONFIG = DecoderConfig(
    vocab_size=32, context=16, num_layers=2, width=32, num_heads=2, num_key_value_heads=1, feed_forward_width=32,
    head_width=16,
)  # fmt: skip
PARAMETERS = TrainingParameters(
    context=16, batch_tokens=128, micro_batch_tokens=128, steps=12, checkpoint_every=3, validate_every=4,
    validation_tokens=64, device="cpu", precision="float32", num_threads=1,
)  # fmt: skip


def rows(num_tokens: int = 1500, seed: int = 0) -> Rows:
    """A language of one rule: after t comes 2 t + 1 or 2 t + 2 (modulo 32)."""
    draw = np.random.default_rng(seed)
    tokens = [1]
    for turn in draw.integers(1, 3, num_tokens - 1).tolist():
        tokens.append((2 * tokens[-1] + turn) % 32)
    return Rows(TokenStream(TOKENIZER, [np.array(tokens, np.uint16)]), 16, "training")


def run(store: Store | None = None, parameters: TrainingParameters = PARAMETERS, **kwargs: object) -> TrainedDecoder:
    place = None
    if store is not None:
        place = CheckpointPlace(store=store, folder="checkpoints", fingerprint={"run": "this"})
    return train(CONFIG, parameters, rows(), rows(200, seed=1), place, **kwargs)


def weights(trained: TrainedDecoder) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in trained.decoder.parameters()])


class BrokenOff(Exception):
    pass


def break_off_after(step: int) -> Callable[[TrainingStep], None]:
    def on_step(entry: TrainingStep) -> None:
        if entry.step == step:
            raise BrokenOff

    return on_step


def log_without_clock(trained: TrainedDecoder) -> list[TrainingStep]:
    return [replace(entry, tokens_per_second=0.0) for entry in trained.log]


@pytest.fixture(scope="module")
def uninterrupted() -> TrainedDecoder:
    return run()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_the_model_learns_the_rule_of_its_language() -> None:
    trained = run(parameters=replace(PARAMETERS, steps=120, validate_every=40))
    losses = [entry.validation_loss for entry in trained.log if entry.validation_loss is not None]
    assert len(losses) == 3
    assert losses[-1] < 1.1  # the rule leaves log 2 = 0.69; knowing nothing costs log 32 = 3.5
    assert trained.log[0].loss > 3.2


def test_the_log_has_every_step_and_validates_when_due(uninterrupted: TrainedDecoder) -> None:
    assert [entry.step for entry in uninterrupted.log] == list(range(1, 13))
    assert [entry.step for entry in uninterrupted.log if entry.validation_loss is not None] == [4, 8, 12]
    assert uninterrupted.log[4].tokens_seen == 5 * 128
    assert uninterrupted.log[0].learning_rate == pytest.approx(PARAMETERS.matrix_learning_rate / 10)
    assert all(entry.grad_norm > 0 and entry.tokens_per_second > 0 for entry in uninterrupted.log)


def test_equal_runs_are_equal_to_the_bit_and_seeds_matter(uninterrupted: TrainedDecoder) -> None:
    assert torch.equal(weights(run()), weights(uninterrupted))
    assert not torch.equal(weights(run(parameters=replace(PARAMETERS, seed=1))), weights(uninterrupted))


@pytest.mark.parametrize("breaks", [[3], [4], [1], [11], [12], [4, 5, 8]])
def test_a_run_that_is_broken_off_ends_as_if_it_had_not_been(store, uninterrupted, breaks: list[int]) -> None:
    for step in breaks:
        with pytest.raises(BrokenOff):
            run(store, on_step=break_off_after(step))
    resumed = run(store)
    assert resumed.resumed_from == breaks[-1] // 3 * 3
    assert torch.equal(weights(resumed), weights(uninterrupted))
    assert log_without_clock(resumed) == log_without_clock(uninterrupted)


def test_who_watches_hears_of_every_step_once_over_all_sittings(store, uninterrupted: TrainedDecoder) -> None:
    heard: list[TrainingStep] = []
    with pytest.raises(BrokenOff):
        run(store, on_step=break_off_after(7), on_resume=heard.extend)
    assert heard == []  # nothing was resumed
    resumed = run(store, on_step=heard.append, on_resume=heard.extend)
    assert heard == list(resumed.log)
    assert [entry.step for entry in heard] == list(range(1, len(uninterrupted.log) + 1))


def test_bfloat16_on_two_threads_is_continued_to_the_same_bit_too(store: Store) -> None:
    parameters = replace(PARAMETERS, precision="bfloat16", num_threads=2, steps=4)
    with pytest.raises(BrokenOff):
        run(store, parameters, on_step=break_off_after(3))
    assert torch.equal(weights(run(store, parameters)), weights(run(parameters=parameters)))


def test_a_finished_run_is_not_run_again(store: Store, uninterrupted: TrainedDecoder) -> None:
    run(store)
    again = run(store, on_step=break_off_after(12))
    assert again.resumed_from == 12
    assert torch.equal(weights(again), weights(uninterrupted))


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(store, uninterrupted) -> None:
    with pytest.raises(BrokenOff):
        run(store, on_step=break_off_after(7))
    (arrays,) = Path(store.full_path("checkpoints/step-00000006")).glob("state-*.safetensors")
    arrays.write_bytes(arrays.read_bytes()[:1000])
    resumed = run(store)
    assert resumed.resumed_from == 3
    assert "step-00000006" in resumed.damaged_checkpoints[0]
    assert torch.equal(weights(resumed), weights(uninterrupted))


def test_a_checkpoint_of_another_run_is_refused(store: Store) -> None:
    with pytest.raises(BrokenOff):
        run(store, on_step=break_off_after(4))
    with pytest.raises(ForeignCheckpoint, match="other run"):
        train(
            CONFIG, PARAMETERS, rows(), None,
            CheckpointPlace(store=store, folder="checkpoints", fingerprint={"run": "another"}),
        )  # fmt: skip
    with pytest.raises(ForeignCheckpoint, match="not this model's"):
        train(
            replace(CONFIG, width=48), PARAMETERS, rows(), None,
            CheckpointPlace(store=store, folder="checkpoints", fingerprint={"run": "this"}),
        )  # fmt: skip


KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from test_training import PARAMETERS, Store, run

def on_step(entry):
    if entry.step == 8:
        os.kill(os.getpid(), signal.SIGKILL)

run(Store(sys.argv[1]), on_step=on_step)
"""


@pytest.mark.chaos
def test_a_killed_process_is_continued_to_the_same_bit(store: Store, uninterrupted: TrainedDecoder) -> None:
    program = KILLED.format(folder=str(Path(__file__).parent))
    killed = subprocess.run([sys.executable, "-c", program, store.url], capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    resumed = run(store)
    assert resumed.resumed_from == 6
    assert torch.equal(weights(resumed), weights(uninterrupted))


@pytest.mark.parametrize("micro_batch_tokens", [16, 32, 64])
def test_small_pieces_of_a_batch_add_up_to_the_batch(uninterrupted: TrainedDecoder, micro_batch_tokens: int) -> None:
    pieces = run(parameters=replace(PARAMETERS, micro_batch_tokens=micro_batch_tokens))
    for piece, whole in zip(pieces.log[:3], uninterrupted.log[:3], strict=True):
        assert piece.loss == pytest.approx(whole.loss, rel=1e-5)
        assert piece.grad_norm == pytest.approx(whole.grad_norm, rel=1e-4)


def test_the_logged_loss_is_that_of_all_targets_of_the_batch(uninterrupted: TrainedDecoder) -> None:
    decoder = Decoder(CONFIG)
    initialise(decoder, PARAMETERS.seed)
    ids = Batches(rows(), rows_per_batch=8, seed=0).read(0)
    expected = decoder.token_losses(ids[:, :-1], ids[:, 1:]).mean().item()
    assert uninterrupted.log[0].loss == pytest.approx(expected, rel=1e-6)


def test_bfloat16_learns_about_as_well() -> None:
    parameters = replace(PARAMETERS, steps=60, validate_every=60)
    single = run(parameters=parameters).log[-1].validation_loss
    half = run(parameters=replace(parameters, precision="bfloat16")).log[-1].validation_loss
    assert single is not None
    assert half == pytest.approx(single, abs=0.1)


def test_divergence_is_named_by_step_and_leaves_only_good_checkpoints(store: Store) -> None:
    parameters = replace(PARAMETERS, vector_learning_rate=1e38, warmup_steps=0)
    with pytest.raises(Diverged, match=r"step \d+ of 12: loss .*vector_learning_rate=1e\+38"):
        run(store, parameters)
    found = find_checkpoint(store, "checkpoints", {"run": "this"}).checkpoint
    assert found is None or all(np.isfinite(array).all() for array in found.arrays.values())


def test_settings_of_the_process_are_as_they_were_afterwards(uninterrupted: TrainedDecoder) -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    threads = torch.get_num_threads()
    with pytest.raises(BrokenOff):
        run(parameters=replace(PARAMETERS, num_threads=2), on_step=break_off_after(1))
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_without_held_out_rows_there_is_no_validation_loss() -> None:
    trained = train(CONFIG, replace(PARAMETERS, steps=1), rows(), None)
    assert trained.log[0].validation_loss is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own insides
def test_compiled_layers_learn_the_same(uninterrupted: TrainedDecoder) -> None:
    compiled = run(parameters=replace(PARAMETERS, compile=True))
    assert compiled.log[-1].loss == pytest.approx(uninterrupted.log[-1].loss, rel=1e-3)
    assert compiled.decoder.state_dict().keys() == uninterrupted.decoder.state_dict().keys()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"steps": 0}, "steps"),
        ({"context": 0}, "context"),
        ({"batch_tokens": 100}, "batch_tokens=100"),
        ({"micro_batch_tokens": 24}, "micro_batch_tokens=24"),
        ({"num_threads": 0}, "num_threads"),
        ({"matrix_learning_rate": 0.0}, "matrix_learning_rate"),
        ({"vector_learning_rate": float("nan")}, "vector_learning_rate"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"decay_ratio": 1.5}, "decay_ratio"),
        ({"seed": -1}, "seed"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_by_name(change, complaint) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(PARAMETERS, **change)


def test_a_recipe_sets_nested_parameters_and_may_not_invent_any() -> None:
    adapter = TypeAdapter(TrainingParameters)
    parameters = adapter.validate_python({"model": {"preset": "test"}, "steps": 7})
    assert parameters == TrainingParameters(model=DecoderParameters(preset="test"), steps=7)
    for unknown in ({"step": 7}, {"model": {"layers": 2}}, {"precision": "float64"}, {"device": "tpu"}):
        with pytest.raises(ValidationError):
            adapter.validate_python(unknown)
