"""The training loop: from rows of tokens to weights, in steps that can be broken off and continued to the same bit."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from model.batches import Batches, Rows
from model.config import DecoderConfig
from model.decoder import Decoder, initialise
from model.devices import autocast, choose_device, choose_precision, repeatable
from model.optimizer import Optimizer
from model.parameters import TrainingParameters
from storage.checkpoints import Checkpoint, ForeignCheckpoint, find_checkpoint, save_checkpoint
from storage.store import Store


class Diverged(RuntimeError):
    """The loss is no number any more: more steps would not bring it back."""


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """What is known of a step once it is done.

    Attributes:
        step: number of the step, from 1.
        tokens_seen: tokens trained on since the start of the run, this step included.
        loss: nats a token, mean over the batch, before the step's change.
        learning_rate: of the matrices.
        grad_norm: of all gradients, before clipping.
        tokens_per_second: of this step, without validation and checkpoints.
        validation_loss: nats a token after the step, where one was taken.
    """

    step: int
    tokens_seen: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    validation_loss: float | None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class CheckpointPlace:
    """Where a run keeps its checkpoints, and what must be equal to continue from one."""

    store: Store
    folder: str
    fingerprint: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TrainedDecoder:
    """The end of a run.

    Attributes:
        decoder: on the CPU.
        log: one entry a step, those before a break included.
        seconds: of wall time in the loop, over all its sittings.
        resumed_from: step of the checkpoint that the last sitting continued, 0 for a fresh start.
        damaged_checkpoints: what was wrong with checkpoints that were passed over.
    """

    decoder: Decoder
    log: tuple[TrainingStep, ...]
    seconds: float
    resumed_from: int
    damaged_checkpoints: tuple[str, ...]


def train(
    config: DecoderConfig,
    parameters: TrainingParameters,
    rows: Rows,
    validation_rows: Rows | None,
    checkpoints: CheckpointPlace | None = None,
    on_step: Callable[[TrainingStep], None] | None = None,
    on_resume: Callable[[Sequence[TrainingStep]], None] | None = None,
) -> TrainedDecoder:
    """Train a decoder from random weights, or from the newest checkpoint.

    `on_step` hears of every step as it is done; `on_resume` once, before, of those that earlier sittings did.

    On one machine's CPU, with one number of threads, the weights are equal to the last bit however often the run was
    broken off.

    Raises:
        Diverged: loss or gradients are no finite numbers.
        ForeignCheckpoint: the newest checkpoint belongs to another run.
    """
    device = choose_device(parameters.device)
    with repeatable(device, parameters.num_threads):
        run = _Run(config, parameters, rows, validation_rows, checkpoints, device)
        if on_resume is not None and run.log:
            on_resume(tuple(run.log))
        return run.finish(on_step)


class _Run:
    """A training run between two steps."""

    def __init__(
        self,
        config: DecoderConfig,
        parameters: TrainingParameters,
        rows: Rows,
        validation_rows: Rows | None,
        checkpoints: CheckpointPlace | None,
        device: torch.device,
    ) -> None:
        self.parameters = parameters
        self.device = device
        self.dtype = choose_precision(parameters.precision, device)
        self.batches = Batches(rows, rows_per_batch=parameters.batch_tokens // rows.context, seed=parameters.seed)
        self.validation_rows = validation_rows
        self.checkpoints = checkpoints
        self.decoder = Decoder(config)
        initialise(self.decoder, parameters.seed)
        self.decoder.to(device)
        self.optimizer = Optimizer(
            self.decoder,
            matrix_learning_rate=parameters.matrix_learning_rate,
            vector_learning_rate=parameters.vector_learning_rate,
            weight_decay=parameters.weight_decay,
            dtype=self.dtype,
        )
        self.step = 0
        self.log: list[TrainingStep] = []
        self.seconds = 0.0
        self.damaged: tuple[str, ...] = ()
        if checkpoints is not None:
            self.restore(checkpoints)
        self.resumed_from = self.step
        if parameters.compile:
            for layer in self.decoder.model.layers:
                layer.compile()

    def finish(self, on_step: Callable[[TrainingStep], None] | None) -> TrainedDecoder:
        parameters = self.parameters
        while self.step < parameters.steps:
            started = time.perf_counter()
            entry = self.take_step()
            self.seconds += time.perf_counter() - started
            self.log.append(entry)
            is_last = self.step == parameters.steps
            if self.checkpoints is not None and (is_last or self.step % parameters.checkpoint_every == 0):
                self.save(self.checkpoints)
            if on_step is not None:
                on_step(entry)
        return TrainedDecoder(
            decoder=self.decoder.cpu(),
            log=tuple(self.log),
            seconds=self.seconds,
            resumed_from=self.resumed_from,
            damaged_checkpoints=self.damaged,
        )

    def take_step(self) -> TrainingStep:
        parameters = self.parameters
        started = time.perf_counter()
        ids_BT = self.batches.read(self.step)
        loss = 0.0
        rows_at_once = parameters.micro_batch_tokens // parameters.context
        for start in range(0, len(ids_BT), rows_at_once):
            part_BT = ids_BT[start : start + rows_at_once].to(self.device)
            with autocast(self.device, self.dtype):
                part_loss = self.decoder.summed_loss(part_BT[:, :-1], part_BT[:, 1:]) / parameters.batch_tokens
            part_loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
            loss += part_loss.item()
        schedule = parameters.schedule().factor(self.step)
        grad_norm = self.optimizer.step(self.step, schedule)
        self.step += 1
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise Diverged(
                f"step {self.step} of {parameters.steps}: loss {loss}, gradient norm {grad_norm}. Lower "
                f"matrix_learning_rate={parameters.matrix_learning_rate} and "
                f"vector_learning_rate={parameters.vector_learning_rate}, "
                f"or raise warmup_steps={parameters.warmup_steps}"
            )
        seconds = time.perf_counter() - started
        is_due = self.step % parameters.validate_every == 0 or self.step == parameters.steps
        return TrainingStep(
            step=self.step,
            tokens_seen=self.step * parameters.batch_tokens,
            loss=loss,
            learning_rate=parameters.matrix_learning_rate * schedule,
            grad_norm=grad_norm,
            tokens_per_second=parameters.batch_tokens / seconds,
            validation_loss=self.validate() if is_due else None,
        )

    def validate(self) -> float | None:
        """Mean loss over the first validation rows, in nats a token; None where no row is held out."""
        if self.validation_rows is None:
            return None
        context = self.validation_rows.context
        num_rows = min(self.validation_rows.num_rows, max(1, self.parameters.validation_tokens // context))
        rows_at_once = max(1, self.parameters.micro_batch_tokens // context)
        total = 0.0
        for start in range(0, num_rows, rows_at_once):
            numbers = np.arange(start, min(start + rows_at_once, num_rows))
            ids_BT = torch.empty(len(numbers), context + 1, dtype=torch.int64)
            self.validation_rows.read(numbers, ids_BT.numpy())
            ids_BT = ids_BT.to(self.device)
            with autocast(self.device, self.dtype):
                losses_BT = self.decoder.token_losses(ids_BT[:, :-1], ids_BT[:, 1:])
            total += losses_BT.double().sum().item()
        return total / (num_rows * context)

    def state(self) -> dict[str, torch.Tensor]:
        """All that a step changes, as views; the tied head is the embedding, and stands there once."""
        weights = {f"weights.{name}": weight.detach() for name, weight in self.decoder.named_parameters()}
        return weights | self.optimizer.state()

    def save(self, checkpoints: CheckpointPlace) -> None:
        checkpoint = Checkpoint(
            step=self.step,
            arrays={name: tensor.cpu().numpy() for name, tensor in self.state().items()},
            facts={"log": [entry.as_json() for entry in self.log], "seconds": self.seconds},
        )
        save_checkpoint(checkpoints.store, checkpoints.folder, checkpoint, checkpoints.fingerprint)

    def restore(self, checkpoints: CheckpointPlace) -> None:
        found = find_checkpoint(checkpoints.store, checkpoints.folder, checkpoints.fingerprint)
        self.damaged = found.damaged
        if found.checkpoint is None:
            return
        checkpoint, state = found.checkpoint, self.state()
        place = f"{checkpoints.folder}, step {checkpoint.step}"
        expected = {name: (tuple(tensor.shape), "float32") for name, tensor in state.items()}
        arrays = {name: (array.shape, str(array.dtype)) for name, array in checkpoint.arrays.items()}
        if expected != arrays:
            different = sorted(name for name in {*expected, *arrays} if expected.get(name) != arrays.get(name))
            raise ForeignCheckpoint(
                f"{place}: {len(different)} arrays are not this model's, the first {different[0]!r}: "
                f"expected {expected.get(different[0])}, found {arrays.get(different[0])}; delete the folder"
            )
        try:
            self.log = [TrainingStep(**entry) for entry in checkpoint.facts["log"]]
            self.seconds = float(checkpoint.facts["seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise ForeignCheckpoint(f"{place}: its log cannot be read ({error}); delete the folder") from error
        if len(self.log) != checkpoint.step or checkpoint.step > self.parameters.steps:
            raise ForeignCheckpoint(f"{place}: its log has {len(self.log)} steps; delete the folder")
        for name, tensor in state.items():
            tensor.copy_(torch.from_numpy(checkpoint.arrays[name]))
        self.step = checkpoint.step
